"""Death at a chosen point: of a Python process in-process, or of a real one by SIGKILL.

A point lies before and after every call of the broker and every commit of the ledger. Once dead,
nothing of the process works any more: whatever its `finally` blocks try, is dead too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from scizor_dagster.ledger.store import Ledger


class Killed(BaseException):
    """The process is dead."""


class KillSwitch:
    """Counts points and dies at number `at` (from 1); 0 only counts."""

    def __init__(self, at: int = 0, *, really: bool = False) -> None:
        self.at = at
        self.really = really
        self.count = 0
        self.dead = False
        self.names: list[str] = []

    @property
    def where(self) -> str:
        return self.names[-1]

    def numbers(self, name: str) -> list[int]:
        """Numbers of the points called `name`."""
        return [number for number, known in enumerate(self.names, start=1) if known == name]

    def point(self, name: str) -> None:
        if self.dead:
            raise Killed(name)
        self.count += 1
        self.names.append(name)
        if self.count == self.at:
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
