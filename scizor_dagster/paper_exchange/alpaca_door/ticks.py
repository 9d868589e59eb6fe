"""Trades and quotes of the past, in pages: one of each at the beginning of every minute of a session.

What belongs here: which ones a query has. What does not: their bodies (`render_data`).

They are made of the price path, as bars of minutes are: the trade of a minute has its first price and its volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_data
from scizor_dagster.paper_exchange.alpaca_door.bars import stretches
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.formats import new_york_date
from scizor_dagster.paper_exchange.alpaca_door.queries import Place, Range, read_range, symbols, token
from scizor_dagster.paper_exchange.alpaca_door.render_data import Bar
from scizor_dagster.paper_exchange.alpaca_door.timeframes import Timeframe, Unit
from scizor_dagster.paper_exchange.traces import Trace

MINUTE = Timeframe(1, Unit.MINUTE)
Body = Callable[[Trace, Bar], dict[str, Any]]


def list_trades(door: Door, call: Call) -> Reply:
    return _of_many(door, call, "trades", _trade)


def list_quotes(door: Door, call: Call) -> Reply:
    return _of_many(door, call, "quotes", _quote)


def list_trades_of_one(door: Door, call: Call) -> Reply:
    return _of_one(door, call, "trades", _trade)


def list_quotes_of_one(door: Door, call: Call) -> Reply:
    return _of_one(door, call, "quotes", _quote)


def _trade(_trace: Trace, row: Bar) -> dict[str, Any]:
    return render_data.trade(row.at, row.open, row.volume)


def _quote(trace: Trace, row: Bar) -> dict[str, Any]:
    bid, ask = trace.touch(row.open)
    return render_data.quote(row.at, bid, ask, size=int(row.volume) or 1)


def _of_many(door: Door, call: Call, name: str, body: Body) -> Reply:
    page, following = _page(door, call, symbols(call), body)
    found: dict[str, list[Any]] = {}
    for symbol, _, row in page:
        found.setdefault(symbol, []).append(row)
    return Reply(200, {name: found, "next_page_token": following})


def _of_one(door: Door, call: Call, name: str, body: Body) -> Reply:
    symbol = call.path["symbol"]
    page, following = _page(door, call, [symbol], body)
    return Reply(200, {name: [row for _, _, row in page], "next_page_token": following, "symbol": symbol})


Point = tuple[str, datetime, dict[str, Any]]


def _page(door: Door, call: Call, names: list[str], body: Body) -> tuple[list[Point], str | None]:
    wanted = read_range(door, call, names)
    points = (point for symbol in wanted.symbols for point in _points(door, symbol, wanted, body))
    page = list(islice(points, wanted.limit + 1))
    if len(page) <= wanted.limit:
        return page, None
    symbol, at, _ = page[wanted.limit - 1]
    return page[: wanted.limit], token(Place(symbol, at), "M")


def _points(door: Door, symbol: str, wanted: Range, body: Body) -> Iterator[Point]:
    traces = door.venue.traces(symbol, new_york_date(wanted.first), new_york_date(wanted.last))
    for trace in reversed(traces) if wanted.is_descending else traces:
        rows = stretches(trace, MINUTE)
        for row in reversed(rows) if wanted.is_descending else rows:
            if wanted.wants(symbol, row.at):
                yield symbol, row.at, body(trace, row)
