"""The tracked universe in the lake: verified where it is due, with the history of every change.

What belongs here: `collect_symbols`, and what collecting bars learns of a symbol. What does not: judging answers
(`verification`), what changes (`symbol_changes`), SQL (`symbol_store`), reading (`symbol_reading`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo

from scizor_dagster.config import Market
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.provider import MarketData, SymbolReason
from scizor_dagster.market_data.reports import (
    Progress,
    ReidentifiedSymbol,
    RenamedSymbol,
    RetiredSymbol,
    ReusedTicker,
    SymbolsReport,
    UnverifiedSymbol,
)
from scizor_dagster.market_data.same_company import hear_evidence, suspects
from scizor_dagster.market_data.symbol_changes import decide
from scizor_dagster.market_data.symbol_corrections import Correction
from scizor_dagster.market_data.symbol_rows import Book, Facts, Outcome, SymbolRow, is_archived
from scizor_dagster.market_data.symbol_store import read_book, read_facts, write_book
from scizor_dagster.market_data.tracking_history import close_history
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.market_data.verification import Answers, Asking, ask, due_symbols, set_doubtful_aside
from scizor_dagster.sessions import TradingCalendar

EVERYTHING_DUE = Asking()


def collect_symbols(
    lake: Lake,
    market_name: str,
    market: Market,
    entries: Sequence[UniverseEntry],
    provider: MarketData,
    now: datetime,
    asking: Asking = EVERYTHING_DUE,
    progress: Progress | None = None,
    reread: Callable[[], Sequence[UniverseEntry]] | None = None,
) -> SymbolsReport:
    """Make the lake follow the universe, and ask the provider for the symbols whose verification is due.

    A symbol is verified by exactly one match that agrees with its exchange and currency. One that is not, or that
    has left the universe, is retired with a day and a reason; its rows stay. A provider that does not answer changes
    nothing. Safe to repeat: all is written in one transaction, or nothing where nothing has changed. Asking takes
    time: `reread` gives the universe as it is once nobody else writes to the lake.

    Raises:
        InputError: an entry in another currency than the market's.
    """
    named = _by_symbol(market_name, market, entries)
    zone = TradingCalendar(market.calendar).timezone
    verify_after = timedelta(days=market.verify_after_days)
    with lake.read() as cursor:
        book = read_book(cursor, market_name)
        facts = read_facts(cursor, market_name, provider, now, zone, verify_after)
        due, left_over = due_symbols(named, book, facts, asking)
        idle = not due and decide(book, named, Answers(), facts, asking.removal_reasons)
    if idle and idle.book == book:
        # Most days nothing is due: then nobody who writes to the lake is kept waiting.
        answers, outcome, changed = Answers(), idle, False
    else:
        answers = _ask_for(provider, due, named, book, facts, asking, progress)
        with lake.read() as cursor:
            facts = read_facts(cursor, market_name, provider, now, zone, verify_after)
            drafted = _weighed(answers, book, named, facts, asking)
        hear_evidence(lake, market_name, provider, suspects(book, answers, drafted), answers, now)
        with lake.write() as cursor:
            if reread is not None:
                named = _by_symbol(market_name, market, reread())
                answers.found = {symbol: found for symbol, found in answers.found.items() if symbol in named}
            book = read_book(cursor, market_name)
            facts = read_facts(cursor, market_name, provider, now, zone, verify_after)
            outcome = decide(book, named, answers, facts, asking.removal_reasons)
            changed = write_book(cursor, market_name, book, outcome)
    return _report(market_name, provider.name, named, answers, book, outcome, left_over=left_over, changed=changed)


def due_rows(
    lake: Lake | None,
    market_name: str,
    market: Market,
    entries: Sequence[UniverseEntry],
    provider: MarketData,
    now: datetime,
) -> tuple[SymbolRow, ...]:
    """What the next run asks for, by name, as it is known now; new entries as pending. Without a lake all of them."""
    named = _by_symbol(market_name, market, entries)
    zone, verify_after = TradingCalendar(market.calendar).timezone, timedelta(days=market.verify_after_days)
    if lake is None:
        book = Book()
        facts = Facts.without_a_lake(market_name, provider.name, provider.lookup_calls, now, zone, verify_after)
    else:
        with lake.read() as cursor:
            book = read_book(cursor, market_name)
            facts = read_facts(cursor, market_name, provider, now, zone, verify_after)
    due, _ = due_symbols(named, book, facts, EVERYTHING_DUE)
    new = [symbol for symbol in due if symbol not in book.rows]
    rows = book.rows | decide(Book(), {symbol: named[symbol] for symbol in new}, Answers(), facts).book.rows
    return tuple(rows[symbol] for symbol in sorted(due))


def _by_symbol(market_name: str, market: Market, entries: Sequence[UniverseEntry]) -> dict[str, UniverseEntry]:
    for entry in entries:
        if entry.instrument.currency != market.currency:
            raise InputError(
                f"{entry.instrument.symbol} trades in {entry.instrument.currency}; "
                f"market '{market_name}' is in {market.currency}.",
                remedy="Move it to a market of that currency.",
                where=f"{entry.path}:{entry.line}",
            )
    return {entry.instrument.symbol: entry for entry in entries}


def _ask_for(
    provider: MarketData,
    due: Sequence[str],
    entries: Mapping[str, UniverseEntry],
    book: Book,
    facts: Facts,
    asking: Asking,
    progress: Progress | None,
) -> Answers:
    """Ask for what is due, then for tickers that had an instrument which a due one is said to be now."""
    answers = Answers(forced=asking.force)
    ask(provider, due, answers, progress)
    said = {match.provider_id for matches in answers.found.values() for match in matches if match.provider_id}
    holders = [
        symbol
        for symbol, row in book.rows.items()
        if row.provider_id in said and facts.same_ids(row.source) and symbol in entries
    ]
    more = [symbol for symbol in holders if symbol not in answers.found and symbol not in answers.silent]
    room = len(more) if asking.limit is None else max(asking.limit - answers.asked, 0)
    ask(provider, more[:room], answers, progress)
    return answers


def _weighed(
    answers: Answers, book: Book, entries: Mapping[str, UniverseEntry], facts: Facts, asking: Asking
) -> Outcome:
    """What the answers would come to, without those that are not believed."""
    drafted = decide(book, entries, answers, facts, asking.removal_reasons)
    if asking.force:
        return drafted
    set_doubtful_aside(answers, book, drafted.book, len(entries))
    return decide(book, entries, answers, facts, asking.removal_reasons) if answers.refused else drafted


def _report(
    market: str,
    source: str,
    entries: Mapping[str, UniverseEntry],
    answers: Answers,
    before: Book,
    outcome: Outcome,
    *,
    left_over: bool,
    changed: bool,
) -> SymbolsReport:
    rows = outcome.book.rows
    mine = [rows[symbol] for symbol in entries]
    was_tracked = {symbol for symbol, row in before.rows.items() if row.tracked}
    retired = [
        RetiredSymbol(row.symbol, row.reason or SymbolReason.UNKNOWN, row.note, row.retired_on)
        for row in rows.values()
        if row.retired_on is not None
        and not is_archived(row.symbol)
        and (row.symbol in was_tracked or row.symbol not in before.rows)
    ]
    returned = [row.symbol for row in mine if row.tracked and row.symbol in before.rows.keys() - was_tracked]
    return SymbolsReport(
        market,
        source,
        len(entries),
        sum(row.verified and row.tracked for row in mine),
        answers.asked,
        tuple(
            UnverifiedSymbol(row.symbol, row.reason or SymbolReason.PENDING, row.note)
            for row in mine
            if not (row.verified and row.tracked)
        ),
        tuple(sorted(retired, key=lambda item: item.symbol)),
        tuple(sorted(returned)),
        tuple(RenamedSymbol(item.old, item.new, item.before) for item in outcome.carries),
        tuple(ReusedTicker(item.symbol, item.name, item.cut) for item in outcome.moves),
        tuple(sorted(answers.silent.items())),
        left_over,
        changed,
        tuple(ReidentifiedSymbol(symbol, note) for symbol, note in sorted(answers.same.items())),
        tuple(UnverifiedSymbol(row.symbol, row.reason, row.note) for row in mine if row.reason is SymbolReason.DOUBTED),
        answers.refused,
    )


def correct_symbols(
    lake: Lake,
    market_name: str,
    provider: MarketData,
    now: datetime,
    zone: tzinfo,
    correct: Callable[[Book, Facts], Correction],
    *,
    write: bool,
) -> Correction:
    """Make the correction that `correct` finds in the book, or only find it; `zone` is the exchange's.

    Raises:
        InputError: it cannot be made; nothing is changed.
    """
    if not write:
        with lake.read() as cursor:
            facts = read_facts(cursor, market_name, provider, now, zone, timedelta(days=1))
            return correct(read_book(cursor, market_name), facts).measured(cursor, market_name)
    with lake.write() as cursor:
        facts = read_facts(cursor, market_name, provider, now, zone, timedelta(days=1))
        correction = correct(read_book(cursor, market_name), facts).measured(cursor, market_name)
        correction.write(cursor, market_name)
    return correction


def note_no_permission(
    lake: Lake, market_name: str, refusals: Mapping[str, str], provider: MarketData, now: datetime, zone: tzinfo
) -> None:
    """Retire symbols whose prices the account may not see, which shows only when bars are asked for.

    They are verified again a week later, or with `--force-revalidate`, and then come back. `refusals` are the
    provider's words by symbol, `zone` is the exchange's.
    """
    with lake.write() as cursor:
        before = read_book(cursor, market_name)
        facts = read_facts(cursor, market_name, provider, now, zone, timedelta(days=1))
        book = before.copy()
        for symbol, words in refusals.items():
            row = book.rows.get(symbol)
            if row is None or not row.tracked:
                continue
            book.rows[symbol] = replace(
                row,
                reason=SymbolReason.NO_PERMISSION,
                note=words,
                retired_on=facts.today,
                next_due=now + timedelta(days=7),
                fetched_at=now,
            )
        outcome = Outcome(book)
        close_history(outcome, before, facts)
        write_book(cursor, market_name, before, outcome)
