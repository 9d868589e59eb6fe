"""The API's words for what the venue calls otherwise.

What belongs here: tables of words and codes, and the few rules between them. What does not: layouts.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from scizor_dagster.paper_exchange.venue_orders import Duration, OrderKind, Refused, Status, VenueOrder

KINDS = {
    "MKT": OrderKind.MARKET,
    "LMT": OrderKind.LIMIT,
    "STP": OrderKind.STOP,
    "STP LMT": OrderKind.STOP_LIMIT,
    "TRAIL": OrderKind.TRAILING_STOP,
    "MOC": OrderKind.MARKET,
    "LOC": OrderKind.LIMIT,
}
CLOSING = frozenset({"MOC", "LOC"})
NOT_SIMULATED = frozenset(
    {
        *("BOX TOP", "LIT", "LMT + MKT", "LWO", "MIDPRICE", "MIT", "MKT PRT", "MTL", "PASSV REL", "PEG BENCH"),
        *(
            "PEG BEST",
            "PEG MID",
            "PEG MKT",
            "PEG PRIM",
            "PEG PRIME",
            "PEG STK",
            "QUOTE",
            "REL",
            "REL + LMT",
            "REL + MKT",
        ),
        *("RPI", "SNAP MID", "SNAP MKT", "SNAP PRIM", "STP PRT", "TRAIL LIMIT", "TRAIL LIT", "TRAIL MIT", "VOL"),
    }
)
"""Order types of the API that do not trade here."""
ALGORITHMS = frozenset(
    {
        *("AD", "Adaptive", "ArrivalPx", "BalanceImpactRisk", "ClosePx", "DarkIce", "MinImpact"),
        *("PctVol", "PctVolPx", "PctVolSz", "PctVolTm", "Twap", "Vwap"),
    }
)
"""Algorithms by name. What they ask of the price is ignored: the order below them trades as it stands."""
TYPES = {
    OrderKind.MARKET: "MKT",
    OrderKind.LIMIT: "LMT",
    OrderKind.STOP: "STP",
    OrderKind.STOP_LIMIT: "STP LMT",
    OrderKind.TRAILING_STOP: "TRAIL",
}
DURATIONS = {
    "": Duration.DAY,
    "DAY": Duration.DAY,
    "GTC": Duration.GTC,
    "GTD": Duration.GTC,
    "OPG": Duration.OPG,
    "IOC": Duration.IOC,
    "FOK": Duration.FOK,
}
TRIGGERED = frozenset({OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP})
EXCHANGES = {
    "XNAS": "NASDAQ",
    "XNYS": "NYSE",
    "ARCX": "ARCA",
    "XASE": "AMEX",
    "BATS": "BATS",
    "XASX": "ASX",
}
_DAY = re.compile(r"^\d{8}$")
_UTC = re.compile(r"^\d{8}-\d{2}:\d{2}:\d{2}$")
ZONES = {"America/New_York": "US/Eastern", "Australia/Sydney": "Australia/NSW"}
_STATUSES = {
    Status.PENDING_NEW: "PreSubmitted",
    Status.ACCEPTED: "PreSubmitted",
    Status.HELD: "PreSubmitted",
    Status.NEW: "Submitted",
    Status.PARTIALLY_FILLED: "Submitted",
    Status.PENDING_CANCEL: "PendingCancel",
    Status.FILLED: "Filled",
    Status.CANCELED: "Cancelled",
    Status.EXPIRED: "Cancelled",
    Status.REPLACED: "Cancelled",
    Status.REJECTED: "Inactive",
}
_FRACTION = (10243, "Fractional-sized order cannot be placed via API.")
_REFUSALS = {
    "asset_not_found": (200, "No security definition has been found for the request"),
    "invalid_qty": (434, "The order size cannot be zero."),
    "fractional_quantity": _FRACTION,
    "cash_quantity": (10244, "Cash Quantity cannot be used for this order"),
    "price_not_on_tick": (110, "The price does not conform to the minimum price variation for this contract."),
    "duplicate_client_order_id": (103, "Duplicate order id"),
    "order_not_found": (135, "Can't find order with id ="),
    "order_filled": (104, "Cannot modify a filled order."),
    "order_not_open": (103, "Duplicate order id"),
    "not_tradable": (460, "No trading permissions."),
}
_MALFORMED = frozenset(
    {
        *("quantity_required", "quantity_and_notional", "limit_price_required", "stop_price_required"),
        *("stop_limit_prices_required", "unexpected_price", "invalid_price", "trail_required", "invalid_trail"),
        *("unexpected_legs", "parent_not_found"),
    }
)
"""Refusals of what an order says of itself: a TWS answers those with 321."""


def status_of(order: VenueOrder) -> str:
    """Status as the API writes it. A stop waits as `PreSubmitted`; a FOK that could not fill is `Inactive`."""
    ticket = order.ticket
    if order.status is Status.NEW and ticket.kind in TRIGGERED:
        return "PreSubmitted"
    if ticket.duration is Duration.FOK and order.status in (Status.CANCELED, Status.EXPIRED) and not order.filled_qty:
        return "Inactive"
    return _STATUSES[order.status]


def why_held(order: VenueOrder) -> str:
    """What an order waits for: its parent, its trigger, or both."""
    if order.status.terminal or order.status is Status.PENDING_CANCEL:
        return ""
    waits = ["child"] if order.status is Status.HELD else []
    waits += ["trigger"] if order.ticket.kind in TRIGGERED and not order.filled_qty else []
    return ",".join(waits)


def refusal(refused: Refused) -> tuple[int, str]:
    """Code and text of a refusal; whatever has no code of its own is 201, with its reason."""
    if refused.code in _MALFORMED:
        return 321, f"Error validating request.-'bF' : cause - {refused.message}"
    known = _REFUSALS.get(refused.code)
    return known if known else (201, f"Order rejected - reason:{refused.message}")


def type_of(order: VenueOrder) -> str:
    """Order type: an order for the closing auction has a type of its own and no time in force."""
    word = TYPES[order.ticket.kind]
    if order.ticket.duration is Duration.CLS:
        return {"MKT": "MOC", "LMT": "LOC"}[word]
    return word


def tif_of(order: VenueOrder) -> str:
    if order.ticket.good_till is not None:
        return "GTD"
    return "DAY" if order.ticket.duration is Duration.CLS else order.ticket.duration.value.upper()


def spelled(symbol: str) -> str:
    """A class of shares stands behind a space: `BRK B`."""
    return symbol.replace(".", " ")


def zone_name(zone: ZoneInfo) -> str:
    return ZONES.get(zone.key, zone.key)


def stamp(at: datetime, zone: str, *, named: bool = True) -> str:
    """`20260413 15:27:04 US/Eastern`, or `20260413  15:27:04` without its zone."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%Y%m%d %H:%M:%S} {zone}" if named else f"{local:%Y%m%d  %H:%M:%S}"


def instant_of(text: str, zone: str) -> datetime:
    """The instant of `20260413-15:27:04` (UTC), or of `20260413 15:27:04` in the zone that follows it, or in `zone`.

    Raises:
        ValueError: it is neither.
    """
    if _UTC.match(text):
        return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    day, clock, *named = text.split()
    try:
        place = ZoneInfo(named[0] if named else zone)
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"{named} is no time zone") from error
    return datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S").replace(tzinfo=place)


def instant_or_day_of(text: str, zone: str, end: time) -> datetime:
    """As `instant_of`; a day alone is its hour `end` in `zone`. Raises `ValueError`."""
    if _DAY.match(text):
        return datetime.combine(date.fromisoformat(text), end, ZoneInfo(zone))
    return instant_of(text, zone)


def utc_stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d-%H:%M:%S}"
