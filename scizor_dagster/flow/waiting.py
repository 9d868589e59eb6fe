"""How a run waits in an open session for what its orders come to.

What belongs here: the time that one run has, and how long it waits between two looks. What does not: whether there is
anything to wait for (`execution.drive`), and what a broker pushes (its adapter).
"""

from __future__ import annotations

from collections.abc import Callable

News = Callable[[float], None]
"""Called with seconds: returns once the broker has pushed something, or after them."""


class OrderWait:
    """A run's time for waiting, which begins with the first wait.

    Args:
        limit: Seconds in all.
        interval: Seconds between two looks, at most. What a broker pushes only shortens a wait: a connection that is
            dead, or that never pushes, changes nothing else.
        news: See `News`.
        monotonic: Seconds that only grow.
    """

    def __init__(self, limit: float, interval: float, news: News, monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._interval = interval
        self._news = news
        self._monotonic = monotonic
        self._until: float | None = None

    def __call__(self) -> bool:
        """Wait once; False, at once, where the time is over."""
        now = self._monotonic()
        if self._until is None:
            self._until = now + self._limit
        left = self._until - now
        if left <= 0:
            return False
        self._news(min(left, self._interval))
        return True
