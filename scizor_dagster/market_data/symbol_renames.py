"""A company that has another ticker now: its rows are also those of the new one.

What belongs here: who had an instrument before, and what is carried over. What does not: a ticker that another company
has taken (`reused_tickers`), SQL (`symbol_store`).
"""

from __future__ import annotations

from datetime import date

from scizor_dagster.market_data.provider import SymbolReason
from scizor_dagster.market_data.symbol_decision import ONE_DAY, Decision
from scizor_dagster.market_data.symbol_rows import Carry, Facts, Identity, is_archived, ticker_of
from scizor_dagster.market_data.verification import Verdict


def find_renamed(work: Decision) -> None:
    """Carry the rows of a company over to the ticker that it has now."""
    for symbol, verdict in list(work.verdicts.items()):
        listing = verdict.listing
        if listing is None:
            continue
        holder = _holder(work, symbol, listing.provider_id)
        if holder is None:
            continue
        rival = work.verdicts.get(holder.symbol)
        if rival is None and _may_still_be(work, holder.symbol):
            note = f"the provider knew it as {holder.symbol}, and has not said what that is now"
            work.verdicts[symbol] = Verdict(None, SymbolReason.PENDING, note)
            continue
        if rival and rival.listing and rival.listing.provider_id == listing.provider_id and listing.provider_id:
            note = f"the provider knows it as {holder.symbol} too"
            work.verdicts[symbol] = Verdict(None, SymbolReason.SAME_AS_ANOTHER, note)
            continue
        _carry(work, symbol, holder)


def _may_still_be(work: Decision, holder: str) -> bool:
    row = work.book.rows.get(holder)
    return holder in work.entries and row is not None and row.verified and bool(row.provider_id)


def _holder(work: Decision, symbol: str, provider_id: str) -> Identity | None:
    """Who had the instrument last under another name; None if nobody, or if the symbol had it itself."""
    if not provider_id:
        return _holder_by_action(work, symbol)
    had = [
        item for item in work.book.identities if item.provider_id == provider_id and work.facts.same_ids(item.source)
    ]
    last = max(had, key=lambda item: (item.until is None, item.until or date.max, item.since), default=None)
    return None if last is None or last.symbol == symbol else last


def _holder_by_action(work: Decision, symbol: str) -> Identity | None:
    """Where the provider has no ids: whose rename to `symbol` is known, and not carried over yet."""
    named = [
        (old, ending)
        for old, endings in work.facts.endings.items()
        for ending in endings
        if ending.kind == "rename" and ending.new_symbol == symbol and old != symbol
    ]
    # What the ticker was for before is settled, and rows under a former ticker are of the first company that left it.
    begun = work.floors.get(symbol) or work.begun(symbol)
    named = [item for item in named if item[1].ex_session >= begun]
    if not named:
        return None
    carried = {item.previous_symbol for item in work.book.identities if ticker_of(item.symbol) == symbol}
    for old, ending in sorted(named, key=lambda item: item[1].ex_session, reverse=True):
        names = {move.name for move in work.outcome.moves if move.symbol == old and move.cut == ending.ex_session}
        names |= {
            item.symbol
            for item in work.book.identities
            if is_archived(item.symbol) and ticker_of(item.symbol) == old and item.until == ending.ex_session
        }
        first = min(work.endings(old), key=lambda item: item.ex_session, default=None)
        if not names and ending != first:
            continue
        name = min(names, default=old)
        held = [item for item in work.book.identities if item.symbol == name]
        if held and name not in carried:
            return max(held, key=lambda item: item.since)
    return None


def _carry(work: Decision, symbol: str, holder: Identity) -> None:
    ticker = ticker_of(holder.symbol)
    named = [item for item in work.facts.endings.get(ticker, ()) if item.kind == "rename"]
    days = [item.ex_session for item in named if item.new_symbol == symbol]
    row = work.book.rows.get(holder.symbol)
    if days:
        day = before = max(days)
    elif is_archived(holder.symbol):
        day = before = holder.until or work.facts.today
    else:
        day = holder.until or (row.retired_on if row else None) or work.facts.today
        verified = row.last_verified if row else None
        before = work.facts.day(verified) + ONE_DAY if verified else day
    work.outcome.carries.append(Carry(holder.symbol, symbol, before))
    work.previous[symbol] = (holder.symbol, day)
    present = work.book.identity(symbol)
    floor = work.floors.get(symbol) or (present.bars_from if present else None)
    floor = carried_floor(work.facts, holder.symbol, holder, floor)
    if floor is not None:
        work.floors[symbol] = floor
    if not is_archived(holder.symbol):
        work.renamed[holder.symbol] = (symbol, day)
    work.close_identity(holder.symbol, day)


def carried_floor(facts: Facts, name: str, holder: Identity | None, floor: date | None) -> date | None:
    """First day of which a ticker's bars are its company's once it has the rows of `name` too; None: all are.

    Args:
        facts: What is stored.
        name: Symbol whose rows are carried over.
        holder: What the name meant; None where nobody knew.
        floor: That day without them.
    """
    begun = holder.bars_from if holder else None
    if floor is None:
        return begun
    first = facts.first_bar(name) or facts.first_bar(ticker_of(name)) or (holder.since if holder else floor)
    return min(begun or first, floor)
