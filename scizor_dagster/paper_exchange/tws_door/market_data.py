"""Prices: daily bars, first dates, snapshots and streaming ticks.

What belongs here: the rules of historical requests with their refusals, and the tick types. What does
not: where prices come from (`venue`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.tws_door.words import instant_of, spelled, stamp, utc_stamp
from scizor_dagster.paper_exchange.venue import DailyBar, Quote, Venue, VenueListing
from scizor_dagster.sessions import TradingCalendar

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
_DURATION = re.compile(r"^(\d+) ([SDWMY])$")
_LONGEST = {"D": 365, "W": 52, "M": 12}
_SERVED = ("TRADES", "ADJUSTED_LAST")
_TICKS = {"bid": 1, "ask": 2, "last": 4, "high": 6, "low": 7, "close": 9, "open": 14}
_DELAYED_TICKS = {"bid": 66, "ask": 67, "last": 68, "high": 72, "low": 73, "close": 75, "open": 76}
_VOLUME, _DELAYED_VOLUME = 8, 74


class MarketData:
    """Answers of the data farms."""

    def __init__(self, venue: Venue, contracts: Contracts, switches: Switches) -> None:
        self._venue = venue
        self._contracts = contracts
        self._switches = switches

    def bars(self, request: Request, listing: VenueListing) -> list[Field]:
        """Message 17: daily bars.

        Raises:
            ApiError: 321, 10314 or 162.
        """
        what, now = request["whatToShow"], self._venue.now()
        calendar = self._contracts.calendar(listing)
        if request["barSize"] != "1 day":
            raise _invalid("Only bars of one day are served here")
        if what == "ADJUSTED_LAST" and request["endDateTime"]:
            raise _invalid("End date not supported with adjusted last")
        end = _end(request["endDateTime"], self._switches.time_zone) or now
        first = _start(request["duration"], end, calendar)
        found = self._bars(listing, what, first, end.astimezone(calendar.timezone).date(), now)
        if not found:
            raise self._nothing(listing, what)
        zone = self._switches.time_zone
        fields: list[Field] = [17, request.req_id]
        fields += [stamp(datetime.combine(first, end.timetz()), zone, named=False), stamp(end, zone, named=False)]
        fields.append(len(found))
        for bar in found:
            average = (bar.high + bar.low + bar.close) / 3
            fields += [f"{bar.session:%Y%m%d}", bar.open, bar.high, bar.low, bar.close, bar.volume]
            fields += [average.quantize(Decimal("0.000001")), max(int(bar.volume / 100), 1)]
        return fields

    def head_timestamp(self, request: Request, listing: VenueListing) -> list[Field]:
        """Message 88: when the first session with a bar opened.

        Raises:
            ApiError: 162, there is no bar.
        """
        calendar, now = self._contracts.calendar(listing), self._venue.now()
        found = self._bars(listing, request["whatToShow"], calendar.first, now.astimezone(UTC).date(), now)
        if not found:
            raise self._nothing(listing, request["whatToShow"])
        opened = calendar.open_at(found[0].session)
        text = str(int(opened.timestamp())) if request["formatDate"] == "2" else utc_stamp(opened)
        return [88, request.req_id, text]

    def shown_type(self, wanted: int) -> int:
        """Type of market data that a client sees that asked for `wanted`.

        Raises:
            ApiError: 354, the account is not subscribed.
        """
        if self._switches.market_data == "live":
            return wanted if wanted in (FROZEN, DELAYED_FROZEN) else LIVE
        if self._switches.market_data == "delayed" and wanted in (DELAYED, DELAYED_FROZEN):
            return wanted
        raise ApiError(354, "Requested market data is not subscribed.")

    def ticks(self, req_id: int, listing: VenueListing, shown: int) -> list[list[Field]]:
        """Messages 1 and 2 of what the venue shows now; none where no price is known."""
        quote = self._venue.quote(listing.instrument.symbol)
        if quote is None:
            return []
        late = shown in (DELAYED, DELAYED_FROZEN)
        types = _DELAYED_TICKS if late else _TICKS
        prices = _prices(quote)
        sizes = {"bid": quote.bid_size, "ask": quote.ask_size}
        messages: list[list[Field]] = [
            [1, 6, req_id, types[name], price, sizes.get(name, 0), 0] for name, price in prices.items()
        ]
        messages.append([2, 6, req_id, _DELAYED_VOLUME if late else _VOLUME, quote.day_volume])
        return messages

    def _bars(self, listing: VenueListing, what: str, first: date, last: date, now: datetime) -> list[DailyBar]:
        """Bars on the basis of `what`: splits taken out of both, dividends too of `ADJUSTED_LAST`."""
        if what not in _SERVED:
            return []
        symbol = listing.instrument.symbol
        found = list(self._venue.bars([symbol], first, last).get(symbol, ()))
        if not found:
            return []
        actions = self._venue.corporate_actions([symbol], found[0].session, now.astimezone(UTC).date())
        return _adjusted(found, actions, dividends=what == "ADJUSTED_LAST")

    @staticmethod
    def _nothing(listing: VenueListing, what: str) -> ApiError:
        where = f"{spelled(listing.instrument.symbol)}@SMART {what.replace('_', ' ').title()}"
        return ApiError(162, f"Historical Market Data Service error message:HMDS query returned no data: {where}")


def _prices(quote: Quote) -> dict[str, Decimal]:
    named = {
        "bid": quote.bid,
        "ask": quote.ask,
        "last": quote.last,
        "high": quote.day_high,
        "low": quote.day_low,
        "close": quote.previous_close,
        "open": quote.day_open,
    }
    return {name: price for name, price in named.items() if price is not None}


def _adjusted(bars: Sequence[DailyBar], actions: Sequence[Any], *, dividends: bool) -> list[DailyBar]:
    """The series as it reads today: prices before a split are divided by it, and volumes multiplied."""
    series = list(bars)
    for action in actions:
        earlier = [bar for bar in series if bar.session < action.session]
        if action.kind == "split" and action.ratio:
            divisor, shares = action.ratio, action.ratio
        elif action.kind == "dividend" and action.amount and dividends and earlier:
            divisor, shares = earlier[-1].close / (earlier[-1].close - action.amount), Decimal(1)
        else:
            continue
        series = [_scaled(bar, divisor, shares) if bar.session < action.session else bar for bar in series]
    return series


def _scaled(bar: DailyBar, divisor: Decimal, shares: Decimal) -> DailyBar:
    prices = {name: round(getattr(bar, name) / divisor, 6) for name in ("open", "high", "low", "close")}
    return replace(bar, **prices, volume=bar.volume * shares)


def _end(text: str, zone: str) -> datetime | None:
    """The end of a request; None for now."""
    if not text:
        return None
    try:
        return instant_of(text, zone)
    except ValueError:
        raise ApiError(
            10314,
            "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is "
            "yyyymmdd hh:mm:ss xx/xxxx where yyyymmdd and xx/xxxx are optional.",
        ) from None


def _start(duration: str, end: datetime, calendar: TradingCalendar) -> date:
    """First date of a duration. Days are sessions, all else is calendar time."""
    match = _DURATION.match(duration)
    if match is None or match[2] == "S":
        raise _invalid("Invalid historical data duration format")
    count, unit = int(match[1]), match[2]
    if count > _LONGEST.get(unit, count):
        raise _invalid("Historical data requests for durations longer than 365 days must be made in years.")
    last = end.astimezone(calendar.timezone).date()
    if unit == "D":
        sessions = calendar.sessions(last - timedelta(days=count * 2 + 14), last)
        return sessions[-count] if len(sessions) >= count else last
    days = {"W": 7, "M": 31, "Y": 366}[unit] * count
    return max(last - timedelta(days=days), date(1970, 1, 1))


def _invalid(cause: str) -> ApiError:
    return ApiError(321, f"Error validating request.-'bI' : cause - {cause}")
