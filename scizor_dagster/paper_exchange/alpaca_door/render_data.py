"""Bars, quotes, trades and corporate actions as the data API has them: JSON numbers, not text.

What belongs here: bodies, field by field as recorded, and the adjustment of bars. What does not:
which rows a page has (`data`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol
from uuid import NAMESPACE_OID, uuid5

from scizor_dagster.paper_exchange.alpaca_door.formats import bar_time, instant, plain
from scizor_dagster.paper_exchange.venue import DailyBar, Quote
from scizor_dagster.sessions import TradingCalendar

Body = dict[str, Any]
_ONE = Decimal(1)
_PRICE_STEP = Decimal("0.0001")
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


def bar(row: DailyBar) -> Body:
    """A daily bar. The number of trades and the average are made of the bar, for clients that require them."""
    average = (row.open + row.high + row.low + row.close) / 4
    return {
        "c": plain(row.close),
        "h": plain(row.high),
        "l": plain(row.low),
        "n": int(row.volume // 100) or 1,
        "o": plain(row.open),
        "t": bar_time(row.session),
        "v": plain(row.volume),
        "vw": plain(average.quantize(_AVERAGE_STEP, ROUND_HALF_EVEN)),
    }


def adjusted(rows: Sequence[DailyBar], actions: Sequence[Action], adjustment: str) -> list[DailyBar]:
    """Bars on the basis of today: divided by later splits, and for `all` and `dividend` less later dividends.

    A dividend scales what is before its ex session by one less its share of the close before it.
    """
    if adjustment == "raw":
        return list(rows)
    splits, dividends = adjustment in ("split", "all"), adjustment in ("dividend", "all")
    found: list[DailyBar] = []
    price_factor = volume_factor = _ONE
    pending = sorted(actions, key=lambda action: action.session, reverse=True)
    for row in sorted(rows, key=lambda row: row.session, reverse=True):
        while pending and pending[0].session > row.session:
            action = pending.pop(0)
            if action.kind == "split" and action.ratio and splits:
                price_factor /= action.ratio
                volume_factor *= action.ratio
            elif action.kind == "dividend" and action.amount and dividends and row.close > action.amount:
                price_factor *= _ONE - action.amount / row.close
        found.append(_scaled(row, price_factor, volume_factor))
    return list(reversed(found))


def _scaled(row: DailyBar, price: Decimal, volume: Decimal) -> DailyBar:
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


def latest_quote(quote: Quote) -> Body:
    return {
        "ap": plain(quote.ask),
        "as": quote.ask_size,
        "ax": "V",
        "bp": plain(quote.bid),
        "bs": quote.bid_size,
        "bx": "V",
        "c": ["R"],
        "t": instant(quote.at),
        "z": "C",
    }


def latest_trade(quote: Quote) -> Body:
    return {
        "c": ["@"],
        "i": int(quote.at.timestamp() * 1000) % 10**9,
        "p": plain(quote.last),
        "s": 100,
        "t": instant(quote.at),
        "x": "V",
        "z": "C",
    }


def minute_bar(quote: Quote) -> Body:
    """The newest price as the bar of its minute: daily bars have no minutes."""
    row = DailyBar(quote.symbol, quote.at.date(), quote.last, quote.last, quote.last, quote.last, _ONE)
    return bar(row) | {"t": instant(quote.at.replace(second=0, microsecond=0))}


def snapshot(quote: Quote, daily: DailyBar | None, previous: DailyBar | None) -> Body:
    """Newest trade, quote and bars."""
    return {
        "dailyBar": bar(daily) if daily else None,
        "latestQuote": latest_quote(quote),
        "latestTrade": latest_trade(quote),
        "minuteBar": minute_bar(quote),
        "prevDailyBar": bar(previous) if previous else None,
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
    if row.kind != "split" or row.ratio is None:
        return None
    new, old = row.ratio.as_integer_ratio()
    rates = {"new_rate": new, "old_rate": old, "payable_date": ex, "process_date": ex, "record_date": ex}
    if row.ratio >= 1:
        return "forward_splits", common | rates | {"due_bill_redemption_date": record}
    del common["cusip"]
    return "reverse_splits", common | rates | {"new_cusip": "000000001", "old_cusip": "000000000"}
