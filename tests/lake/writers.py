"""What the processes of `test_concurrent_writers` run; importable, because they are spawned."""

from __future__ import annotations

from datetime import UTC, datetime

from scizor_dagster.lake import connection
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise

COMMITS = 20


def write_rows(location: LakeLocation, writer: int, barrier) -> int:
    """Commit `COMMITS` times, two rows in two statements each time; the commits made.

    The lock is fair to nobody: on a busy machine one may wait for all the others.
    """
    connection.LOCK_TIMEOUT_SECONDS = 240.0
    lake = Lake(location)
    barrier.wait(60)
    for commit in range(COMMITS):
        with lake.write() as cursor:
            for half in ("left", "right"):
                cursor.execute(
                    "INSERT INTO fx_rates VALUES (?, ?, DATE '2024-01-02', ?, 'test', ?)",
                    [f"W{writer}", half, float(commit), datetime(2024, 1, 2, tzinfo=UTC)],
                )
    lake.close()
    return COMMITS


def read_until_complete(location: LakeLocation, expected: int, barrier, stop) -> list[int]:
    """Count the writers' rows over and over until there are `expected`, or nobody writes any more; what was seen."""
    lake = Lake(location)
    barrier.wait(60)
    counts: list[int] = []
    while not stop.is_set() and (not counts or counts[-1] < expected):
        with lake.read() as cursor:
            row = cursor.execute("SELECT count(*) FROM fx_rates").fetchone()
        counts.append(int(row[0]) if row else 0)
    lake.close()
    return counts


def open_and_initialise(location: LakeLocation, barrier) -> int:
    """Open a lake that may not exist yet and create its tables; the number of tables found."""
    lake = Lake(location)
    barrier.wait(60)
    initialise(lake)
    with lake.read() as cursor:
        row = cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_catalog = 'lake'").fetchone()
    lake.close()
    return int(row[0]) if row else 0
