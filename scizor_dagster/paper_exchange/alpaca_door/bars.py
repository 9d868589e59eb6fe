"""Bars of any timeframe, in pages: of days from the lake, longer ones of those, shorter ones of the price path.

What belongs here: which bars a query has and on which page, and how they are adjusted. What does not:
their bodies (`render_data`).

A page counts points over all symbols, sorted by symbol and then time (`sort`); it may end in the middle of one.
The token of a page names its last point. A symbol without data is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice, pairwise
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_data
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.formats import midnight, new_york_date
from scizor_dagster.paper_exchange.alpaca_door.queries import Place, Range, invalid, read_range, symbols, token
from scizor_dagster.paper_exchange.alpaca_door.render_data import Bar
from scizor_dagster.paper_exchange.alpaca_door.timeframes import Timeframe, Unit, read_timeframe
from scizor_dagster.paper_exchange.traces import Trace
from scizor_dagster.paper_exchange.venue_views import DailyBar

ADJUSTMENTS = ("raw", "split", "dividend", "spin-off", "all")
_ONE = Decimal(1)
_PRICE_STEP = Decimal("0.0001")
_LOOK_BACK = timedelta(days=10)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Factor:
    """What an action does to everything before its ex session."""

    session: date
    price: Decimal
    volume: Decimal


def list_bars(door: Door, call: Call) -> Reply:
    page, following = _page(door, call, symbols(call))
    bodies: dict[str, list[Any]] = {}
    for row in page:
        bodies.setdefault(row.symbol, []).append(render_data.bar(row))
    return Reply(200, {"bars": bodies, "next_page_token": following})


def list_bars_of_one(door: Door, call: Call) -> Reply:
    symbol = call.path["symbol"]
    page, following = _page(door, call, [symbol])
    return Reply(200, {"bars": [render_data.bar(row) for row in page], "next_page_token": following, "symbol": symbol})


def _page(door: Door, call: Call, names: list[str]) -> tuple[list[Bar], str | None]:
    timeframe = read_timeframe(call.get("timeframe"))
    if timeframe is None:
        raise invalid(f"invalid timeframe: {call.get('timeframe')}")
    adjustment = call.get("adjustment") or "raw"
    if not set(adjustment.split(",")) <= set(ADJUSTMENTS):
        raise invalid(f"invalid adjustment: {adjustment}")
    wanted = read_range(door, call, names)
    if not timeframe.is_intraday:
        # The week or month that the range begins in is in it.
        first = midnight(timeframe.period(new_york_date(wanted.first)))
        wanted = wanted if timeframe.unit is Unit.DAY else replace(wanted, first=first)
    shown = _Shown(door, timeframe, wanted, _factors(door, adjustment, wanted), _days(door, timeframe, wanted))
    points = (row for symbol in wanted.symbols for row in _bars(shown, symbol))
    page = list(islice(points, wanted.limit + 1))
    if len(page) <= wanted.limit:
        return page, None
    last = page[wanted.limit - 1]
    return page[: wanted.limit], token(Place(last.symbol, last.at), "M" if timeframe.is_intraday else "D")


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a page is made of; `days` of all symbols, for bars of days and longer."""

    door: Door
    timeframe: Timeframe
    wanted: Range
    factors: Mapping[str, Sequence[Factor]]
    days: Mapping[str, Sequence[DailyBar]]


def _bars(shown: _Shown, symbol: str) -> Iterator[Bar]:
    wanted, timeframe = shown.wanted, shown.timeframe
    factors = shown.factors.get(symbol, ())
    if timeframe.is_intraday:
        rows = _of_path(shown.door, symbol, timeframe, wanted)
        return (_adjusted(row, factors) for row in rows if wanted.wants(symbol, row.at))
    days = [_adjusted(render_data.of_day(row), factors) for row in shown.days.get(symbol, ())]
    bars = days if timeframe.unit is Unit.DAY else list(_joined(days, timeframe))
    found = [row for row in bars if wanted.wants(symbol, row.at)]
    return reversed(found) if wanted.is_descending else iter(found)


