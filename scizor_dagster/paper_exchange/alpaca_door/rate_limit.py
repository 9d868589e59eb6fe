"""How many requests an account may send in a minute, and the headers that say so.

What belongs here: counting in fixed windows. What does not: whose request it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

Seconds = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per account and window of `window` seconds; trading and data are counted apart."""

    trading: int = 200
    data: int = 200
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """The state of an account's window after one request."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimiter:
    """Counts by (account, side). Safe to call from several threads."""

    def __init__(self, limits: Limits, clock: Seconds) -> None:
        self._limits = limits
        self._clock = clock
        self._windows: dict[tuple[str, bool], tuple[int, int]] = {}
        self._lock = Lock()

    def take(self, account: str, *, data: bool) -> Allowance:
        limit = self._limits.data if data else self._limits.trading
        index = int(self._clock() // self._limits.window)
        with self._lock:
            known, used = self._windows.get((account, data), (index, 0))
            used = (used if known == index else 0) + 1
            self._windows[account, data] = (index, min(used, limit + 1))
        reset = int((index + 1) * self._limits.window)
        return Allowance(used <= limit, limit, max(limit - used, 0), reset)
