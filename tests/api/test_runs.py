"""Long work: submitted, done in this process, found again, refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from scizor_dagster.api import runs as runs_module
from scizor_dagster.api.events import Told
from scizor_dagster.api.problems import NotFound, RequestRefused
from scizor_dagster.api.run_views import RunView, progress_of
from scizor_dagster.api.runs import RunRequest, Runs, RunStatus
from scizor_dagster.cli.instance import JobRunner, RunFailed
from tests.api.conftest import NOW
from tests.projects import Project

NOWHERE = "http://127.0.0.1:9"
TIDYING = RunRequest("maintenance", "maintain", tags={"scizor/place": "lake"})
WRONG = RunRequest("collection", "collect_daily", partition="2025-01-03", config={"ops": {"nothing": {"config": {}}}})


@pytest.fixture
def runs(fresh: Project) -> Iterator[Runs]:
    made = Runs(fresh.settings, NOWHERE, lambda: NOW)
    yield made
    made.close()


def test_a_run_is_done_here_and_recorded_where_dagster_shows_it_step_by_step(runs: Runs, fresh: Project) -> None:
    submitted = runs.submit(TIDYING, "ada")
    found = runs.wait(submitted.run_id)
    assert (submitted.status, found.status, found.problem) == (RunStatus.QUEUED, RunStatus.SUCCEEDED, "")
    assert (found.tags["scizor/place"], found.tags["scizor/actor"], tuple(sorted(found.steps_done))) == (
        "lake",
        "ada",
        ("maintenance", "run_history"),
    )
    read = progress_of(runs, submitted.run_id, "maintenance")
    end = {"status": "succeeded", "problem": None}
    told = [(event.number, event.kind, event.data) for event in read(0).events]
    assert [number for number, _, _ in told] == [1, 2, 3]
    assert sorted(data["step"] for _, kind, data in told[:2] if kind == "step") == ["maintenance", "run_history"]
    assert told[2] == (3, "end", end)
    assert ([event.number for event in read(2).events], read(3)) == ([3], Told([], True))
    elsewhere = Runs(fresh.settings, NOWHERE, lambda: NOW)
    assert elsewhere.wait(submitted.run_id) == found
    elsewhere.close()
    with pytest.raises(RequestRefused, match="succeeded and cannot be cancelled"):
        runs.cancel(submitted.run_id)


def test_a_run_that_fails_says_why(runs: Runs) -> None:
    found = runs.wait(runs.submit(WRONG, "ada").run_id)
    assert found.status is RunStatus.FAILED
    assert found.problem == "It failed with DagsterInvalidConfigError; the log says more."


def test_a_run_is_found_under_its_kind_alone(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobRunner, "run", lambda *_, **__: None)
    submitted = runs.submit(TIDYING, "ada")
    assert runs.state(submitted.run_id, "maintenance").job == "maintain"
    with pytest.raises(NotFound, match="no backtest"):
        runs.state(submitted.run_id, "backtest")
    with pytest.raises(NotFound):
        runs.state("no-such-run")


def test_runs_go_one_after_the_other_and_one_that_waits_is_cancelled_and_never_begun(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, done = Event(), Event(), list[str]()

    def work(_: object, job: str, **options: Any) -> None:
        done.append(options["run_id"])
        begun.set()
        assert go_on.wait(60)
        raise RunFailed("The secret is out.", remedy="Hide it.", where="a step")

    monkeypatch.setattr(JobRunner, "run", work)
    runs._redact = lambda text: text.replace("secret", "***")
    first, second = runs.submit(TIDYING, "ada"), runs.submit(TIDYING, "ada")
    assert begun.wait(60)
    with pytest.raises(RequestRefused, match="cannot be cancelled"):
        runs.cancel(first.run_id)
    assert runs.cancel(second.run_id, "maintenance").status is RunStatus.CANCELLED
    go_on.set()
    failed = runs.wait(first.run_id)
    assert (failed.status, failed.problem) == (RunStatus.FAILED, "The *** is out. Hide it.")
    assert runs.wait(second.run_id).status is RunStatus.CANCELLED
    assert done == [first.run_id]
    assert RunView.of(failed).submitted_by == "ada"


def test_no_more_runs_wait_here_than_may_and_those_that_ended_are_forgotten_in_time(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()

    def work(*_: object, **__: object) -> None:
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr(JobRunner, "run", work)
    monkeypatch.setattr(runs_module, "MOST_WAITING", 1)
    monkeypatch.setattr(runs_module, "MOST_LISTED", 1)
    first, second = runs.submit(TIDYING, "ada"), runs.submit(TIDYING, "ada")
    assert begun.wait(60)
    with pytest.raises(RequestRefused, match="There are 1 runs waiting here already") as refused:
        runs.submit(TIDYING, "ben")
    assert refused.value.status == 503
    go_on.set()
    for state in (first, second):
        runs._waiting[state.run_id][1].result()
    third = runs.submit(TIDYING, "ada")
    assert list(runs._waiting) == [second.run_id, third.run_id]
    runs._waiting[third.run_id][1].result()