def _days(door: Door, timeframe: Timeframe, wanted: Range) -> Mapping[str, Sequence[DailyBar]]:
    if timeframe.is_intraday:
        return {}
    # A longer bar has the days after the range too that its period has seen.
    last = wanted.last if timeframe.unit is Unit.DAY else door.venue.now()
    return door.venue.bars(wanted.symbols, new_york_date(wanted.first), new_york_date(last))


def _joined(days: Iterable[Bar], timeframe: Timeframe) -> Iterator[Bar]:
    for first, group in groupby(days, lambda row: timeframe.period(row.session)):
        rows = list(group)
        yield Bar(
            rows[0].symbol,
            midnight(first),
            rows[0].session,
            rows[0].open,
            max(row.high for row in rows),
            min(row.low for row in rows),
            rows[-1].close,
            sum((row.volume for row in rows), Decimal(0)),
        )


def _of_path(door: Door, symbol: str, timeframe: Timeframe, wanted: Range) -> Iterator[Bar]:
    first, last = new_york_date(wanted.first), new_york_date(wanted.last)
    if wanted.after is not None and wanted.after.symbol == symbol:
        reached = new_york_date(wanted.after.at)
        first, last = (first, min(last, reached)) if wanted.is_descending else (max(first, reached), last)
    traces = door.venue.traces(symbol, first, last)
    for trace in reversed(traces) if wanted.is_descending else traces:
        rows = stretches(trace, timeframe)
        yield from reversed(rows) if wanted.is_descending else rows


def stretches(trace: Trace, timeframe: Timeframe, since: datetime | None = None) -> list[Bar]:
    """The bars of one session, as far as it has been seen; those alone that end after `since`."""
    found = []
    for begin, end in pairwise(timeframe.edges(trace.hours)):
        row = trace.stretch(begin, end) if since is None or end > since else None
        if row is not None:
            figures = (row.open, row.high, row.low, row.close, row.volume)
            found.append(Bar(trace.symbol, begin, trace.session, *figures))
    return found


def _factors(door: Door, adjustment: str, wanted: Range) -> dict[str, list[Factor]]:
    """What later actions do to each symbol's bars: a dividend takes off its share of the close before it."""
    words = set(adjustment.split(","))
    splits, dividends = words & {"split", "all"}, words & {"dividend", "all"}
    found: dict[str, list[Factor]] = {}
    if not splits and not dividends:
        return found
    today = new_york_date(door.venue.now())
    for action in door.venue.corporate_actions(wanted.symbols, new_york_date(wanted.first), today):
        factors = found.setdefault(action.symbol, [])
        if action.kind == "split" and action.ratio and splits:
            factors.append(Factor(action.session, _ONE / action.ratio, action.ratio))
        elif action.kind == "dividend" and action.amount and dividends:
            before = door.venue.bars([action.symbol], action.session - _LOOK_BACK, action.session - _DAY)
            closes = [row.close for row in before.get(action.symbol, ())]
            if closes and closes[-1] > action.amount:
                factors.append(Factor(action.session, _ONE - action.amount / closes[-1], _ONE))
    return found


def _adjusted(row: Bar, factors: Sequence[Factor]) -> Bar:
    """A bar on the basis of today."""
    price = volume = _ONE
    for factor in factors:
        if factor.session > row.session:
            price *= factor.price
            volume *= factor.volume
    if price == volume == _ONE:
        return row
    return replace(
        row,
        open=(row.open * price).quantize(_PRICE_STEP),
        high=(row.high * price).quantize(_PRICE_STEP),
        low=(row.low * price).quantize(_PRICE_STEP),
        close=(row.close * price).quantize(_PRICE_STEP),
        volume=(row.volume * volume).quantize(_ONE),
    )
