"""Choosing parameters on the past and trading them in the sessions after, window by window.

What belongs here: the choice of each window, and the one curve of all tests. What does not: how windows are cut
(`splits`), and how sets are tried (`search`).

In each window a search of its own is led by the training sessions alone, so that no test has a say in which sets are
tried. What was chosen is traded by one backtest over all tests: going from one set to the next costs what it costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import Result, Schedule
from scizor_dagster.backtest.search.objectives import returns_of, scores_of
from scizor_dagster.backtest.search.problem import Problem
from scizor_dagster.backtest.search.running import Runner
from scizor_dagster.backtest.search.search import Plan, Progress, Trials, best_trial, search
from scizor_dagster.backtest.search.spaces import Parameters
from scizor_dagster.backtest.search.splits import Split
from scizor_dagster.backtest.search.trials import NearStore, Store
from scizor_dagster.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """One window's choice.

    Attributes:
        parameters: The best in training; None where no set had a score, and cash was held.
        trained: Their objective in training.
        tested: Their objective in the test, of their own curve; NaN where a test is too short for one.
    """

    split: Split
    parameters: Parameters | None
    trained: float
    tested: float


@dataclass(frozen=True, slots=True, eq=False)
class WalkForward:
    """What a walk forward came to.

    Attributes:
        windows: In order of their tests.
        rows: Rows of the history that were tested, in order.
        result: Of trading the chosen sets, each in its tests, and nothing elsewhere.
        returns: Out of sample, one per row of `rows`.
        score: The objective of these.
        trials: All that were tried, in any window.
    """

    windows: tuple[Window, ...]
    rows: NDArray[Any]
    result: Result
    returns: NDArray[Any]
    score: float
    trials: Trials


def walk(
    problem: Problem,
    plan: Plan,
    splits: Sequence[Split],
    store: Store,
    runner: Runner,
    progress: Progress | None = None,
) -> WalkForward:
    """Search each split's training sessions, and trade what was best in its test.

    Raises:
        DataError: no set had a score in any window.
        SearchStopped: `progress` said so.
    """
    import numpy as np

    trials, windows, near = Trials(problem.choices.capital), [], NearStore(store)
    for number, split in enumerate(splits):
        found = search(problem, replace(plan, seed=plan.seed + number), near, runner, progress, split)
        best = best_trial(found, plan, split)
        trials.kept |= found.kept
        trials.computed += found.computed
        windows.append(_window(split, plan, trials, best))
    if all(window.parameters is None for window in windows):
        raise DataError(
            "No parameter set had a score in any training window.",
            remedy="Train on more sessions, or search without a walk forward to see what the trials say.",
        )
    rows = np.unique(np.concatenate([split.test_rows() for split in splits]))
    schedule = stitched(problem, windows)
    result = run_backtest(
        problem.history, schedule, problem.rules, problem.capabilities, replace(problem.choices, keep_positions=False)
    )
    returns = returns_of(result.equity[:, None], problem.choices.capital)[rows]
    score = float(scores_of(returns, plan.objective, plan.sessions_a_year)[0])
    return WalkForward(tuple(windows), rows, result, returns[:, 0], score, trials)


def _window(split: Split, plan: Plan, trials: Trials, best: Any) -> Window:
    if best is None:
        return Window(split, None, float("nan"), float("nan"))
    trial, trained = best
    returns = trials.returns([trial])[split.test_rows()]
    tested = float(scores_of(returns, plan.objective, plan.sessions_a_year)[0])
    return Window(split, trial.parameters, trained, tested)


def stitched(problem: Problem, windows: Sequence[Window]) -> Schedule:
    """One schedule of what each window chose for its tests: its weights then, from the test's first session on.

    A set that trades rarely takes over in the first session of its test, with the weights that it has at that time.
    Between tests, and where nothing was chosen, there are no positions.
    """
    import numpy as np

    rows: list[int] = []
    weights: list[NDArray[Any]] = []
    flat = np.zeros(len(problem.history.instruments))
    spans = sorted((span, window.parameters) for window in windows for span in window.split.test)
    made: dict[int, Schedule] = {}
    end = None
    for (start, stop), parameters in spans:
        if end is not None and start > end:
            rows.append(end)
            weights.append(flat)
        end = stop
        if parameters is None:
            rows.append(start)
            weights.append(flat)
            continue
        key = id(parameters)
        if key not in made:
            (made[key],) = problem.maker(problem.history, [parameters])
        schedule = made[key]
        before = int(np.searchsorted(schedule.rows, start, side="right"))
        rows.append(start)
        weights.append(schedule.weights[before - 1] if before else flat)
        for place in range(before, int(np.searchsorted(schedule.rows, stop, side="left"))):
            rows.append(int(schedule.rows[place]))
            weights.append(schedule.weights[place])
    return Schedule(np.array(rows, dtype=np.int64), np.array(weights))
