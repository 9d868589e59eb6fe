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
from scizor_dagster.market_data.symbol_renames import carried_floor
from scizor_dagster.market_data.symbol_rows import (
    NO_BARS,
    Book,
    Carry,
    Facts,
    Identity,
    Outcome,
    Span,
    SymbolRow,
    is_archived,
    ticker_of,
)
from scizor_dagster.market_data.symbol_store import (
    give_back,
    span_carried,
    span_given_back,
    span_moved,
    write_book,
)
from scizor_dagster.market_data.tracking_history import close_history


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction comes to: the book before and after.

    Attributes:
        given_back: Archived name and ticker, where rows of the one become the other's again.
        span: The bars that get another name, or one more.
    """

    before: Book
    outcome: Outcome
    given_back: tuple[str, str] | None = None
    span: Span = NO_BARS

    def measured(self, cursor: duckdb.DuckDBPyConnection, market: str) -> Correction:
        """The same with its span, before it is written."""
        if self.given_back is not None:
            return replace(self, span=span_given_back(cursor, market, *self.given_back))
        carried = [span_carried(cursor, market, carry) for carry in self.outcome.carries]
        (span,) = carried or [span_moved(cursor, market, move) for move in self.outcome.moves]
        return replace(self, span=span)

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
    earlier, later = _row(book, old, facts), _row(book, new, facts)
    if old == new or is_archived(new):
        raise InputError(
            f"{old} cannot be the earlier history of {new}.",
            remedy="Join it to another ticker: that which the company has now.",
            where=old,
        )
    if earlier.tracked:
        raise InputError(
            f"{old} cannot be the earlier history of {new}: it is tracked itself.",
            remedy=f'Retire it first: scizor symbols remove {old} --market {facts.market} --reason "is {new} now".',
            where=old,
        )
    present = _present(book, later, facts)
    if ticker_of(old) == new:
        return _given_back(book, earlier, present, reason, facts)
    taken = _successor(book, old) or (present if present.previous_symbol else None)
    if taken is present and present.previous_symbol == old:
        raise _nothing_to_join(old, new)
    if taken is not None:
        raise _is_history_already(taken, facts)
    after = book.copy()
    day = earlier.retired_on or facts.today
    note = f"is {new} since {day}; joined by hand on {facts.today}: {reason}"
    after.rows[old] = replace(earlier, reason=SymbolReason.RENAMED, note=note, fetched_at=facts.now)
    holder = max((item for item in book.identities if item.symbol == old), key=lambda item: item.since, default=None)
    joined = replace(
        present,
        since=_first_day(book, present, old, day, facts),
        bars_from=carried_floor(facts, old, holder, present.bars_from),
        previous_symbol=old,
        note=f"was {old}; joined by hand on {facts.today}: {reason}",
        fetched_at=facts.now,
    )
    after.identities = [joined if item is present else item for item in after.identities]
    return Correction(book, Outcome(after, carries=[Carry(old, new, day)]))


def _first_day(book: Book, present: Identity, old: str, day: date, facts: Facts) -> date:
    """Since when the company has its present ticker: since its own first bar, or `day`, on which the old one ended.

    The day of the first verification is later; what the ticker was before for another company is none of it.
    """
    own, earlier = facts.first_bar(present.symbol), facts.first_bar(old)
    begun = own if own is not None and (earlier is None or own > earlier) else day
    ends = [item.until for item in book.identities if ticker_of(item.symbol) == present.symbol and item.until]
    return min(present.since, max([begun, *ends]))


def _given_back(book: Book, earlier: SymbolRow, present: Identity, reason: str, facts: Facts) -> Correction:
    """The book after rows that were set apart are their ticker's again; the archived row says what happened."""
    after = book.copy()
    old, new = earlier.symbol, present.symbol
    successor = _successor(book, old)
    if successor is not None:
        raise _is_history_already(successor, facts)
    if all(item.symbol != old for item in book.identities):
        raise _nothing_to_join(old, new)
    note = f"joined to {new} by hand on {facts.today}: {reason}"
    mine = next((item for item in book.identities if item.symbol == old and item.until == present.bars_from), None)
    cut = present.bars_from if mine and present.bars_from else present.since
    after.rows[old] = replace(earlier, reason=SymbolReason.RENAMED, note=note, retired_on=cut, fetched_at=facts.now)
    after.history = [replace(item, symbol=new) if item.symbol == old else item for item in after.history]
    until = max((item.until for item in book.identities if item.symbol == old and item.until), default=date.min)
    newer = any(
        is_archived(item.symbol) and ticker_of(item.symbol) == new and (item.until or date.min) > until
        for item in book.identities
    )
    # With a newer archive still apart, the ticker's own bars begin where that one ended.
    floor = present.bars_from if newer else mine.bars_from if mine else None
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
    row = _row(book, symbol, facts)
    present = _parted(book, row, day, facts)
    work = Decision(book.copy(), {}, facts)
    set_apart(work, symbol, row, day, certain=True, note=f"set apart by hand on {facts.today}: {reason}")
    work.book.rows[symbol] = replace(row, fetched_at=facts.now)
    before = present.previous_symbol
    note = f"another company since {day}; set apart by hand on {facts.today}: {reason}"
    now = replace(present, bars_from=day, note=note, fetched_at=facts.now)
    if before is not None and day < present.since:
        # What the company was called before it had the ticker stays its own.
        archive = work.outcome.moves[-1].name
        work.book.identities = [
            replace(item, previous_symbol=None) if item.symbol == archive and item.previous_symbol == before else item
            for item in work.book.identities
        ]
    else:
        now = replace(now, since=day, previous_symbol=None)
        former = work.book.rows.get(before or "")
        if former is not None:
            told = f"{former.note}; parted from {symbol} by hand on {facts.today}: {reason}"
            work.book.rows[former.symbol] = replace(former, note=told, fetched_at=facts.now)
    work.book.identities.append(now)
    close_history(work.outcome, book, facts)
    return Correction(book, work.outcome)


