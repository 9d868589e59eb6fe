"""Death at a chosen point: of a Python process in-process, or of a real one by SIGKILL.

A point lies before and after every call of the broker and every commit of the ledger. Once dead,
nothing of the process works any more: whatever its `finally` blocks and its other threads try, is dead too.
What another thread was within at that moment, between two points, still happens, as if it had been faster.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import sqlalchemy as sa

from scizor_dagster.ledger.store import Ledger


class Killed(BaseException):
    """The process is dead."""


class Point(NamedTuple):
    """A point by its name, and the how manieth of that name it is, from 1.

    Threads reach the points of a run in an order that no one knows; how many of each name there are is known.
    """

    name: str
    nth: int


class KillSwitch:
    """Counts points and dies at number `at` (from 1), or at the point that it names; 0 only counts."""

    def __init__(self, at: int | Point = 0, *, really: bool = False) -> None:
        self.at = at
        self.really = really
        self.dead = False
        self.points: list[Point] = []
        self._seen: Counter[str] = Counter()
        self._one_at_a_time = Lock()

    @property
    def count(self) -> int:
        return len(self.points)

    @property
    def where(self) -> str:
        return self.points[-1].name

    def numbers(self, name: str) -> list[int]:
        """Numbers of the points called `name`."""
        return [number for number, known in enumerate(self.points, start=1) if known.name == name]

    def point(self, name: str) -> None:
        with self._one_at_a_time:
            if self.dead:
                raise Killed(name)
            self._seen[name] += 1
            self.points.append(Point(name, self._seen[name]))
            if self.at in (self.count, self.points[-1]):
                if self.really:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.dead = True
                raise Killed(name)


class MortalLedger(Ledger):
    """A ledger with a point before and after every commit."""

    switch: KillSwitch

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        switch = getattr(self, "switch", None) or KillSwitch()
        if switch.dead:
            raise Killed("begin")
        with super().transaction() as connection:
            yield connection
            switch.point("before commit")
        switch.point("after commit")


class MortalBroker:
    """A broker with a point before and after every call."""

    def __init__(self, broker: Any, switch: KillSwitch) -> None:
        self._broker = broker
        self._switch = switch

    @property
    def capabilities(self) -> Any:
        return self._broker.capabilities

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._broker, name)

        def mortal(*arguments: Any) -> Any:
            self._switch.point(f"before {name}")
            answer = call(*arguments)
            self._switch.point(f"after {name}")
            return answer

        return mortal
