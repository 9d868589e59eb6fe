"""From what is kept and what a provider said to what is kept next: pure, so that any order of events can be tried.

What belongs here: the order of the steps, and the identities that come out. What does not: the steps themselves
(`reused_tickers`, `symbol_renames`, `symbol_states`, `tracking_history`), SQL (`symbol_store`), asking and judging one
answer (`verification`).

Two laws hold whatever the file, the provider and the weather do: no row of a bar is ever lost, and the bars of two
companies never stand under one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from scizor_dagster.market_data.reused_tickers import set_reused_apart
from scizor_dagster.market_data.symbol_decision import Decision
from scizor_dagster.market_data.symbol_renames import find_renamed
from scizor_dagster.market_data.symbol_rows import Book, Facts, Identity, Outcome, is_archived, ticker_of
from scizor_dagster.market_data.symbol_states import doubted, retire_removed, write_row
from scizor_dagster.market_data.tracking_history import close_history
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.market_data.verification import Answers, judge, with_known_id


def decide(
    book: Book,
    entries: Mapping[str, UniverseEntry],
    answers: Answers,
    facts: Facts,
    removal_reasons: Mapping[str, str] | None = None,
) -> Outcome:
    """Apply the universe and a provider's answers to `book`, which stays as it is."""
    work = Decision(book.copy(), entries, facts, answers.same)
    for symbol, matches in answers.found.items():
        row = work.book.rows.get(symbol)
        known = row.provider_id if row and facts.same_ids(row.source) else None
        split = work.split_day(symbol) is not None
        verdict = judge(entries[symbol], matches, known, work.endings(symbol), split)
        work.verdicts[symbol] = verdict if answers.forced else doubted(work, symbol, verdict)
    set_reused_apart(work)
    find_renamed(work)
    work.verdicts = {name: with_known_id(item, work.book.rows.get(name), facts) for name, item in work.verdicts.items()}
    for symbol in entries:
        write_row(work, symbol, answers.silent.get(symbol))
    retire_removed(work, removal_reasons or {})
    _write_identities(work)
    close_history(work.outcome, book, facts, work.previous)
    return work.outcome


def _write_identities(work: Decision) -> None:
    """One present identity for each symbol that is certain."""
    for symbol, verdict in work.verdicts.items():
        if verdict.listing is None:
            continue
        present = work.book.identity(symbol)
        known = verdict.listing.provider_id
        previous, day = work.previous.get(symbol, (None, None))
        same = present and present.provider_id == known and work.facts.same_ids(present.source)
        if same and previous is None:
            continue
        row = work.book.rows[symbol]
        if not row.tracked and previous is None and any(item.symbol == symbol for item in work.book.identities):
            continue
        floor = work.floors.get(symbol) or (present.bars_from if present else _lost_to_another(work, symbol))
        since = day or (work.floors.get(symbol) if symbol in work.floors else None) or row.fetched_at.date()
        if present is not None:
            work.close_identity(symbol, since)
        note = f"was {previous}" if previous else work.same.get(symbol, "")
        work.book.identities.append(
            Identity(symbol, known, since, None, floor, previous, note, work.facts.source, work.facts.now)
        )


def _lost_to_another(work: Decision, symbol: str) -> date | None:
    """Since when the ticker is not what an archived company had it for."""
    ends = [
        item.until
        for item in work.book.identities
        if is_archived(item.symbol) and ticker_of(item.symbol) == symbol and item.until
    ]
    return max(ends, default=None)