def _parted(book: Book, row: SymbolRow, day: date, facts: Facts) -> Identity:
    """What the ticker is now, where there is something from before `day` to set apart."""
    symbol = row.symbol
    if is_archived(symbol):
        raise InputError(
            f"{symbol} was set apart already.", remedy=f"Use the ticker itself: {ticker_of(symbol)}.", where=symbol
        )
    present, first = _present(book, row, facts), facts.first_bar(symbol)
    nothing = (first is None or first >= day) and present.previous_symbol is None
    if day > facts.today or nothing:
        begins = f"its first bar is of {first}" if first else "it has no bars"
        raise InputError(
            f"{symbol} has nothing before {day} to set apart: {begins}, and today is {facts.today}.",
            remedy="Use the first day on which the ticker was the present company's.",
            where="--on",
        )
    return present


def _row(book: Book, symbol: str, facts: Facts) -> SymbolRow:
    if symbol not in book.rows:
        raise InputError(
            f"There is no symbol {symbol}.",
            remedy=f"See them: scizor symbols list --market {facts.market}.",
            where=symbol,
        )
    return book.rows[symbol]


def _present(book: Book, row: SymbolRow, facts: Facts) -> Identity:
    """What the ticker is at the provider now."""
    present = book.identity(row.symbol)
    if present is not None and row.tracked:
        return present
    remedy = f"Verify it first: scizor symbols validate --market {facts.market} --force-revalidate."
    if row.reason is SymbolReason.REMOVED:
        command = f"scizor symbols add {row.symbol} --market {facts.market} --mic {row.mic}"
        remedy = f"Add it again, with --file where the market has several universe files: {command}."
    raise InputError(
        f"{row.symbol} is not tracked and verified{f' ({row.reason})' if row.reason else ''}.",
        remedy=remedy,
        where=row.symbol,
    )


def _successor(book: Book, old: str) -> Identity | None:
    """The present ticker that has the rows of `old` for its earlier history."""
    return next((item for item in book.identities if item.previous_symbol == old and item.until is None), None)


def _nothing_to_join(old: str, new: str) -> InputError:
    return InputError(f"{old} is the history of {new} already.", remedy="There is nothing to join.", where=old)


def _is_history_already(present: Identity, facts: Facts) -> InputError:
    command = f"scizor symbols part {present.symbol} --market {facts.market} --on {present.since}"
    return InputError(
        f"{present.symbol} has the history of {present.previous_symbol} already.",
        remedy=f'If that is another company\'s, part it first: {command} --reason "another company".',
        where=present.symbol,
    )
