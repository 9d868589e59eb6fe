"""Parameters are chosen on the past alone, and what was chosen is traded as one account trades it."""

from pathlib import Path

import numpy as np
import pytest

from scizor_dagster.backtest.search.objectives import returns_of
from scizor_dagster.backtest.search.running import Runner
from scizor_dagster.backtest.search.samplers import Method
from scizor_dagster.backtest.search.search import Plan
from scizor_dagster.backtest.search.spaces import space_of
from scizor_dagster.backtest.search.splits import Split, Windows, purged_folds, walk_forward
from scizor_dagster.backtest.search.trials import MemoryStore
from scizor_dagster.backtest.search.walk_forward import Window, stitched, walk
from scizor_dagster.errors import DataError
from tests.backtest.search.markets import cross, market, problem, weight_of

SPACE = space_of(["fast=2,5,9", "slow=15,30,60"])


def run(given, plan, splits, store=None):
    with Runner(given, 1) as runner:
        return walk(given, plan, splits, store or MemoryStore(), runner)


def test_each_test_trades_what_was_best_in_the_training_before_it():
    given, plan = problem(market(320, 3, trend=0.3)), Plan(SPACE)
    splits = walk_forward(60, 320, Windows(train=120, test=40, purge=10))
    found = run(given, plan, splits)
    assert [window.split for window in found.windows] == splits
    assert found.rows.tolist() == list(range(190, 320))
    assert found.trials.computed == len(found.trials.kept) == 9
    schedule = stitched(given, found.windows)
    assert schedule.rows.tolist() == list(range(190, 320))
    for window in found.windows:
        alone = cross(given.history, window.parameters)
        (start, stop), *_ = window.split.test
        inside = (schedule.rows >= start) & (schedule.rows < stop)
        assert np.array_equal(schedule.weights[inside], alone.weights[(alone.rows >= start) & (alone.rows < stop)])
    equity = found.result.equity
    assert found.returns == pytest.approx(returns_of(equity[:, None], 100_000.0)[190:, 0])
    assert float(np.prod(1 + found.returns)) == pytest.approx(equity[-1] / 100_000.0)


@pytest.mark.parametrize("method", [Method.GRID, Method.RANDOM, Method.GUIDED])
def test_the_future_of_a_window_has_no_say_in_its_choice(method: Method):
    """Prices after the first training window are others; its choice, and what it had in training, stay."""
    if method is Method.GUIDED:
        pytest.importorskip("optuna")
    space = space_of(["fast=2..9", "slow=15..60"])
    plan = Plan(space, method, trials=None if method is Method.GRID else 20, seed=1)
    splits = walk_forward(60, 220, Windows(train=100, test=60))[:1]
    history, other = market(220, 3), market(220, 3, seed=9)
    other.close[:160] = history.close[:160]
    if method is Method.GRID:
        plan = Plan(SPACE)
    first, second = (run(problem(prices), plan, splits) for prices in (history, other))
    assert first.windows[0].parameters == second.windows[0].parameters
    assert first.windows[0].trained == second.windows[0].trained
    assert list(first.trials.kept) == list(second.trials.kept)
    assert first.windows[0].tested != second.windows[0].tested


def test_a_set_that_trades_rarely_takes_over_in_the_first_session_of_its_test():
    given = problem(market(100, 2), weight_of)
    windows = [
        Window(Split(((0, 20),), ((20, 40),)), {"w": 0.5}, 1.0, 1.0),
        Window(Split(((0, 40),), ((40, 60),)), None, float("nan"), float("nan")),
        Window(Split(((0, 60),), ((60, 80),)), {"w": 0.7, "at": 65}, 1.0, 1.0),
        Window(Split(((0, 60),), ((90, 95),)), {"w": 0.2}, 1.0, 1.0),
    ]
    schedule = stitched(given, windows)
    assert [(int(row), float(weight[0])) for row, weight in zip(schedule.rows, schedule.weights, strict=True)] == [
        (20, 0.5), (40, 0.0), (60, 0.0), (65, 0.7), (80, 0.0), (90, 0.2),
    ]  # fmt: skip


def test_folds_are_tested_once_each_and_make_one_curve():
    given = problem(market(240, 3, trend=0.3))
    splits = list(purged_folds(60, 240, 4, purge=5, embargo=3))
    found = run(given, Plan(SPACE), splits)
    assert found.rows.tolist() == list(range(60, 240))
    assert len(found.windows) == 4


def test_windows_share_their_trials_and_a_second_walk_runs_none(tmp_path: Path):
    given, store, log = problem(market(120, 2), weight_of), MemoryStore(), tmp_path / "log"
    plan = Plan(space_of(["w=0.1,0.4", f"log={log}"]))
    splits = walk_forward(0, 120, Windows(train=40, test=20))
    first = run(given, plan, splits, store)
    ran = len(log.read_text().splitlines())
    assert ran == 2 + len(splits[:1]) * len({str(window.parameters) for window in first.windows})
    second = run(given, plan, splits, store)
    assert second.trials.computed == 0
    assert second.windows == first.windows


def test_a_walk_without_any_score_says_so():
    given = problem(market(120, 2), weight_of)
    splits = walk_forward(0, 120, Windows(train=40, test=20))
    with pytest.raises(DataError, match="had a score in any training window"):
        run(given, Plan(space_of(["w=0.0"])), splits)
