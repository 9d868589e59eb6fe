"""Now, as a broker's own clock says it: for a rehearsal at an exchange that replays another day.

What belongs here: how often the clock is read, and what holds where it cannot be. What does not: reading it (the
adapters). A broker that trades in real time says the real time, so that no setting can trade a past session there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from threading import Lock

from scizor_dagster.errors import BrokerUnavailable

MAX_AGE = 5.0
"""Seconds for which a reading is used: a run asks for the time with every line it writes."""
PATIENCE = 60.0
"""Seconds for which the last reading stands in for a clock that cannot be read."""


class BrokerClock:
    """A clock that is read from a broker; it never goes back. Safe to ask from several threads.

    Args:
        read: Asks the broker; raises `BrokerUnavailable`.
        monotonic: Seconds that only grow.
    """

    def __init__(self, read: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = Lock()
        self._known: datetime | None = None
        self._known_at = self._tried_at = 0.0

    def __call__(self) -> datetime:
        """The broker's time, at most `MAX_AGE` seconds old while the broker answers.

        Raises:
            BrokerUnavailable: it has not been read yet, or not for `PATIENCE` seconds.
        """
        with self._lock:
            begun = self._monotonic()
            if self._known is not None and begun < self._tried_at + MAX_AGE:
                return self._known
            try:
                found = self._read()
            except BrokerUnavailable:
                if self._known is None or begun > self._known_at + PATIENCE:
                    raise
                self._tried_at = self._monotonic()
                return self._known
            self._known_at = self._tried_at = self._monotonic()
            self._known = found if self._known is None else max(found, self._known)
            return self._known
