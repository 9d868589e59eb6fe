"""The weights of a backtest that a strategy in Python makes: the same call as in a live session, close after close.

What belongs here: which strategy a request names, its schedule, and the check that it knows nothing of the future. What
does not: weights of files (`backtest_weights`), and the strategies themselves (`strategies`).
"""

from __future__ import annotations

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
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.strategies import strategy_named, strategy_of
from scizor_dagster.signals.rules import LAST_BIT, ROUNDING, Limits, limits_of
from scizor_dagster.strategies.deciding import strategy_schedule
from scizor_dagster.strategies.prices import LISTED_WITHIN

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

    def schedule(self, history: History, first: date | None, last: date | None) -> Schedule:
        """What it decides, in the rows and columns of `history`; it looks back as far as prices are there."""
        seen = self._seen(history)
        made = strategy_schedule(self.strategy, seen, first=first, last=last, delay=self.request.delay)
        if self.limits is not None:
            refuse_untaken(self.strategy, made, seen, self.limits)
        if self.follows is not None:
            made = _followed(made, len(seen.sessions), self.follows)
        rows = {session: row for row, session in enumerate(history.sessions)}
        columns = {item.symbol: column for column, item in enumerate(seen.instruments)}
        kept = [place for place, row in enumerate(made.rows) if seen.sessions[row] in rows]
        known = [columns.get(item.symbol, -1) for item in history.instruments]
        # An instrument without a price of its own time was not listed: nobody has a weight of it.
        weights = np.where(np.array(known) >= 0, made.weights[kept][:, known], 0.0)
        if not kept:
            raise InputError(
                f"Strategy '{self.strategy.name}' decides {self.strategy.rebalance}, and for no session of this time.",
                remedy="Choose a longer time, or another --rebalance.",
                where="--from, --to",
            )
        unknown = sorted(self.strategy.symbols - columns.keys())
        notes = (f"No prices of {few(unknown)}, which the strategy names.",) if unknown else ()
        return Schedule(
            np.array([rows[seen.sessions[made.rows[place]]] for place in kept]), weights, (*made.notes, *notes)
        )

    def check(self, history: History) -> list[Finding]:
        """Whether it knows the future; see `backtest.lookahead`."""
        return check_lookahead(self._seen(history), self.strategy)

    def _seen(self, history: History) -> History:
        request = self.request
        if request.first is None:
            return history
        source, window = price_source(self.desk, request), self.strategy.window
        lead = window + LISTED_WITHIN if window is not None else _EVERYTHING
        return source.history(None, request.first, lead)


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
    """The strategy in Python that a request names, by itself or through its portfolio; None where files are meant.

    Raises:
        ConfigError: its code, or a parameter, cannot be used.
        InputError: several strategies together, of which one is in Python; parameters of one that is none.
    """
    if request.weights is not None or request.stored:
        return None
    strategy, follows = _strategy(desk, request), None
    if strategy is None:
        if request.parameters or request.rebalance:
            raise InputError(
                "Parameters and rebalance are of a strategy in Python, and none is named.",
                remedy="Name one with --strategy, or leave them out.",
                where="--set, --rebalance",
            )
        return None
    if request.portfolio is not None:
        live = desk.portfolio(request.portfolio).signals
        follows = live.max_age_sessions if live.as_of == "latest" else None
    return Computed(desk, request, strategy, follows)


def _strategy(desk: Desk, request: BacktestRequest) -> Strategy | None:
    entries = {entry.id: entry for entry in desk.manifest.strategies}
    if request.strategy is None:
        assert request.portfolio is not None
        choice = desk.portfolio(request.portfolio).signals
        followed = [entries[name] for name in choice.ids if name in entries]
        if not any(entry.function for entry in followed):
            return None
        if len(followed) > 1 or choice.overlays:
            raise InputError(
                f"Portfolio '{request.portfolio}' combines strategies, one of them in Python: a backtest takes one.",
                remedy="Name one of them with --strategy; what was traded of all is there with --stored.",
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


def _followed(made: Schedule, sessions: int, most: int) -> Schedule:
    """The same weights in each session up to the next decision, as `as_of: latest` takes them: `most` sessions long."""
    rows, places = list[int](), list[int]()
    ends = [*(int(row) for row in made.rows[1:]), sessions]
    for place, (row, end) in enumerate(zip(made.rows, ends, strict=True)):
        for later in range(int(row), min(end, int(row) + most + 1)):
            rows.append(later)
            places.append(place)
    return replace(made, rows=np.array(rows, dtype=np.intp), weights=made.weights[places])
