"""Long work: submitted, done in this process, found again, refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.api.runs import ENDED, RunRequest, Runs, RunState, RunStatus
from tests.api.conftest import NOW
from tests.projects import Project

NOWHERE = "http://127.0.0.1:9"
COLLECTION = RunRequest(
    "collection",
    "collect_history",
    partition_range=("2025", "2025"),
    config={"ops": {"us__historical_chunks": {"config": {"through": "2025-01-10", "symbols": ["AAPL"]}}}},
    tags={"scizor/symbol": "AAPL"},
)


@pytest.fixture
def runs(fresh: Project) -> Iterator[Runs]:
    made = Runs(fresh.settings, NOWHERE, lambda: NOW)
    yield made
    made.close()


def ended(runs: Runs, run_id: str) -> RunState:
    """The run once it is over."""
    found = runs.wait(run_id)
    assert found.status in ENDED
    return found


def test_a_run_is_done_here_and_recorded_where_dagster_shows_it(runs: Runs) -> None:
    submitted = runs.submit(COLLECTION, "ada")
    found = ended(runs, submitted.run_id)
    assert (submitted.status, found.status, found.problem) == (RunStatus.QUEUED, RunStatus.SUCCEEDED, "")
    assert (found.tags["scizor/symbol"], found.tags["scizor/actor"]) == ("AAPL", "ada")
    assert "us__historical_chunks" in found.steps_done


def test_a_run_that_fails_says_why_in_the_words_of_its_step(runs: Runs) -> None:
    wrong = RunRequest(
        "collection",
        "collect_daily",
        partition="2025-01-03",
        config={"ops": {"us__daily_prices": {"config": {"force": 1}}}},
    )
    found = ended(runs, runs.submit(wrong, "ada").run_id)
    assert found.status is RunStatus.FAILED
    assert found.problem


def test_a_run_is_found_under_its_kind_alone(runs: Runs) -> None:
    submitted = runs.submit(COLLECTION, "ada")
    with pytest.raises(NotFound):
        runs.state(submitted.run_id, "backtest")
    with pytest.raises(NotFound):
        runs.state("no-such-run")


def test_a_run_that_waits_is_cancelled_and_never_begun(runs: Runs) -> None:
    first, second = runs.submit(COLLECTION, "ada"), runs.submit(COLLECTION, "ada")
    assert runs.cancel(second.run_id, "collection").status is RunStatus.CANCELLED
    assert ended(runs, first.run_id).status is RunStatus.SUCCEEDED
    assert runs.state(second.run_id).status is RunStatus.CANCELLED
    with pytest.raises(RequestRefused, match="succeeded and cannot be cancelled"):
        runs.cancel(first.run_id)
