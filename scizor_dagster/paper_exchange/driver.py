"""What keeps a served venue going while nobody asks it: a thread that brings the books to the clock.

What belongs here: when to look. What does not: what happens then (`paper_venue`), and the doors, whose
clients are told by the venue's own events.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Self

from scizor_dagster.paper_exchange.venue import Venue

_SHORTEST, _LONGEST = 0.02, 1.0
"""Seconds between two looks. An order that comes in between brings its next instant nearer, so that none is far."""
_JOIN_SECONDS = 30.0


class Driver:
    """Runs a venue at the instants that it names, from `__enter__` to `__exit__`.

    Args:
        speed: Seconds of the venue's clock in one.
        on_failure: Called once, on the driver's thread, where the venue fails; the driver has ended then.

    Attributes:
        failure: What the venue failed with.
    """

    def __init__(self, venue: Venue, speed: float, on_failure: Callable[[], None]) -> None:
        self._venue, self._speed, self._on_failure = venue, speed, on_failure
        self._ended = Event()
        self._thread = Thread(target=self._drive, name="paper-exchange", daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_JOIN_SECONDS)

    def _drive(self) -> None:
        while not self._ended.is_set():
            try:
                pause = self._pause(self._venue)
            except Exception as error:
                self.failure = error
                self._on_failure()
                return
            self._ended.wait(pause)

    def _pause(self, venue: Venue) -> float:
        due = venue.run()
        if due is None:
            return _LONGEST
        return min(max((due - venue.now()).total_seconds() / self._speed, _SHORTEST), _LONGEST)
