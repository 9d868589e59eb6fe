"""A scheduler of Dagster's in a process of its own: one look at the schedules, at a time that is said, to die in it.

Run as `python -m tests.acceptance.ticking FILE TIME POINT`: `FILE` has the definitions, `POINT` is a place of Dagster's
in a tick, or `none`. The instance is that of `DAGSTER_HOME`.
"""

from __future__ import annotations

import logging
import signal
import sys
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.test_utils import freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

SCHEDULE = "rebalance_before_open"
POINTS = ("TICK_CREATED", "TICK_HELD", "RUN_CREATED", "RUN_LAUNCHED", "RUN_ADDED", "TICK_SUCCESS")
"""From the row of a tick to its end: before the schedule is asked, before and after its run is in the queue."""


def main(file: str, time: str, point: str) -> int:
    now = datetime.fromisoformat(time)
    flags = {} if point == "none" else {SCHEDULE: {point: signal.SIGKILL}}
    target = PythonFileTarget(file, None, None, None)
    with dg.DagsterInstance.get() as instance, WorkspaceProcessContext(instance, target) as context:
        location = context.create_request_context().code_locations[0]
        schedule = next(iter(location.get_repositories().values())).get_schedule(SCHEDULE)
        if not instance.all_instigator_state():
            with freeze_time(now - timedelta(hours=1)):
                instance.start_schedule(schedule)
        with freeze_time(now):
            looked = launch_scheduled_runs(context, logging.getLogger(), now, {}, debug_crash_flags=flags)
            errors = [item for item in looked if item is not None and hasattr(item, "message")]
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
