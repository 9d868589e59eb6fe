"""A search: sets are asked for, run or remembered, and scored, until there are no more.

What belongs here: the loop, over a whole history and over the windows of a walk forward. What does not: what its best
is worth (`verdicts`), and pictures of it (`pages`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.ratios import SESSIONS_A_YEAR
from scizor_dagster.backtest.search.objectives import Objective, best_of, returns_of, scores_of
from scizor_dagster.backtest.search.problem import Problem
from scizor_dagster.backtest.search.running import Runner
from scizor_dagster.backtest.search.samplers import Method, sampler_of
from scizor_dagster.backtest.search.spaces import Parameters, Space, digest_text
from scizor_dagster.backtest.search.splits import Split
from scizor_dagster.backtest.search.trials import State, Store, Trial
from scizor_dagster.errors import InputError, ScizorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CURVES = 60_000_000
"""Sessions of all curves that a search holds, 480 MB."""
_KEEP_EVERY = 1.0
"""Seconds between writes of finished trials."""

Progress = Callable[[int, int | None], bool]
"""Called with trials done and of how many, None where that is not known; False stops the search."""


class SearchStopped(ScizorError):
    """A search that was stopped. What was finished is kept."""

    exit_code = 130

    def __init__(self, done: int) -> None:
        super().__init__(f"The search was stopped after {done} sets.", remedy="Start it again to go on from there.")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched, and how.

    Attributes:
        trials: At most so many sets, in each window of a walk forward; None is all of a grid.
        warm_up: Sessions at the start of which nothing is measured: a strategy has nothing to go on yet.
        sessions_a_year: Of the exchange.
    """

    space: Space
    method: Method = Method.GRID
    trials: int | None = None
    seed: int = 0
    objective: Objective = Objective.SHARPE
    warm_up: int = 0
    sessions_a_year: int = SESSIONS_A_YEAR


@dataclass(slots=True, eq=False)
class Trials:
    """The trials that a search has seen, in their order, and the returns of those that have a curve.

    Attributes:
        kept: By text of the set.
        computed: How many were run now; the others were remembered.
        capital: That every curve begins with.
    """

    capital: float
    kept: dict[str, Trial] = field(default_factory=dict)
    computed: int = 0

    def done(self) -> list[Trial]:
        return [trial for trial in self.kept.values() if trial.state is State.DONE]

    def returns(self, trials: Sequence[Trial] | None = None) -> NDArray[Any]:
        """Returns (T x K) of these trials, or of all that have a curve."""
        import numpy as np

        chosen = self.done() if trials is None else trials
        curves = [trial.equity for trial in chosen if trial.equity is not None]
        if not curves:
            return np.empty((0, 0))
        return returns_of(np.column_stack(curves), self.capital)


def search(
    problem: Problem,
    plan: Plan,
    store: Store,
    runner: Runner,
    progress: Progress | None = None,
    split: Split | None = None,
) -> Trials:
    """Try the sets of a plan; with a split, led by what they scored in its training sessions alone.

    What the store knows is not run again, and what is run is kept at once: an interrupted search goes on where it was.

    Raises:
        InputError: the space, or the number of trials, is none that can be searched.
        SearchStopped: `progress` said so.
    """
    sessions = len(problem.history.sessions)
    if plan.warm_up < 0 or plan.warm_up >= sessions:
        raise InputError(
            f"A warm-up of {plan.warm_up} sessions leaves nothing of {sessions}.", remedy="Give a shorter one."
        )
    size = plan.trials if plan.trials is not None else plan.space.size()
    if min(size, plan.space.size()) * sessions > MOST_CURVES:
        most = MOST_CURVES // sessions
        raise InputError(
            f"{size:,.0f} sets of {sessions:,} sessions are more than a search holds.",
            remedy=f"Search at most {most:,} sets at a time: narrow the ranges, or give --trials.",
        )
    total = None if math.isinf(size) else int(min(size, plan.space.size()))
    sampler = sampler_of(plan.method, plan.space, trials=plan.trials, seed=plan.seed)
    found = Trials(problem.choices.capital)
    while asked := sampler.ask():
        _run(problem.digest, plan.space, asked, store, runner, found, lambda: _tell(progress, found, total))
        scores = _scores(found, asked, plan, split)
        sampler.tell(list(zip(asked, scores, strict=True)))
    return found


def _tell(progress: Progress | None, found: Trials, total: int | None) -> None:
    if progress is not None and not progress(len(found.kept), total):
        raise SearchStopped(len(found.kept))


def _run(
    digest: str,
    space: Space,
    asked: Sequence[Parameters],
    store: Store,
    runner: Runner,
    found: Trials,
    tell: Callable[[], None],
) -> None:
    """Bring a trial of each set into `found`, in the order asked for."""
    texts = [digest_text(parameters) for parameters in asked]
    made = store.known(digest, texts)
    # What failed may have failed for a reason that is gone; that it is refused is found again at once.
    made = {text: trial for text, trial in made.items() if trial.state is State.DONE}
    for text, parameters in zip(texts, asked, strict=True):
        reason = space.refusal(parameters) if space.refusal is not None else None
        if reason is not None:
            made[text] = Trial(parameters, State.REFUSED, reason)
    missing = [parameters for text, parameters in zip(texts, asked, strict=True) if text not in made]
    waiting: list[Trial] = []
    last = time.monotonic()
    found.kept |= {text: made[text] for text in texts if text in made}
    tell()
    try:
        for trial in runner.run(missing):
            waiting.append(trial)
            made[trial.text] = found.kept[trial.text] = trial
            found.computed += 1
            if time.monotonic() - last >= _KEEP_EVERY:
                store.keep(digest, waiting)
                waiting, last = [], time.monotonic()
            tell()
    finally:
        store.keep(digest, waiting)
    # Finished in any order; a search answers in the order in which it asked.
    for text in texts:
        found.kept.pop(text, None)
    found.kept |= {text: made[text] for text in texts}


def _scores(found: Trials, asked: Sequence[Parameters], plan: Plan, split: Split | None) -> list[float]:
    """The objective of each set; NaN of one without a curve."""
    trials = [found.kept[digest_text(parameters)] for parameters in asked]
    done = [trial for trial in trials if trial.state is State.DONE]
    if not done:
        return [math.nan] * len(trials)
    known = iter(scores_in(found.returns(done), plan, split).tolist())
    return [next(known) if trial.state is State.DONE else math.nan for trial in trials]


def scores_in(returns: NDArray[Any], plan: Plan, split: Split | None = None) -> NDArray[Any]:
    """The plan's objective of curves of returns (T x K), in a split's training sessions or after the warm-up."""
    rows = returns[plan.warm_up :] if split is None else returns[split.train_rows()]
    return scores_of(rows, plan.objective, plan.sessions_a_year)


def best_trial(found: Trials, plan: Plan, split: Split | None = None) -> tuple[Trial, float] | None:
    """The trial with the largest objective, and this; None where no trial has one."""
    scores = scores_in(found.returns(), plan, split) if found.done() else None
    place = best_of(scores) if scores is not None else None
    if scores is None or place is None:
        return None
    return found.done()[place], float(scores[place])
