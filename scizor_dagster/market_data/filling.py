"""Filling what is missing: ask, compare with what is stored, judge, and write, batch after batch.

What belongs here: the one operation that a daily run, a history and a resumed backfill are. What does not:
which ranges these have (`session_bars`, `history`), what is missing (`missing`), how it is asked (`spans`).

Each batch of symbols is written whole, in one transaction, as soon as it has been answered: a run that is
killed keeps what it has written, and the next one asks only for the rest. A source that counts its calls is
asked several batches at a time, because what limits it is the rate of questions and not the wait for answers.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.answers import (
    Answer,
    asked_ranges,
    day_ranges,
    rows_before,
    rows_outside,
    rows_within,
)
from scizor_dagster.market_data.bar_store import (
    Origin,
    Stored,
    check_same_basis,
    insert_missing,
    replace_quarantined,
    store_bars,
    stored_bars,
)
from scizor_dagster.market_data.failed_questions import note_failed
from scizor_dagster.market_data.fallback import source_names, unheard
from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.missing import Wanted, missing, note_absent, recent_from, stored_beside
from scizor_dagster.market_data.moved_dates import moved_series, refuse_moved
from scizor_dagster.market_data.observed_dividends import store_dividends
from scizor_dagster.market_data.overlap import Overlap, compare
from scizor_dagster.market_data.plausibility import LOOK_BACK_DAYS
from scizor_dagster.market_data.provider import Metered, Refusing, SymbolFailure
from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.market_data.refetch import (
    Source,
    context_of,
    hold_back,
    refetch_restated,
    restated_bars,
    store_anew,
    store_in_place,
)
from scizor_dagster.market_data.remembered import forget
from scizor_dagster.market_data.reports import FailedSymbol, Progress, RestatedBar, SuspectedSplit
from scizor_dagster.market_data.source_order import Parted, on_another_basis, part_by_source
from scizor_dagster.market_data.spans import Batch, batches, beside
from scizor_dagster.market_data.symbol_failures import failed_symbols, require_any_answer
from scizor_dagster.market_data.unsettled import due, note_gone, unsettled_bars, withdraw, without

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("scizor.market_data")
BATCHES_UNDER_WAY = 4
SYMBOLS_PER_WRITE, ROWS_PER_WRITE = 100, 20_000
"""A transaction costs as much as thousands of rows: answers are written together from either number on."""
CONTEXT = timedelta(days=LOOK_BACK_DAYS)
Monotonic = Callable[[], float]


@dataclass(frozen=True)
class Task:
    """One collection.

    Attributes:
        sessions: Every session that may be asked for: since the market's first, up to the last closed one.
        replacing: Whether an answer replaces a stored bar that differs, and not only fills gaps.
    """

    lake: Lake
    source: Source
    origin: Origin
    wanted: Wanted
    sessions: tuple[date, ...]
    replacing: bool = False
    progress: Progress | None = None
    monotonic: Monotonic = time.monotonic


@dataclass
class Filled:
    """What a collection has done so far.

    Attributes:
        missing: What was to be asked for, as `missing.missing` gives it.
        inserted: Bars of which there was none before.
        changed: Stored bars of which their source says other values now.
        preferred: Stored bars of a later source in whose place the preferred one's are now.
        rewritten: How many stored bars were changed or made way, by session.
        early: Stored bars of which the source is asked again, because their session's prices were not final.
        refused: Symbols whose bars the source does not show, with its words.
        failed: Symbols of which the source said nothing, though it answered for others.
        calls: Requests to a source that counts them; None where it does not.
    """

    missing: pd.DataFrame
    early: pd.DataFrame
    inserted: int = 0
    changed: int = 0
    quarantined: dict[int, int] = field(default_factory=dict)
    suspected: list[SuspectedSplit] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    restatements: list[RestatedBar] = field(default_factory=list)
    compared: int = 0
    preferred: int = 0
    rewritten: Counter[date] = field(default_factory=Counter)
    faults: list[FeedFault] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, SymbolFailure] = field(default_factory=dict)
    calls: int | None = None

    @property
    def rows_quarantined(self) -> int:
        return sum(self.quarantined.values())

    @property
    def failures(self) -> tuple[FailedSymbol, ...]:
        return tuple(FailedSymbol(name, item.reason, item.words) for name, item in sorted(self.failed.items()))


def fill(task: Task) -> Filled:
    """Ask for what is missing and store it.

    Raises:
        DataError: the lake holds bars of this market on another basis (adjustment, synthetic).
        ScizorError: the source failed, or every symbol's question. What was answered before and beside the failure
            is stored.
    """
    with task.lake.read() as cursor:
        check_same_basis(cursor, task.origin)
        wanted = task.wanted
        early = unsettled_bars(cursor, task.origin.market, wanted.symbols, wanted.sessions, wanted.settled_at)
        found = missing(cursor, task.origin, wanted, due(cursor, task.origin, early, wanted.recent))
        asked = _by_symbol(cursor, task, found)
    filled = Filled(found, early)
    provider = task.source.provider
    before = provider.calls_made if isinstance(provider, Metered) else 0
    pace = _Pace(task, len(asked))
    for part in _gathered(_answers(task.source, batches(asked, task.sessions, provider))):
        _store(task, part, filled)
        filled.calls = provider.calls_made - before if isinstance(provider, Metered) else None
        pace.tell(sum(len(batch.symbols) for batch, _answer in part), filled)
    for failure in filled.failures:
        LOG.warning("%s: no bars of %s (%s): %s", provider.name, failure.symbol, failure.reason, failure.words)
    require_any_answer(provider.name, task.source.symbols, filled.failed)
    return filled


def _by_symbol(cursor: duckdb.DuckDBPyConnection, task: Task, found: pd.DataFrame) -> pd.DataFrame:
    """One row for each symbol that is asked for: symbol, first, last, older, newer."""
    asked = found[found["asked"] > 0]
    named = {"first": ("first", "min"), "last": ("last", "max")}
    stored = {"stored_first": ("stored_first", "min"), "stored_last": ("stored_last", "max")}
    rows = asked.groupby("symbol", sort=True).agg(**named, **stored).reset_index()
    earlier, later = (
        rows["symbol"].isin(stored_beside(cursor, task.origin.market, rows["symbol"].tolist(), days))
        for days in beside(task.sessions, task.wanted.sessions)
    )
    older = (rows["stored_first"] < rows["first"]) | earlier
    return rows.assign(older=older, newer=(rows["stored_last"] > rows["last"]) | later)


def _gathered(answers: Iterator[Answer]) -> Iterator[list[Answer]]:
    """Answers that are written together; before a failure is raised, those that came before it."""
    part: list[Answer] = []
    try:
        for answer in answers:
            part.append(answer)
            symbols = sum(len(batch.symbols) for batch, _ in part)
            if symbols >= SYMBOLS_PER_WRITE or sum(len(checked.good) for _, checked in part) >= ROWS_PER_WRITE:
                yield part
                part = []
    except Exception:
        if part:
            yield part
        raise
    if part:
        yield part


def _answers(source: Source, questions: Sequence[Batch]) -> Iterator[Answer]:
    """Answers as they arrive. After a failure nothing more is asked; what is under way is still taken."""
    if not isinstance(source.provider, Metered):
        for batch in questions:
            yield batch, source.fetch(batch.symbols, batch.begin, batch.end)
        return
    waiting = list(reversed(questions))
    under_way: dict[Future[CheckedBars], Batch] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(BATCHES_UNDER_WAY, thread_name_prefix="bars") as pool:
        while under_way or (waiting and failure is None):
            while waiting and failure is None and len(under_way) < BATCHES_UNDER_WAY:
                batch = waiting.pop()
                under_way[pool.submit(source.fetch, batch.symbols, batch.begin, batch.end)] = batch
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                batch = under_way.pop(future)
                problem = future.exception()
                failure = failure or problem
                if problem is None:
                    yield batch, future.result()
    if failure is not None:
        raise failure


def _store(task: Task, part: Sequence[Answer], filled: Filled) -> None:
    """Compare, judge and write some answers: everything of them in one transaction."""
    lake, source, origin = task.lake, task.source, task.origin
    symbols, kept, answer = _joined(part)
    if isinstance(source.provider, Refusing):
        refused = source.provider.refused
        filled.refused |= {symbol: refused[symbol] for symbol in symbols if symbol in refused}
    failed = failed_symbols(source.provider, symbols)
    filled.failed |= failed
    begin, end = min(batch.begin for batch, _ in part), max(batch.end for batch, _ in part)
    with lake.read() as cursor:
        stored = stored_bars(cursor, origin.market, symbols, begin - CONTEXT, end + CONTEXT)
    early = filled.early[filled.early["symbol"].isin(symbols)]
    # What is to be replaced is no witness of itself.
    replaced = (task.wanted.since, task.wanted.sessions[-1]) if task.replacing else None
    parted, overlap = _compared(task, stored, early, answer, replaced)
    anew = refetch_restated(lake, origin.market, source, overlap.restated, task.sessions[0], task.sessions[-1])
    witnesses = without(stored.drop(index=parted.displaced.index), early)
    context = rows_outside(context_of(witnesses, anew, overlap), replaced)
    judged = source.judge.part(hold_back(parted.answer, anew.held, overlap.restated), context)
    restated, restatements = restated_bars(overlap, judged)
    preferred = judged.good[judged.good.index.isin(parted.preferred.index) & ~judged.good["symbol"].isin(anew.replaced)]
    good, quarantined = rows_within(judged.good, kept), rows_within(judged.quarantined, kept)
    with lake.write() as cursor:
        written = [store_anew(cursor, anew, origin)]
        store_in_place(cursor, restated, origin, "restated_bar")
        early = without(early[~early["symbol"].isin(anew.replaced)], preferred)
        preferred = rows_outside(preferred, replaced)
        store_in_place(cursor, preferred, origin, "preferred_source")
        written += [Stored(0, restated, preferred), withdraw(cursor, origin, stored, early, good)]
        older = rows_outside(good, replaced)
        written.append(store_bars(cursor, good.drop(index=older.index), origin))
        written.append(Stored(insert_missing(cursor, older, origin), older.iloc[:0], older.iloc[:0]))
        store_dividends(cursor, origin.market, origin.source, judged.dividends, origin.fetched_at)
        answered = kept[~kept["symbol"].isin(list(failed))]
        replace_quarantined(cursor, quarantined, day_ranges(answered, quarantined), origin)
        note_failed(cursor, origin, kept, failed)
        _remember(cursor, task, part, stored, without(rows_within(early, kept), good), filled)
    _count(filled, written, quarantined)
    filled.suspected += anew.suspected
    filled.differing += overlap.differing
    filled.restatements += restatements
    filled.compared += overlap.compared
    filled.faults += judged.faults


def _compared(
    task: Task, stored: pd.DataFrame, early: pd.DataFrame, answer: CheckedBars, replaced: tuple[date, date] | None
) -> tuple[Parted, Overlap]:
    """What the answer says otherwise than the stored bars outside of the days `replaced`, each source for itself.

    What was fetched too early, `early`, was never final: that it is otherwise now is no restatement.
    """
    source = task.source
    parted = part_by_source(stored, answer, source_names(source.provider))
    before = rows_outside(without(parted.same, early), replaced)
    overlap = compare(before, parted.answer.good)
    misdated = moved_series(without(parted.same, early), parted.answer.good, {*overlap.restated, *overlap.differing})
    if misdated:
        left = parted.preferred[~parted.preferred["symbol"].isin(list(misdated))]
        parted = replace(parted, answer=refuse_moved(parted.answer, misdated, task.origin), preferred=left)
        overlap = compare(before, parted.answer.good)
    moved = on_another_basis(parted, source.judge.quality.max_source_difference)
    left = overlap.corrected[~overlap.corrected["symbol"].isin(list(moved))]
    differing = tuple(symbol for symbol in overlap.differing if symbol not in moved)
    return parted, replace(overlap, restated=overlap.restated | moved, corrected=left, differing=differing)


def _remember(
    cursor: duckdb.DuckDBPyConnection,
    task: Task,
    part: Sequence[Answer],
    stored: pd.DataFrame,
    gone: pd.DataFrame,
    filled: Filled,
) -> None:
    """Keep what the source has answered that it has not: for good, where it limits how often it is asked."""
    silent = {*filled.refused, *filled.failed, *unheard(task.source.provider)}
    asked = asked_ranges(part, task.wanted.sessions, stored)
    asked = asked[~asked["symbol"].isin(list(silent))]
    forget(cursor, task.origin, asked, task.sessions)
    lacking = asked[asked["lacking"]]
    # Settled first: the other rows leave out what those cover.
    if isinstance(task.source.provider, Metered):
        recent = task.wanted.recent or recent_from(task.sessions)
        note_gone(cursor, task.origin, rows_before(gone[gone["symbol"].isin(asked["symbol"])], recent))
        settled = [day for day in task.wanted.sessions if day < recent]
        note_absent(cursor, task.origin, lacking, settled, settled=True)
    note_absent(cursor, task.origin, lacking, task.wanted.sessions, settled=False)


def _joined(part: Sequence[Answer]) -> tuple[list[str], pd.DataFrame, CheckedBars]:
    """The symbols, the kept days and the rows of several answers; no symbol is in two of them."""
    import pandas as pd

    if len(part) == 1:
        batch, answer = part[0]
        return list(batch.symbols), batch.kept, answer
    symbols = [symbol for batch, _ in part for symbol in batch.symbols]
    kept = pd.concat([batch.kept for batch, _ in part], ignore_index=True)
    good, quarantined = ([frame for frame in frames if len(frame)] for frames in zip(*_frames(part), strict=True))
    first = part[0][1]
    rows = CheckedBars(
        pd.concat(good, ignore_index=True) if good else first.good,
        pd.concat(quarantined, ignore_index=True) if quarantined else first.quarantined,
        sum(answer.collapsed for _, answer in part),
        tuple(fault for _, answer in part for fault in answer.faults),
    )
    return symbols, kept, rows


def _frames(part: Sequence[Answer]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    for _batch, answer in part:
        yield answer.good, answer.quarantined


def _count(filled: Filled, written: Sequence[Stored], quarantined: pd.DataFrame) -> None:
    for done in written:
        filled.inserted += done.inserted
        filled.changed += len(done.changed)
        filled.preferred += len(done.preferred)
        for keys in (done.changed, done.preferred):
            filled.rewritten.update(keys["session"].dt.date)
    for year, rows in quarantined["session"].dt.year.value_counts().items():
        filled.quarantined[int(year)] = filled.quarantined.get(int(year), 0) + int(rows)


class _Pace:
    """Tells how far a collection is, and when it may end."""

    def __init__(self, task: Task, symbols: int) -> None:
        self._task, self._symbols, self._done = task, symbols, 0
        self._start = task.monotonic()

    def tell(self, symbols: int, filled: Filled) -> None:
        self._done += symbols
        if self._task.progress is None:
            return
        left = (self._task.monotonic() - self._start) / self._done * (self._symbols - self._done)
        calls = "" if filled.calls is None else f", {filled.calls:,} calls"
        end = f", about {left:,.0f} s left" if self._done < self._symbols else ""
        self._task.progress(self._done, self._symbols, f"{filled.inserted:,} bars{calls}{end}")
