"""The lake's door: DuckDB with one DuckLake catalog attached.

What belongs here: opening, locking, transactions, snapshots. What does not: tables (`tables`) and
what is written to them (the packages that own the rows).

Embedded, the catalog is SQLite in WAL mode: readers are never blocked, and writers queue on a file
lock, because DuckLake resolves conflicts by failing the second commit. With a Postgres catalog the
file lock is not taken; many machines may write. Extensions come from pip packages and are loaded
by path, so nothing is downloaded at run time (`duckdb` verifies their signatures).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from scizor_dagster.errors import DataError, InputError, SnapshotGone

LOCK_TIMEOUT_SECONDS = 120.0
LOCK_POLL_SECONDS = 0.01
_MAX_IDLE = 4
_EXTENSIONS = ("sqlite_scanner", "ducklake", "postgres_scanner")
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # DuckLake plans every statement with queries on its catalog, of many joins and a few hundred rows: to order and
    # estimate these takes several times as long as to run them. Our own are joined in the order they are written in.
    "disabled_optimizers": "join_order,statistics_propagation",
}


@dataclass(frozen=True)
class LakeLocation:
    """Where a lake lives.

    Attributes:
        catalog: DuckLake catalog string: `sqlite:/path/catalog.sqlite` or `postgres:dbname=...`.
        data_path: Folder (or object-store prefix) of the Parquet files.
        lock_path: File that embedded writers lock; None for a catalog that arbitrates by itself.
    """

    catalog: str
    data_path: str
    lock_path: Path | None

    @classmethod
    def embedded(cls, folder: Path) -> LakeLocation:
        return cls(
            catalog=f"sqlite:{folder / 'catalog.sqlite'}",
            data_path=str(folder / "data"),
            lock_path=folder / "write.lock",
        )


class Lake:
    """One lake. Safe to share between threads; a forked child opens its own connection."""

    def __init__(self, location: LakeLocation) -> None:
        self.location = location
        self._guard = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._owner = 0
        self._idle: list[duckdb.DuckDBPyConnection] = []

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on one consistent state of the lake: a read transaction that sees no later commit."""
        cursor = self._cursor()
        try:
            cursor.execute("BEGIN TRANSACTION")
            yield cursor
        finally:
            self._give_back(cursor)

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction: committed when the block ends, rolled back when it raises."""
        # The cursor comes before the lock: opening the catalog takes the same lock for itself.
        cursor = self._cursor()
        try:
            with self._writer_lock():
                try:
                    cursor.execute("BEGIN TRANSACTION")
                    yield cursor
                    cursor.execute("COMMIT")
                except BaseException:
                    _rollback(cursor)
                    raise
        finally:
            self._give_back(cursor)

    @contextmanager
    def maintenance(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor outside of any transaction, while no embedded writer is at work: DuckLake commits by itself."""
        cursor = self._cursor()
        try:
            with self._writer_lock():
                yield cursor
        finally:
            self._give_back(cursor)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No writer is at work, and no connection of this object is open: for whoever copies the catalog itself."""
        self.close()
        with self._writer_lock():
            yield

    @contextmanager
    def pinned(self) -> Iterator[Lake]:
        """A view for reading: whatever is read through it, however often, is of one snapshot, its `snapshot()`."""
        with self.read() as cursor:
            view = _PinnedLake(self.location, cursor)
            # A transaction sees the lake as it is at its first question.
            view.snapshot()
            yield view

    @contextmanager
    def at(self, as_of: int | datetime) -> Iterator[Lake]:
        """A view for reading the lake as it was: at a snapshot's number, or at an instant (the newest one by then).

        Raises:
            SnapshotGone: there is no such snapshot, or not any more.
        """
        view = _EarlierLake(self.location, as_of if isinstance(as_of, int) else self._snapshot_at(as_of))
        try:
            yield view
        finally:
            view.close()

    def _snapshot_at(self, instant: datetime) -> int:
        with self.read() as cursor:
            row = cursor.execute(
                "SELECT max(snapshot_id) FILTER (snapshot_time <= $at), min(snapshot_id) FILTER (snapshot_time > $at) "
                "FROM lake.snapshots()",
                {"at": instant},
            ).fetchone()
        assert row is not None
        # Clean-up leaves single snapshots: the newest one left may be older than the newest one then.
        if row[0] is None or row[1] not in (None, row[0] + 1):
            raise _no_snapshot(f"of {instant.isoformat(timespec='seconds')}", self.location)
        return int(row[0])

    def snapshot(self) -> int:
        """Number of the newest committed snapshot."""
        with self.read() as cursor:
            row = cursor.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        with self._guard:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None
            self._idle = []

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        if self.location.lock_path is None:
            yield
            return
        lock = FileLock(self.location.lock_path, timeout=LOCK_TIMEOUT_SECONDS)
        try:
            lock.acquire(poll_interval=LOCK_POLL_SECONDS)
        except Timeout as error:
            raise DataError(
                f"Another process has been writing to the lake for more than {LOCK_TIMEOUT_SECONDS:.0f} s.",
                remedy="Wait for it, or end it; the lock goes with the process.",
                where=str(self.location.lock_path),
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._guard:
            if self._connection is None or self._owner != os.getpid():
                self._connection = self._open()
                self._owner = os.getpid()
                self._idle = []
            if self._idle:
                return self._idle.pop()
            cursor = self._connection.cursor()
        cursor.execute("USE lake")
        return cursor

    def _give_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Keep the cursor for the next caller, unless its lake was closed in the meantime.

        `USE lake` is a question to the catalog: a cursor that has asked it is worth keeping.
        """
        try:
            _rollback(cursor)
        except duckdb.Error:
            cursor.close()
            return
        with self._guard:
            if self._connection is not None and self._owner == os.getpid() and len(self._idle) < _MAX_IDLE:
                self._idle.append(cursor)
                return
        cursor.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        kind = self.location.catalog.split(":", 1)[0]
        if kind not in ("sqlite", "postgres"):
            raise InputError(
                f"'{kind}' is not a catalog kind.", remedy="Use sqlite: or postgres:.", where=self.location.catalog
            )
        if self.location.lock_path is not None:
            Path(self.location.data_path).mkdir(parents=True, exist_ok=True)
        options = [f"DATA_PATH '{_quoted(self.location.data_path)}'"]
        if kind == "sqlite":
            options += ["META_JOURNAL_MODE 'WAL'", "META_BUSY_TIMEOUT 60000"]
            # The catalog remembers an absolute path; a home that was moved or restored elsewhere brings its data along.
            options.append("OVERRIDE_DATA_PATH true")
        connection = duckdb.connect(config=dict(_SETTINGS))
        for name in _EXTENSIONS:
            if name == "postgres_scanner" and kind != "postgres":
                continue
            connection.execute(f"LOAD '{_quoted(str(_extension_path(name)))}'")
        self._attach(connection, options)
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str]) -> None:
        # Creating the catalog is itself a write, and two first openers would collide.
        with self._writer_lock():
            self._execute_attach(connection, options)

    def _execute_attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str]) -> None:
        connection.execute(f"ATTACH 'ducklake:{_quoted(self.location.catalog)}' AS lake ({', '.join(options)})")


