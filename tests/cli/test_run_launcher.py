"""Runs of the daemon whose process was killed: told from those that are alive, ended, and out of the next one's way."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from scizor_dagster.cli.dead_runs import HOST_TAG, PROCESS_TAG, end_dead_runs, living_process, marks_of
from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.cli.run_launcher import WatchingRunLauncher
from tests.projects import small_project

Status = dg.DagsterRunStatus
BESIDE = json.dumps({"host": "localhost", "socket": "/tmp/of-a-code-server"})
ELSEWHERE = json.dumps({"host": "code-location", "port": 4000})


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance as `scizor dev` prepares it."""
    for name in ("DAGSTER_HOME", "SCIZOR_HOME", "SCIZOR_CONFIG"):
        monkeypatch.setenv(name, "")
    settings = small_project(tmp_path).settings
    prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as found:
        yield found


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def started(instance: dg.DagsterInstance, pid: int | None, **tags: str) -> dg.DagsterRun:
    run: dg.DagsterRun = create_run_for_test(instance, job_name="rebalance", status=Status.STARTED, tags=tags)
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


def monitored(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """What the run is after one round of the daemon's monitoring."""
    context = SimpleNamespace(instance=instance, create_request_context=lambda: None)
    assert not [error for error in execute_run_monitoring_iteration(cast("Any", context), logging.getLogger()) if error]
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_the_instance_that_is_prepared_asks_for_the_health_of_its_workers(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_launcher, WatchingRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_resume_run_attempts == 0, "a trading step is never replayed by a machine"
    assert instance.run_monitoring_poll_interval_seconds <= 30


def test_a_run_whose_worker_was_killed_is_ended_by_the_next_look_and_one_that_lives_is_left_alone(
    instance: dg.DagsterInstance,
) -> None:
    with worker() as first, worker() as second:
        dying, living = (started(instance, item.pid, **{GRPC_INFO_TAG: BESIDE}) for item in (first, second))
        assert monitored(instance, dying) is Status.STARTED
        first.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        # It is dead, and nobody has asked after it yet: a number without a process.
        assert monitored(instance, dying) is Status.FAILURE
        assert monitored(instance, living) is Status.STARTED
        second.kill()
        second.wait()
        assert monitored(instance, living) is Status.FAILURE
    said = [entry.message for entry in instance.all_logs(dying.run_id) if "is gone" in entry.message]
    assert said
    assert f"its process {first.pid} is gone" in said[-1]


def test_a_run_of_the_command_line_whose_process_was_killed_is_ended_by_the_daemon_too(
    instance: dg.DagsterInstance,
) -> None:
    with living_process(Path(instance.root_directory)) as name:
        run = started(instance, None, **{PROCESS_TAG: name})
        assert monitored(instance, run) is Status.STARTED
    assert monitored(instance, run) is Status.FAILURE


def test_a_run_on_another_machine_is_not_called_dead_by_what_this_one_cannot_see(instance: dg.DagsterInstance) -> None:
    home = Path(instance.root_directory)
    with living_process(home) as name:
        marks = marks_of(name, home)
    with worker() as process:
        pid = process.pid
    there = {HOST_TAG: "other-machine:/srv/scizor/dagster"}
    for run in (
        started(instance, None, **marks | there),
        started(instance, pid, **{GRPC_INFO_TAG: BESIDE} | there),
    ):
        assert monitored(instance, run) is Status.STARTED
        assert end_dead_runs(instance, home) == []
    here = started(instance, None, **marks)
    assert end_dead_runs(instance, home) == [here.run_id]


def test_what_is_not_certainly_gone_is_left_to_its_longest_time(instance: dg.DagsterInstance) -> None:
    with worker() as process:
        pid = process.pid
    for run in (
        started(instance, None, **{GRPC_INFO_TAG: BESIDE}),
        started(instance, pid, **{GRPC_INFO_TAG: ELSEWHERE}),
        started(instance, pid),
        started(instance, 1, **{GRPC_INFO_TAG: BESIDE}),
    ):
        assert monitored(instance, run) is Status.STARTED
