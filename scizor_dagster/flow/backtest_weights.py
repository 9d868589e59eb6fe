"""Where the weights of a backtest come from: files through the live intake, the lake, and their combination.

What belongs here: one source for a request, the symbols that it needs prices of, and its schedule once they are there.
What does not: the rules of intake and combination (`signals`), which are those of a live session, and dates to rows
(`backtest.schedules`).

What only a person can judge is not asked here: the guards that hold unusual weights of a session (`signals.guards`)
hold nothing in a backtest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from scizor_dagster.backtest.histories import few
from scizor_dagster.backtest.model import ActionKind, History, Schedule
from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.config import SignalChoice
from scizor_dagster.errors import InputError, ScizorError, SignalRefused
from scizor_dagster.flow.backtest_headers import usual_columns
from scizor_dagster.flow.backtest_prices import EVERY_DAY, PriceSource
from scizor_dagster.flow.backtest_stored import stored_rows, stored_targets
from scizor_dagster.flow.backtest_strategies import Computed, combines, computed_member, computed_of, limits_for
from scizor_dagster.flow.backtest_targets import LEFT, Part, Rules, Targets, by_id, matrix_of
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.guards import owner_of
from scizor_dagster.flow.strategies import records_of, registry_of
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.consolidation import StrategyRows, consolidate
from scizor_dagster.signals.dating import WeightsDated, chosen_session
from scizor_dagster.signals.identity import KnownMarket
from scizor_dagster.signals.intake import AcceptedSignals, take_in
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap, read_identifier_map
from scizor_dagster.signals.readers import WeightFileMissing
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import NOBODY
from scizor_dagster.signals.targets import TargetStatus
from scizor_dagster.strategies.deciding import Tell, nobody

FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx", ".json": "json"}
FILE = "file"
"""The name of the strategy that a bare weight file is of."""
_MOST_WARNINGS = 5
_REMEDIES = {
    "missing_column": "Name its columns trade_date, asset_id and target_weight (date, symbol and weight do too), or "
    "give a column for each asset beside the dates.",
    "unknown_id": "Add it to the universe and collect it, or set it aside with --unknown-ids quarantine.",
    "wrong_owner": "Keep the rows of one strategy, and take that column out.",
}
"""What helps of a file that no strategy of the manifest describes."""


@dataclass(frozen=True)
class WeightSource:
    """Weights before there are prices.

    Attributes:
        text: Where they come from, for a person.
        symbols: Tickers that prices are needed of; None for whatever there is.
        first: First session that they trade in, as far as they know it.
        schedule: The schedule in a history, of sessions from the first date to the second; the last argument is told
            how far it is.
    """

    text: str
    symbols: frozenset[str] | None
    first: date | None
    schedule: Callable[[History, date | None, date | None, Tell], Schedule]


def weight_source(desk: Desk, request: BacktestRequest, rules: Rules, prices: PriceSource) -> WeightSource:
    """The source that a request names.

    Args:
        desk: Its configuration and manifest, and its lake where stored weights are asked for.
        request: Names a file, a strategy or a portfolio.
        rules: By which files are taken in.
        prices: For the calendar, and the market with its instruments.

    Raises:
        SignalRefused: a file, whole.
        DataError: of what is stored, there is nothing.
        ConfigError: there is no such strategy or portfolio.
    """
    if request.stored:
        return _of_lake(*(stored_targets if request.strategy is None else stored_rows)(desk, request, rules))
    if not combines(desk, request):
        computed = computed_of(desk, request)
        if computed is not None:
            computed = replace(computed, limits=limits_for(desk, request, rules.weights, rules.fractional))
            return WeightSource(computed.text, None, None, computed.schedule)
    choice, entries = _entries(desk, request)
    owner = owner_of(desk, request.portfolio) if request.portfolio is not None else NOBODY
    path = Path(request.weights).absolute() if request.weights is not None else None
    of_code = {} if path is not None else {one.id: computed_member(desk, request, one, rules) for one in entries}
    made = {name: found for name, found in of_code.items() if found is not None}
    delivered = [one for one in entries if one.id not in made]
    with _told_whole():
        read = [take_in(one, prices.calendar, rules.weights, rules.fractional, path, owner) for one in delivered]
    taken = [Part(one, accepted, read_identifier_map(one)) for one, accepted in zip(delivered, read, strict=True)]
    market = KnownMarket(prices.market or "", prices.instruments)
    work = _Weights(tuple(taken), choice, rules, prices.calendar, market, request.delay, made, tuple(entries))
    names = ", ".join(f"{part.accepted.path} ({part.accepted.file_hash[:12]})" for part in taken)
    files = [f"{'files' if len(taken) > 1 else 'file'} {names}"] if taken else []
    return WeightSource(
        text="; ".join([*files, *(one.text for one in made.values())]),
        symbols=None if made else work.symbols(),
        first=None if made else max(part.accepted.sessions[0] for part in taken),
        schedule=work.schedule,
    )


@contextmanager
def _told_whole() -> Iterator[None]:
    """Of a bare file no other command knows the rules: what is wrong with it is said here, and not where to look."""
    try:
        yield
    except SignalRefused as error:
        if error.strategy != FILE:
            raise
        if isinstance(error, WeightFileMissing):
            problem = error.problem.removeprefix(f"Strategy '{FILE}': ")
            raise InputError(
                problem[:1].upper() + problem[1:], remedy="Create it, or correct the path.", where=error.path
            ) from error
        if not error.violations:
            raise
        told = "; ".join(map(str, error.violations[:_MOST_WARNINGS]))
        rest = len(error.violations) - _MOST_WARNINGS
        told_of: list[Any] = list(error.violations)
        first = next((item for item in told_of if item.rule in _REMEDIES), told_of[0])
        ScizorError.__init__(
            error,
            f"The weight file was refused: {told}" + (f"; and {rest} more" if rest > 0 else ""),
            remedy=f"{_REMEDIES.get(first.rule, first.remedy)} Nothing was run.",
            where=error.path,
        )
        raise


def _entries(desk: Desk, request: BacktestRequest) -> tuple[SignalChoice, list[StrategyEntry]]:
    """How strategies are combined, and their entries."""
    if request.strategy is not None:
        entries = [_entry_named(desk, request.strategy)]
    elif request.weights is not None:
        entries = [_entry_of(request)]
    else:
        assert request.portfolio is not None
        choice = desk.portfolio(request.portfolio).signals
        return choice, [desk.manifest.strategy(name) for name in choice.ids]
    ages: dict[str, Any] = {}
    if request.portfolio is not None:
        live = desk.portfolio(request.portfolio).signals
        ages = {"as_of": live.as_of, "max_age_sessions": live.max_age_sessions, "overlays": live.overlays}
    return SignalChoice(mode="select", strategy=entries[0].id, **ages), entries


def _entry_named(desk: Desk, name: str) -> StrategyEntry:
    """The manifest's, else one of a strategy in Python that goes by its own name."""
    known = {entry.id: entry for entry in desk.manifest.strategies}
    if name in known or not (name in records_of(desk) or name in registry_of(desk).names()):
        return desk.manifest.strategy(name)
    return StrategyEntry.model_validate({"id": name, "function": name})


