"""Market data: daily bars in pages, snapshots, latest quotes and trades, corporate actions.

What belongs here: which rows an endpoint has and on which page. What does not: their bodies
(`render_data`).

A page counts points over all symbols, sorted by symbol and then time (`sort`); it may end in the middle of one.
The token of a page names its last point. A symbol without data is absent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from scizor_dagster.paper_exchange.alpaca_door import render_data
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import WireError
from scizor_dagster.paper_exchange.alpaca_door.formats import NEW_YORK, bar_time, read_date, read_instant
from scizor_dagster.paper_exchange.venue import DailyBar, Quote

DEFAULT_LIMIT, LARGEST_LIMIT = 1000, 10_000
DEFAULT_ACTIONS, LARGEST_ACTIONS = 100, 1000
FEEDS = ("iex", "sip", "otc", "boats", "delayed_sip", "overnight")
ADJUSTMENTS = ("raw", "split", "dividend", "all")
SIP_DELAY = timedelta(minutes=15)
_DAILY = ("1Day", "1D")
_LOOK_BACK = timedelta(days=10)
_ACTION_TYPES = ("cash_dividends", "forward_splits", "name_changes", "reverse_splits")


def _invalid(message: str) -> WireError:
    return WireError(400, None, message)


def list_bars(door: Door, call: Call) -> Reply:
    page, token = _bar_page(door, call, _symbols(call))
    bodies: dict[str, list[Any]] = {}
    for row in page:
        bodies.setdefault(row.symbol, []).append(render_data.bar(row))
    return Reply(200, {"bars": bodies, "next_page_token": token})


def list_bars_of_one(door: Door, call: Call) -> Reply:
    symbol = call.path["symbol"]
    page, token = _bar_page(door, call, [symbol])
    return Reply(200, {"bars": [render_data.bar(row) for row in page], "next_page_token": token, "symbol": symbol})


def _bar_page(door: Door, call: Call, symbols: Sequence[str]) -> tuple[list[DailyBar], str | None]:
    if call.get("timeframe") not in _DAILY:
        raise _invalid(f"invalid timeframe: {call.get('timeframe')}; the exchange has daily bars alone")
    _check_feed(door, call)
    adjustment = call.get("adjustment") or "raw"
    if adjustment not in ADJUSTMENTS:
        raise _invalid(f"invalid adjustment: {adjustment}")
    descending = _is_descending(call)
    now = door.venue.now()
    first, last = _days(call, now)
    limit = _limit(call, DEFAULT_LIMIT, LARGEST_LIMIT)
    after = _read_token(call.get("page_token"))
    # What the pages before have shown is not read again.
    left = sorted(symbol for symbol in set(symbols) if after is None or symbol >= after[0])
    found = door.venue.bars(left, first, last)
    actions = []
    if adjustment != "raw":
        actions = list(door.venue.corporate_actions(symbols, first, now.astimezone(NEW_YORK).date()))
    points: list[DailyBar] = []
    for symbol in sorted(found):
        own = [action for action in actions if action.symbol == symbol]
        rows = render_data.adjusted(found[symbol], own, adjustment)
        if after is not None and symbol == after[0]:
            rows = [row for row in rows if (row.session < after[1] if descending else row.session > after[1])]
        points.extend(reversed(rows) if descending else rows)
    page = points[:limit]
    return page, _token(page[-1]) if len(points) > limit else None


def _is_descending(call: Call) -> bool:
    sort = call.get("sort") or "asc"
    if sort not in ("asc", "desc"):
        raise _invalid(f"invalid sort: {sort}")
    return sort == "desc"


def _symbols(call: Call) -> list[str]:
    found = call.words("symbols")
    if not found:
        raise _invalid("symbols are required")
    return found


def _limit(call: Call, default: int, largest: int) -> int:
    text = call.get("limit")
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= largest:
        raise _invalid(f"limit must be between 1 and {largest}")
    return int(text)


def _check_feed(door: Door, call: Call) -> None:
    feed, end = call.get("feed"), call.get("end")
    if feed is not None and feed not in FEEDS:
        raise _invalid(f"invalid feed: {feed}")
    if feed != "sip" or end is None or door.rules.recent_sip:
        return
    until = read_instant(end)
    if until is not None and until > door.venue.now() - SIP_DELAY:
        raise WireError(403, None, "subscription does not permit querying recent SIP data")


def _days(call: Call, now: datetime) -> tuple[date, date]:
    """Sessions whose midnight lies within `start` and `end`; without them, today's."""
    today = now.astimezone(NEW_YORK).date()
    first, last = _edge(call, "start"), _edge(call, "end")
    lower = today
    if first is not None:
        lower = first.date() if _midnight(first.date()) >= first else first.date() + timedelta(days=1)
    return lower, min(last.date(), today) if last is not None else today


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _edge(call: Call, name: str) -> datetime | None:
    text = call.get(name)
    if text is None:
        return None
    if len(text) == len("2024-03-01"):
        day = read_date(text)
        found = _midnight(day) if day else None
    else:
        found = read_instant(text)
    if found is None:
        raise _invalid(f"invalid {name}: {text}")
    return found.astimezone(NEW_YORK)


