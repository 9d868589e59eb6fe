"""The row of each symbol after a decision: verified, waiting, or out with a day and a reason.

What belongs here: rows of `symbols`. What does not: identities (`symbol_changes`), times in which a symbol was tracked
(`tracking_history`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from scizor_dagster.market_data.provider import SymbolReason
from scizor_dagster.market_data.symbol_decision import Decision
from scizor_dagster.market_data.symbol_rows import SymbolRow, is_archived
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.market_data.verification import Verdict

LEFT = "not in the universe any more"
_RETIRES_NOT = (None, SymbolReason.NOT_TRADABLE, SymbolReason.PENDING)
_DOUBTFUL = (
    SymbolReason.UNKNOWN,
    SymbolReason.INACTIVE,
    SymbolReason.AMBIGUOUS,
    SymbolReason.OTHER_EXCHANGE,
    SymbolReason.OTHER_CURRENCY,
)


def doubted(work: Decision, symbol: str, verdict: Verdict) -> Verdict:
    """The verdict, or a doubt where it would end for the first time what has traded until now."""
    row, entry = work.book.rows.get(symbol), work.entries[symbol].instrument
    if verdict.reason not in _DOUBTFUL or row is None or not (row.verified and row.tracked):
        return verdict
    changed = not work.facts.same_ids(row.source) or (row.mic, row.currency) != (entry.mic, entry.currency)
    if changed or symbol not in work.facts.traded():
        return verdict
    first = row.last_asked if row.reason is SymbolReason.DOUBTED else None
    if first is not None and work.facts.day(first) < work.facts.today:
        return verdict
    note = f"{verdict.reason} on {work.facts.today}: {verdict.note}; asked again on a later day"
    return Verdict(None, SymbolReason.DOUBTED, note)


def write_row(work: Decision, symbol: str, silent: str | None) -> None:
    """The row of a symbol of the universe, after its verdict, or as the file describes it now."""
    entry, row = work.entries[symbol], work.book.rows.get(symbol)
    verdict = work.verdicts.get(symbol)
    if verdict is None:
        if row is not None:
            work.book.rows[symbol] = _described(work, row, entry)
            return
        verdict = Verdict(None, SymbolReason.PENDING, silent or "not asked yet")
    elif verdict.listing is None and symbol in work.renamed:
        new, day = work.renamed[symbol]
        verdict = Verdict(None, SymbolReason.RENAMED, f"is {new} since {day}")
    elif verdict.reason is SymbolReason.DOUBTED and row is not None:
        work.book.rows[symbol] = replace(
            _described(work, row, entry),
            reason=SymbolReason.DOUBTED,
            note=verdict.note,
            last_asked=work.facts.now,
            next_due=work.facts.next_due(symbol, SymbolReason.DOUBTED),
            fetched_at=work.facts.now,
        )
        return
    fresh = _fresh(work, entry, row, verdict)
    work.book.rows[symbol] = row if row is not None and _says_the_same(work, row, fresh) else fresh


def _described(work: Decision, row: SymbolRow, entry: UniverseEntry) -> SymbolRow:
    """A row that was not asked for, with the file's own words of now."""
    new = replace(row, name=entry.instrument.name, sector=entry.sector, category=entry.category)
    return row if new == row else replace(new, fetched_at=work.facts.now)


def _says_the_same(work: Decision, row: SymbolRow, fresh: SymbolRow) -> bool:
    """Whether asking has cost nothing and told nothing: then nothing is written."""
    times = {
        "last_verified": row.last_verified,
        "last_asked": row.last_asked,
        "next_due": row.next_due,
        "fetched_at": row.fetched_at,
    }
    due = row.next_due is None or row.next_due <= work.facts.now
    return work.facts.calls == "none" and not due and replace(fresh, **times) == row  # type: ignore[arg-type]


def _fresh(work: Decision, entry: UniverseEntry, row: SymbolRow | None, verdict: Verdict) -> SymbolRow:
    instrument, listing, facts = entry.instrument, verdict.listing, work.facts
    asked = verdict.reason is not SymbolReason.PENDING
    retired_on = None
    if verdict.reason not in _RETIRES_NOT:
        retired_on = row.retired_on if row and row.retired_on else _end(work, instrument.symbol, verdict)
    provider_id = listing.provider_id if listing else None
    if listing is None and row is not None:
        provider_id = row.provider_id if facts.same_ids(row.source) else None
    return SymbolRow(
        symbol=instrument.symbol,
        instrument_id=instrument.id,
        mic=instrument.mic,
        name=instrument.name,
        currency=instrument.currency,
        sector=entry.sector,
        category=entry.category,
        lot=instrument.lot,
        tick=instrument.tick,
        fractionable=instrument.fractionable and not (listing and listing.fractionable is False),
        shortable=instrument.shortable and not (listing and listing.shortable is False),
        tradable=instrument.tradable and not (listing and listing.tradable is False),
        verified=listing is not None,
        last_verified=facts.now if listing else row.last_verified if row else None,
        note=verdict.note,
        provider_id=provider_id,
        reason=verdict.reason,
        retired_on=retired_on,
        last_asked=facts.now if asked else None,
        next_due=facts.next_due(instrument.symbol, verdict.reason),
        source=facts.source,
        fetched_at=facts.now,
    )


def _end(work: Decision, symbol: str, verdict: Verdict) -> date:
    """Since when a symbol is out: the action's day where one says so, else today."""
    if symbol in work.renamed:
        return work.renamed[symbol][1]
    if verdict.reason in (SymbolReason.DELISTED, SymbolReason.RENAMED):
        return max(ending.ex_session for ending in work.facts.endings[symbol])
    return work.facts.today


def retire_removed(work: Decision, reasons: Mapping[str, str]) -> None:
    """Retire what has left the universe, under its new ticker's name where it has one."""
    for symbol, row in list(work.book.rows.items()):
        if symbol in work.entries or is_archived(symbol):
            continue
        if symbol in work.renamed and row.reason is not SymbolReason.RENAMED:
            new, day = work.renamed[symbol]
            ended = {
                "reason": SymbolReason.RENAMED,
                "retired_on": row.retired_on or day,
                "note": f"is {new} since {day}",
            }
        elif row.tracked:
            note = reasons.get(symbol, LEFT)
            ended = {"reason": SymbolReason.REMOVED, "retired_on": work.facts.today, "note": note}
        else:
            continue
        work.book.rows[symbol] = replace(row, fetched_at=work.facts.now, **ended)  # type: ignore[arg-type]
