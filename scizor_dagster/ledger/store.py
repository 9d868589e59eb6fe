"""The ledger's door: one database, opened, migrated and transacted.

What belongs here: opening, pragmas, migrations to head, transactions, lock files. What does not:
tables (`tables`) and what may be done to their rows (`batches`, `intents`, `events`, `lease`, ...).

SQLite in WAL mode with `synchronous=FULL`: a commit that returned has been fsynced, readers are never
blocked, and writers queue for the write lock that `BEGIN IMMEDIATE` takes at once, so that what a
transaction has read cannot change before it writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import sqlalchemy as sa
from filelock import FileLock, Timeout

from scizor_dagster.errors import LedgerError

HEAD = "0007"
"""The newest migration. A database that names another one is migrated, or refused as newer."""
BUSY_TIMEOUT_MS = 30_000
_MIGRATION_LOCK_SECONDS = 60.0
_READ_ONLY = "scizor_read_only"
_BEGIN = {True: "BEGIN", False: "BEGIN IMMEDIATE"}
Synchronous = Literal["FULL", "OFF"]


class Ledger:
    """One ledger. Safe to share between threads; a forked child opens connections of its own.

    Use `Ledger.open`, not the constructor.
    """

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self.path = path
        self._synchronous = synchronous
        self._engine = _create_engine(path, synchronous)
        self._owner = os.getpid()
        # Pools that belong to the parent of a fork: closing their connections here would touch its locks.
        self._abandoned: list[Any] = []

    @classmethod
    def open(cls, url: str, *, synchronous: Synchronous = "FULL") -> Self:
        """Open the ledger at `url`, creating and migrating it where needed.

        Safe when several processes do it at once: the migration runs under a file lock and in one
        transaction, so that a process killed in it leaves an empty database and not half a schema.

        Args:
            url: `sqlite:///` and a path; its folder is created.
            synchronous: `OFF` gives up the fsync of each commit. Only for tests that kill a process
                but never the machine.

        Raises:
            LedgerError: not an SQLite URL, cannot be opened, or written by a newer Scizor.
        """
        path = _path_of(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        ledger = cls(path, synchronous)
        try:
            ledger._migrate()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @property
    def engine(self) -> sa.Engine:
        """The engine. A transaction that it begins takes the write lock at once."""
        if self._owner != os.getpid():
            self._abandoned.append(self._engine.pool)
            self._engine.dispose(close=False)
            self._owner = os.getpid()
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A write transaction: committed and fsynced when the block ends, undone when it raises.

        Raises:
            LedgerError: the database is locked for too long, full, or cannot be written.
        """
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view of one instant, which blocks nobody and writes nothing."""
        with self._translated(), self.engine.connect() as connection:
            yield connection.execution_options(**{_READ_ONLY: True})

    def lock_path(self, name: str) -> Path:
        """The file beside the database that serves as the process lock `name`."""
        return self.path.with_name(f"{self.path.name}.{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.lock")

    def close(self) -> None:
        """Close every pooled connection. The ledger can be used again afterwards."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            raise LedgerError(
                f"The ledger cannot be used: {error.orig}.",
                remedy="Nothing was half-written. See that the disk has room and nothing holds the file.",
                where=str(self.path),
            ) from error

    def _migrate(self) -> None:
        if self._revision() == HEAD:
            return
        lock = FileLock(self.lock_path("migrate"), timeout=_MIGRATION_LOCK_SECONDS)
        try:
            with lock:
                with self._translated(), self.engine.connect() as connection:
                    # Persistent in the file, and not allowed inside a transaction.
                    raw = connection.connection.dbapi_connection
                    assert raw is not None
                    raw.cursor().execute("PRAGMA journal_mode=WAL")
                if self._revision() != HEAD:
                    self._upgrade()
        except Timeout as error:
            raise LedgerError(
                f"Another process has been migrating the ledger for {_MIGRATION_LOCK_SECONDS:.0f} s.",
                remedy="Wait for it, or end it; the lock goes with the process.",
                where=str(self.path),
            ) from error

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def _upgrade(self) -> None:
        # Imported here because only the first opening of a ledger needs it.
        from alembic import command
        from alembic.util import CommandError

        from scizor_dagster.ledger.replay import carry_over

        try:
            with self.transaction() as connection:
                config = migration_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                carry_over(connection)
        except CommandError as error:
            raise LedgerError(
                f"The ledger has a schema that this version does not know ({error}).",
                remedy="Use the version of Scizor that wrote it, or a newer one.",
                where=str(self.path),
            ) from error


def migration_config() -> Any:
    """Alembic's configuration for the migrations of this package (an `alembic.config.Config`)."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _path_of(url: str) -> Path:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise LedgerError(f"'{url}' is not a database URL.", remedy="Use sqlite:///path/ledger.sqlite.") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise LedgerError(
            f"A ledger of kind '{parsed.get_backend_name()}' cannot be opened here.",
            remedy="Use a file: sqlite:///path/ledger.sqlite. A ledger in memory would forget what it sent.",
        )
    return Path(parsed.database)


def _create_engine(path: Path, synchronous: Synchronous) -> sa.Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver's own guessing of transactions is off: `begin` below says when one starts.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(_BEGIN[bool(connection.get_execution_options().get(_READ_ONLY))])

    return engine
