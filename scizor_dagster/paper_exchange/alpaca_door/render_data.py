"""Bars, quotes, trades and corporate actions as the data API has them: JSON numbers, not text.

What belongs here: bodies, field by field as recorded. What does not: which rows a page has (`bars`, `ticks`, `data`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol
from uuid import NAMESPACE_OID, uuid5

from scizor_dagster.paper_exchange.alpaca_door.formats import instant, midnight, plain
from scizor_dagster.paper_exchange.venue_views import DailyBar, Quote
from scizor_dagster.sessions import TradingCalendar

Body = dict[str, Any]
_LAST_SIZE = Decimal(100)
_AVERAGE_STEP = Decimal("0.000001")
_PAYABLE_AFTER = timedelta(days=7)


class Action(Protocol):
    """What is asked of a corporate action, whatever object it is."""

    @property
    def symbol(self) -> str: ...
    @property
    def session(self) -> date: ...
    @property
    def kind(self) -> str: ...
    @property
    def ratio(self) -> Decimal | None: ...
    @property
    def amount(self) -> Decimal | None: ...
    @property
    def new_symbol(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of any length: when it begins, and the session that its first trade is of."""

    symbol: str
    at: datetime
    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def of_day(row: DailyBar) -> Bar:
    at = midnight(row.session)
    return Bar(row.symbol, at, row.session, row.open, row.high, row.low, row.close, row.volume)


def bar(row: Bar) -> Body:
    """The number of trades and the average are made of the bar, for clients that require them."""
    average = (row.open + row.high + row.low + row.close) / 4
    return {
        "c": plain(row.close),
        "h": plain(row.high),
        "l": plain(row.low),
        "n": int(row.volume // 100) or 1,
        "o": plain(row.open),
        "t": instant(row.at),
        "v": plain(row.volume),
        "vw": plain(average.quantize(_AVERAGE_STEP, ROUND_HALF_EVEN)),
    }


def quote(at: datetime, bid: Decimal, ask: Decimal, size: int) -> Body:
    return {
        "ap": plain(ask),
        "as": size,
        "ax": "V",
        "bp": plain(bid),
        "bs": size,
        "bx": "V",
        "c": ["R"],
        "t": instant(at),
        "z": "C",
    }


def trade(at: datetime, price: Decimal, size: Decimal) -> Body:
    return {
        "c": ["@"],
        "i": int(at.timestamp() * 1000) % 10**9,
        "p": plain(price),
        "s": plain(size),
        "t": instant(at),
        "x": "V",
        "z": "C",
    }


def latest_quote(row: Quote) -> Body:
    return quote(row.at, row.bid, row.ask, row.bid_size)


def latest_trade(row: Quote) -> Body:
    return trade(row.at, row.last, _LAST_SIZE)


def snapshot(quote: Quote, minute: Bar | None, daily: DailyBar | None, previous: DailyBar | None) -> Body:
    """Newest trade, quote and bars."""
    return {
        "dailyBar": bar(of_day(daily)) if daily else None,
        "latestQuote": latest_quote(quote),
        "latestTrade": latest_trade(quote),
        "minuteBar": bar(minute) if minute else None,
        "prevDailyBar": bar(of_day(previous)) if previous else None,
    }


def corporate_actions(rows: Sequence[Action], calendar: TradingCalendar) -> dict[str, list[Body]]:
    """Actions by their type, each list by ex date; a type without rows is absent."""
    found: dict[str, list[Body]] = {}
    for row in sorted(rows, key=lambda row: (row.session, row.symbol)):
        named = _action(row, calendar)
        if named is not None:
            found.setdefault(named[0], []).append(named[1])
    return found


def _action(row: Action, calendar: TradingCalendar) -> tuple[str, Body] | None:
    ex, after = row.session.isoformat(), (row.session + _PAYABLE_AFTER).isoformat()
    record = calendar.next_session(row.session).isoformat()
    common = {
        "cusip": "000000000",
        "ex_date": ex,
        "id": str(uuid5(NAMESPACE_OID, f"{row.symbol}/{row.kind}/{ex}")),
        "symbol": row.symbol,
    }
    if row.kind == "dividend" and row.amount is not None:
        dates = {"payable_date": after, "process_date": after, "record_date": record}
        return "cash_dividends", common | dates | {"foreign": False, "rate": plain(row.amount), "special": False}
    if row.kind == "rename" and row.new_symbol is not None:
        names = {"new_symbol": row.new_symbol, "old_symbol": row.symbol, "process_date": ex}
        return "name_changes", {"id": common["id"], "new_cusip": "000000001", "old_cusip": "000000000"} | names
    if row.kind == "delisting" and row.amount is not None:
        bought = {"acquiree_symbol": row.symbol, "acquiree_cusip": common["cusip"], "effective_date": ex}
        return "cash_mergers", {"id": common["id"], "rate": plain(row.amount), "process_date": ex} | bought
    if row.kind == "delisting":
        del common["ex_date"]
        return "worthless_removals", common | {"process_date": ex}
    if row.kind != "split" or row.ratio is None:
        return None
    new, old = row.ratio.as_integer_ratio()
    rates = {"new_rate": new, "old_rate": old, "payable_date": ex, "process_date": ex, "record_date": ex}
    if row.ratio >= 1:
        return "forward_splits", common | rates | {"due_bill_redemption_date": record}
    del common["cusip"]
    return "reverse_splits", common | rates | {"new_cusip": "000000001", "old_cusip": "000000000"}