def _entry_of(request: BacktestRequest) -> StrategyEntry:
    assert request.weights is not None
    path = Path(request.weights).absolute()
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise InputError(
            f"'{path.suffix}' is no format of weight files.",
            remedy=f"Use one of {', '.join(FORMATS)}, or describe the file in the strategy manifest.",
            where=request.weights,
        )
    lenient = {"on_unknown_id": "quarantine", "max_quarantined_weight": 1.0} if request.unknown_ids != "refuse" else {}
    return StrategyEntry.model_validate(
        {
            "id": FILE,
            "path": str(path),
            "format": known,
            "weights_dated": request.dated,
            "unallocated": "cash",
            "column_mapping": usual_columns(path, known),
            **lenient,
        }
    )


@dataclass(frozen=True)
class _Weights:
    """Accepted files and strategies in Python, and how they become targets.

    Attributes:
        parts: The files.
        made: Strategies in Python by the id of their entry.
        entries: All of them.
    """

    parts: tuple[Part, ...]
    choice: SignalChoice
    rules: Rules
    calendar: TradingCalendar
    market: KnownMarket
    delay: int
    made: Mapping[str, Computed]
    entries: tuple[StrategyEntry, ...]

    def symbols(self) -> frozenset[str]:
        """Every ticker that one of the ids may mean, as the universe writes it."""
        found: set[str] = set()
        for part in self.parts:
            columns = ["asset_id", "weights_date"] if part.identifiers.is_dated else ["asset_id"]
            rows = part.accepted.frame.drop_duplicates(columns)
            for asset_id, day in zip(rows["asset_id"], rows["weights_date"], strict=True):
                for name in part.identifiers.resolve(str(asset_id), day):
                    found.update(self.market.spelled(name))
        return frozenset(name for name in found if self.market.has(name))

    def schedule(self, history: History, first: date | None, last: date | None, tell: Tell = nobody) -> Schedule:
        notes = [note for part in self.parts for note in _warnings(part.accepted)]
        notes += [note for one in self.made.values() for note in one.unknown(history)]
        with _told_whole():
            found = by_id(self.parts[0], self.market, self.rules) if self._is_plain else None
        dated: WeightsDated = "trade_session"
        if found is None:
            found = self._session_by_session(self._all(history, first, last, tell), history, (first, last), tell)
        else:
            dated = self.parts[0].entry.weights_dated
        found = found._replace(notes=[*notes, *found.notes])
        return found.schedule(history, dated, first=first, last=last, delay=self.delay)

    def _all(self, history: History, first: date | None, last: date | None, tell: Tell) -> list[Part]:
        """Files, and what the strategies in Python decide, in the order of the configuration."""
        known = {part.entry.id: part for part in self.parts}
        return [
            known[one.id] if one.id in known else self.made[one.id].part(one, history, first, last, tell)
            for one in self.entries
        ]

    @property
    def _is_plain(self) -> bool:
        """Whether every id means the same at all times, so that all sessions are settled at once."""
        if self.made or len(self.parts) > 1 or self.choice.overlays or self.choice.as_of != "exact":
            return False
        part = self.parts[0]
        return not (
            part.identifiers.is_dated
            or part.identifiers.waits_for_prices
            or part.entry.on_retired_asset == "refuse"
            or self.choice.mode != "select"
        )

    def _session_by_session(
        self, parts: Sequence[Part], history: History, span: tuple[date | None, date | None], tell: Tell
    ) -> Targets:
        """Targets of each session as `flow.signals` makes them, one session after the other."""
        known, total = _AsOf(history, self.market), len(history.sessions)
        trades = [self._trades_in(history, part.accepted) for part in parts]
        rows_of = [
            dict(list(part.accepted.frame.groupby(part.accepted.frame["session"].map(days), sort=False)))
            for part, days in zip(parts, trades, strict=True)
        ]
        due = [sorted({*rows, *part.undecided}) for rows, part in zip(rows_of, parts, strict=True)]
        made: dict[date, dict[str, float]] = {}
        left: dict[date, set[str]] = {}
        unplaced: dict[date, list[float]] = {}
        aside: Counter[str] = Counter()
        unserved: list[str] = []
        for row, session in enumerate(history.sessions):
            tell(row + 1, total)
            if row == 0 or session < (span[0] or date.min) or session > (span[1] or date.max):
                continue
            chosen = [self._chosen(days, session) for days in due]
            served = [day for day, rows in zip(chosen, rows_of, strict=True) if isinstance(day, date) and day in rows]
            if len(served) < len(chosen):
                unserved += [str(session)] if served else []
                continue
            strategies = [
                StrategyRows(part.entry, part.identifiers, rows[day].reset_index(drop=True), part.accepted)
                for part, rows, day in zip(parts, rows_of, served, strict=True)
            ]
            targets = consolidate(
                strategies,
                self.choice,
                known.at(row, (part.identifiers for part in parts)),
                weights=self.rules.weights,
                fractional=self.rules.fractional,
            )
            aside.update(f"{'/'.join(target.asset_ids)}: {target.note}" for target in targets.set_aside)
            made[session] = {
                target.symbol: float(target.target_weight)
                for target in targets.rows
                if target.status is TargetStatus.OK
            }
            left[session] = {name for target in targets.set_aside for name in (target.symbol, *target.candidates)}
            unplaced[session] = [float(target.target_weight) for target in targets.set_aside]
        notes = [f"Set aside in {count} sessions, {LEFT}: {name}." for name, count in sorted(aside.items())]
        if unserved:
            notes.append(
                f"In {len(unserved)} sessions not every strategy has weights, and none trades: {few(unserved)}."
            )
        later = self.delay - 1 if all(part.entry.weights_dated == "signal_close" for part in parts) else 0
        return matrix_of(made, self.rules, left, unplaced, notes).moved(history.sessions, later)

    def _trades_in(self, history: History, accepted: AcceptedSignals) -> dict[date, date]:
        """The session of the history by that of the file: where no calendar knows days off, its dates do.

        Raises:
            InputError: two dates of the file belong to one session.
        """
        if self.calendar.code != EVERY_DAY:
            return {day: day for day in accepted.sessions}
        known, owners, found = history.sessions, dict[date, date](), dict[date, date]()
        for day in accepted.sessions:
            at = bisect_left(known, day)
            # What is older than the prices may still be followed on, each by its own date.
            found[day] = session = day if day < known[0] or at == len(known) else known[at]
            if owners.setdefault(session, day) != day:
                raise InputError(
                    f"The weights that trade from {owners[session]} and {day} on belong to one session, {session}.",
                    remedy="Keep one of the two dates, or name the exchange with --calendar.",
                    where=str(accepted.path),
                )
        return found

    def _chosen(self, sessions: Sequence[date], session: date) -> date | Violation:
        return chosen_session(sessions, session, self.choice.as_of, self.choice.max_age_sessions, self.calendar)


