"""Historical prices: bars of any size, first dates, schedules of sessions.

What belongs here: the rules of historical requests with their refusals. What does not: quotes
(`market_data`), and where prices come from (`venue`).

Bars of a day and longer are made of daily bars, shorter ones of the path that the price took within the session.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, TypeVar

from scizor_dagster.paper_exchange.traces import Stretch
from scizor_dagster.paper_exchange.tws_door.contracts import Contracts
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.switches import Switches
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.tws_door.words import instant_of, spelled, stamp, utc_stamp
from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_views import DailyBar, VenueListing
from scizor_dagster.sessions import TradingCalendar

_DURATION = re.compile(r"^(\d+) ([SDWMY])$")
_LONGEST = {"D": 365, "W": 52, "M": 12}
_DAYS = {"W": 7, "M": 31, "Y": 366}
_SECONDS_OF_A_DAY = 86_400
_MOST_BARS = 20_000
"""A request for more of them is refused: while it is answered, nobody else is."""
_TRADES = ("TRADES", "ADJUSTED_LAST")
_QUOTED = ("MIDPOINT", "BID", "ASK", "BID_ASK")
_WITHIN = {
    **{f"{count} secs": timedelta(seconds=count) for count in (1, 5, 10, 15, 30)},
    **{f"{count} mins": timedelta(minutes=count) for count in (1, 2, 3, 5, 10, 15, 20, 30)},
    **{f"{count} hours": timedelta(hours=count) for count in (1, 2, 3, 4, 8)},
}
_DAILY: dict[str, Callable[[date], object]] = {
    "1 days": lambda day: day,
    "1 weeks": lambda day: day.isocalendar()[:2],
    "1 months": lambda day: (day.year, day.month),
}
"""Sizes of a day and longer: what the days of one bar have in common."""
_SHORT = {"1D": "1 days", "1W": "1 weeks", "1M": "1 months"}
_LEGAL = (
    "Historical data bar size setting is invalid. Legal ones are: 1 secs, 5 secs, 10 secs, 15 secs, 30 secs, 1 min, "
    "2 mins, 3 mins, 5 mins, 10 mins, 15 mins, 20 mins, 30 mins, 1 hour, 2 hours, 3 hours, 4 hours, 8 hours, 1 day, "
    "1W, 1M"
)

Bar = TypeVar("Bar", DailyBar, Stretch)


@dataclass(frozen=True, slots=True)
class Row:
    """One bar as it is told: its time in the words of the request; -1 for what a quote does not have."""

    at: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    average: Decimal
    count: int


class History:
    """Answers of the historical data farm."""

    def __init__(self, venue: Venue, contracts: Contracts, switches: Switches) -> None:
        self._venue = venue
        self._contracts = contracts
        self._zone = switches.time_zone

    def bars(self, request: Request, listing: VenueListing) -> tuple[list[Field], list[Row]]:
        """Message 17, and its bars; message 106 of a request for the schedule.

        Raises:
            ApiError: 321, 10314 or 162.
        """
        end = _end(request["endDateTime"], self._zone) or self._venue.now()
        begin = self._begin(request, listing, end)
        if request["whatToShow"] == "SCHEDULE":
            return self._schedule(request, listing, begin, end), []
        rows = self.rows(request, listing)
        if not rows:
            raise self._nothing(listing, request["whatToShow"])
        fields: list[Field] = [17, request.req_id, self._plain(datetime.combine(begin, end.timetz())), self._plain(end)]
        fields.append(len(rows))
        for row in rows:
            fields += [row.at, row.open, row.high, row.low, row.close, row.volume, row.average, row.count]
        return fields, rows

    def rows(self, request: Request, listing: VenueListing) -> list[Row]:
        """The bars of a request; none where there is no data."""
        what, size = request["whatToShow"], _size(request["barSize"])
        if what == "ADJUSTED_LAST" and request["endDateTime"]:
            raise _invalid("End date not supported with adjusted last")
        end = _end(request["endDateTime"], self._zone) or self._venue.now()
        begin = self._begin(request, listing, end)
        if what not in (*_TRADES, *_QUOTED):
            return []
        last = end.astimezone(self._contracts.calendar(listing).timezone).date()
        if size in _DAILY:
            daily = self._adjusted(listing, what, self._daily(listing, begin, last))
            if daily and self._contracts.calendar(listing).open_at(daily[-1].session) >= end:
                del daily[-1]
            found = [_joined(list(days)) for _, days in groupby(daily, lambda bar: _DAILY[size](bar.session))]
            return [self._row(request, listing, f"{bar.session:%Y%m%d}", bar) for bar in found]
        timed = self._adjusted(listing, what, self._timed(request, listing, begin, end, _WITHIN[size]))
        return [self._row(request, listing, self._time(request, bar.begin), bar) for bar in timed]

    def head_timestamp(self, request: Request, listing: VenueListing) -> list[Field]:
        """Message 88: when the first session with a bar opened.

        Raises:
            ApiError: 162, there is no bar.
        """
        calendar, now = self._contracts.calendar(listing), self._venue.now()
        served = request["whatToShow"] in (*_TRADES, *_QUOTED)
        found = self._daily(listing, calendar.first, now.astimezone(UTC).date()) if served else []
        if not found:
            raise self._nothing(listing, request["whatToShow"])
        opened = calendar.open_at(found[0].session)
        text = str(int(opened.timestamp())) if request["formatDate"] == "2" else utc_stamp(opened)
        return [88, request.req_id, text]

    def _begin(self, request: Request, listing: VenueListing, end: datetime) -> date:
        """First date of a request. Days are sessions, seconds are those of trading, all else is calendar time."""
        match = _DURATION.match(request["duration"])
        if match is None:
            raise _invalid("Invalid historical data duration format")
        count, unit = int(match[1]), match[2]
        if count > _LONGEST.get(unit, count):
            raise _invalid("Historical data requests for durations longer than 365 days must be made in years.")
        calendar = self._contracts.calendar(listing)
        last = end.astimezone(calendar.timezone).date()
        if unit in _DAYS:
            return max(last - timedelta(days=_DAYS[unit] * count), date(1970, 1, 1))
        if unit == "S" and _size(request["barSize"]) in _DAILY:
            count = -(-count // _SECONDS_OF_A_DAY)
        elif unit == "S":
            count = _sessions_of(timedelta(seconds=count), calendar, last)
        sessions = calendar.sessions(last - timedelta(days=count * 2 + 14), last)
        begun = [session for session in sessions if calendar.open_at(session) < end]
        return begun[-count] if len(begun) >= count else last

    def _daily(self, listing: VenueListing, first: date, last: date) -> list[DailyBar]:
        symbol = listing.instrument.symbol
        return list(self._venue.bars([symbol], first, last).get(symbol, ()))

    def _timed(
        self, request: Request, listing: VenueListing, begin: date, end: datetime, step: timedelta
    ) -> list[Stretch]:
        calendar = self._contracts.calendar(listing)
        first = datetime.combine(begin, time.min, calendar.timezone).astimezone(UTC)
        sessions = calendar.sessions(begin, end.astimezone(calendar.timezone).date())
        seconds = request["duration"].endswith(" S") and int(request["duration"].split()[0])
        wanted = -(-timedelta(seconds=seconds) // step) if seconds else 0
        lasting = sum((calendar.close_at(day) - calendar.open_at(day) for day in sessions), timedelta())
        if (wanted or lasting // step) > _MOST_BARS:
            raise ApiError(162, "Historical Market Data Service error message:Time length exceed max.")
        if seconds:
            first = max(first, _trading_before(end, timedelta(seconds=seconds), calendar, sessions))
        found = stretches(self._venue, listing.instrument.symbol, first, end, step)
        return found[-wanted:] if wanted else found

    def _adjusted(self, listing: VenueListing, what: str, bars: list[Bar]) -> list[Bar]:
        """The series as it reads today: prices before a split are divided by it, and volumes multiplied."""
        if not bars:
            return bars
        today, symbol = self._venue.now().astimezone(UTC).date(), listing.instrument.symbol
        actions = self._venue.corporate_actions([symbol], bars[0].session, today)
        return _as_of_today(bars, actions, dividends=what == "ADJUSTED_LAST")

    def _row(self, request: Request, listing: VenueListing, at: str, bar: DailyBar | Stretch) -> Row:
        what = request["whatToShow"]
        if what in _TRADES:
            average = ((bar.high + bar.low + bar.close) / 3).quantize(Decimal("0.000001"))
            return Row(at, bar.open, bar.high, bar.low, bar.close, bar.volume, average, max(int(bar.volume / 100), 1))
        below, above = self._distances(listing, what)
        opened, high = round(bar.open * below, 4), round(bar.high * above, 4)
        low, closed = round(bar.low * below, 4), round(bar.close * above, 4)
        return Row(at, opened, high, low, closed, Decimal(-1), Decimal(-1), -1)

    def _distances(self, listing: VenueListing, what: str) -> tuple[Decimal, Decimal]:
        """What to multiply prices with: the open and the low, and the high and the close. The spread is that of now."""
        quote = self._venue.quote(listing.instrument.symbol)
        half = (quote.ask - quote.bid) / 2 / quote.last if quote is not None and quote.last else Decimal(0)
        bid, ask = 1 - half, 1 + half
        return {"BID": (bid, bid), "ASK": (ask, ask), "BID_ASK": (bid, ask)}.get(what, (Decimal(1), Decimal(1)))

    def _time(self, request: Request, at: datetime) -> str:
        return str(int(at.timestamp())) if request["formatDate"] == "2" else stamp(at, self._zone)

    def _plain(self, at: datetime) -> str:
        return stamp(at, self._zone, named=False)

    def _schedule(self, request: Request, listing: VenueListing, begin: date, end: datetime) -> list[Field]:
        calendar = self._contracts.calendar(listing)
        sessions = calendar.sessions(begin, end.astimezone(calendar.timezone).date())
        hours = [(calendar.open_at(day), calendar.close_at(day), day) for day in sessions]
        if not hours:
            raise self._nothing(listing, "SCHEDULE")

        def spoken(at: datetime) -> str:
            return f"{at.astimezone(calendar.timezone):%Y%m%d-%H:%M:%S}"

        fields: list[Field] = [106, request.req_id, spoken(hours[0][0]), spoken(hours[-1][1])]
        fields += [stamp(end, self._zone).rsplit(" ", 1)[1], len(hours)]
        for opened, closed, day in hours:
            fields += [spoken(opened), spoken(closed), f"{day:%Y%m%d}"]
        return fields

    @staticmethod
    def _nothing(listing: VenueListing, what: str) -> ApiError:
        where = f"{spelled(listing.instrument.symbol)}@SMART {what.replace('_', ' ').title()}"
        return ApiError(162, f"Historical Market Data Service error message:HMDS query returned no data: {where}")


def stretches(venue: Venue, symbol: str, first: datetime, last: datetime, step: timedelta) -> list[Stretch]:
    """Bars of `step` within sessions that begin from `first` on and before `last` and now, oldest first."""
    zone = venue.calendar.timezone
    traces = venue.traces(symbol, first.astimezone(zone).date(), last.astimezone(zone).date())
    return [bar for trace in traces for bar in trace.stretches(step, zone, first, last)]


def _size(text: str) -> str:
    """The name of a bar size; TWS does not mind whether one of them is written as several."""
    plural = _SHORT.get(text, text if text.endswith("s") else f"{text}s")
    if plural not in _WITHIN and plural not in _DAILY:
        raise _invalid(_LEGAL)
    return plural


def _joined(bars: Sequence[DailyBar]) -> DailyBar:
    """One bar of several days, named after the last of them."""
    if len(bars) == 1:
        return bars[0]
    return replace(
        bars[-1],
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        volume=sum((bar.volume for bar in bars), Decimal(0)),
    )


def _as_of_today(bars: list[Bar], actions: Sequence[Any], *, dividends: bool) -> list[Bar]:
    series = bars
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


def _scaled(bar: Bar, divisor: Decimal, shares: Decimal) -> Bar:
    prices = {name: round(getattr(bar, name) / divisor, 6) for name in ("open", "high", "low", "close")}
    return replace(bar, **prices, volume=bar.volume * shares)


def _sessions_of(lasting: timedelta, calendar: TradingCalendar, last: date) -> int:
    """How many sessions have so much time in them, the running one not counted."""
    session = calendar.session_on_or_before(last)
    return lasting // (calendar.close_at(session) - calendar.open_at(session)) + 2


def _trading_before(end: datetime, lasting: timedelta, calendar: TradingCalendar, sessions: Sequence[date]) -> datetime:
    """The instant from which on so much time of trading lies before `end`."""
    for session in reversed(sessions):
        opened, closed = calendar.open_at(session), min(calendar.close_at(session), end)
        if closed - opened >= lasting:
            return closed - lasting
        lasting -= max(closed - opened, timedelta())
    return calendar.open_at(sessions[0]) if sessions else end


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


def _invalid(cause: str) -> ApiError:
    return ApiError(321, f"Error validating request.-'bI' : cause - {cause}")


def fresh(rows: Sequence[Row], before: Sequence[Row]) -> Iterator[Row]:
    """What a client that knows `before` has not heard of `rows`: the bar that has changed, and later ones."""
    since = before[-1].at if before else ""
    started = not before
    for row in rows:
        started = started or row.at == since
        if started and not (before and row == before[-1]):
            yield row
