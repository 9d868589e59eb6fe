"""The ledger's door: one database, opened, migrated and transacted.

What belongs here: opening, migrations to head, transactions, process locks. What does not: what a kind of database
needs (`sqlite`, `postgres`), tables (`tables`), and what may be done to their rows (`batches`, `intents`, ...).

Whatever the database: a commit that returned is durable, a reader sees one instant and blocks nobody, and writers
take turns from the first statement of their transaction, so that what one has read cannot change before it writes.
No transaction is ever run again by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from scizor_dagster import databases
from scizor_dagster.errors import CommitInDoubt, LedgerError
from scizor_dagster.ledger.backend import ACCESS, READ, Backend, Synchronous
from scizor_dagster.ledger.postgres import PostgresBackend
from scizor_dagster.ledger.sqlite import SqliteBackend

HEAD = "0016"
"""The newest migration. A database that names another one is migrated, or refused as newer."""


class Ledger:
    """One ledger. Safe to share between threads; a forked child opens connections of its own.

    Use `Ledger.open` or `Ledger.open_to_read`, not the constructor.
    """

    def __init__(self, backend: Backend, *, read_only: bool = False) -> None:
        self._backend = backend
        self._read_only = read_only
        self._engine = backend.create_engine()
        self._owner = os.getpid()
        # Pools that belong to the parent of a fork: closing their connections here would touch its locks.
        self._abandoned: list[Any] = []

    @classmethod
    def open(cls, url: str, *, synchronous: Synchronous = "FULL", upgrading: bool = False) -> Self:
        """Open the ledger at `url`, created where there is none; a file is migrated where needed.

        One on a server, which others use, is migrated only when that is asked for.

        Safe when several processes do it at once: the migration runs under a lock and in one transaction, so that a
        process killed in it leaves an empty database and not half a schema.

        Args:
            url: `sqlite:///` and a path, whose folder is created; or `postgresql://user:password@host/database`,
                in which schema `ledger` is created.
            synchronous: `OFF` gives up the fsync of each commit. Only for tests that kill a process
                but never the machine.
            upgrading: Migrate an older one also on a server.

        Raises:
            LedgerError: no URL of a ledger, cannot be opened, is on a server and of an older version, or was written
                by a newer Scizor.
        """
        ledger = cls(_backend(url, synchronous))
        try:
            ledger._migrate(upgrading=upgrading)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def open_to_read(cls, url: str) -> Self:
        """Open the ledger at `url` to look at it: nothing is created or migrated, and a write is refused.

        Raises:
            LedgerError: there is none, it is damaged, or it is of another version.
        """
        backend = _backend(url, "FULL")
        if not cls.exists(url):
            raise LedgerError(
                "There is no ledger.", remedy="Nothing has traded with it, or it was moved.", where=backend.place
            )
        ledger = cls(backend, read_only=True)
        try:
            with ledger.read() as connection:
                found = _revision(connection)
            if found != HEAD:
                raise LedgerError(
                    f"The ledger is of version {found or 'none'}, and this program reads version {HEAD}.",
                    remedy="scizor upgrade brings an older one up to date; a newer one needs a newer Scizor.",
                    where=backend.place,
                )
        except BaseException:
            ledger.close()
            raise
        return ledger

    @staticmethod
    def exists(url: str) -> bool:
        """Whether there is a ledger at `url`; asking creates none.

        Raises:
            LedgerError: no URL of a ledger, or the server cannot be asked.
        """
        backend = _backend(url, "FULL")
        with translated(backend):
            return backend.exists

    @staticmethod
    def version(url: str) -> str | None:
        """The newest migration of the ledger at `url`, `HEAD` or another; None where there is none.

        Raises:
            LedgerError: no URL of a ledger, or it cannot be read.
        """
        if not Ledger.exists(url):
            return None
        ledger = Ledger(_backend(url, "FULL"), read_only=True)
        try:
            with ledger.read() as connection:
                return _revision(connection)
        finally:
            ledger.close()

    @staticmethod
    def holds_anything(url: str) -> bool:
        """Whether there is a ledger at `url` with a single row in it, of whatever version; asking creates none.

        Raises:
            LedgerError: no URL of a ledger, or it cannot be read.
        """
        if not Ledger.exists(url):
            return False
        ledger = Ledger(_backend(url, "FULL"))
        try:
            with ledger.read() as connection:
                names = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
                return any(
                    connection.execute(sa.select(1).select_from(sa.table(name)).limit(1)).first() for name in names
                )
        finally:
            ledger.close()

    def __repr__(self) -> str:
        return f"<Ledger {self.place}>"

    @property
    def place(self) -> str:
        """Where it is: the file, or host, port and database. Never a secret."""
        return self._backend.place

    @property
    def path(self) -> Path | None:
        """The file of an embedded ledger; None on a server."""
        return self._backend.path

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
        """A write transaction: committed and durable when the block ends, undone when it raises.

        Raises:
            CommitInDoubt: the connection was lost during the commit. Whoever goes on must read first.
            LedgerError: the database is locked for too long, full, gone, or cannot be written, or the ledger was
                opened to read; nothing was written.
        """
        if self._read_only:
            raise LedgerError(
                "The ledger was opened to read.", remedy="Nothing was written. Open it to write.", where=self.place
            )
        with translated(self._backend), self.engine.connect() as connection, connection.begin() as transaction:
            yield connection
            self._backend.before_commit(connection)
            try:
                transaction.commit()
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise CommitInDoubt(self.place, _first_line(error)) from error
                # SQLite may leave a transaction open whose commit has failed: it ends with its connection.
                connection.invalidate(error)
                raise

    def unhurried(self, connection: sa.Connection) -> None:
        """Let this write transaction compute between its statements; all other writers wait meanwhile."""
        self._backend.unhurried(connection)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view of one instant, which blocks nobody and writes nothing."""
        with translated(self._backend), self.engine.connect() as connection:
            yield connection.execution_options(**{ACCESS: READ})

    @contextmanager
    def process_lock(self, name: str) -> Iterator[bool]:
        """Try for the lock `name` of this ledger, which ends with the block or with this process.

        The block is told whether it was had; another holder, perhaps a stopped one, is no error.
        """
        with translated(self._backend):
            lock: AbstractContextManager[bool] = self._backend.process_lock(self.engine, name)
            held = lock.__enter__()
        try:
            yield held
        finally:
            lock.__exit__(None, None, None)

    def close(self) -> None:
        """Close every pooled connection. The ledger can be used again afterwards."""
        self.engine.dispose()

    def _migrate(self, *, upgrading: bool) -> None:
        with self.read() as connection:
            self._backend.check(connection)
            found = _revision(connection)
        if found == HEAD:
            return
        if self.path is None and not upgrading and found is not None and found < HEAD:
            raise LedgerError(
                f"The ledger is of version {found}, and this program needs version {HEAD}.",
                remedy="End what runs with the earlier program, take a backup, then run: scizor upgrade.",
                where=self.place,
            )
        with translated(self._backend), self._backend.migrating(self.engine):
            self._upgrade()
        # What the driver has learned about a database without a schema is no longer so.
        self.close()
        self._engine = self._backend.create_engine()

    def _upgrade(self) -> None:
        # Imported here because only the first opening of a ledger needs it.
        from alembic import command
        from alembic.util import CommandError

        from scizor_dagster.ledger.replay import carry_over

        try:
            with self.transaction() as connection:
                if _revision(connection) == HEAD:
                    return
                self._backend.unhurried(connection)
                self._backend.prepare(connection)
                config = migration_config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                carry_over(connection)
        except CommandError as error:
            raise LedgerError(
                f"The ledger has a schema that this version does not know ({error}).",
                remedy="Use the version of Scizor that wrote it, or a newer one.",
                where=self.place,
            ) from error


def migration_config() -> Any:
    """Alembic's configuration for the migrations of this package (an `alembic.config.Config`)."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _backend(url: str, synchronous: Synchronous) -> Backend:
    parsed = databases.parse(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteBackend(parsed, synchronous)
    return PostgresBackend(parsed, synchronous)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def translated(backend: Backend) -> Iterator[None]:
    """Say a failure of the database in a sentence. A broken constraint is the caller's to understand."""
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except sa.exc.DBAPIError as error:
        if type(error) is sa.exc.DatabaseError and backend.path is not None:
            raise LedgerError(
                f"The ledger's file is damaged, or is none: {_first_line(error)}.",
                remedy="Nothing is traded with it. Look after the disk, then restore a backup: scizor restore.",
                where=backend.place,
            ) from error
        raise LedgerError(
            f"The ledger cannot be used: {_first_line(error)}.", remedy=backend.remedy, where=backend.place
        ) from error


def _first_line(error: sa.exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return (lines[0] if lines else type(error.orig).__name__).rstrip(".")
