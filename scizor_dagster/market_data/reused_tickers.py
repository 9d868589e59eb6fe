"""A ticker that means another company now: what stood under it gets a name of its own.

What belongs here: whether a ticker was reused, since when, and the move of its rows. What does not: a company that
has another ticker now (`symbol_renames`), SQL (`symbol_store`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.symbol_decision import ONE_DAY, Decision
from scizor_dagster.market_data.symbol_rows import Move, SymbolRow, archive_name
from scizor_dagster.market_data.tracking_history import closed


def set_reused_apart(work: Decision) -> None:
    """Move what stands under a ticker that means another company now to a name of its own."""
    for symbol, verdict in work.verdicts.items():
        row = work.book.rows.get(symbol)
        if row is None or verdict.listing is None:
            continue
        ending = _ending_of_reused(work, symbol, row, verdict.listing)
        if ending is not None:
            cut, certain = ending
            set_apart(work, symbol, row, cut, certain=certain, note=f"{symbol} is another instrument since {cut}")


def _ending_of_reused(work: Decision, symbol: str, row: SymbolRow, listing: Listing) -> tuple[date, bool] | None:
    """First day that is not the old company's, and whether it is certain; None for the same company."""
    if not listing.provider_id:
        cut = work.split_day(symbol)
        return None if cut is None else (cut, True)
    if not row.provider_id or not work.facts.same_ids(row.source) or row.provider_id == listing.provider_id:
        return None
    if symbol in work.same:
        return None
    known = work.facts.day(row.last_verified) if row.last_verified else date.min
    days = [ending.ex_session for ending in work.endings(symbol) if ending.ex_session > known]
    return (min(days), True) if days else (min(known + ONE_DAY, work.facts.today), False)


def set_apart(work: Decision, symbol: str, row: SymbolRow, cut: date, *, certain: bool, note: str) -> None:
    """Give what `symbol` was before `cut` a name of its own."""
    name = archive_name(symbol, cut, work.book.rows)
    del work.book.rows[symbol]
    work.book.rows[name] = replace(
        row,
        symbol=name,
        instrument_id=f"{name}.{row.mic}",
        tradable=False,
        verified=False,
        retired_on=row.retired_on or cut,
        reason=SymbolReason.REUSED,
        note=note,
    )
    work.book.history = [
        replace(item, symbol=name, **closed(item, cut, SymbolReason.REUSED, note)) if item.symbol == symbol else item
        for item in work.book.history
    ]
    work.book.identities = [
        replace(item, symbol=name, since=min(item.since, cut), until=min(item.until or cut, cut))
        if item.symbol == symbol
        else item
        for item in work.book.identities
    ]
    work.book.identities = [
        replace(item, previous_symbol=name) if item.previous_symbol == symbol else item for item in work.book.identities
    ]
    work.floors[symbol] = cut
    work.outcome.moves.append(Move(symbol, name, cut, certain))
