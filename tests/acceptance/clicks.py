"""What a person at Dagster's UI, or a daemon, can start on the weekly project: for tests of what comes of it.

The real definitions, on the project's own instance, in this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from resources.desk import SystemClock, TradingDesk
from scizor_dagster.cli.instance import QUIET, prepare_home
from scizor_dagster.definitions import build_defs
from scizor_dagster.settings import Settings
from tests.acceptance.weekly import Weekly

EXECUTIONS, RECONCILIATIONS = dg.AssetKey(["main", "executions"]), dg.AssetKey(["main", "reconciliations"])
PLANNED, TARGETS = dg.AssetKey(["main", "planned_orders"]), dg.AssetKey(["main", "target_weights"])


def rebalance_job(home: str, config_path: str) -> dg.JobDefinition:
    """What a re-execution loads anew, as a run worker does; Dagster keeps it in this process by its arguments."""
    environment = {**os.environ, "SCIZOR_HOME": home, "SCIZOR_CONFIG": config_path}
    return build_defs(Settings.from_environment(environment)).resolve_job_def("rebalance")


@dataclass(frozen=True)
class Clicks:
    """The project's definitions and its instance."""

    settings: Settings

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_defs(self.settings)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        prepare_home(self.settings)
        with dg.DagsterInstance.from_config(str(self.settings.dagster_home)) as instance:
            yield instance

    def run(
        self, job: str, session: date, tags: Mapping[str, str] | None = None, config: Mapping[str, Any] | None = None
    ) -> dg.ExecuteInProcessResult:
        with self.instance() as instance:
            return self.definitions.resolve_job_def(job).execute_in_process(
                run_config={**QUIET, **(config or {})},
                instance=instance,
                partition_key=session.isoformat(),
                tags=dict(tags or {}),
                raise_on_error=False,
            )

    def materialize(self, session: date, *keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
        """Select assets and click "Materialize": a run of the job that Dagster makes of all assets."""
        with self.instance() as instance:
            return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=session.isoformat(),
                asset_selection=list(keys),
                raise_on_error=False,
            )

    def reexecute(self, session: date, steps: Sequence[str] | None = None, *, failed: bool = False) -> list[str]:
        """Re-execute the last run of `rebalance` in the session: whole, some of its steps, or from its failure.

        What went wrong is returned; nothing where the run is green.
        """
        with self.instance() as instance:
            tags = {"dagster/partition": session.isoformat()}
            run = instance.get_runs(dg.RunsFilter(job_name="rebalance", tags=tags), limit=1)[0]
            options = (
                dg.ReexecutionOptions.from_failure(run.run_id, instance)
                if failed
                else dg.ReexecutionOptions(run.run_id, step_selection=list(steps) if steps else None)
            )
            places = (str(self.settings.home), str(self.settings.config_path))
            job = dg.build_reconstructable_job(__name__, rebalance_job.__name__, places)
            # The UI hands the tags on, the partition among them.
            result = dg.execute_job(
                job, instance, tags=dict(run.tags), reexecution_options=options, raise_on_error=False
            )
            return [f"{event.message} {event.event_specific_data}" for event in result.all_events if event.is_failure]

    def tick(self, at: datetime) -> dg.RunRequest:
        """What the schedule of the rebalance asks for at a tick, a minute after it."""
        clock = SystemClock(fixed_at=at.isoformat())
        desk = TradingDesk(home=str(self.settings.home), config_path=str(self.settings.config_path), clock=clock)
        schedule = self.definitions.get_repository_def().get_schedule_def("rebalance_before_open")
        with dg.build_schedule_context(scheduled_execution_time=at, resources={"desk": desk}) as context:
            found = schedule(context)
        assert isinstance(found, dg.RunRequest), found
        return found


def clicks_on(weekly: Weekly) -> Clicks:
    return Clicks(Settings.from_environment(weekly.environment))


def materialize_in_a_process(environment: Mapping[str, str], said: Path, session: date) -> None:
    """Be a run worker of its own that materializes `executions`; its exit code says whether the run was green."""
    os.environ.update(environment)
    with said.open("w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    result = Clicks(Settings.from_environment(os.environ)).materialize(session, EXECUTIONS)
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
            said.write_text(str(event.step_failure_data.user_failure_data.description), encoding="utf-8")
    raise SystemExit(0 if result.success else 1)


def launch_in_the_queue(project_root: Path, job: str, session: date) -> None:
    """Put a run into the instance's queue, as the UI does; a daemon must take it out."""
    tags = json.dumps({"dagster/partition": session.isoformat()})
    command = [_program("dagster"), "job", "launch", "-w", "workspace.yaml", "-j", job, "--tags", tags]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def daemon(project_root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon as a process of its own on the instance of the environment; ended with the block.

    It leads a group: `os.killpg` of its number ends its code location's server and its run workers with it.
    """
    command = [_program("dagster-daemon"), "run", "-w", "workspace.yaml"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=project_root, start_new_session=True, **quiet) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=120)


def wait_until(happened: Callable[[], bool], seconds: float = 600.0) -> None:
    """Look twice a second until it has happened."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        pause.wait(0.5)


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)
