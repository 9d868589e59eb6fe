"""From what is kept and what a provider said to what is kept next: pure, so that any order of events can be tried.

What belongs here: retiring, coming back, renames, reused tickers. What does not: SQL (`symbol_store`), asking and
judging one answer (`verification`).

Two laws hold whatever the file, the provider and the weather do: no row of a bar is ever lost, and the bars of two
companies never stand under one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

from scizor_dagster.market_data.provider import Listing, SymbolReason
from scizor_dagster.market_data.symbol_rows import (
    ARCHIVE_MARK,
    Book,
    Carry,
    Ending,
    Facts,
    Identity,
    Interval,
    Move,
    Outcome,
    SymbolRow,
    archive_name,
    is_archived,
)
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.market_data.verification import Answers, Verdict, judge, with_known_id

ONE_DAY = timedelta(days=1)
LEFT = "not in the universe any more"
_RETIRES_NOT = (None, SymbolReason.NOT_TRADABLE, SymbolReason.PENDING)


def decide(
    book: Book,
    entries: Mapping[str, UniverseEntry],
    answers: Answers,
    facts: Facts,
    removal_reasons: Mapping[str, str] | None = None,
) -> Outcome:
    """Apply the universe and a provider's answers to `book`, which stays as it is."""
    work = _Work(book.copy(), entries, facts)
    for symbol, matches in answers.found.items():
        row = work.book.rows.get(symbol)
        known = row.provider_id if row and facts.same_ids(row.source) else None
        split = work.split_day(symbol) is not None
        work.verdicts[symbol] = judge(entries[symbol], matches, known, work.endings(symbol), split)
    work.set_reused_apart()
    work.find_renamed()
    work.verdicts = {name: with_known_id(item, work.book.rows.get(name), facts) for name, item in work.verdicts.items()}
    for symbol in entries:
        work.write_row(symbol, answers.silent.get(symbol))
    work.retire_removed(removal_reasons or {})
    work.write_identities()
    close_history(work.outcome, book, facts, work.previous)
    return work.outcome


