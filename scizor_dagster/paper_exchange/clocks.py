"""The venue's clocks: real time, a replay of the past at any speed, and steps by hand.

What belongs here: sources of the instant at which the venue stands, none of which ever goes back. What
does not: what happens at an instant (`continuous`), and calendars (`sessions`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

from scizor_dagster.errors import InputError
from scizor_dagster.sessions import Clock


class VenueClock(Protocol):
    def now(self) -> datetime:
        """An aware instant, never before one that was given already. Safe to call from several threads."""
        ...


class RealTime:
    """The clock that is handed in, held still where it is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: datetime | None = None
        self._lock = Lock()

    def now(self) -> datetime:
        with self._lock:
            instant = self._clock()
            self._last = instant if self._last is None else max(self._last, instant)
            return self._last


class Replay:
    """The past, `speed` seconds of it in one, from `start` until `end`, where it stands still.

    Args:
        elapsed: Seconds of a clock that only goes forward, such as `time.monotonic`.

    Raises:
        InputError: the speed is not above zero, or the end is before the start.
    """

    def __init__(self, start: datetime, end: datetime, speed: float, elapsed: Callable[[], float]) -> None:
        if not 0 < speed < float("inf"):
            raise InputError(f"A replay at speed {speed} does not move.", remedy="Use a number above 0, e.g. 60.")
        if end < start:
            raise InputError(f"The replay ends ({end}) before it starts ({start}).", remedy="Turn the range round.")
        self._start, self._end, self._speed, self._elapsed = start, end, speed, elapsed
        self._began = elapsed()

    def now(self) -> datetime:
        passed = max(0.0, self._elapsed() - self._began) * self._speed
        if passed >= (self._end - self._start).total_seconds():
            return self._end
        return self._start + timedelta(seconds=passed)


class Manual:
    """A clock that moves when it is told to."""

    def __init__(self, start: datetime) -> None:
        self._at = start

    def now(self) -> datetime:
        return self._at

    def move_to(self, instant: datetime) -> datetime:
        """Stand at `instant`.

        Raises:
            InputError: it is in the past of this clock.
        """
        if instant < self._at:
            raise InputError(f"The clock stands at {self._at} and does not go back.", remedy="Move it forward.")
        self._at = instant
        return instant

    def advance(self, by: timedelta) -> datetime:
        """Move on by `by`, which is not negative."""
        return self.move_to(self._at + by)
