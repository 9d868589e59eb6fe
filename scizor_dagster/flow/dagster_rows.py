"""Dagster's embedded storage taken to a server, row by row, under the same numbers.

What belongs here: which tables of which file, and that both hold the same. What does not: values (`table_copies`), and
the tables themselves, which Dagster makes. The layout is that of Dagster 1.13.

Embedded, the events of each run lie in a file of its own, numbered by themselves; what belongs to assets, checks and
the states of runs lies in the index, too, under numbers that tags, checks and cursors refer to. The index is copied.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster import table_copies
from scizor_dagster.errors import DataError

SCHEMA = "dagster"
RUNS = "history/runs.db"
TABLES = {
    RUNS: ("snapshots", "runs", "run_tags", "bulk_actions", "backfill_tags", "kvs"),
    "history/runs/index.db": (
        "event_logs", "asset_keys", "asset_event_tags", "dynamic_partitions", "asset_check_executions",
        "concurrency_limits",
    ),
    "schedules/schedules.db": ("jobs", "instigators", "job_ticks", "asset_daemon_asset_evaluations"),
}  # fmt: skip
"""By file, what others refer to first. Left out: heartbeats, slots of runs, and notes of migrations."""
LEFT = (
    "Dagster's lines of single steps of earlier runs, and what they printed (states, assets and checks were copied)",
)
ALL_LEFT = ("Dagster's record of runs, and which schedules and sensors are on: switch them on anew",)


def copy(home: Path, connection: sa.Connection) -> tuple[dict[str, int], bool]:
    """Put every row into the server's empty tables, in the transaction of `connection`.

    Returns:
        Rows by table, and whether they were there already.

    Raises:
        DataError: the server's tables hold other rows, or have other columns.
    """
    found: dict[str, int] = {}
    there: list[bool] = []
    for file, tables in TABLES.items():
        if not (home / file).is_file():
            continue
        with closing(sqlite3.connect(f"{(home / file).as_uri()}?mode=ro", uri=True)) as source:
            for table in tables:
                columns = [str(row[1]) for row in source.execute(f'PRAGMA table_info("{table}")')]
                if columns:
                    content, was_there = _copy_table(source, connection, table, columns)
                    found[table] = int(content.split()[0])
                    there += [was_there] if found[table] else []
    return found, bool(there) and all(there)


def _copy_table(
    source: sqlite3.Connection, connection: sa.Connection, table: str, columns: list[str]
) -> tuple[str, bool]:
    known = table_copies.types_of(connection, SCHEMA, table)
    if missing := [name for name in columns if name not in known]:
        raise _other(table, f"has no column {missing[0]}")
    types = {name: known[name] for name in columns}
    here = table_copies.content_of(types, table_copies.rows_of_file(source, table, columns))
    there = _content(connection, table, types)
    if there == here:
        return here, True
    if not there.startswith("0 "):
        raise _other(table, "holds other rows already")
    rows = table_copies.rows_of_file(source, table, columns)
    table_copies.insert_on_server(connection, SCHEMA, table, types, rows)
    if _content(connection, table, types) != here:
        raise _other(table, "has not become the same")
    _go_on_counting(connection, table, known)
    return here, False


def _content(connection: sa.Connection, table: str, types: table_copies.Types) -> str:
    return table_copies.content_of(types, table_copies.rows_on_server(connection, SCHEMA, table, types))


def _go_on_counting(connection: sa.Connection, table: str, columns: table_copies.Types) -> None:
    """The next row gets a number after those that were copied."""
    for name in columns:
        sequence = connection.execute(
            sa.text("SELECT pg_get_serial_sequence(:table, :name)"), {"table": f'{SCHEMA}."{table}"', "name": name}
        ).scalar()
        if sequence is not None:
            connection.exec_driver_sql(f'SELECT setval(\'{sequence}\', (SELECT max("{name}") FROM {SCHEMA}."{table}"))')


def _other(table: str, what: str) -> DataError:
    return DataError(
        f"Dagster's table {table} on the server {what}.",
        remedy="Nothing was copied. Name an empty database in DATABASE_URL, or leave Dagster's record of runs where it "
        "is, which decides nothing: scizor migrate --without-dagster.",
        where=f"schema {SCHEMA}",
    )
