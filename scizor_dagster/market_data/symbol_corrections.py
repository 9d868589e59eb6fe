"""A person's word on which rows are one company's: two histories joined, and one parted.

What belongs here: the two corrections of the book, and their rows in the lake. What does not: what the provider says
(`symbol_changes`), why a person says so: the reason is handed in and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import duckdb

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.provider import SymbolReason
from scizor_dagster.market_data.reused_tickers import set_apart
from scizor_dagster.market_data.symbol_decision import Decision
from scizor_dagster.market_data.symbol_rows import (
    ARCHIVE_MARK,
    Book,
    Carry,
    Facts,
    Identity,
    Outcome,
    SymbolRow,
    is_archived,
)
from scizor_dagster.market_data.symbol_store import give_back, write_book
from scizor_dagster.market_data.tracking_history import close_history


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction comes to: the book before and after.

    Attributes:
        given_back: Archived name and ticker, where rows of the one become the other's again.
    """

    before: Book
    outcome: Outcome
    given_back: tuple[str, str] | None = None

    def write(self, cursor: duckdb.DuckDBPyConnection, market: str) -> None:
        """Make the lake say so, in the caller's transaction."""
        if self.given_back is not None:
            give_back(cursor, market, *self.given_back)
        write_book(cursor, market, self.before, self.outcome)


def join(book: Book, old: str, new: str, reason: str, facts: Facts) -> Correction:
    """Make the rows of `old` the earlier history of `new`.

    `old` is a ticker that is tracked no more, as at a rename; or the name under which rows of `new` were set apart,
    which they then are no longer.

    Raises:
        InputError: one of the two is not known or not fit, or `old` is a company's history already.
    """
    earlier, later = _row(book, old), _row(book, new)
    present = book.identity(new)
    if old == new or is_archived(new) or earlier.tracked:
        raise InputError(
            f"{old} cannot be the earlier history of {new}.",
            remedy=f"Join a symbol that is tracked no more to one that is, other than {old}.",
            where=old,
        )
    if present is None or not later.tracked:
        raise InputError(f"{new} is not verified.", remedy="Verify it first: scizor symbols validate.", where=new)
    if old.partition(ARCHIVE_MARK)[0] == new:
        return _given_back(book, earlier, present, reason, facts)
    if present.previous_symbol is not None:
        raise InputError(
            f"{new} has the history of {present.previous_symbol} already.",
            remedy=f"Part it first: scizor symbols part {new} --on {present.since}.",
            where=new,
        )
    after = book.copy()
    day = earlier.retired_on or facts.today
    note = f"is {new} since {day}; joined by hand on {facts.today}: {reason}"
    after.rows[old] = replace(earlier, reason=SymbolReason.RENAMED, note=note, fetched_at=facts.now)
    joined = replace(
        present, previous_symbol=old, note=f"was {old}; joined by hand on {facts.today}: {reason}", fetched_at=facts.now
    )
    after.identities = [joined if item is present else item for item in after.identities]
    return Correction(book, Outcome(after, carries=[Carry(old, new, day)]))


def _given_back(book: Book, earlier: SymbolRow, present: Identity, reason: str, facts: Facts) -> Correction:
    """The book after rows that were set apart are their ticker's again; the archived row says what happened."""
    after = book.copy()
    old, new = earlier.symbol, present.symbol
    carried = next((item.symbol for item in book.identities if item.previous_symbol == old), None)
    if carried is not None or all(item.symbol != old for item in book.identities):
        raise InputError(
            f"{old} is the history of {carried or new} already.", remedy="There is nothing to join.", where=old
        )
    note = f"joined to {new} by hand on {facts.today}: {reason}"
    mine = next((item for item in book.identities if item.symbol == old and item.until == present.bars_from), None)
    cut = present.bars_from if mine and present.bars_from else present.since
    after.rows[old] = replace(earlier, reason=SymbolReason.RENAMED, note=note, retired_on=cut, fetched_at=facts.now)
    after.history = [replace(item, symbol=new) if item.symbol == old else item for item in after.history]
    floor = mine.bars_from if mine else None
    whole = replace(
        present,
        bars_from=floor,
        note=f"joined with {old} by hand on {facts.today}: {reason}",
        fetched_at=facts.now,
    )
    after.identities = [
        whole if item is present else replace(item, symbol=new) if item.symbol == old else item
        for item in after.identities
    ]
    return Correction(book, Outcome(after), (old, new))


def part(book: Book, symbol: str, day: date, reason: str, facts: Facts) -> Correction:
    """Set the rows of `symbol` from before `day` apart: they are another company's.

    Raises:
        InputError: the symbol is not known or not verified, nothing is stored before `day`, or `day` is ahead.
    """
    row, present = _row(book, symbol), book.identity(symbol)
    first = facts.first_bar(symbol)
    if is_archived(symbol) or present is None or not row.tracked:
        raise InputError(f"{symbol} is no verified, tracked symbol.", remedy="Use the ticker itself.", where=symbol)
    if day > facts.today or first is None or first >= day:
        begins = f"its first bar is of {first}" if first else "it has no bars"
        raise InputError(
            f"{symbol} has nothing before {day} to set apart: {begins}, and today is {facts.today}.",
            remedy="Use the first day on which the ticker was the present company's.",
            where="--on",
        )
    work = Decision(book.copy(), {}, facts)
    set_apart(work, symbol, row, day, certain=True, note=f"set apart by hand on {facts.today}: {reason}")
    work.book.rows[symbol] = replace(row, fetched_at=facts.now)
    note = f"another company since {day}; set apart by hand on {facts.today}: {reason}"
    work.book.identities.append(
        Identity(symbol, present.provider_id, day, None, day, None, note, present.source, facts.now)
    )
    close_history(work.outcome, book, facts)
    return Correction(book, work.outcome)


def _row(book: Book, symbol: str) -> SymbolRow:
    if symbol not in book.rows:
        raise InputError(f"There is no symbol {symbol}.", remedy="See them: scizor symbols list.", where=symbol)
    return book.rows[symbol]
