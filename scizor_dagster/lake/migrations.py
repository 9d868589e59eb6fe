"""From a lake that an earlier version made to the tables of this one, without losing a row.

What belongs here: how each table that has changed its shape is rewritten, and what is said of a table that
nobody knows. What does not: the tables as they are now (`tables`).

Everything runs in the caller's transaction: a lake is upgraded whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from scizor_dagster.errors import DataError

Columns = Mapping[str, str]
"""Definition (type and constraints) by column name."""


def columns_of(definition: str) -> dict[str, str]:
    """The columns of a table's definition, in its order."""
    parts = (part.split(maxsplit=1) for part in re.split(r",(?![^(]*\))", definition))
    return {name: kind.strip() for name, kind in parts}


def existing_columns(cursor: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """Names of the columns of every table and view in the lake."""
    # The information schema gives the same ten times as slowly.
    rows = cursor.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake'"
    ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(str(table), set()).add(str(column))
    return {table: frozenset(columns) for table, columns in found.items()}


def upgrade(cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, str]) -> None:
    """Give the tables that exist the columns of `tables`, by name and definition; those that do not are left out.

    Raises:
        DataError: a table is neither of this version nor of one that is known.
    """
    if "strategy" in existing_columns(cursor).get("target_weights", ()):
        _attribute_targets(cursor, tables)
    if "verified_at" in existing_columns(cursor).get("symbols", ()):
        cursor.execute("ALTER TABLE symbols RENAME COLUMN verified_at TO last_verified")
    for table, existing in existing_columns(cursor).items():
        if table in tables:
            _add_columns(cursor, table, columns_of(tables[table]), existing)


def _add_columns(cursor: duckdb.DuckDBPyConnection, table: str, wanted: Columns, existing: frozenset[str]) -> None:
    missing = [name for name in wanted if name not in existing]
    if existing - set(wanted) or any("NOT NULL" in wanted[name] for name in missing):
        raise DataError(
            f"The table {table} of the lake has the columns {', '.join(sorted(existing))}; "
            f"this version needs {', '.join(sorted(wanted))}.",
            remedy="Use the version that made the lake, or move its folder away and collect again; "
            "the ledger is not touched by either.",
        )
    for name in missing:
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN {name} {wanted[name]}")


def _attribute_targets(cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, str]) -> None:
    """Until several strategies could make one target, a target stood for one line of one file, as a float."""
    cursor.execute("ALTER TABLE target_weights RENAME TO earlier_target_weights")
    for table in ("target_weights", "target_attribution"):
        cursor.execute(f"CREATE TABLE {table} ({tables[table]})")
    cursor.execute(
        "CREATE TEMP TABLE numbered_targets AS SELECT *, CAST(target_weight AS VARCHAR) AS weight, "
        "row_number() OVER (PARTITION BY portfolio, session ORDER BY line, symbol) AS target "
        "FROM earlier_target_weights"
    )
    shared = "portfolio, session, target, symbol, instrument_id"
    origin = "source, fetched_at"
    cursor.execute(
        f"INSERT INTO target_weights ({shared}, target_weight, status, note, candidates, {origin}) "
        f"SELECT {shared}, weight, status, note, candidates, {origin} FROM numbered_targets"
    )
    line = "strategy, asset_id, line, file_hash"
    cursor.execute(
        f"INSERT INTO target_attribution ({shared}, {line}, weight_stated, contribution, {origin}) "
        f"SELECT {shared}, {line}, weight, weight, {origin} FROM numbered_targets"
    )
    cursor.execute("DROP TABLE numbered_targets")
    cursor.execute("DROP TABLE earlier_target_weights")
