"""Keeping the lake small: earlier states expire, small files become large ones, what nothing refers to goes.

What belongs here: DuckLake's own maintenance, in an order in which nobody else is disturbed, and sizes. What does
not: which earlier states are still needed (`flow.maintenance`).

Every step takes the writers' lock for one table at a time, so that a writer waits for a step and never for all of
them. A reader keeps the state it began with: files that were replaced are deleted only once they have been out of
use for `GRACE`, which is longer than any read takes. A file of a writer that has not committed belongs to nothing
either, for which reason unknown files, too, stay for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scizor_dagster.lake.connection import Lake

GRACE = timedelta(days=1)
FILES_AT_ONCE = 200
REWRITE_FROM = 0.3
"""Share of deleted rows from which on a file is written anew."""


@dataclass(frozen=True, slots=True)
class TableSize:
    table: str
    files: int
    bytes: int
    delete_files: int


@dataclass(frozen=True, slots=True)
class LakeSize:
    """Sizes of what the newest state of the lake refers to, and how many earlier states there are."""

    snapshots: int
    tables: tuple[TableSize, ...]

    @property
    def files(self) -> int:
        return sum(item.files + item.delete_files for item in self.tables)

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.tables)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one clean-up did.

    Attributes:
        expired: Earlier states that are gone.
        kept: Earlier states that were old enough to go, and are still needed.
        merged: Small files that became part of larger ones.
        rewritten: Files that were written anew without their deleted rows.
        deleted: Files that are gone from the disk.
    """

    before: LakeSize
    after: LakeSize
    expired: int
    kept: tuple[int, ...]
    merged: int
    rewritten: int
    deleted: int


def measure(lake: Lake) -> LakeSize:
    """How large the lake is."""
    with lake.read() as cursor:
        snapshots = cursor.execute("SELECT count(*) FROM lake.snapshots()").fetchone()
        rows = cursor.execute(
            "SELECT table_name, file_count, file_size_bytes + delete_file_size_bytes, delete_file_count "
            "FROM ducklake_table_info('lake') ORDER BY table_name"
        ).fetchall()
    assert snapshots is not None
    tables = tuple(TableSize(str(name), int(files), int(size), int(gone)) for name, files, size, gone in rows)
    return LakeSize(int(snapshots[0]), tables)


def maintain(
    lake: Lake,
    now: datetime,
    *,
    keep_after: datetime,
    needed: Collection[int],
    grace: timedelta = GRACE,
    step: Callable[[str], None] = lambda _: None,
) -> MaintenanceReport:
    """Let earlier states go, and make the files of what is left few and whole.

    Args:
        lake: Its writers and readers may go on.
        now: Aware instant.
        keep_after: A state that is younger stays.
        needed: Numbers of states that stay however old they are.
        grace: How long a file stays after the last state that refers to it is gone.
        step: Called with a few words before each step.
    """
    before = measure(lake)
    expired, kept = _expire(lake, keep_after, needed, step)
    tables = [item.table for item in before.tables]
    merged = rewritten = 0
    for table in tables:
        step(f"compacting {table}")
        rewritten += _rewrite(lake, table)
        merged += _merge(lake, table)
    step("deleting files that are out of use")
    deleted = 0
    for procedure in ("ducklake_cleanup_old_files", "ducklake_delete_orphaned_files"):
        deleted += len(_call(lake, f"CALL {procedure}('lake', older_than => ?)", [now - grace]))
    return MaintenanceReport(before, measure(lake), expired, kept, merged, rewritten, deleted)


def _expire(
    lake: Lake, keep_after: datetime, needed: Collection[int], step: Callable[[str], None]
) -> tuple[int, tuple[int, ...]]:
    with lake.read() as cursor:
        rows = cursor.execute(
            "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time < ? "
            "AND snapshot_id < (SELECT max(snapshot_id) FROM lake.snapshots()) ORDER BY snapshot_id",
            [keep_after],
        ).fetchall()
    old = [int(number) for (number,) in rows]
    gone = [number for number in old if number not in needed]
    if gone:
        step(f"expiring {len(gone)} earlier states")
        _call(lake, "CALL ducklake_expire_snapshots('lake', versions => ?::UBIGINT[])", [gone])
    return len(gone), tuple(number for number in old if number in needed)


def _rewrite(lake: Lake, table: str) -> int:
    """Write the table's rows of the catalog into files, and files with many deleted rows anew, in one turn.

    A file that is written anew while the catalog holds rows or deletions is a defect of DuckLake 1.5.5: the commit
    fails on a column of floats, or earlier states read differently once what the catalog holds is in files.
    """
    with lake.maintenance() as cursor:
        cursor.execute("CALL ducklake_flush_inlined_data('lake', table_name => ?)", [table])
        done = cursor.execute(
            "CALL ducklake_rewrite_data_files('lake', ?, delete_threshold => ?)", [table, REWRITE_FROM]
        )
        return _processed(done.fetchall())


def _merge(lake: Lake, table: str) -> int:
    """Merge the table's small files, at most `FILES_AT_ONCE` for each time that writers are kept waiting."""
    merged = 0
    while True:
        rows = _call(
            lake,
            "CALL ducklake_merge_adjacent_files('lake', ?, max_compacted_files => ?)",
            [table, FILES_AT_ONCE],
        )
        if not rows:
            return merged
        merged += _processed(rows)


def _processed(rows: Sequence[tuple[Any, ...]]) -> int:
    return sum(int(files) for _, _, files, _ in rows)


def _call(lake: Lake, procedure: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with lake.maintenance() as cursor:
        return cursor.execute(procedure, parameters).fetchall()
