"""The lake's door: DuckDB with one DuckLake catalog attached.

What belongs here: opening, transactions, snapshots. What does not: the database of the catalog (`catalogs`, `server`),
tables (`tables`) and what is written to them (the packages that own the rows).

Readers are never blocked, and writers take turns, on one machine or on many: see `catalogs` and `server`. Extensions
come from pip packages and are loaded by path: nothing is downloaded at run time (`duckdb` verifies their signatures).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, auto
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

import duckdb

from scizor_dagster.errors import DataError, InputError, SnapshotGone
from scizor_dagster.lake.catalogs import DROPPED, Catalog, EmbeddedCatalog, StillHeld, quoted
from scizor_dagster.lake.location import LakeLocation

LOCK_TIMEOUT_SECONDS = 120.0
_MAX_IDLE = 4
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    # DuckLake plans every statement with queries on its catalog, of many joins and a few hundred rows: to order and
    # estimate these takes several times as long as to run them. Our own are joined in the order they are written in.
    "disabled_optimizers": "join_order,statistics_propagation",
}
# A procedure over several tables ends each of them in a thread of its own, and DuckLake's transaction is not guarded
# against two at once: the process dies, or the commit fails with a garbled text (seen in DuckDB 1.5.5).
_ONE_THREAD = {**_SETTINGS, "threads": "1"}
_DEFECTS = (duckdb.FatalException, duckdb.InternalException)


class Lake:
    """One lake. Safe to share between threads; a forked child opens its own connection."""

    _settings = _SETTINGS

    def __init__(self, location: LakeLocation) -> None:
        self.location = location
        self._catalog = _catalog_of(location)
        self._guard = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._owner = 0
        self._idle: list[duckdb.DuckDBPyConnection] = []
        # Connections of the parent of a fork: closing them here would end their sessions there.
        self._abandoned: list[duckdb.DuckDBPyConnection] = []
        self._maintained: _MaintainedLake | None = None

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on one consistent state of the lake: a read transaction that sees no later commit."""
        with self._lent() as cursor, self._catalog.translated():
            cursor.execute("BEGIN TRANSACTION")
            yield cursor

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DataError: another process writes for too long; or a catalog on a server was lost, which says whether
                anything may have been stored.
        """
        # The cursor comes before the lock: opening the catalog takes the same lock for itself.
        with self._lent() as cursor, self._catalog.writing(LOCK_TIMEOUT_SECONDS) as still_held:
            try:
                with self._catalog.translated():
                    cursor.execute("BEGIN TRANSACTION")
                    yield cursor
                self._commit(cursor, still_held)
            except BaseException:
                _rollback(cursor)
                raise

    def _commit(self, cursor: duckdb.DuckDBPyConnection, still_held: StillHeld) -> None:
        still_held()
        with self._catalog.translated(committing=True):
            cursor.execute("COMMIT")

    @contextmanager
    def maintenance(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor outside of any transaction, while no other writer is at work: DuckLake commits by itself.

        It works with one thread, in a DuckDB of its own, whose connection stays for the next time.
        """
        with self._guard:
            lake = self._maintained = self._maintained or _MaintainedLake(self.location)
        turn, told = self._catalog.writing(LOCK_TIMEOUT_SECONDS), self._catalog.translated(committing=True)
        with lake._lent() as cursor, turn, told:
            yield cursor

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """No writer is at work, and no connection of this object is open: for whoever copies the catalog itself."""
        self.close()
        with self._catalog.writing(LOCK_TIMEOUT_SECONDS):
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
            maintained, self._maintained = self._maintained, None
        if maintained is not None:
            maintained.close()
        self._catalog.close()

    @contextmanager
    def _lent(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for the block. After an error that its connection does not get over, the next caller has a new one.

        A DuckDB that has found a defect in itself answers nothing any more. And one that has read the catalog while
        it had tables for rows of an earlier shape asks for them for ever, also once another process has dropped them.
        """
        connection, cursor, is_new = self._cursor()
        try:
            try:
                if is_new:
                    with self._catalog.translated():
                        cursor.execute("USE lake")
                yield cursor
            finally:
                self._give_back(cursor, connection)
        except _DEFECTS as error:
            self._forget(connection, defective=True)
            raise DataError(
                f"DuckDB has found a defect in itself ({str(error).splitlines()[0]}).",
                remedy="Run again: it is opened anew. What was being stored is stored whole or not at all, and what is "
                "written twice stands there once.",
                where=self.location.place,
            ) from error
        except DataError as error:
            if isinstance(error.__cause__, duckdb.Error):
                self._forget(connection)
            raise
        except duckdb.Error as error:
            if not DROPPED.search(str(error)):
                raise
            self._forget(connection)
            raise DataError(
                "Another process has moved rows of the lake into files in the middle of this.",
                remedy="Nothing of this was stored. Run again.",
                where=self.location.place,
            ) from error

    def _cursor(self) -> tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection, bool]:
        """The connection, a cursor of it, and whether that was never used."""
        with self._guard:
            if self._connection is None or self._owner != os.getpid():
                if self._connection is not None:
                    self._abandoned += [self._connection, *self._idle]
                self._connection = self._open()
                self._owner = os.getpid()
                self._idle = []
            if self._idle:
                return self._connection, self._idle.pop(), False
            return self._connection, self._connection.cursor(), True

    def _give_back(self, cursor: duckdb.DuckDBPyConnection, connection: duckdb.DuckDBPyConnection) -> None:
        """Keep the cursor for the next caller, unless its connection was given up in the meantime.

        `USE lake` is a question to the catalog: a cursor that has asked it is worth keeping.
        """
        end = _rollback(cursor)
        if end is _End.DEFECT:
            _keep_for_ever(cursor)
            self._forget(connection, defective=True)
            return
        if end is _End.LOST:
            cursor.close()
            return
        with self._guard:
            kept = self._connection is connection and self._owner == os.getpid()
            if kept and len(self._idle) < _MAX_IDLE:
                self._idle.append(cursor)
                return
        cursor.close()

    def _forget(self, connection: duckdb.DuckDBPyConnection, *, defective: bool = False) -> None:
        with self._guard:
            if self._connection is connection:
                if defective:
                    _keep_for_ever(connection, *self._idle)
                self._connection, self._idle = None, []

    def _open(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={**self._settings, "temp_directory": str(_spill_folder())})
        for name in self._catalog.extensions:
            connection.execute(f"LOAD '{quoted(str(_extension_path(name)))}'")
        self._attach(connection)
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._catalog.attach(connection, (), LOCK_TIMEOUT_SECONDS)


class _MaintainedLake(Lake):
    """The same lake for DuckLake's own procedures."""

    _settings = _ONE_THREAD


class _EarlierLake(Lake):
    """The lake attached at an earlier snapshot."""

    def __init__(self, location: LakeLocation, number: int) -> None:
        super().__init__(location)
        self._number = number

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            self._catalog.attach(connection, [f"SNAPSHOT_VERSION {self._number}"], LOCK_TIMEOUT_SECONDS)
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
        where=location.place,
    )


