"""The weights of a backtest that a strategy in Python makes: the same call as in a live session, close after close.

What belongs here: which strategy a request names, its schedule, and the check that it knows nothing of the future. What
does not: weights of files (`backtest_weights`), and the strategies themselves (`strategies`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.backtest.histories import few
from scizor_dagster.backtest.lookahead import Finding, check_lookahead
from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.config import SUM_TOLERANCE, FractionalShares, WeightRules
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.flow.backtest_prices import price_source
from scizor_dagster.flow.backtest_targets import Part, Rules
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.strategies import strategy_named, strategy_of
from scizor_dagster.signals.intake import FRAME_COLUMNS, AcceptedSignals
from scizor_dagster.signals.mapping import read_identifier_map
from scizor_dagster.signals.report import SignalReport
from scizor_dagster.signals.rules import LAST_BIT, ROUNDING, Limits, limits_of
from scizor_dagster.strategies.deciding import Decisions, Tell, decisions_of, nobody, schedule_of
from scizor_dagster.strategies.prices import LISTED_WITHIN, AsOf
from scizor_dagster.strategies.rebalancing import rebalance_rows

if TYPE_CHECKING:
    from scizor_dagster.signals.manifest import StrategyEntry
    from scizor_dagster.strategies.definition import Strategy


_EVERYTHING = 100_000
"""More sessions than any market has had."""


@dataclass(frozen=True)
class Computed:
    """A strategy in Python as a request runs it.

    Attributes:
        limits: What signal intake takes of a file; None takes everything.
        follows: Sessions that weights are followed on for where the strategy does not decide anew; None for not at all.
    """

    desk: Desk
    request: BacktestRequest
    strategy: Strategy
    follows: int | None
    limits: Limits | None = None

    @property
    def text(self) -> str:
        definition = self.strategy.definition
        return f"strategy {definition.name} ({definition.origin}), version {self.strategy.version[:12]}"

    def schedule(self, history: History, first: date | None, last: date | None, tell: Tell = nobody) -> Schedule:
        """What it decides, in the rows and columns of `history`; it looks back as far as prices are there."""
        seen, decided = self._decided(history, first, last, tell)
        made = schedule_of(self.strategy, decided)
        if self.follows is not None:
            made = _followed(made, decided.undecided, len(seen.sessions), self.follows)
        rows = {session: row for row, session in enumerate(history.sessions)}
        columns = {item.symbol: column for column, item in enumerate(seen.instruments)}
        kept = [place for place, row in enumerate(made.rows) if _trades(seen.sessions[row], rows, first)]
        known = [columns.get(item.symbol, -1) for item in history.instruments]
        # An instrument without a price of its own time was not listed: nobody has a weight of it.
        weights = np.where(np.array(known) >= 0, made.weights[kept][:, known], 0.0)
        if not kept:
            raise self.undecided()
        return Schedule(
            np.array([rows[seen.sessions[made.rows[place]]] for place in kept]),
            weights,
            (*made.notes, *self.unknown(seen)),
        )

    def part(
        self, entry: StrategyEntry, history: History, first: date | None, last: date | None, tell: Tell = nobody
    ) -> Part:
        """What it decides, as the files that a live session would write: a row for each symbol, of all sessions."""
        seen, made = self._decided(history, first, last, tell)
        due = frozenset(seen.sessions[row] for row in made.undecided)
        return Part(entry, _as_file(entry, self.strategy, seen, made), read_identifier_map(entry), due)

    def check(self) -> list[Finding]:
        """Whether it knows the future in the sessions of the request; see `backtest.lookahead`.

        Raises:
            InputError: it decides for none of them.
        """
        first, last = self.request.first, self.request.last
        # What is after the last session is the future that its decisions must not know.
        whole = price_source(self.desk, self.request.model_copy(update={"last": None}))
        history = whole.history(None, first, self._lead)
        due = (history.sessions[row] for row in rebalance_rows(history.sessions, self.strategy.rebalance))
        if not any((first or date.min) <= day <= (last or date.max) for day in due):
            raise self.undecided()
        return check_lookahead(history, self.strategy, first=first, last=last)

    @property
    def _lead(self) -> int:
        """Sessions before the first one that it looks back at."""
        window = self.strategy.window
        return _EVERYTHING if window is None else window + LISTED_WITHIN + (self.follows or 0)

    def undecided(self) -> InputError:
        return InputError(
            f"Strategy '{self.strategy.name}' decides {self.strategy.rebalance}, and for no session of this time.",
            remedy="Choose a longer time, or another --rebalance.",
            where="--from, --to",
        )

    def _decided(
        self, history: History, first: date | None, last: date | None, tell: Tell
    ) -> tuple[History, Decisions]:
        """The prices that it is shown, and what it decides on them; from a session on whose weights are followed yet.

        Raises:
            DataError: it fails, or intake would refuse what it answers.
        """
        seen = self._seen(history)
        begins = first
        if first is not None and self.follows is not None:
            rows = rebalance_rows(seen.sessions, self.strategy.rebalance)
            before = [row for row in rows if seen.sessions[row] <= first]
            begins = seen.sessions[before[-1]] if before else first
        made = decisions_of(self.strategy, seen, first=begins, last=last, delay=self.request.delay, tell=tell)
        if self.limits is not None:
            refuse_untaken(self.strategy, Schedule(made.rows, made.weights), seen, self.limits)
        return seen, made

    def unknown(self, history: History) -> tuple[str, ...]:
        """A sentence on symbols of its parameters that have no prices."""
        unknown = sorted(self.strategy.symbols - {item.symbol for item in history.instruments})
        return (f"No prices of {few(unknown)}, which the strategy names.",) if unknown else ()

    def _seen(self, history: History) -> History:
        if self.request.first is None:
            return history
        return price_source(self.desk, self.request).history(None, self.request.first, self._lead)


def _trades(session: date, rows: Collection[date], first: date | None) -> bool:
    return session in rows and (first is None or session >= first)


def _as_file(entry: StrategyEntry, strategy: Strategy, history: History, made: Decisions) -> AcceptedSignals:
    """Decisions as the accepted rows of a file."""
    import pandas as pd

    symbols = [item.symbol for item in history.instruments]
    order = sorted(range(len(symbols)), key=lambda column: symbols[column])
    listed = AsOf(history).listed
    rows = list[tuple[date, str, float, int]]()
    for row, weights in zip(made.rows.tolist(), made.weights, strict=True):
        # A file that names nothing says nothing: what is to be sold stands in it with 0.
        named = [at for at in order if weights[at]] or [at for at in order if listed[row, at]]
        session = history.sessions[row]
        rows += [(session, symbols[at], float(weights[at]), line) for line, at in enumerate(named, start=2)]
    frame = pd.DataFrame(rows, columns=["session", "asset_id", "weight", "line"])
    frame = frame.assign(weights_date=frame["session"], sheet=None, path=entry.path)[list(FRAME_COLUMNS)]
    days = sorted(set(frame["session"]))
    report = SignalReport(
        status="accepted",
        strategy=entry.id,
        path=entry.path,
        file_hash=strategy.version,
        rows=len(frame),
        dates=len(days),
        first_date=days[0] if days else None,
        last_date=days[-1] if days else None,
        weight_sum=None,
        violations=(),
        warnings=(),
    )
    return AcceptedSignals(entry.id, entry.path, strategy.version, frame, (), report)


def limits_for(desk: Desk, request: BacktestRequest, weights: WeightRules, fractional: FractionalShares) -> Limits:
    """What intake takes of the strategy of a request: of the entry that it is, or that its portfolio follows."""
    names = desk.portfolio(request.portfolio).signals.ids if request.portfolio is not None else ()
    wanted = request.strategy if request.strategy is not None else names[0]
    entry = next((entry for entry in desk.manifest.strategies if entry.id == wanted), None)
    return limits_of(entry, weights, fractional)


def refuse_untaken(strategy: Strategy, made: Schedule, history: History, limits: Limits) -> None:
    """Refuse the decisions whose file signal intake would refuse on the day.

    Raises:
        DataError: with the strategy, the first session of such weights, and for one weight its symbol.
    """
    sizes = np.abs(made.weights)
    sums = sizes.sum(axis=1)
    where = strategy.definition.where

    def day(place: int) -> date:
        return history.sessions[int(made.rows[place])]

    for marks, problem, remedy in (
        (
            (made.weights < 0) & (not limits.allow_short),
            "short positions are off",
            "Let the strategy answer no weight below zero, or set weights.allow_short in the rules.",
        ),
        (
            sizes > limits.max_weight + ROUNDING,
            f"one asset may have at most {limits.max_weight:g}",
            "Let the strategy answer less, or raise weights.max_weight in the rules.",
        ),
    ):
        for place, column in np.argwhere(marks)[:1].tolist():
            wanted = f"{made.weights[place, column]:.9g} of {history.instruments[column].symbol}"
            raise DataError(
                f"Strategy '{strategy.name}' wants {wanted} in session {day(place)}, and {problem}.",
                remedy=remedy,
                where=where,
            )
    for place in np.flatnonzero(sums > limits.max_total + SUM_TOLERANCE + LAST_BIT)[:1].tolist():
        raise DataError(
            f"The weights of strategy '{strategy.name}' for session {day(place)} sum to {sums[place]:.9g}; "
            f"at most {limits.max_total:g} (tolerance {SUM_TOLERANCE:g}) is allowed.",
            remedy="Let it answer shares of equity that sum to less: 0.05 is 5 %.",
            where=where,
        )


def computed_of(desk: Desk, request: BacktestRequest) -> Computed | None:
    """The one strategy in Python that a request names, by itself or through its portfolio; None where files are meant.

    Raises:
        ConfigError: its code, or a parameter, cannot be used.
        InputError: several strategies together, of which one is in Python; parameters of one that is none.
    """
    if request.weights is not None or request.stored:
        return None
    strategy = strategy_asked(desk, request)
    if strategy is None:
        if request.parameters or request.rebalance:
            raise InputError(
                "Parameters and rebalance are of a strategy in Python, and none is named.",
                remedy="Name one with --strategy, or leave them out.",
                where="--set, --rebalance",
            )
        return None
    return _computed(desk, request, strategy)


def computed_member(desk: Desk, request: BacktestRequest, entry: StrategyEntry, rules: Rules) -> Computed | None:
    """One of several strategies that are combined; None where it is a weight file.

    Raises:
        ConfigError: its code, or a parameter, cannot be used.
    """
    if entry.function is None:
        return None
    limits = limits_of(entry, rules.weights, rules.fractional)
    return replace(_computed(desk, request, _configured(desk, request, entry)), limits=limits)


def combines(desk: Desk, request: BacktestRequest) -> bool:
    """Whether the weights of a request are what its portfolio makes of those of its strategies, or of one of them.

    Raises:
        InputError: parameters or a rhythm are given, and nobody can say of which strategy.
    """
    if request.portfolio is None or request.weights is not None or request.stored:
        return False
    choice = desk.portfolio(request.portfolio).signals
    if request.strategy is not None:
        return bool(choice.overlays)
    found = bool(choice.overlays) or choice.mode != "select"
    if found and len(choice.ids) > 1 and (request.parameters or request.rebalance):
        raise InputError(
            f"Portfolio '{request.portfolio}' combines strategies, and parameters and rebalance are of one.",
            remedy="Name that one with --strategy, or leave them out.",
            where="--set, --rebalance",
        )
    return found


def _computed(desk: Desk, request: BacktestRequest, strategy: Strategy) -> Computed:
    follows = None
    if request.portfolio is not None:
        live = desk.portfolio(request.portfolio).signals
        follows = live.max_age_sessions if live.as_of == "latest" else None
    return Computed(desk, request, strategy, follows)


def strategy_asked(desk: Desk, request: BacktestRequest) -> Strategy | None:
    """The strategy in Python whose weights a backtest takes; None where they are delivered.

    Raises:
        InputError: the portfolio combines several.
        ConfigError: there is none of that name, its code cannot be loaded, or a parameter cannot be used.
    """
    entries = {entry.id: entry for entry in desk.manifest.strategies}
    if request.strategy is None:
        assert request.portfolio is not None
        choice = desk.portfolio(request.portfolio).signals
        followed = [entries[name] for name in choice.ids if name in entries]
        if not any(entry.function for entry in followed):
            return None
        if len(followed) > 1:
            raise InputError(
                f"Portfolio '{request.portfolio}' combines strategies, and one is looked at here.",
                remedy="Name one of them with --strategy.",
                where="--portfolio",
            )
        return _configured(desk, request, followed[0])
    entry = entries.get(request.strategy)
    if entry is None:
        return strategy_named(desk, request.strategy, request.parameters, request.rebalance)
    return _configured(desk, request, entry) if entry.function is not None else None


def _configured(desk: Desk, request: BacktestRequest, entry: StrategyEntry) -> Strategy:
    strategy = strategy_of(desk, entry)
    if request.parameters:
        strategy = strategy.with_parameters(request.parameters)
    return strategy.with_rebalance(request.rebalance) if request.rebalance else strategy


def _followed(made: Schedule, undecided: Sequence[int], sessions: int, most: int) -> Schedule:
    """The same weights in each session up to the next one that is due, as `as_of: latest` takes them, `most` long.

    Where the strategy decides nothing for a session, the portfolio has no weights until it decides again.
    """
    rows, places = list[int](), list[int]()
    due = sorted({*made.rows.tolist(), *undecided, sessions})
    for place, row in enumerate(made.rows.tolist()):
        end = due[bisect_right(due, row)]
        for later in range(row, min(end, row + most + 1)):
            rows.append(later)
            places.append(place)
    return replace(made, rows=np.array(rows, dtype=np.intp), weights=made.weights[places])
