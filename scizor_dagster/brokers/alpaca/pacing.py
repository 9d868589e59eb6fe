"""No more requests than the broker permits, and no slower than it permits them.

What belongs here: when the next request may go. What does not: what is sent.

A bucket of tokens of which each comes back one window after it was taken: as many requests as the limit
go out as fast as they can, and never more within any window, wherever the broker's own windows begin.
A bucket that fills steadily would either send up to twice the limit in one of them, or slow every batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from urllib.parse import urlsplit

Seconds = Callable[[], float]
Wait = Callable[[float], None]
WINDOW = 60.0
SLACK = 1.0
"""Seconds by which replies may overtake each other on the way; they count at the broker when they arrive."""


class Pacer:
    """Safe to ask from several threads.

    Args:
        limit: Requests per window.
        clock: Monotonic seconds.
        wait: Called with seconds, returns after them.
    """

    def __init__(self, limit: int, clock: Seconds, wait: Wait) -> None:
        self._limit = limit
        self._clock = clock
        self._wait = wait
        self._back: deque[float] = deque()
        self._closed_until = 0.0
        self._lock = Lock()

    def lower(self, limit: int) -> None:
        """Permit no more than `limit` from now on."""
        with self._lock:
            self._limit = min(self._limit, limit)

    def take(self) -> None:
        """Return as soon as the next request may go."""
        while (pause := self._pause()) > 0:
            self._wait(pause)

    def hold(self, seconds: float) -> None:
        """Let nothing go for a while: the broker has said that it was too much."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    @property
    def room(self) -> tuple[int, int]:
        """The limit of a window, and how many requests may go now."""
        with self._lock:
            now = self._clock()
            if now < self._closed_until:
                return self._limit, 0
            taken = sum(1 for back in self._back if back > now)
            return self._limit, max(0, self._limit - taken)

    def _pause(self) -> float:
        """Seconds to wait; none where a token was taken."""
        with self._lock:
            now = self._clock()
            while self._back and self._back[0] <= now:
                self._back.popleft()
            due = max(self._closed_until, self._back[0] if len(self._back) >= self._limit else 0.0)
            if now < due:
                return due - now
            self._back.append(now + WINDOW + SLACK)
            return 0.0


_SHARED: dict[tuple[str, str, str, Seconds, Wait], Pacer] = {}
_SHARED_LOCK = Lock()


def shared_pacer(url: str, side: str, key_id: str, limit: int, clock: Seconds, wait: Wait) -> Pacer:
    """The one pacer of this process for an account and a side of an API: the broker counts those requests together.

    Where several limits are named, the lowest holds.
    """
    with _SHARED_LOCK:
        pacer = _SHARED.setdefault((url, side, key_id, clock, wait), Pacer(limit, clock, wait))
    pacer.lower(limit)
    return pacer


def headroom() -> list[tuple[str, str, int, int]]:
    """Host, side, limit and what is left of it, of each API that this process asks; of several accounts the least."""
    with _SHARED_LOCK:
        pacers = list(_SHARED.items())
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for (url, side, *_), pacer in pacers:
        key, room = (urlsplit(url).hostname or url, side), pacer.room
        found[key] = min(found.get(key, room), room, key=lambda pair: pair[1])
    return [(host, side, limit, left) for (host, side), (limit, left) in sorted(found.items())]
