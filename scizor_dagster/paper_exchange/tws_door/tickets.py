"""From a `placeOrder` to a ticket of the venue, or to the error that a TWS answers.

What belongs here: which words an order may have, and what they mean. What does not: placing it (`orders`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, time
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.tws_door.order_fields import is_set
from scizor_dagster.paper_exchange.tws_door.order_layouts import UNSET_DOUBLE
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.words import (
    ALGORITHMS,
    CLOSING,
    DURATIONS,
    KINDS,
    NOT_SIMULATED,
    instant_or_day_of,
)
from scizor_dagster.paper_exchange.venue_orders import Amendment, Duration, OrderKind, Ticket, VenueOrder
from scizor_dagster.paper_exchange.venue_views import VenueListing

_Value = TypeVar("_Value")
_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_LIMITED = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
_STOPPED = (OrderKind.STOP, OrderKind.STOP_LIMIT)


class ApiError(Exception):
    """An error message in answer to one request."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(f"{code}: {text}")


def invalid(cause: str) -> ApiError:
    return ApiError(321, f"Error validating request.-'bF' : cause - {cause}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order says of itself, checked."""

    side: Side
    qty: Decimal
    kind: OrderKind
    duration: Duration
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    good_after: datetime | None = None
    good_till: datetime | None = None

    def ticket(self, request: Request, listing: VenueListing, **more: str | None) -> Ticket:
        """The ticket; `more` are its client order id, owner, parent and group."""
        return Ticket(
            client_order_id=more.get("client_order_id") or "",
            symbol=listing.instrument.symbol,
            side=self.side,
            kind=self.kind,
            duration=self.duration,
            qty=self.qty,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            trail_price=self.trail_price,
            trail_percent=self.trail_percent,
            extended_hours=request.flag("outsideRth"),
            parent=more.get("parent"),
            group=more.get("group"),
            reference=request["orderRef"],
            owner=more.get("owner") or "",
            good_after=self.good_after,
            good_till=self.good_till,
        )

    def changes(self, order: VenueOrder, reference: str) -> Amendment:
        """What differs from an order that exists.

        Raises:
            ApiError: 105, the side differs.
        """
        ticket = order.ticket
        if ticket.side is not self.side:
            raise ApiError(105, "Order being modified does not match original order")
        trail = self.trail_price or self.trail_percent
        return Amendment(
            qty=_if_new(self.qty, order.qty),
            duration=self.duration if self.duration is not ticket.duration else None,
            limit_price=_if_new(self.limit_price, ticket.limit_price),
            stop_price=_if_new(self.stop_price, ticket.stop_price),
            trail=_if_new(trail, ticket.trail_price or ticket.trail_percent),
            kind=self.kind if self.kind is not ticket.kind else None,
            reference=reference if reference != ticket.reference else None,
            good_till=_if_new(self.good_till, ticket.good_till),
        )


def terms_of(request: Request, zone: str) -> Terms:
    """What a `placeOrder` says; times without a zone are in `zone`.

    Raises:
        ApiError: a word or a number that a TWS does not take.
    """
    _check_simulated(request)
    kind = KINDS.get(request["orderType"])
    if kind is None:
        raise invalid("Invalid order type was entered")
    duration = Duration.CLS if request["orderType"] in CLOSING else DURATIONS.get(request["tif"])
    if duration is None:
        raise invalid("Invalid time in force")
    side = _SIDES.get(request["action"])
    if side is None:
        raise invalid(f"Invalid side: {request['action']}")
    qty = _number(request, "totalQuantity")
    if qty is None:
        raise invalid("Invalid order size was entered")
    if _number(request, "cashQty"):
        raise ApiError(10244, "Cash Quantity cannot be used for this order")
    if qty == 0:
        raise ApiError(434, "The order size cannot be zero.")
    if qty != qty.to_integral_value():
        raise ApiError(10243, "Fractional-sized order cannot be placed via API.")
    return replace(
        _priced(request, side, qty, kind, duration),
        good_after=_instant(request, "goodAfterTime", zone, time.min),
        good_till=_good_till(request, zone),
    )


def _check_simulated(request: Request) -> None:
    """Refuse what would change how an order trades, and does not do so here.

    Not with 321: one of the clients takes that for a warning, and would wait on.
    """
    unsupported = "Unsupported order type for this exchange and security type."
    if request["orderType"] in NOT_SIMULATED:
        raise ApiError(387, f"{unsupported} {request['orderType']} is not simulated.")
    for name in ("hedgeType", "scalePriceIncrement", "percentOffset", "allOrNone", "minQty"):
        value = request[name]
        if value and (name == "hedgeType" or is_set(value)):
            raise ApiError(387, f"{unsupported} {name} is not simulated.")
    if is_set(request["conditions"]):
        raise ApiError(402, "Conditions are not allowed for this contract.")
    algorithm = request["algoStrategy"]
    if algorithm and algorithm not in ALGORITHMS:
        raise ApiError(439, "Order processing failed. Algorithm definition not found.")
    if algorithm and request["orderType"] not in ("MKT", "LMT"):
        raise ApiError(442, "Specified algorithm is not allowed for this order.")


def _good_till(request: Request, zone: str) -> datetime | None:
    """End of an order with a date of its own; the date of any other order says nothing."""
    if request["tif"] != "GTD":
        return None
    found = _instant(request, "goodTillDate", zone, time(23, 59, 59))
    if found is None:
        raise _no_time("")
    return found


def _instant(request: Request, name: str, zone: str, end: time) -> datetime | None:
    text = request[name]
    if not text:
        return None
    try:
        return instant_or_day_of(text, zone, end)
    except ValueError:
        raise _no_time(text) from None


def _no_time(text: str) -> ApiError:
    return ApiError(391, f"The time or time-zone entered is invalid. The correct format is hh:mm:ss xxx: '{text}'")


def _priced(request: Request, side: Side, qty: Decimal, kind: OrderKind, duration: Duration) -> Terms:
    limit, aux = _number(request, "lmtPrice"), _number(request, "auxPrice")
    percent, stop = _number(request, "trailingPercent"), _number(request, "trailStopPrice")
    if kind in _LIMITED and limit is None:
        raise invalid("Please enter a limit price")
    if kind in _STOPPED and not aux:
        raise invalid("Please enter a stop price")
    if kind is OrderKind.TRAILING_STOP:
        if bool(aux) == bool(percent):
            raise invalid("Please enter either a trailing amount or a trailing percentage")
        return Terms(side, qty, kind, duration, None, stop or None, aux or None, percent or None)
    return Terms(
        side, qty, kind, duration, limit if kind in _LIMITED else None, aux if kind in _STOPPED else None, None, None
    )


def _number(request: Request, key: str) -> Decimal | None:
    raw = request[key]
    if raw in ("", UNSET_DOUBLE):
        return None
    try:
        value = Decimal(raw)
    except InvalidOperation:
        raise invalid(f"'{raw}' is not a number ({key})") from None
    if not value.is_finite():
        raise invalid(f"'{raw}' is not a number ({key})")
    return value


def _if_new(value: _Value | None, old: _Value | None) -> _Value | None:
    return value if value != old else None
