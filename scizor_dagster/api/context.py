"""What every route may use: the desk, the clock, the rules, runs, and what must not be told.

What belongs here: opening things once for all requests, safely for threads. What does not: who asks (`security`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import anyio
from fastapi import Depends, Request

from scizor_dagster.api.kept_keys import KeptKeys
from scizor_dagster.api.rates import Places, Rates
from scizor_dagster.api.run_work import Worker
from scizor_dagster.api.runs import Runs
from scizor_dagster.config import ApiRules
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.secrets import redaction_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.notifications.redaction import Redaction
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings

logger = logging.getLogger("scizor.api")
RESERVED_THREADS = 8
Fingerprint = tuple[tuple[int, int], ...]
T = TypeVar("T")


def lock_of(holder: str) -> str:
    """Name of the lock in the ledger that a process holds while it works."""
    return f"api-{holder}"


def machine_clock() -> datetime:
    return datetime.now(UTC)


class Context:
    """One per application.

    Args:
        settings: Where everything is.
        clock: The machine's; the desk's own is that of the configuration.
        worker: Who does runs; without one they are done in this process.

    Raises:
        ConfigError: the configuration cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock = machine_clock, worker: Worker | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.holder = uuid4().hex
        self._guard = Lock()
        self._locks = ExitStack()
        self._held = False
        self._parts: dict[object, Any] = {}
        self._opening = self._opened(None)
        self._redaction: tuple[Desk, Redaction] | None = None
        self.rules: ApiRules = self._desk.config.api
        self.rates = Rates(self.rules)
        self.keys = KeptKeys()
        self.streams = Places(self.rules.max_streams, "streams of events")
        self.requests = Places(self.rules.max_threads + self.rules.max_waiting, "requests")
        self._turns = anyio.Semaphore(self.rules.max_threads, fast_acquire=True)
        self.runs = Runs(settings, self.rules.dagster_url, clock, lambda text: self.redact(text), worker)

    @property
    def desk(self) -> Desk:
        """The desk of the configuration as its files are now; stores stay open when they change.

        Raises:
            ConfigError: the configuration cannot be used any more.
        """
        with self._guard:
            desk, files, read = self._opening
            if _fingerprint(files) != read:
                self._opening = self._opened(desk)
            _open_stores(self._desk)
            return self._desk

    @property
    def desk_at_hand(self) -> Desk | None:
        """The desk, where the files are as they were when it was asked for last: nothing is read or waited for."""
        desk, files, read = self._opening
        return desk if _fingerprint(files) == read else None

    @property
    def _desk(self) -> Desk:
        return self._opening[0]

    @asynccontextmanager
    async def turn(self, *, always: bool) -> AsyncIterator[None]:
        """A request's turn: so many are worked on at once, and so many wait. With `always` it is there at once."""
        if always:
            yield
            return
        with self.requests.one():
            async with self._turns:
                yield

    @property
    def threads(self) -> int:
        """Threads that are needed so that one is left for a request that waits for nobody."""
        return self.rules.max_threads + self.rules.max_streams + RESERVED_THREADS

    def desk_to_stop_with(self) -> tuple[Desk, str]:
        """The desk, and nothing; or the last one that could be read, and why it cannot be any more.

        To stop trading needs the ledger and nothing else: a configuration that somebody has just broken is a good
        reason to stop.
        """
        try:
            return self.desk, ""
        except ScizorError as error:
            return self.last_desk, str(error)

    def new_desk(self) -> Desk:
        """A desk on the same stores whose brokers are its own; its taker disconnects it.

        Raises:
            ConfigError: the configuration cannot be used any more.
        """
        before = self.desk
        with self._guard:
            return self._opened(before)[0]

    @property
    def last_desk(self) -> Desk:
        """The desk of the configuration as it could be used last: to stop trading needs no more than that."""
        with self._guard:
            _open_stores(self._desk)
            return self._desk

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, where there is one, whatever has become of the configuration; asking creates none."""
        desk = self.last_desk
        return desk.ledger if desk.has_ledger else None

    @property
    def redact(self) -> Redaction:
        """Blots out every secret of the configuration."""
        desk, found = self._desk, self._redaction
        if found is None or found[0] is not desk:
            self._redaction = found = (desk, redaction_of(desk.config, self.settings))
        return found[1]

    def hold(self, ledger: Ledger) -> None:
        """Hold this process's lock in the ledger, by which others know that it lives."""
        with self._guard:
            if not self._held:
                self._held = self._locks.enter_context(ledger.process_lock(lock_of(self.holder)))

    def part(self, make: Callable[[], T]) -> T:
        """What a service keeps between requests, made once: the same for the same `make`."""
        found: T | None = self._parts.get(make)
        if found is not None:
            return found
        with self._guard:
            if make not in self._parts:
                self._parts[make] = make()
            made: T = self._parts[make]
            return made

    def close(self) -> None:
        """End what is under way in the background, and let go of brokers, locks and the ledger."""
        self.runs.close()
        self._locks.close()
        self._desk.disconnect()
        ledger = self._desk.__dict__.get("ledger")
        if ledger is not None:
            ledger.close()
            # The lock is nobody's again: its holder's name never comes back.
            for file in self.settings.home.glob(f"*{lock_of(self.holder)}*"):
                file.unlink(missing_ok=True)

    def _opened(self, before: Desk | None) -> tuple[Desk, tuple[Path, ...], Fingerprint]:
        # Looked at before it is read: what is written meanwhile is read the next time.
        seen = _state(self.settings.config_path)
        desk = Desk(self.settings, self.clock)
        _ = desk.config
        if before is not None:
            for name in ("lake", "ledger"):
                if name in before.__dict__:
                    desk.__dict__[name] = before.__dict__[name]
            before.disconnect()
        files = _files_of(desk)
        return desk, files, (seen, *_fingerprint(files[1:]))


def _open_stores(desk: Desk) -> None:
    """Open what is there while nobody else does: two threads would open it twice."""
    if desk.has_lake:
        _ = desk.lake
    if desk.has_ledger:
        _ = desk.ledger


def _files_of(desk: Desk) -> tuple[Path, ...]:
    config = desk.config
    universes = [config.folder / name for market in config.markets.values() for name in market.universes]
    return desk.settings.config_path, config.folder / config.strategy_manifest, *universes


def _fingerprint(files: Sequence[Path]) -> Fingerprint:
    return tuple(map(_state, files))


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _context(request: Request) -> Context:
    # A dependency that is no coroutine takes a thread each time.
    return context_of(request)


def _desk(request: Request) -> Desk:
    return context_of(request).desk


TheContext = Annotated[Context, Depends(_context)]
TheDesk = Annotated[Desk, Depends(_desk)]
