"""The daemon of the soak: a process that does what Dagster's does, at the times that it is told.

    python -m tests.soak.daemon FOLDER

Each line of its input is JSON: `now`, and whether in this step the power fails. It answers with a line when the step is
over: nothing is queued and no run is under way.

What is real: Dagster's instance and storage; its own loops of schedules, sensors, the queue and run monitoring, each
with the code that the daemon runs; the definitions; and each run, in a process of its own, with the product's run
launcher deciding whether a process is gone. What is not: time goes in steps (`clock`), so the loops are called once in
each and not every few seconds, and where all wait, half a minute passes at once; the code location is in this process,
because a server of its own would have a clock of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.monitoring import execute_concurrency_slots_iteration
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._daemon.types import DaemonHeartbeat
from dagster._scheduler.scheduler import launch_scheduled_runs

from scizor_dagster.cli.dagster_state import DAEMONS
from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.settings import PROJECT_ROOT
from tests.soak.clock import MovedClock
from tests.soak.worker import ForkingLauncher
from tests.soak.world import World

PAUSE = timedelta(seconds=30)
LOGGER = logging.getLogger("soak")
UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


class Daemon:
    """Dagster's loops on one instance."""

    def __init__(self, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext, clock: MovedClock) -> None:
        self._instance = instance
        self._workspace = workspace
        self._clock = clock
        self._launcher = ForkingLauncher(Path(instance.root_directory), clock.now)
        self._launcher.register_instance(instance)
        instance._run_launcher = self._launcher
        self._queue = QueuedRunCoordinatorDaemon(interval_seconds=1)
        self._queue._logger = LOGGER

    def switch_on(self) -> None:
        """All schedules and sensors, as a person does on the page Automation."""
        location = self._workspace.create_request_context().code_locations[0]
        (repository,) = location.get_repositories().values()
        for schedule in repository.get_schedules():
            self._instance.start_schedule(schedule)
        for sensor in repository.get_sensors():
            self._instance.start_sensor(sensor)

    def step(self, now: datetime, *, power_fails: bool) -> None:
        self._clock.say(now)
        self._launcher.power_fails = power_fails
        for kind in DAEMONS:
            beat = DaemonHeartbeat(now.timestamp(), kind, "soak", [])
            self._instance.add_daemon_heartbeat(beat)
        self._monitor()
        _must_go(launch_scheduled_runs(self._workspace, LOGGER, now, {}))
        _must_go(execute_sensor_iteration(self._workspace, LOGGER, None, None))
        while self._instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY), limit=1):
            _must_go(self._queue.run_iteration(self._workspace))
            if not self._launcher.workers:
                # What is queued waits for a dead run's place.
                self._clock.say(self._clock.now() + PAUSE)
            for worker in self._launcher.workers:
                worker.join()
            self._launcher.workers.clear()
            self._monitor()

    def _monitor(self) -> None:
        _must_go(execute_run_monitoring_iteration(self._workspace, LOGGER))
        _must_go(execute_concurrency_slots_iteration(self._workspace, LOGGER))


def _must_go(loop: Iterable[Any]) -> None:
    """Go through a loop of Dagster's, which yields errors as they are."""
    errors = [item for item in loop if hasattr(item, "message")]
    if errors:
        raise SystemExit("\n".join(str(item) for item in errors))


def main(folder: str) -> None:
    world = World.at(Path(folder))
    os.environ.update(world.project.environment)
    prepare_home(world.project.settings)
    home = world.project.settings.dagster_home
    orders = (json.loads(line) for line in sys.stdin)
    first = next(orders)
    clock = MovedClock(datetime.fromisoformat(first["now"]) - timedelta(hours=1))
    clock.put_in_place()
    target = LoadableTargetOrigin(
        executable_path=sys.executable,
        module_name="scizor_dagster.definitions",
        attribute="defs",
        working_directory=str(PROJECT_ROOT),
    )
    origin = InProcessCodeLocationOrigin(target, location_name="scizor")
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
    ):
        daemon = Daemon(instance, workspace, clock)
        if not instance.all_instigator_state():
            daemon.switch_on()
        order = first
        while order is not None:
            daemon.step(datetime.fromisoformat(order["now"]), power_fails=order["power_fails"])
            sys.stdout.write("done\n")
            sys.stdout.flush()
            order = next(orders, None)


def arguments() -> Sequence[str]:
    return sys.argv[1:]


if __name__ == "__main__":
    main(*arguments())