@dataclass(frozen=True)
class _AsOf:
    """What was known of the market before a session."""

    history: History
    market: KnownMarket

    def at(self, row: int, tables: Iterable[IdentifierMap]) -> KnownMarket:
        names = [item.symbol for item in self.history.instruments]
        gone = {
            names[action.column]: f"is not traded any more on {self.history.sessions[row - 1]}"
            for action in self.history.actions
            if action.kind is ActionKind.DELISTING and action.row < row
        }
        priced: frozenset[str] | None = None
        if any(table.waits_for_prices for table in tables):
            known = ~np.isnan(self.history.close[row - 1])
            priced = frozenset(names[at] for at in np.flatnonzero(known))
        return replace(self.market, retired=gone, priced=priced)


def _warnings(accepted: AcceptedSignals) -> list[str]:
    """What intake says of a file that it accepted."""
    said = [str(item) for item in accepted.warnings[:_MOST_WARNINGS]]
    rest = len(accepted.warnings) - len(said)
    return [*said, *([f"{rest} more warnings: scizor signals check {accepted.path}."] if rest > 0 else [])]


def _of_lake(text: str, found: Targets) -> WeightSource:
    def schedule(history: History, first: date | None, last: date | None, _tell: Tell = nobody) -> Schedule:
        return found.schedule(history, "trade_session", first=first, last=last)

    return WeightSource(text, frozenset(found.symbols), found.days[0], schedule)
