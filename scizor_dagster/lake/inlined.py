"""Rows that DuckLake keeps in the catalog itself, until they are worth a file.

What belongs here: writing them into files, and a copy of a catalog without the empty tables for them: their columns
have other types on every kind of database. What does not: copying (`moving`, `catalog_rows`).
"""

from __future__ import annotations

import sqlite3

from scizor_dagster.lake.connection import Lake

LIVE = "SELECT table_id FROM ducklake_table WHERE end_snapshot IS NULL"
"""The tables that the newest state has."""


def flush(lake: Lake) -> None:
    """Write the rows that the catalog itself holds into files. Every state reads as before."""
    with lake.maintenance() as cursor:
        cursor.execute("CALL ducklake_flush_inlined_data('lake')")


def drop_inlined(catalog: sqlite3.Connection) -> bool:
    """Take the empty tables for such rows out of a copy of a catalog; False, and no change, where one has rows.

    Rows of a table that was dropped since are never written into files: they go.
    """
    names = inlined_tables(catalog)
    live = {int(number) for (number,) in catalog.execute(LIVE)}
    waiting = [name for name in names if table_of(name) in live]
    if any(catalog.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in waiting):
        return False
    for name in names:
        catalog.execute(f'DROP TABLE "{name}"')
    catalog.execute("DELETE FROM ducklake_inlined_data_tables")
    return True


def table_of(name: str) -> int:
    """The number of the lake's table that an inlined table belongs to: `ducklake_inlined_data_NUMBER_...`."""
    return int(name.split("_")[3])


def inlined_tables(catalog: sqlite3.Connection) -> list[str]:
    """The tables of a catalog that hold rows of data, or of what was deleted."""
    found = catalog.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'ducklake_inlined_d*_[0-9]*'"
    )
    return [str(name) for (name,) in found]
