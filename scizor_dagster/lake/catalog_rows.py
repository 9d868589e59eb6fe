"""A lake's catalog taken from a file to a server, or from a server into a file: every state of it, row by row.

What belongs here: which tables of DuckLake's are copied, and that both hold the same afterwards. What does not: the
files that the catalog names (`moving`), and values (`table_copies`).

The catalog that is filled was made by DuckLake itself, so that its tables are what DuckLake expects on that kind of
database. What it says of itself (version, where its data lies) stays.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from scizor_dagster import table_copies
from scizor_dagster.errors import DataError
from scizor_dagster.lake.inlined import LIVE, drop_inlined, table_of
from scizor_dagster.lake.location import SCHEMA, LakeLocation

_OWN = "ducklake_metadata"


def engine_of(location: LakeLocation) -> sa.Engine:
    """An engine for the database of a catalog on a server; each connection is new."""
    return sa.create_engine(
        "postgresql+psycopg2://", connect_args=dict(location.connection), poolclass=sa.pool.NullPool
    )


def fill_server(catalog: Path, connection: sa.Connection, schema: str = SCHEMA) -> dict[str, str]:
    """Put every row of the catalog in a file into the one on the server, in the transaction of `connection`.

    Returns:
        By table, its content on either side.

    Raises:
        DataError: the catalog on the server holds data, is of another version, or has not become the same.
    """
    require_empty(connection, schema)
    found: dict[str, str] = {}
    with closing(table_copies.opened_still(catalog)) as file:
        _require_same_version(file, connection, schema)
        for table in _tables(file):
            types = table_copies.types_of(connection, schema, table)
            columns = _columns(file, table)
            if set(types) != set(columns):
                raise _other(f"table {table} has other columns", schema)
            connection.exec_driver_sql(f'DELETE FROM "{schema}"."{table}"')
            rows = table_copies.rows_of_file(file, table, types)
            table_copies.insert_on_server(connection, schema, table, types, rows)
            found[table] = table_copies.content_of(types, table_copies.rows_of_file(file, table, types))
            if found[table] != content_on_server(connection, schema, table):
                raise _other(f"table {table} has not become the same", schema)
    return found


def take_from_server(connection: sa.Connection, catalog: Path, schema: str = SCHEMA) -> bool:
    """Put every row of the catalog on the server into the empty one in a file.

    Returns:
        Whether it was done: rows of data in the catalog itself must be in files before.

    Raises:
        DataError: it has other tables or another version, or has not become the same.
    """
    if _inlined_rows(connection, schema):
        return False
    with closing(sqlite3.connect(catalog)) as file:
        _require_same_version(file, connection, schema)
        drop_inlined(file)
        for table in _tables(file):
            types = table_copies.types_of(connection, schema, table)
            if set(types) != set(_columns(file, table)):
                raise _other(f"table {table} has other columns", schema)
            file.execute(f'DELETE FROM "{table}"')
            rows = table_copies.rows_on_server(connection, schema, table, types)
            table_copies.insert_into_file(file, table, types, rows)
            written = table_copies.content_of(types, table_copies.rows_of_file(file, table, types))
            if written != content_on_server(connection, schema, table):
                raise _other(f"table {table} has not become the same", schema)
        file.execute("DELETE FROM ducklake_inlined_data_tables")
        file.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
        file.commit()
    return True


def differences(catalog: Path, connection: sa.Connection, schema: str = SCHEMA) -> list[str]:
    """The tables of a catalog in a file whose rows are others on the server."""
    odd = []
    with closing(table_copies.opened_still(catalog)) as file:
        for table in _tables(file):
            types = table_copies.types_of(connection, schema, table)
            here = table_copies.content_of(types, table_copies.rows_of_file(file, table, types)) if types else None
            if here is None or here != content_on_server(connection, schema, table):
                odd.append(table)
    return odd


def contents_on_server(connection: sa.Connection, schema: str = SCHEMA) -> dict[str, str]:
    """By table of the catalog on the server, its content."""
    rows = connection.execute(
        sa.text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema "
            r"AND table_name ~ '^ducklake_' AND table_name !~ '^ducklake_inlined_(data|delete)_[0-9]' "
            "AND table_name <> :own ORDER BY table_name"
        ),
        {"schema": schema, "own": _OWN},
    )
    return {str(name): content_on_server(connection, schema, str(name)) for (name,) in rows}


def content_on_server(connection: sa.Connection, schema: str, table: str) -> str:
    types = table_copies.types_of(connection, schema, table)
    return table_copies.content_of(types, table_copies.rows_on_server(connection, schema, table, types))


def exists(connection: sa.Connection, schema: str = SCHEMA) -> bool:
    """Whether there is a catalog on the server."""
    return bool(table_copies.types_of(connection, schema, "ducklake_snapshot"))


def is_empty(connection: sa.Connection, schema: str = SCHEMA) -> bool:
    """Whether no row was ever stored in the lake on the server; tables may be there."""
    files = connection.exec_driver_sql(f'SELECT 1 FROM "{schema}".ducklake_data_file LIMIT 1').first()
    return files is None and not _inlined_rows(connection, schema)


def require_empty(connection: sa.Connection, schema: str = SCHEMA) -> None:
    """Refuse a catalog that holds anything, and take the empty tables for inlined rows out of one that does not.

    Raises:
        DataError: rows were stored in it.
    """
    if not is_empty(connection, schema):
        raise DataError(
            "The lake on the server is not empty.",
            remedy="Nothing was copied. Name an empty database, or give --replace where it may be moved aside.",
            where=f"schema {schema}",
        )
    for name in _inlined_tables(connection, schema):
        connection.exec_driver_sql(f'DROP TABLE "{schema}"."{name}"')


def _tables(file: sqlite3.Connection) -> list[str]:
    found = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'ducklake_*' ORDER BY name")
    apart = ("ducklake_inlined_data_", "ducklake_inlined_delete_")
    names = [str(name) for (name,) in found]
    return [
        name for name in names
        if name != _OWN and (name == "ducklake_inlined_data_tables" or not name.startswith(apart))
    ]  # fmt: skip


def _columns(file: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in file.execute(f'PRAGMA table_info("{table}")')]


def _inlined_tables(connection: sa.Connection, schema: str) -> list[str]:
    rows = connection.execute(
        sa.text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema "
            r"AND table_name ~ '^ducklake_inlined_(data|delete)_[0-9]'"
        ),
        {"schema": schema},
    )
    return [str(name) for (name,) in rows]


def _inlined_rows(connection: sa.Connection, schema: str) -> bool:
    live = connection.exec_driver_sql(LIVE.replace("FROM ", f'FROM "{schema}".')).scalars().all()
    return any(
        connection.exec_driver_sql(f'SELECT 1 FROM "{schema}"."{name}" LIMIT 1').first()
        for name in _inlined_tables(connection, schema)
        if table_of(name) in live
    )


def _require_same_version(file: sqlite3.Connection, connection: sa.Connection, schema: str) -> None:
    asked = "SELECT value FROM {} WHERE key = 'version'"
    here = file.execute(asked.format(_OWN)).fetchone()
    there = connection.exec_driver_sql(asked.format(f'"{schema}".{_OWN}')).first()
    if here is None or there is None or here[0] != there[0]:
        raise _other(
            f"it is of version {there[0] if there else 'none'}, and the other of {here[0] if here else 'none'}", schema
        )


def _other(what: str, schema: str) -> DataError:
    return DataError(
        f"The lake's catalog on the server cannot be copied: {what}.",
        remedy="Nothing was stored. Bring both to this version first: scizor upgrade.",
        where=f"schema {schema}",
    )
