"""Runs that a process beside the service does: told how they end, and ended with it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import pytest

from scizor_dagster.api import run_work
from scizor_dagster.api.run_work import NICENESS, Work, Worker
from scizor_dagster.api.runs import RunRequest, Runs, RunStatus
from scizor_dagster.cli.instance import JobRunner
from tests.api.conftest import NOW
from tests.projects import Project

TIDYING = RunRequest("maintenance", "maintain", tags={"scizor/place": "lake"})
WRONG = RunRequest("maintenance", "maintain", config={"ops": {"nothing": {"config": {}}}})
WORK = Work("maintain", "1", {}, {}, partition_range=("2024", "2025"))
ANSWERS = 'import sys\nfor line in sys.stdin: print(\'{"problem": "as asked"}\', flush=True)'
DIES = "input(); raise SystemExit(3)"


@pytest.fixture
def worker(fresh: Project) -> Iterator[Worker]:
    made = Worker(fresh.settings)
    yield made
    made.close()


def beside(monkeypatch: pytest.MonkeyPatch, *programs: str) -> list[subprocess.Popen[str]]:
    """What is begun in place of the process beside, one after the other."""
    begun, begin, left = list[subprocess.Popen[str]](), subprocess.Popen, list(programs)

    def started(_: list[str], **options: object) -> subprocess.Popen[str]:
        begun.append(begin([sys.executable, "-c", left.pop(0)], **options))  # type: ignore[call-overload]
        return begun[-1]

    monkeypatch.setattr(run_work.subprocess, "Popen", started)
    return begun


def test_a_run_beside_is_recorded_as_one_here_and_its_failure_told_in_the_same_words(
    fresh: Project, worker: Worker
) -> None:
    runs = Runs(fresh.settings, "http://127.0.0.1:9", lambda: NOW, worker=worker)
    good, bad = runs.submit(TIDYING, "ada"), runs.submit(WRONG, "ada")
    found = runs.wait(good.run_id)
    assert (found.status, found.tags["scizor/actor"]) == (RunStatus.SUCCEEDED, "ada")
    assert sorted(found.steps_done) == ["maintenance", "run_history"]
    process = worker._process
    assert process is not None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= min(NICENESS + os.getpriority(os.PRIO_PROCESS, 0), 19)
    failed = runs.wait(bad.run_id)
    assert (failed.status, failed.problem) == (
        RunStatus.FAILED,
        "It failed with DagsterInvalidConfigError; the log says more.",
    )
    runs.close()
    assert process.returncode == 0


def test_a_run_that_is_ended_says_so(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(JobRunner, "open", ended)
    runs = Runs(fresh.settings, "http://127.0.0.1:9", lambda: NOW)
    found = runs.wait(runs.submit(TIDYING, "ada").run_id)
    assert (found.status, found.problem) == (RunStatus.FAILED, "It was ended before it was done.")
    runs.close()


def test_a_work_is_the_same_at_the_other_end_of_the_pipe() -> None:
    assert Work.read(WORK.written()) == WORK
    assert json.loads(WORK.written())["job"] == "maintain"


def test_one_process_does_one_run_after_the_other(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = beside(monkeypatch, ANSWERS)
    assert [worker.done(WORK) for _ in range(2)] == ["as asked", "as asked"]
    worker.close()
    assert [process.returncode for process in begun] == [0]


def test_a_process_that_dies_fails_its_run_and_is_followed_by_another(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = beside(monkeypatch, DIES, ANSWERS, ANSWERS)
    assert worker.done(WORK) == "Its process ended before it did, with code 3; the log says more."
    assert worker.done(WORK) == "as asked"
    begun[-1].kill()
    begun[-1].wait(60)
    assert worker.done(WORK) == "as asked"


def test_the_run_that_is_under_way_is_ended_when_the_service_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = list[int]()
    monkeypatch.setattr(os, "kill", lambda _, number: ended.append(number))
    for busy, told in ((False, []), (True, [signal.SIGINT])):
        asked, under_way = SimpleQueue[str | None](), Event()
        if busy:
            under_way.set()
        monkeypatch.setattr(sys, "stdin", io.StringIO("one\n"))
        run_work._hear(asked, under_way)
        assert [asked.get(), asked.get(), ended] == ["one\n", None, told]
