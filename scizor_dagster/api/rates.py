"""How often one may ask, and how many at once: by key, by address, and how often with a key that is none.

What belongs here: counting in this process. What does not: what is counted (`security`, `front`).

Each service that is served apart counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter

from scizor_dagster.api.counting import Counts
from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.config import ApiRules

NOTED_PER_MINUTE = 60
"""Refusals of one key or address that get a row in the audit."""


class Rates:
    """Counts requests. Safe to call from several threads."""

    def __init__(self, rules: ApiRules) -> None:
        self._counted = FixedWindowRateLimiter(Counts())
        self._per_key = RateLimitItemPerMinute(rules.requests_per_minute)
        self._per_address = RateLimitItemPerMinute(rules.requests_per_minute_per_address)
        self._noted = RateLimitItemPerMinute(NOTED_PER_MINUTE)
        self._refusals = RateLimitItemPerMinute(rules.refusals_per_minute)

    def take_key(self, key_id: str) -> None:
        self._take(self._per_key, "key", key_id)

    def take_address(self, address: str) -> None:
        self._take(self._per_address, "address", address)

    def note_refusal(self, address: str) -> None:
        """Count a key that was none."""
        self._counted.hit(self._refusals, "refusals", address)

    def require_few_refusals(self, address: str) -> None:
        """Refuse whoever tries one key after the other."""
        if not self._counted.test(self._refusals, "refusals", address):
            raise self._too_many(self._refusals, "refusals", address)

    def note_in_audit(self, who: str) -> bool:
        """Count a refusal that is worth a row; False where there were too many of this key or address."""
        return self._counted.hit(self._noted, "noted", who)

    def _take(self, item: RateLimitItem, kind: str, name: str) -> None:
        if not self._counted.hit(item, kind, name):
            raise self._too_many(item, kind, name)

    def _too_many(self, item: RateLimitItem, kind: str, name: str) -> RequestRefused:
        ends = self._counted.get_window_stats(item, kind, name).reset_time
        seconds = max(1, math.ceil(ends - time.time()))
        return RequestRefused(
            f"There were more than {item.amount} requests in a minute.",
            remedy=f"Nothing was done. Ask again in {seconds} seconds.",
            status=429,
            headers={"Retry-After": str(seconds)},
        )


class Places:
    """So many at once, and no queue: whoever comes when all are taken is sent away."""

    def __init__(self, number: int, what: str) -> None:
        self._number = number
        self._what = what
        self._taken = 0
        self._guard = Lock()

    def take(self) -> None:
        """Take a place, to be given back.

        Raises:
            RequestRefused: there is none (503).
        """
        with self._guard:
            if self._taken >= self._number:
                raise RequestRefused(
                    f"There are {self._number} {self._what} under way already.",
                    remedy="Nothing was done. Ask again in a moment.",
                    status=503,
                    headers={"Retry-After": "1"},
                )
            self._taken += 1

    def give_back(self) -> None:
        with self._guard:
            self._taken -= 1

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for the block."""
        self.take()
        try:
            yield
        finally:
            self.give_back()
