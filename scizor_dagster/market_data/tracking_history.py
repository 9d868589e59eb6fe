"""The times in which symbols were tracked, opened and closed as their rows say.

What belongs here: `universe_history`. What does not: why a row says what it says (`symbol_states`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from scizor_dagster.market_data.provider import SymbolReason
from scizor_dagster.market_data.symbol_rows import Book, Facts, Interval, Outcome, is_archived


def close_history(
    outcome: Outcome, before: Book, facts: Facts, previous: Mapping[str, tuple[str, date]] = MappingProxyType({})
) -> None:
    """Open and close the times in which symbols were tracked, as their rows say."""
    book = outcome.book
    moved = {move.symbol: move for move in outcome.moves}
    for symbol, row in book.rows.items():
        if is_archived(symbol):
            continue
        mine = [item for item in book.history if item.symbol == symbol]
        still = [item for item in mine if item.until is None]
        known = before.rows.get(symbol)
        since = facts.today
        if symbol in moved:
            # It was not tracked before its archive was, whenever another company had the ticker.
            name, cut = moved[symbol].name, moved[symbol].cut
            since = max(cut, min((item.since for item in book.history if item.symbol == name), default=cut))
        if symbol in previous:
            old, day = previous[symbol]
            since = max(day, min((item.since for item in book.history if item.symbol == old), default=facts.today))
        if known is not None and symbol not in moved and not mine:
            since = known.fetched_at.date()
        if not still and (row.tracked or not mine):
            still = [Interval(symbol, since, None, None, "", facts.source, facts.now)]
            book.history.append(still[0])
        if row.retired_on is not None and still:
            book.history = [
                replace(item, **closed(item, row.retired_on, row.reason, row.note)) if item in still else item
                for item in book.history
            ]


def closed(item: Interval, day: date, reason: SymbolReason | None, note: str) -> dict[str, Any]:
    """What changes when an interval that is open ends on `day`; nothing for one that has ended."""
    if item.until is not None:
        return {}
    return {"until": max(day, item.since), "reason": reason, "note": note}