class _EarlierLake(Lake):
    """The lake attached at an earlier snapshot."""

    def __init__(self, location: LakeLocation, number: int) -> None:
        super().__init__(location)
        self._number = number

    def _attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str]) -> None:
        # No writers' lock: the catalog is there, and who looks back does not wait for who goes on.
        try:
            self._execute_attach(connection, [*options, f"SNAPSHOT_VERSION {self._number}"])
        except duckdb.InvalidInputException as error:
            raise _no_snapshot(f"number {self._number}", self.location) from error

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        raise TypeError("an earlier state of the lake is for reading")
        yield


class _PinnedLake(Lake):
    """One read transaction in the shape of a lake. It ends with the block that opened it."""

    def __init__(self, location: LakeLocation, cursor: duckdb.DuckDBPyConnection) -> None:
        super().__init__(location)
        self._pinned = cursor

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        yield self._pinned

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        raise TypeError("a pinned view of the lake is for reading")
        yield


def _no_snapshot(which: str, location: LakeLocation) -> SnapshotGone:
    return SnapshotGone(
        f"The lake has no snapshot {which}.",
        remedy="Clean-up has removed it, or it never was; the values that a bar has had are kept for good.",
        where=location.catalog,
    )


def _rollback(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.TransactionException:
        # The failed statement has already ended the transaction.
        return


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _extension_path(name: str) -> Path:
    package = import_module(f"duckdb_extension_{name}")
    assert package.__file__ is not None
    path = Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        raise DataError(
            f"DuckDB {duckdb.__version__} has no packaged extension '{name}'.",
            remedy="Install from requirements.lock, which pins both to one version.",
            where=str(path),
        )
    return path