def _catalog_of(location: LakeLocation) -> Catalog:
    if location.lock_path is not None:
        return EmbeddedCatalog(location, location.lock_path)
    kind = location.catalog.split(":", 1)[0]
    if kind != "postgres":
        raise InputError(f"'{kind}' is not a catalog kind.", remedy="Use sqlite: or postgres:.", where=location.catalog)
    # Imported here because only a lake on a server needs a driver of its own.
    from scizor_dagster.lake.server import ServerCatalog

    return ServerCatalog(location)


class _End(Enum):
    """What became of a cursor whose transaction was ended: one whose server was lost in it cannot go on."""

    FREE = auto()
    LOST = auto()
    DEFECT = auto()


def _rollback(cursor: duckdb.DuckDBPyConnection) -> _End:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.TransactionException:
        # The failed statement has already ended the transaction.
        return _End.FREE
    except _DEFECTS:
        return _End.DEFECT
    except duckdb.Error:
        return _End.LOST
    return _End.FREE


def _keep_for_ever(*connections: duckdb.DuckDBPyConnection) -> None:
    """Let nothing destroy these: what DuckDB throws as it rolls a defective one back ends the whole process."""
    for connection in connections:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _spill_folder() -> Path:
    """Where one DuckDB puts what its memory does not hold: made when that happens, gone when it is closed.

    By itself each takes `.tmp` of the working folder and the same names in it: of two that do so at once, one reads the
    other's bytes as its own; and where that folder cannot be written, whatever is larger than the memory fails.
    """
    return Path(gettempdir()) / f"scizor-spill-{uuid4().hex}"


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