def _token(row: DailyBar) -> str:
    text = f"{row.symbol}|D|{bar_time(row.session).removesuffix('Z')}.000000000Z"
    return base64.b64encode(text.encode()).decode()


def _read_token(token: str | None) -> tuple[str, date] | None:
    if token is None:
        return None
    try:
        symbol, _, at = base64.b64decode(token, validate=True).decode().split("|")
    except (ValueError, binascii.Error):
        raise _invalid("invalid page_token") from None
    session = read_date(at)
    if session is None:
        raise _invalid("invalid page_token")
    return symbol, session


def list_snapshots(door: Door, call: Call) -> Reply:
    _check_feed(door, call)
    return Reply(200, {symbol: _snapshot(door, quote) for symbol, quote in _quotes(door, _symbols(call))})


def get_snapshot(door: Door, call: Call) -> Reply:
    _check_feed(door, call)
    symbol = call.path["symbol"]
    for _, quote in _quotes(door, [symbol]):
        return Reply(200, {"symbol": symbol} | _snapshot(door, quote))
    raise WireError(404, None, f"symbol not found: {symbol}")


def list_latest_quotes(door: Door, call: Call) -> Reply:
    return _latest(door, call, "quotes", render_data.latest_quote)


def list_latest_trades(door: Door, call: Call) -> Reply:
    return _latest(door, call, "trades", render_data.latest_trade)


def list_latest_bars(door: Door, call: Call) -> Reply:
    return _latest(door, call, "bars", render_data.minute_bar)


def _latest(door: Door, call: Call, name: str, body: Callable[[Quote], dict[str, Any]]) -> Reply:
    _check_feed(door, call)
    return Reply(200, {name: {symbol: body(quote) for symbol, quote in _quotes(door, _symbols(call))}})


def _quotes(door: Door, symbols: Sequence[str]) -> list[tuple[str, Quote]]:
    found = ((symbol, door.venue.quote(symbol)) for symbol in sorted(set(symbols)) if door.listing(symbol))
    return [(symbol, quote) for symbol, quote in found if quote is not None]


def _snapshot(door: Door, quote: Quote) -> dict[str, Any]:
    """With the two newest daily bars; the first is of the running session where it has begun."""
    today = door.venue.now().astimezone(NEW_YORK).date()
    bars = list(door.venue.bars([quote.symbol], today - _LOOK_BACK, today).get(quote.symbol, ()))
    daily, previous = ([None, None, *bars])[-1], ([None, None, *bars])[-2]
    return render_data.snapshot(quote, daily, previous)


def list_corporate_actions(door: Door, call: Call) -> Reply:
    today = door.venue.now().astimezone(NEW_YORK).date()
    start, end = _edge(call, "start"), _edge(call, "end")
    first, last = (start.date() if start else today), (end.date() if end else today)
    symbols = call.words("symbols") or [row.instrument.symbol for row in door.venue.listings()]
    types = {f"{word}s" for word in call.words("types")} or set(_ACTION_TYPES)
    known = door.venue.corporate_actions(symbols, first, last)
    named = render_data.corporate_actions(known, door.venue.calendar)
    rows = [(name, row) for name in sorted(named) if name in types for row in named[name]]
    limit = _limit(call, DEFAULT_ACTIONS, LARGEST_ACTIONS)
    begin = _offset(call.get("page_token"))
    page: dict[str, list[Any]] = {}
    for name, row in rows[begin : begin + limit]:
        page.setdefault(name, []).append(row)
    end_of_page = begin + limit
    token = base64.b64encode(str(end_of_page).encode()).decode() if end_of_page < len(rows) else None
    return Reply(200, {"corporate_actions": page, "next_page_token": token})


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(base64.b64decode(token, validate=True))
    except (ValueError, binascii.Error):
        raise _invalid("invalid page_token") from None
