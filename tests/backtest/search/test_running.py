"""Sets are run in this process or in several, the same to the last digit; one that fails harms no other."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.search import running
from scizor_dagster.backtest.search.problem import OneByOne, history_digest
from scizor_dagster.backtest.search.running import Runner, run_sets, workers_of
from scizor_dagster.backtest.search.trials import State
from scizor_dagster.errors import ConfigError, DataError
from tests.backtest.search.markets import cross, market, problem, weight_of

SETS = [{"fast": fast, "slow": slow} for fast in (2, 5, 9) for slow in (5, 20, 40)]


def test_a_trial_has_the_curve_and_the_sums_of_its_backtest():
    given = problem(market())
    (trial,) = run_sets(given, [{"fast": 3, "slow": 11}])
    result = run_backtest(
        given.history, cross(given.history, trial.parameters), given.rules, given.capabilities, given.choices
    )
    assert trial.state is State.DONE
    assert np.array_equal(trial.equity, result.equity)
    assert len(result.trades) > 50
    assert trial.traded == pytest.approx(float(abs(result.trades["count"] / 1e9 * result.trades["price"]).sum()))


def test_a_set_that_fails_says_why_and_the_others_run():
    given = problem(market(60, 2), weight_of)
    sets = [{"w": 0.1}, {"w": 0.2, "broken": True}, {"w": 0.3}, {}]
    found = list(run_sets(given, sets))
    assert [trial.state for trial in found] == [State.DONE, State.FAILED, State.DONE, State.FAILED]
    assert found[1].error == "ZeroDivisionError: division by zero"
    assert found[3].error == "KeyError: 'w'"
    (refused,) = run_sets(problem(market(60, 2)), [{"fast": 9, "slow": 3}])
    assert refused.error == "fast is not below slow. Swap them."


def test_a_strategy_that_makes_too_few_schedules_is_named():
    given = problem(market(60, 2), weight_of)
    (trial,) = run_sets(_with(given, _nothing), [{"w": 0.1}])
    assert "made no schedule" in trial.error


def _nothing(history, sets):
    return iter(())


def _with(given, maker):
    from dataclasses import replace

    return replace(given, maker=maker)


def test_several_processes_give_what_one_gives():
    given = problem(market())
    with Runner(given, 1) as alone, Runner(given, 2, worth=0.0) as several:
        first = {trial.text: trial for trial in alone.run(SETS)}
        second = {trial.text: trial for trial in several.run(SETS)}
        assert several.has_processes
        assert not alone.has_processes
    assert set(first) == set(second)
    for text, trial in first.items():
        assert second[text].state is trial.state
        assert second[text].error == trial.error
        if trial.state is State.DONE:
            assert np.array_equal(second[text].equity, trial.equity)


def test_a_strategy_that_no_other_process_can_find_runs_in_this_one():
    given = problem(market(60, 2))
    local = _with(given, OneByOne(lambda history, parameters: cross(history, parameters)))
    with Runner(local, 2, worth=0.0) as runner:
        assert len(list(runner.run(SETS))) == len(SETS)
        assert not runner.has_processes


def test_a_killed_worker_is_an_error_that_says_what_to_do():
    given = problem(market(60, 2), weight_of)
    sets = [{"w": 0.1}, {"w": 0.2}, {"w": 0.3, "killed": True}]
    with Runner(given, 2, worth=0.0) as runner, pytest.raises(DataError, match="fewer --workers"):
        list(runner.run(sets))


def test_the_limit_of_workers_is_that_of_the_machine_of_the_environment_and_of_the_call(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert workers_of({}) == 8
    assert workers_of({"MAX_WORKERS": "3"}) == 3
    assert workers_of({"MAX_WORKERS": "30"}, 12) == 8
    assert workers_of({"MAX_WORKERS": "3"}, 2) == 2
    for text in ("0", "-1", "two", "1.5"):
        with pytest.raises(ConfigError, match="MAX_WORKERS"):
            workers_of({"MAX_WORKERS": text})
    with pytest.raises(ConfigError, match="0 workers"):
        workers_of({}, 0)


def test_a_worker_whose_search_was_killed_ends_and_takes_the_files_along(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "close.npy").write_bytes(b"prices")
    told = []
    monkeypatch.setattr(running.multiprocessing, "parent_process", lambda: SimpleNamespace(join=lambda: None))
    monkeypatch.setattr(running.os, "_exit", lambda code: told.append((code, tmp_path.exists())))
    running._end_with_parent(str(tmp_path))
    assert told == [(1, False)]
    monkeypatch.setattr(running.multiprocessing, "parent_process", lambda: None)
    running._end_with_parent(str(tmp_path))
    assert len(told) == 1


def test_the_digest_of_a_problem_tells_all_that_a_trial_depends_on():
    from dataclasses import replace

    from scizor_dagster.backtest.model import Action, ActionKind, Choices
    from tests.backtest.search.markets import RULES

    given = problem(market(60, 2))
    others = [
        replace(given, version="2"),
        replace(given, strategy="other"),
        replace(given, rules=replace(RULES, allow_short=True)),
        replace(given, capabilities=replace(given.capabilities, fractional=False)),
        replace(given, choices=Choices(capital=5.0)),
        replace(given, history=market(60, 2, seed=1)),
        replace(given, history=replace(given.history, open=given.history.close)),
        replace(given, history=replace(given.history, high=given.history.close)),
        replace(given, history=replace(given.history, actions=(Action(ActionKind.SPLIT, 3, 0, 2.0),))),
    ]
    digests = {given.digest, *(other.digest for other in others)}
    assert len(digests) == len(others) + 1
    same = replace(given, history=market(60, 2), choices=replace(given.choices, keep_positions=False))
    assert same.digest == given.digest
    fortran = replace(given.history, close=np.asfortranarray(given.history.close))
    assert history_digest(fortran) == history_digest(given.history)


def test_workers_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = problem(market(60, 2), weight_of)
    with Runner(given, 2, worth=0.0) as runner:
        for _ in runner.run([{"w": 0.1}, {"w": 0.2}, {"w": 0.3}]):
            pass
        assert runner.has_processes
        assert [path.name.startswith("scizor-search-") for path in tmp_path.iterdir()] == [True]
    assert list(tmp_path.iterdir()) == []
