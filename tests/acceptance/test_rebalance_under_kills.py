"""A rebalance that is killed, and run again, ends where an undisturbed one does."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import dagster as dg
import pytest

from tests.acceptance.killable import POINTS
from tests.acceptance.outcome import Outcome, outcome
from tests.acceptance.weekly import FIRST, SECOND, SYMBOLS, Weekly, ended, run_arguments, write_weekly


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Weekly:
    """The project after its first rebalance; its home is kept beside it, because a lake knows its own path."""
    weekly = write_weekly(tmp_path_factory.mktemp("weekly"))
    weekly.collect()
    assert weekly.rebalance(FIRST)[0] == 0
    shutil.copytree(weekly.home, _kept(weekly))
    return weekly


@pytest.fixture(scope="module")
def undisturbed(pristine: Weekly) -> Outcome:
    code, said = _restored(pristine).rebalance(SECOND)
    assert code == 0, said
    return outcome(pristine)


@pytest.fixture
def project(pristine: Weekly, undisturbed: Outcome) -> Weekly:
    """The project as it was before the second rebalance; what an undisturbed one comes to is known by then."""
    return _restored(pristine)


def test_the_undisturbed_rebalance_sells_buys_and_changes_in_part(undisturbed: Outcome) -> None:
    orders = [row for row in undisturbed.rows["paper_orders"] if row[-1] == SECOND.isoformat()]
    assert {row[2] for row in orders} == {"buy", "sell"}
    assert {row[6] for row in orders} == {"filled"}
    assert set(undisturbed.owned) == set(SYMBOLS[2:])
    assert undisturbed.summary["breaks"] == 0
    assert undisturbed.summary["filled"] == undisturbed.summary["orders"] == len(orders)


@pytest.mark.parametrize("point", POINTS)
def test_a_rebalance_killed_at_this_point_and_run_again_ends_as_an_undisturbed_one(
    project: Weekly, undisturbed: Outcome, point: str
) -> None:
    code, said = project.rebalance(SECOND, point)
    assert code == -signal.SIGKILL, said
    assert statuses(project) == ["STARTED"]
    assert outcome(project) != undisturbed
    code, said = project.rebalance(SECOND)
    assert code == 0, said
    assert outcome(project) == undisturbed
    assert statuses(project) == ["FAILURE", "SUCCESS"]


def test_two_runs_of_one_session_at_once_send_each_order_once(project: Weekly, undisturbed: Outcome) -> None:
    both = [project.start("none", *run_arguments(SECOND), log=f"said-{number}.txt") for number in (1, 2)]
    codes = [ended(process) for process in both]
    said = [(project.folder / f"said-{number}.txt").read_text(encoding="utf-8") for number in (1, 2)]
    assert 0 in codes, said
    for code, words in zip(codes, said, strict=True):
        assert code == 0 or "Account 'paper' is leased to" in words, words
    assert outcome(project) == undisturbed


def statuses(project: Weekly) -> list[str]:
    """Of Dagster's runs of the second session, oldest first."""
    filters = dg.RunsFilter(tags={"dagster/partition": SECOND.isoformat()})
    with dg.DagsterInstance.from_config(str(project.home / "dagster")) as instance:
        return [run.status.value for run in reversed(instance.get_runs(filters))]


def _kept(project: Weekly) -> Path:
    return project.folder / "pristine"


def _restored(project: Weekly) -> Weekly:
    shutil.rmtree(project.home)
    shutil.copytree(_kept(project), project.home)
    return project
