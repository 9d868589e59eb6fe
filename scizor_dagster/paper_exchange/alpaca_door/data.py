"""The newest of the market: snapshots, quotes, trades and bars, of many symbols or of one; and corporate actions.

What belongs here: which rows an endpoint has. What does not: their bodies (`render_data`), and the past
(`bars`, `ticks`). An unknown symbol is absent among many, and not found alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_data
from scizor_dagster.paper_exchange.alpaca_door.bars import stretches
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import WireError
from scizor_dagster.paper_exchange.alpaca_door.formats import new_york_date
from scizor_dagster.paper_exchange.alpaca_door.queries import check_feed, edge, invalid, limit, symbols
from scizor_dagster.paper_exchange.alpaca_door.render_data import Bar
from scizor_dagster.paper_exchange.alpaca_door.ticks import MINUTE
from scizor_dagster.paper_exchange.venue_views import Quote

DEFAULT_ACTIONS, LARGEST_ACTIONS = 100, 1000
_LOOK_BACK = timedelta(days=10)
_ACTION_TYPES = (
    *("cash_dividends", "cash_mergers", "forward_splits", "name_changes", "reverse_splits", "worthless_removals"),
)
Body = Callable[[Door, Quote], dict[str, Any] | None]


def list_snapshots(door: Door, call: Call) -> Reply:
    return Reply(200, _of_many(door, call, _snapshot))


def get_snapshot(door: Door, call: Call) -> Reply:
    symbol, body = _of_one(door, call, _snapshot)
    return Reply(200, {"symbol": symbol} | body)


def list_latest_quotes(door: Door, call: Call) -> Reply:
    return Reply(200, {"quotes": _of_many(door, call, _quote)})


def list_latest_trades(door: Door, call: Call) -> Reply:
    return Reply(200, {"trades": _of_many(door, call, _trade)})


def list_latest_bars(door: Door, call: Call) -> Reply:
    return Reply(200, {"bars": _of_many(door, call, _bar)})


def get_latest_quote(door: Door, call: Call) -> Reply:
    return _named("quote", *_of_one(door, call, _quote))


def get_latest_trade(door: Door, call: Call) -> Reply:
    return _named("trade", *_of_one(door, call, _trade))


def get_latest_bar(door: Door, call: Call) -> Reply:
    return _named("bar", *_of_one(door, call, _bar))


def _named(name: str, symbol: str, body: dict[str, Any]) -> Reply:
    return Reply(200, {name: body, "symbol": symbol})


def _of_many(door: Door, call: Call, body: Body) -> dict[str, Any]:
    check_feed(door, call)
    found = {row.symbol: body(door, row) for row in _quotes(door, symbols(call))}
    return {symbol: row for symbol, row in found.items() if row is not None}


def _of_one(door: Door, call: Call, body: Body) -> tuple[str, dict[str, Any]]:
    check_feed(door, call)
    symbol = call.path["symbol"]
    for row in _quotes(door, [symbol]):
        if (found := body(door, row)) is not None:
            return symbol, found
    raise WireError(404, None, f"symbol not found: {symbol}")


def _quotes(door: Door, names: Sequence[str]) -> list[Quote]:
    found = (door.venue.quote(symbol) for symbol in sorted(set(names)) if door.listing(symbol))
    return [row for row in found if row is not None]


def _quote(_door: Door, row: Quote) -> dict[str, Any]:
    return render_data.latest_quote(row)


def _trade(_door: Door, row: Quote) -> dict[str, Any]:
    return render_data.latest_trade(row)


def _bar(door: Door, row: Quote) -> dict[str, Any] | None:
    minute = latest_minute(door, row)
    return render_data.bar(minute) if minute else None


def latest_minute(door: Door, row: Quote) -> Bar | None:
    """The minute that the newest price is of: the running one, or the last of a session that has closed."""
    day = new_york_date(row.at)
    for trace in door.venue.traces(row.symbol, day, day):
        minutes = stretches(trace, MINUTE, row.at - MINUTE.length)
        return minutes[-1] if minutes else None
    return None


def _snapshot(door: Door, row: Quote) -> dict[str, Any]:
    """With the two newest daily bars; the first is of the running session where it has begun."""
    today = new_york_date(door.venue.now())
    bars = list(door.venue.bars([row.symbol], today - _LOOK_BACK, today).get(row.symbol, ()))
    daily, previous = ([None, None, *bars])[-1], ([None, None, *bars])[-2]
    return render_data.snapshot(row, latest_minute(door, row), daily, previous)


def list_corporate_actions(door: Door, call: Call) -> Reply:
    today = new_york_date(door.venue.now())
    start, end = edge(call, "start"), edge(call, "end")
    first, last = (new_york_date(start) if start else today), (new_york_date(end) if end else today)
    names = call.words("symbols") or [row.instrument.symbol for row in door.venue.listings()]
    types = {f"{word}s" for word in call.words("types")} or set(_ACTION_TYPES)
    known = door.venue.corporate_actions(names, first, last)
    named = render_data.corporate_actions(known, door.venue.calendar)
    rows = [(name, row) for name in sorted(named) if name in types for row in named[name]]
    size = limit(call, DEFAULT_ACTIONS, LARGEST_ACTIONS)
    begin = _offset(call.get("page_token"))
    page: dict[str, list[Any]] = {}
    for name, row in rows[begin : begin + size]:
        page.setdefault(name, []).append(row)
    end_of_page = begin + size
    token = base64.b64encode(str(end_of_page).encode()).decode() if end_of_page < len(rows) else None
    return Reply(200, {"corporate_actions": page, "next_page_token": token})


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error):
        raise invalid("invalid page_token") from None
