"""One moved clock for a process: Scizor's, and all that Dagster reads through its own.

What belongs here: putting it in place. What does not: who says what time it is.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import dagster._time as dagster_time
from dagster._core import log_manager
from dagster._core.test_utils import get_freezable_log_manager

from resources import desk


class MovedClock:
    """The time that was said last, and from there on at the pace of this machine."""

    def __init__(self, now: datetime) -> None:
        self.say(now)

    def say(self, now: datetime) -> None:
        self._said, self._at = now, time.monotonic()

    def now(self) -> datetime:
        return self._said + timedelta(seconds=time.monotonic() - self._at)

    def put_in_place(self) -> None:
        """For the rest of this process."""
        desk.system_clock = self.now
        dagster_time._mockable_get_current_datetime = lambda: self.now().astimezone(UTC)
        dagster_time._mockable_get_current_timestamp = lambda: self.now().timestamp()
        # As `freeze_time` of Dagster's own tests: its log would take the time of events from the machine.
        log_manager.DagsterLogManager = get_freezable_log_manager()  # type: ignore[misc]
