"""Where requests are counted: numbers in memory, each until its time is over.

What belongs here: keeping the numbers. What does not: what is counted, and how much is too much (`rates`).

The storage of the same kind that `limits` brings begins a thread for almost every number that grows.
"""

from __future__ import annotations

import time
from threading import Lock

from limits.storage import Storage

MOST_BEFORE_TIDYING = 1000


class Counts(Storage):
    """Numbers by key. Safe to call from several threads, and from the event loop."""

    STORAGE_SCHEME: list[str] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._guard = Lock()
        self._counted: dict[str, tuple[int, float]] = {}
        self._tidied_at = MOST_BEFORE_TIDYING

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        with self._guard:
            number, until = self._counted.get(key, (0, 0.0))
            self._counted[key] = found = (number + amount, until) if until > now else (amount, now + expiry)
            if len(self._counted) > self._tidied_at:
                self._counted = {name: item for name, item in self._counted.items() if item[1] > now}
                self._tidied_at = max(MOST_BEFORE_TIDYING, 2 * len(self._counted))
        return found[0]

    def get(self, key: str) -> int:
        number, until = self._counted.get(key, (0, 0.0))
        return number if until > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Until when the number counts, in seconds since 1970."""
        found = self._counted.get(key)
        return found[1] if found is not None else time.time()

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._guard:
            gone, self._counted = len(self._counted), {}
        return gone

    def clear(self, key: str) -> None:
        with self._guard:
            self._counted.pop(key, None)
