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

from scizor_dagster.file_marks import Mark, is_settled, mark_of, sqlite_files
from scizor_dagster.lake.connection import Lake

_OF_NO_ROWS = ("schemas_created", "tables_created", "views_created", "views_dropped", "views_altered")
_OF_NAMES = ("schemas_created", "tables_created", "tables_altered", "tables_dropped")


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
        self._names: dict[str, str] = {}

    def newest(self, *tables: str) -> int:
        """Number of the snapshot that last changed any of `tables`, of all that were committed before the call.

        Where the catalog's files show that nothing was written, nobody is asked; callers at the same time ask once.
        """
        called = time.monotonic_ns()
        if self._trusted is None or self._trusted != self.mark():
            with self._guard:
                if self._begun < called:
                    self._look()
        return max(self._every, *(self._last.get(name, -1) for name in tables))

    def mark(self) -> Mark | None:
        """The mark of the catalog's files; None where it is on a server."""
        return mark_of(self._files) if self._files else None

    def _look(self) -> None:
        self._begun, now = time.monotonic_ns(), time.time_ns()
        mark = self.mark()
        with self._lake.read() as cursor:
            rows = cursor.execute(
                "SELECT snapshot_id, changes FROM lake.snapshots() WHERE snapshot_id > ? ORDER BY snapshot_id",
                [self._seen],
            ).fetchall()
            if any(self._has_other_names(changes) for _, changes in rows):
                # To list the tables takes longer than to ask what has changed.
                names = cursor.execute("SELECT table_id, table_name FROM ducklake_table_info('lake')").fetchall()
                self._names = {str(number): str(name) for number, name in names}
        for number, changes in rows:
            self._note(number, changes, self._names)
        self._trusted = mark if mark is not None and is_settled(mark, now) else None

    def _has_other_names(self, changes: Mapping[str, Sequence[str]]) -> bool:
        """Whether tables may be named otherwise, or there are some that are not known."""
        return any(
            kind in _OF_NAMES or not all(item in self._names for item in changed)
            for kind, changed in changes.items()
            if kind not in _OF_NO_ROWS or kind in _OF_NAMES
        )

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


def _files_of(lake: Lake) -> tuple[Path, ...]:
    kind, _, path = lake.location.catalog.partition(":")
    return sqlite_files(Path(path)) if kind == "sqlite" else ()
