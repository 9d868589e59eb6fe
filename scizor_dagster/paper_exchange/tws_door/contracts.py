"""Contracts: which listings a description means, and what is said of each.

What belongs here: matching, contract details, matching symbols and market rules. What does not: prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from scizor_dagster.exchanges import ASX, US, Exchange, TickTable
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.tws_door.words import EXCHANGES, spelled, zone_name
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_views import VenueListing
from scizor_dagster.sessions import TradingCalendar

RULES: dict[int, TickTable] = {26: US.ticks, 635: ASX.ticks}
"""Market rules by number: price steps of the exchanges."""
_US_MICS = ("XNAS", "XNYS", "ARCX", "XASE", "BATS")
_CALENDARS = {"XASX": "XASX"} | dict.fromkeys(_US_MICS, "XNYS")
_US_VENUES = (
    *("AMEX", "NYSE", "CBOE", "PHLX", "ISE", "CHX", "ARCA", "NASDAQ", "ISLAND", "DRCTEDGE", "BEX", "BATS", "EDGEA"),
    *("BYX", "IEX", "EDGX", "PEARL", "NYSENAT", "LTSE", "MEMX", "PSX"),
)
_ALSO = {"ISLAND": "NASDAQ"}
"""Other names of exchanges."""
_DAYS_SHOWN = 6
_AUCTION_TYPES = ",LOC,MOC,OPG"
_ORDER_TYPES = "ACTIVETIM,DAY,FOK,GTC,IOC,LMT,MKT,OCA,STP,STPLMT,TRAIL,WHATIF"
_AFTER_HOURS = {"XASX": (timedelta(minutes=-1), timedelta(minutes=11))}
_EXTENDED = (timedelta(hours=-5, minutes=-30), timedelta(hours=4))
"""Trading hours around the session: 04:00 to 20:00 in the US; the ASX ends with its closing auction."""


class Contracts:
    """The security database: what trades at the venue, and `foreign`, which is only known."""

    def __init__(self, venue: Venue, foreign: Sequence[VenueListing]) -> None:
        self._venue = venue
        self._foreign = tuple(foreign)

    def matches(self, request: Request) -> list[VenueListing]:
        """Every listing that the description of `request` means: none, one or many."""
        return [listing for listing in self._all() if _means(request, listing)]

    def tradable(self, listing: VenueListing) -> bool:
        return listing not in self._foreign

    def by_symbol(self, symbol: str) -> VenueListing | None:
        return self._venue.listing(symbol)

    def required(self, symbol: str) -> VenueListing:
        """The listing of what is held.

        Raises:
            ApiError: 320, there is none: a position is never left out.
        """
        listing = self.by_symbol(symbol)
        if listing is None:
            raise ApiError(320, f"Server error when processing an API client request: no contract of {symbol}")
        return listing

    def like(self, pattern: str) -> list[VenueListing]:
        """Listings whose symbol begins with `pattern`, or whose name has it, as the search in TWS does."""
        wanted = pattern.strip().upper()
        if not wanted:
            return []
        found = [
            listing
            for listing in self._all()
            if spelled(listing.instrument.symbol).startswith(wanted) or wanted in listing.instrument.name.upper()
        ]
        return sorted(found, key=lambda listing: (len(listing.instrument.symbol), listing.instrument.symbol))[:16]

    def details(self, req_id: int, listing: VenueListing, now: datetime, exchange: str = "SMART") -> list[Field]:
        """Message 10, with the exchange that was asked for."""
        instrument = listing.instrument
        calendar = self.calendar(listing)
        symbol, home = spelled(instrument.symbol), primary_exchange(listing)
        venues = valid_exchanges(listing)
        rules = ",".join([str(rule_number(instrument.exchange))] * len(venues))
        types = _ORDER_TYPES + (_AUCTION_TYPES if instrument.exchange.auctions else "")
        trading, liquid = self._hours(listing, calendar, now)
        return [
            *(10, req_id, symbol, "STK", "", 0, "", exchange, instrument.currency, symbol),
            *(trading_class(listing), trading_class(listing), listing.contract_id, _min_tick(listing), ""),
            *(types, ",".join(venues), 1, 0, instrument.name.encode("ascii", "replace").decode(), home, "", "", "", ""),
            *(zone_name(calendar.timezone), trading, liquid, "", "", 0),
            *(1, "", "", rules, "", "COMMON", 1, 1, 100),
        ]

    def samples(self, req_id: int, listings: Sequence[VenueListing]) -> list[Field]:
        """Message 79: an answer to a search."""
        fields: list[Field] = [79, req_id, len(listings)]
        for listing in listings:
            instrument = listing.instrument
            fields += [listing.contract_id, spelled(instrument.symbol), "STK"]
            fields += [f"{primary_exchange(listing)}.SCZ", instrument.currency, 0, instrument.name, ""]
        return fields

    def calendar(self, listing: VenueListing) -> TradingCalendar:
        code = _CALENDARS.get(listing.instrument.mic, self._venue.calendar.code)
        return self._venue.calendar if code == self._venue.calendar.code else TradingCalendar(code)

    def _all(self) -> list[VenueListing]:
        return [*(row for row in self._venue.listings() if row.active), *self._foreign]

    @staticmethod
    def _hours(listing: VenueListing, calendar: TradingCalendar, now: datetime) -> tuple[str, str]:
        before, after = _AFTER_HOURS.get(listing.instrument.mic, _EXTENDED)
        opening = before if listing.instrument.mic in _AFTER_HOURS else timedelta(0)
        today = now.astimezone(calendar.timezone).date()
        trading, liquid = [], []
        for day in (today + timedelta(days=offset) for offset in range(_DAYS_SHOWN)):
            if not calendar.is_session(day):
                trading.append(f"{day:%Y%m%d}:CLOSED")
                liquid.append(f"{day:%Y%m%d}:CLOSED")
                continue
            first, last = (at.astimezone(calendar.timezone) for at in (calendar.open_at(day), calendar.close_at(day)))
            trading.append(_span(first + before, last + after))
            liquid.append(_span(first + opening, last))
        return ";".join(trading), ";".join(liquid)


def contract_fields(listing: VenueListing, *, strike: str, right: str, exchange: str = "SMART") -> dict[str, str]:
    """The eleven fields of a contract within other messages, by name."""
    symbol = spelled(listing.instrument.symbol)
    return {
        "conId": str(listing.contract_id),
        "symbol": symbol,
        "secType": "STK",
        "lastTrade": "",
        "strike": strike,
        "right": right,
        "multiplier": "",
        "exchange": exchange,
        "currency": listing.instrument.currency,
        "localSymbol": symbol,
        "tradingClass": trading_class(listing),
    }


def primary_exchange(listing: VenueListing) -> str:
    return EXCHANGES.get(listing.instrument.mic, listing.instrument.mic)


def valid_exchanges(listing: VenueListing) -> tuple[str, ...]:
    """Where an order for the listing may be sent. All of them are this one exchange."""
    home = primary_exchange(listing)
    others = _US_VENUES if listing.instrument.mic in _US_MICS else ("ASXCEN",) if home == "ASX" else ()
    return ("SMART", home, *(name for name in others if name != home))


def _min_tick(listing: VenueListing) -> Decimal:
    """A cent in the US, whatever the price, as real contract data say; elsewhere the smallest step."""
    bands = listing.instrument.exchange.ticks.bands
    return bands[-1][1] if listing.instrument.mic in _US_MICS else min(bands[0][1], listing.instrument.tick)


def trading_class(listing: VenueListing) -> str:
    return "NMS" if listing.instrument.mic == "XNAS" else spelled(listing.instrument.symbol)


def rule_number(exchange: Exchange) -> int:
    return next((number for number, table in RULES.items() if table == exchange.ticks), 26)


def market_rule(number: int) -> list[Field] | None:
    """Message 93; None where there is no such rule."""
    table = RULES.get(number)
    if table is None:
        return None
    bands: list[tuple[Decimal, Decimal]] = list(table.bands)
    return [93, number, len(bands), *(value for band in bands for value in band)]


def _means(request: Request, listing: VenueListing) -> bool:
    """An empty field of the description leaves open what it says; a contract id settles everything."""
    con_id = request.number_of("conId")
    if con_id > 0:
        return con_id == listing.contract_id
    symbol = request["symbol"] or request["localSymbol"]
    # `NASDAQ.NMS` is how a search spells it.
    primary = request["primaryExchange"].partition(".")[0]
    return (
        request["secType"] in ("", "STK")
        and symbol == spelled(listing.instrument.symbol)
        and request["localSymbol"] in ("", spelled(listing.instrument.symbol))
        and request["currency"] in ("", listing.instrument.currency)
        and request["exchange"] in ("", *valid_exchanges(listing))
        and _ALSO.get(primary, primary) in ("", primary_exchange(listing))
    )


def _span(first: datetime, last: datetime) -> str:
    return f"{first:%Y%m%d:%H%M}-{last:%Y%m%d:%H%M}"
