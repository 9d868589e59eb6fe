"""The embedded ledger: one SQLite file, with lock files beside it.

What belongs here: pragmas, and locks of the operating system. What does not: what holds for every database (`store`).

WAL mode with `synchronous=FULL`: a commit that returned has been fsynced, readers are never blocked, and writers
queue for the write lock that `BEGIN IMMEDIATE` takes at once, so that what a transaction has read cannot change
before it writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import backend
from scizor_dagster.ledger.backend import ACCESS, Synchronous

MIGRATION_LOCK_SECONDS = 60.0
_FILE = "file"


class SqliteBackend:
    """See `backend.Backend`."""

    remedy = "Nothing was half-written. See that the disk has room and nothing holds the file."

    def __init__(self, url: sa.URL, synchronous: Synchronous) -> None:
        assert url.database is not None
        self.path = Path(url.database)
        self.place = str(self.path)
        self._synchronous = synchronous
        self._seen = False

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def create_engine(self) -> sa.Engine:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(self.path)), max_overflow=backend.UNBOUNDED)

        @sa.event.listens_for(engine, "connect")
        def configure(connection: Any, _record: Any) -> None:
            # The driver's own guessing of transactions is off: `begin` below says when one starts.
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={backend.BUSY_TIMEOUT_MS}")
            cursor.execute(f"PRAGMA synchronous={self._synchronous}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(ACCESS) else "BEGIN IMMEDIATE")

        sa.event.listen(engine, "do_connect", self._require_file)
        sa.event.listen(engine, "checkout", self._require_same_file)
        return engine

    def _require_file(self, *_: Any) -> None:
        """Connect to no file that was there and is not any more: SQLite would make an empty one."""
        if self._seen and not self.exists:
            raise self._gone()

    def _require_same_file(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """Let no pooled connection go on with a file that was moved away.

        A ledger that is brought back is another file under the same name: what a process that knew the first one
        would write there, and send on the strength of it, nobody would find again.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError as error:
            raise self._gone() from error
        self._seen, found = True, (status.st_dev, status.st_ino)
        if record.info.setdefault(_FILE, found) != found:
            raise sa.exc.DisconnectionError

    def _gone(self) -> LedgerError:
        return LedgerError(
            "The file of the ledger is gone.",
            remedy="Nothing was written. Bring it back, as docs/operations.md says, then run again.",
            where=self.place,
        )

    @contextmanager
    def migrating(self, engine: sa.Engine) -> Iterator[None]:
        lock = FileLock(self.lock_path("migrate"), timeout=MIGRATION_LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise LedgerError(
                f"Another process has been migrating the ledger for {MIGRATION_LOCK_SECONDS:.0f} s.",
                remedy="Wait for it, or end it; the lock goes with the process.",
                where=self.place,
            ) from error
        try:
            with engine.connect() as connection:
                # Persistent in the file, and not allowed inside a transaction.
                raw = connection.connection.dbapi_connection
                assert raw is not None
                raw.cursor().execute("PRAGMA journal_mode=WAL")
            yield
        finally:
            lock.release()

    def prepare(self, connection: sa.Connection) -> None:
        """A file has room for tables as it is."""

    def unhurried(self, connection: sa.Connection) -> None:  # noqa: ARG002
        # Who writes is a process of this machine: when it has ended, its transaction has.
        return

    def check(self, connection: sa.Connection) -> None:
        """There is no server to ask."""

    def before_commit(self, connection: sa.Connection) -> None:
        """A failed statement is undone by itself, and the others of its transaction are stored."""

    @contextmanager
    def process_lock(self, engine: sa.Engine, name: str) -> Iterator[bool]:  # noqa: ARG002
        lock = FileLock(self.lock_path(name))
        with suppress(Timeout):
            lock.acquire(timeout=0)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def lock_path(self, name: str) -> Path:
        """The file beside the database that serves as the lock `name`."""
        return self.path.with_name(f"{self.path.name}.{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.lock")
