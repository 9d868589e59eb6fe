"""What every route may use: the desk, the clock, the rules, runs, and what must not be told.

What belongs here: opening things once for all requests, safely for threads. What does not: who asks (`security`).
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Request

from scizor_dagster.api.rates import Places, Rates
from scizor_dagster.api.runs import Runs
from scizor_dagster.config import ApiRules
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.notifying import redaction_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.notifications.redaction import Redaction
from scizor_dagster.sessions import Clock
from scizor_dagster.settings import Settings

logger = logging.getLogger("scizor.api")
Fingerprint = tuple[tuple[str, int, int], ...]


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

    Raises:
        ConfigError: the configuration cannot be used.
    """

    def __init__(self, settings: Settings, clock: Clock = machine_clock) -> None:
        self.settings = settings
        self.clock = clock
        self.holder = uuid4().hex
        self._guard = Lock()
        self._locks = ExitStack()
        self._held = False
        self._desk, self._read = self._opened(None)
        self.rules: ApiRules = self._desk.config.api
        self.rates = Rates(self.rules)
        self.streams = Places(self.rules.max_streams, "streams of events")
        self.requests = Places(self.rules.max_threads + self.rules.max_waiting, "requests")
        self.runs = Runs(settings, self.rules.dagster_url, clock, lambda text: self.redact(text))

    @property
    def desk(self) -> Desk:
        """The desk of the configuration as its files are now; stores stay open when they change.

        Raises:
            ConfigError: the configuration cannot be used any more.
        """
        with self._guard:
            if _fingerprint(self._desk) != self._read:
                self._desk, self._read = self._opened(self._desk)
            _open_stores(self._desk)
            return self._desk

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
        return redaction_of(self._desk.config, self.settings)

    def hold(self, ledger: Ledger) -> None:
        """Hold this process's lock in the ledger, by which others know that it lives."""
        with self._guard:
            if not self._held:
                self._held = self._locks.enter_context(ledger.process_lock(lock_of(self.holder)))

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

    def _opened(self, before: Desk | None) -> tuple[Desk, Fingerprint]:
        # Looked at before it is read: what is written meanwhile is read the next time.
        seen = _state(self.settings.config_path)
        desk = Desk(self.settings, self.clock)
        _ = desk.config
        if before is not None:
            for name in ("lake", "ledger"):
                if name in before.__dict__:
                    desk.__dict__[name] = before.__dict__[name]
            before.disconnect()
        return desk, (seen, *_fingerprint(desk)[1:])


def _open_stores(desk: Desk) -> None:
    """Open what is there while nobody else does: two threads would open it twice."""
    if desk.has_lake:
        _ = desk.lake
    if desk.has_ledger:
        _ = desk.ledger


def _fingerprint(desk: Desk) -> Fingerprint:
    config = desk.config
    universes = [config.folder / name for market in config.markets.values() for name in market.universes]
    files: list[Path] = [desk.settings.config_path, config.folder / config.strategy_manifest, *universes]
    return tuple(_state(path) for path in files)


def _state(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), found.st_mtime_ns, found.st_size


def context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _desk(request: Request) -> Desk:
    return context_of(request).desk


TheContext = Annotated[Context, Depends(context_of)]
TheDesk = Annotated[Desk, Depends(_desk)]
