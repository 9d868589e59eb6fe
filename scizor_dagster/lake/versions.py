"""Since when a table is as it is: the snapshot that changed it last.

What belongs here: telling that cheaply, again and again. What does not: what is made of it (caches, entity tags).

A snapshot's number alone changes with whatever is written anywhere in the lake. Clean-up takes single snapshots away,
and what it took may have changed any table: a table is then as it is since the newest that is gone. So a number never
names two states.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scizor_dagster.lake.connection import Lake

SETTLED_NS = 100_000_000
"""A file that was written later than so long ago may be written once more without a sign of it."""
_OF_NO_ROWS = ("schemas_created", "tables_created", "views_created", "views_dropped", "views_altered")
Mark = tuple[int, ...]


class TableVersions:
    """The versions of one lake's tables. Safe to share between threads."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._files = _files_of(lake)
        self._guard = threading.Lock()
        self._begun = 0
        self._trusted: Mark | None = None
        self._seen = -1
        self._every = -1
        self._last: dict[str, int] = {}

    def newest(self, *tables: str) -> int:
        """Number of the snapshot that last changed any of `tables`, of all that were committed before the call.

        Where the catalog's files show that nothing was written, nobody is asked; callers at the same time ask once.
        """
        called = time.monotonic_ns()
        if self._trusted is None or self._trusted != self._mark():
            with self._guard:
                if self._begun < called:
                    self._look()
        return max(self._every, *(self._last.get(name, -1) for name in tables))

    def _look(self) -> None:
        self._begun, now = time.monotonic_ns(), time.time_ns()
        mark = self._mark()
        with self._lake.read() as cursor:
            rows = cursor.execute(
                "SELECT snapshot_id, changes FROM lake.snapshots() WHERE snapshot_id > ? ORDER BY snapshot_id",
                [self._seen],
            ).fetchall()
            names = cursor.execute("SELECT table_id, table_name FROM ducklake_table_info('lake')") if rows else None
            tables = {str(number): str(name) for number, name in names.fetchall()} if names else {}
        for number, changes in rows:
            self._note(number, changes, tables)
        self._trusted = mark if mark is not None and now - max(mark[::2]) > SETTLED_NS else None

    def _note(self, number: int, changes: Mapping[str, Sequence[str]], tables: Mapping[str, str]) -> None:
        if number > self._seen + 1:
            self._every = number - 1
        for kind, changed in changes.items():
            for item in changed if kind not in _OF_NO_ROWS else ():
                if item in tables:
                    self._last[tables[item]] = number
                else:
                    self._every = number
        self._seen = number

    def _mark(self) -> Mark | None:
        """When the catalog's files were written, and how long they are; None where it is on a server.

        They are looked at and not opened: to close a file gives up the locks that the process has on it elsewhere.
        """
        if not self._files:
            return None
        return tuple(number for path in self._files for number in _written(path))


def _files_of(lake: Lake) -> tuple[Path, ...]:
    kind, _, path = lake.location.catalog.partition(":")
    return (Path(path), Path(f"{path}-wal")) if kind == "sqlite" else ()


def _written(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
