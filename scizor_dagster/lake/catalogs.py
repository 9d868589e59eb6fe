"""What a lake asks of the database that its catalog lies in, and the catalog in a file.

What belongs here: the protocol, and the embedded catalog: SQLite in WAL mode, whose readers are never blocked and whose
writers queue on a file lock, because DuckLake resolves conflicts by failing the second commit. What does not: a catalog
on a server (`server`), transactions and cursors (`connection`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import duckdb
from filelock import FileLock, Timeout

from scizor_dagster.errors import DataError
from scizor_dagster.lake.location import LakeLocation

LOCK_POLL_SECONDS = 0.01
DROPPED = re.compile(r"ducklake_inlined_\w+\W+does not exist")
"""What is said where the catalog has no table any more for rows that were moved into files."""
StillHeld = Callable[[], None]
"""Raises where the turn to write was lost meanwhile."""


class Catalog(Protocol):
    """One kind of database that holds the catalog."""

    @property
    def extensions(self) -> Sequence[str]:
        """DuckDB's extensions that it needs, in the order in which they are loaded."""

    def attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str], lock_timeout: float) -> None:
        """Attach the lake as `lake`, made where there is none and nothing further is asked of it.

        Args:
            connection: With the extensions loaded.
            options: Further ones of DuckLake, for looking back.
            lock_timeout: How long others that make or write the lake are waited for, in seconds.
        """

    def writing(self, timeout: float) -> AbstractContextManager[StillHeld]:
        """The one turn to write, of all processes, for the block.

        Raises:
            DataError: it was not had in `timeout` seconds.
        """

    def translated(self, *, committing: bool = False) -> AbstractContextManager[None]:
        """Say in a sentence that the database was lost in the block; `committing`: perhaps after it had stored."""

    def close(self) -> None:
        """Give up what is kept between turns."""


class EmbeddedCatalog:
    """See `Catalog`. A home that was moved or restored elsewhere brings its data along."""

    extensions = ("sqlite_scanner", "ducklake")

    def __init__(self, location: LakeLocation, lock_path: Path) -> None:
        self._location = location
        self._lock_path = lock_path

    def attach(self, connection: duckdb.DuckDBPyConnection, options: Sequence[str], lock_timeout: float) -> None:
        Path(self._location.data_path).mkdir(parents=True, exist_ok=True)
        # The catalog remembers an absolute path, which is no more that of its files.
        kept = ["META_JOURNAL_MODE 'WAL'", "META_BUSY_TIMEOUT 60000", "OVERRIDE_DATA_PATH true", *options]
        if options:
            # No writers' lock: the catalog is there, and who looks back does not wait for who goes on.
            execute_attach(connection, self._location, kept)
            return
        # Creating the catalog is itself a write, and two first openers would collide.
        with self.writing(lock_timeout):
            execute_attach(connection, self._location, kept)

    @contextmanager
    def writing(self, timeout: float) -> Iterator[StillHeld]:
        lock = FileLock(self._lock_path, timeout=timeout)
        try:
            lock.acquire(poll_interval=LOCK_POLL_SECONDS)
        except Timeout as error:
            raise too_long(timeout, str(self._lock_path)) from error
        try:
            yield _held
        finally:
            lock.release()

    @contextmanager
    def translated(self, *, committing: bool = False) -> Iterator[None]:  # noqa: ARG002
        # A file is not lost from one statement to the next.
        yield

    def close(self) -> None:
        return


def too_long(timeout: float, where: str) -> DataError:
    return DataError(
        f"Another process has been writing to the lake for more than {timeout:.0f} s.",
        remedy="Wait for it, or end it; the lock goes with the process.",
        where=where,
    )


def execute_attach(connection: duckdb.DuckDBPyConnection, location: LakeLocation, options: Sequence[str]) -> None:
    data = f"DATA_PATH '{quoted(location.data_path)}'"
    connection.execute(f"ATTACH 'ducklake:{quoted(location.catalog)}' AS lake ({', '.join([data, *options])})")


def quoted(text: str) -> str:
    """A text as it stands between the quotes of an SQL literal."""
    return text.replace("'", "''")


def _held() -> None:
    """A file lock lasts as long as its process."""