class _Work:
    """One decision under way."""

    def __init__(self, book: Book, entries: Mapping[str, UniverseEntry], facts: Facts) -> None:
        self.book = book
        self.entries = entries
        self.facts = facts
        self.verdicts: dict[str, Verdict] = {}
        self.outcome = Outcome(book)
        self._floors: dict[str, date] = {}
        self.previous: dict[str, tuple[str, date]] = {}
        self._renamed: dict[str, tuple[str, date]] = {}
        """New ticker and day, by the one that was left."""

    def endings(self, symbol: str) -> tuple[Ending, ...]:
        """Renames and delistings of the company that the ticker means, and of none that had it before."""
        present = self.book.identity(symbol)
        begun = present.since if present and (present.previous_symbol or present.bars_from) else date.min
        return tuple(item for item in self.facts.endings.get(symbol, ()) if item.ex_session > begun)

    def split_day(self, symbol: str) -> date | None:
        """Day from which the bars stored under a ticker are another company's, by the actions alone."""
        first, last = self.facts.spans.get(symbol, (date.max, date.min))
        present = self.book.identity(symbol)
        begun = present.since if present and (present.previous_symbol or present.bars_from) else date.min
        taken = {
            item.ex_session
            for old, found in self.facts.endings.items()
            for item in found
            if item.kind == "rename" and item.new_symbol == symbol and old != symbol and item.ex_session > begun
        }
        left = {item.ex_session for item in self.endings(symbol) if last >= item.ex_session}
        return max((day for day in taken | left if first < day), default=None)

    def set_reused_apart(self) -> None:
        """Move what stands under a ticker that means another company now to a name of its own."""
        for symbol, verdict in self.verdicts.items():
            row = self.book.rows.get(symbol)
            if row is None or verdict.listing is None:
                continue
            ending = self._ending_of_reused(symbol, row, verdict.listing)
            if ending is not None:
                self._move(symbol, row, *ending)

    def _ending_of_reused(self, symbol: str, row: SymbolRow, listing: Listing) -> tuple[date, bool] | None:
        """First day that is not the old company's, and whether it is certain; None for the same company."""
        if not listing.provider_id:
            cut = self.split_day(symbol)
            return None if cut is None else (cut, True)
        if not row.provider_id or not self.facts.same_ids(row.source) or row.provider_id == listing.provider_id:
            return None
        known = row.last_verified.date() if row.last_verified else date.min
        days = [ending.ex_session for ending in self.endings(symbol) if ending.ex_session > known]
        return (min(days), True) if days else (min(known + ONE_DAY, self.facts.today), False)

    def _move(self, symbol: str, row: SymbolRow, cut: date, certain: bool) -> None:
        name = archive_name(symbol, cut, self.book.rows)
        note = f"{symbol} is another instrument since {cut}"
        del self.book.rows[symbol]
        self.book.rows[name] = replace(
            row,
            symbol=name,
            instrument_id=f"{name}.{row.mic}",
            tradable=False,
            verified=False,
            retired_on=row.retired_on or cut,
            reason=SymbolReason.REUSED,
            note=note,
        )
        self.book.history = [
            replace(item, symbol=name, **_closed(item, cut, SymbolReason.REUSED, note))
            if item.symbol == symbol
            else item
            for item in self.book.history
        ]
        self.book.identities = [
            replace(item, symbol=name, since=min(item.since, cut), until=min(item.until or cut, cut))
            if item.symbol == symbol
            else item
            for item in self.book.identities
        ]
        self.book.identities = [
            replace(item, previous_symbol=name) if item.previous_symbol == symbol else item
            for item in self.book.identities
        ]
        self._floors[symbol] = cut
        self.outcome.moves.append(Move(symbol, name, cut, certain))

    def find_renamed(self) -> None:
        """Carry the rows of a company over to the ticker that it has now."""
        for symbol, verdict in list(self.verdicts.items()):
            listing = verdict.listing
            if listing is None:
                continue
            holder = self._holder(symbol, listing.provider_id)
            if holder is None:
                continue
            rival = self.verdicts.get(holder.symbol)
            if rival is None and self._may_still_be(holder.symbol):
                note = f"the provider knew it as {holder.symbol}, and has not said what that is now"
                self.verdicts[symbol] = Verdict(None, SymbolReason.PENDING, note)
                continue
            if rival and rival.listing and rival.listing.provider_id == listing.provider_id and listing.provider_id:
                note = f"the provider knows it as {holder.symbol} too"
                self.verdicts[symbol] = Verdict(None, SymbolReason.SAME_AS_ANOTHER, note)
                continue
            self._carry(symbol, holder)

    def _may_still_be(self, holder: str) -> bool:
        row = self.book.rows.get(holder)
        return holder in self.entries and row is not None and row.verified and bool(row.provider_id)

    def _holder(self, symbol: str, provider_id: str) -> Identity | None:
        """Who had the instrument last under another name; None if nobody, or if the symbol had it itself."""
        if not provider_id:
            return self._holder_by_action(symbol)
        had = [
            item
            for item in self.book.identities
            if item.provider_id == provider_id and self.facts.same_ids(item.source)
        ]
        last = max(had, key=lambda item: (item.until is None, item.until or date.max, item.since), default=None)
        return None if last is None or last.symbol == symbol else last

    def _holder_by_action(self, symbol: str) -> Identity | None:
        """Where the provider has no ids: whose rename to `symbol` is known, and not carried over yet."""
        carried = {item.previous_symbol for item in self.book.identities if item.symbol == symbol}
        for old, endings in self.facts.endings.items():
            for ending in endings:
                if ending.kind != "rename" or ending.new_symbol != symbol or old == symbol:
                    continue
                names = {
                    move.name for move in self.outcome.moves if move.symbol == old and move.cut == ending.ex_session
                }
                names |= {
                    item.symbol
                    for item in self.book.identities
                    if is_archived(item.symbol)
                    and item.symbol.partition(ARCHIVE_MARK)[0] == old
                    and item.until == ending.ex_session
                }
                name = min(names, default=old)
                held = [item for item in self.book.identities if item.symbol == name]
                if held and name not in carried:
                    return max(held, key=lambda item: item.since)
        return None

    def _carry(self, symbol: str, holder: Identity) -> None:
        ticker = holder.symbol.partition(ARCHIVE_MARK)[0]
        named = [item for item in self.facts.endings.get(ticker, ()) if item.kind == "rename"]
        days = [item.ex_session for item in named if item.new_symbol == symbol]
        row = self.book.rows.get(holder.symbol)
        if days:
            day = before = max(days)
        elif is_archived(holder.symbol):
            day = before = holder.until or self.facts.today
        else:
            day = holder.until or (row.retired_on if row else None) or self.facts.today
            verified = row.last_verified if row else None
            before = verified.date() + ONE_DAY if verified else day
        self.outcome.carries.append(Carry(holder.symbol, symbol, before))
        self.previous[symbol] = (holder.symbol, day)
        if symbol in self._floors:
            first = self.facts.first_bar(holder.symbol) or self.facts.first_bar(ticker) or holder.since
            self._floors[symbol] = min(holder.bars_from or first, self._floors[symbol])
        elif holder.bars_from is not None:
            self._floors[symbol] = holder.bars_from
        if not is_archived(holder.symbol):
            self._renamed[holder.symbol] = (symbol, day)
        self._close_identity(holder.symbol, day)

    def _close_identity(self, symbol: str, day: date) -> None:
        self.book.identities = [
            replace(item, until=max(day, item.since)) if item.symbol == symbol and item.until is None else item
            for item in self.book.identities
        ]

    def write_row(self, symbol: str, silent: str | None) -> None:
        """The row of a symbol of the universe, after its verdict, or as the file describes it now."""
        entry, row = self.entries[symbol], self.book.rows.get(symbol)
        verdict = self.verdicts.get(symbol)
        if verdict is None:
            if row is not None:
                self.book.rows[symbol] = self._described(row, entry)
                return
            verdict = Verdict(None, SymbolReason.PENDING, silent or "not asked yet")
        elif verdict.listing is None and symbol in self._renamed:
            new, day = self._renamed[symbol]
            verdict = Verdict(None, SymbolReason.RENAMED, f"is {new} since {day}")
        fresh = self._fresh(entry, row, verdict)
        self.book.rows[symbol] = row if row is not None and self._says_the_same(row, fresh) else fresh

    def _described(self, row: SymbolRow, entry: UniverseEntry) -> SymbolRow:
        """A row that was not asked for, with the file's own words of now."""
        new = replace(row, name=entry.instrument.name, sector=entry.sector, category=entry.category)
        return row if new == row else replace(new, fetched_at=self.facts.now)

    def _says_the_same(self, row: SymbolRow, fresh: SymbolRow) -> bool:
        """Whether asking has cost nothing and told nothing: then nothing is written."""
        times = {
            "last_verified": row.last_verified,
            "last_asked": row.last_asked,
            "next_due": row.next_due,
            "fetched_at": row.fetched_at,
        }
        due = row.next_due is None or row.next_due <= self.facts.now
        return self.facts.calls == "none" and not due and replace(fresh, **times) == row  # type: ignore[arg-type]

    def _fresh(self, entry: UniverseEntry, row: SymbolRow | None, verdict: Verdict) -> SymbolRow:
        instrument, listing, facts = entry.instrument, verdict.listing, self.facts
        asked = verdict.reason is not SymbolReason.PENDING
        retired_on = None
        if verdict.reason not in _RETIRES_NOT:
            retired_on = row.retired_on if row and row.retired_on else self._end(instrument.symbol, verdict)
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

    def _end(self, symbol: str, verdict: Verdict) -> date:
        """Since when a symbol is out: the action's day where one says so, else today."""
        if symbol in self._renamed:
            return self._renamed[symbol][1]
        if verdict.reason in (SymbolReason.DELISTED, SymbolReason.RENAMED):
            return max(ending.ex_session for ending in self.facts.endings[symbol])
        return self.facts.today

    def retire_removed(self, reasons: Mapping[str, str]) -> None:
        """Retire what has left the universe, under its new ticker's name where it has one."""
        for symbol, row in list(self.book.rows.items()):
            if symbol in self.entries or is_archived(symbol):
                continue
            if symbol in self._renamed and row.reason is not SymbolReason.RENAMED:
                new, day = self._renamed[symbol]
                ended = {
                    "reason": SymbolReason.RENAMED,
                    "retired_on": row.retired_on or day,
                    "note": f"is {new} since {day}",
                }
            elif row.tracked:
                note = reasons.get(symbol, LEFT)
                ended = {"reason": SymbolReason.REMOVED, "retired_on": self.facts.today, "note": note}
            else:
                continue
            self.book.rows[symbol] = replace(row, fetched_at=self.facts.now, **ended)  # type: ignore[arg-type]

    def write_identities(self) -> None:
        """One present identity for each symbol that is certain."""
        for symbol, verdict in self.verdicts.items():
            if verdict.listing is None:
                continue
            present = self.book.identity(symbol)
            known = verdict.listing.provider_id
            previous, day = self.previous.get(symbol, (None, None))
            same = present and present.provider_id == known and self.facts.same_ids(present.source)
            if same and previous is None:
                continue
            row = self.book.rows[symbol]
            if not row.tracked and previous is None and any(item.symbol == symbol for item in self.book.identities):
                continue
            floor = self._floors.get(symbol) or (present.bars_from if present else self._lost_to_another(symbol))
            since = day or (self._floors.get(symbol) if symbol in self._floors else None) or row.fetched_at.date()
            if present is not None:
                self._close_identity(symbol, since)
            note = f"was {previous}" if previous else ""
            self.book.identities.append(
                Identity(symbol, known, since, None, floor, previous, note, self.facts.source, self.facts.now)
            )

    def _lost_to_another(self, symbol: str) -> date | None:
        """Since when the ticker is not what an archived company had it for."""
        ends = [
            item.until
            for item in self.book.identities
            if is_archived(item.symbol) and item.symbol.partition(ARCHIVE_MARK)[0] == symbol and item.until
        ]
        return max(ends, default=None)


def close_history(
    outcome: Outcome, before: Book, facts: Facts, previous: Mapping[str, tuple[str, date]] = MappingProxyType({})
) -> None:
    """Open and close the times in which symbols were tracked, as their rows say."""
    book = outcome.book
    moved = {move.symbol: move.cut for move in outcome.moves}
    for symbol, row in book.rows.items():
        if is_archived(symbol):
            continue
        mine = [item for item in book.history if item.symbol == symbol]
        still = [item for item in mine if item.until is None]
        known = before.rows.get(symbol)
        since = moved.get(symbol, facts.today)
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
                replace(item, **_closed(item, row.retired_on, row.reason, row.note)) if item in still else item
                for item in book.history
            ]


def _closed(item: Interval, day: date, reason: SymbolReason | None, note: str) -> dict[str, Any]:
    """What changes when an interval that is open ends on `day`; nothing for one that has ended."""
    if item.until is not None:
        return {}
    return {"until": max(day, item.since), "reason": reason, "note": note}
