"""Tables of one database copied row by row into those of another kind, and compared.

What belongs here: what SQLite and Postgres each make of a value, and a content that is the same for both. What does
not: which tables, and what they mean (`lake.catalog_rows`, `flow.migrating`).

SQLite keeps truth as a number, an instant as text and an identifier as text. What a column really holds is known where
the types are: in Postgres. So the Postgres side's types say how both are read.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_BATCH = 1000
_MODULUS = 2**256
_TRUTH, _INSTANT, _NUMBER = "boolean", "timestamp", ("double precision", "real")
Types = Mapping[str, str]
"""By column, the type that Postgres states."""


def types_of(connection: sa.Connection, schema: str, table: str) -> dict[str, str]:
    """The columns of a table on the server, in their order; nothing where there is no such table."""
    rows = connection.execute(
        sa.text(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = :schema AND table_name = :table ORDER BY ordinal_position"
        ),
        {"schema": schema, "table": table},
    )
    return {str(name): str(kind) for name, kind in rows}


def opened_still(path: Path) -> sqlite3.Connection:
    """A file that nobody writes to, for reading: nothing is made beside it, be it of a backup or on a full disk."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def rows_of_file(file: sqlite3.Connection, table: str, columns: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a table in a file, as they are stored."""
    listed = ", ".join(map(_quoted, columns))
    yield from file.execute(f"SELECT {listed} FROM {_quoted(table)}")


def rows_on_server(
    connection: sa.Connection, schema: str, table: str, columns: Iterable[str]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a table on the server, as its driver gives them."""
    listed = ", ".join(map(_quoted, columns))
    statement = f"SELECT {listed} FROM {_quoted(schema)}.{_quoted(table)}"
    result = connection.exec_driver_sql(statement, execution_options={"stream_results": True, "yield_per": _BATCH})
    yield from (tuple(row) for row in result)


def insert_on_server(
    connection: sa.Connection, schema: str, table: str, types: Types, rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows of a file into a table on the server."""
    from psycopg2.extras import execute_values

    listed = ", ".join(map(_quoted, types))
    statement = f"INSERT INTO {_quoted(schema)}.{_quoted(table)} ({listed}) VALUES %s"
    takers = [_for_server(kind) for kind in types.values()]
    raw: Any = connection.connection.dbapi_connection
    given = (tuple(take(value) for take, value in zip(takers, row, strict=True)) for row in rows)
    with raw.cursor() as cursor:
        while batch := list(islice(given, _BATCH)):
            execute_values(cursor, statement, batch, page_size=_BATCH)


def insert_into_file(file: sqlite3.Connection, table: str, types: Types, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows of the server into a table of a file."""
    listed, marks = ", ".join(map(_quoted, types)), ", ".join("?" * len(types))
    file.executemany(
        f"INSERT INTO {_quoted(table)} ({listed}) VALUES ({marks})",
        (tuple(map(_for_file, row)) for row in rows),
    )


def content_of(types: Types, rows: Iterable[Sequence[Any]]) -> str:
    """How many rows there are and a hash over all their columns, the same for both kinds of database."""
    count, total = 0, 0
    readers = [_plain(kind) for kind in types.values()]
    for row in rows:
        text = json.dumps([read(value) for read, value in zip(readers, row, strict=True)])
        # A sum: databases order texts differently.
        total = (total + int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")) % _MODULUS
        count += 1
    return f"{count} {total:064x}"


def _for_server(kind: str) -> Callable[[Any], Any]:
    if kind == _TRUTH:
        return lambda value: None if value is None else bool(value)
    return _same


def _for_file(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S.%f}{'+00' if value.tzinfo is not None else ''}"
    if isinstance(value, memoryview):
        return bytes(value)
    return value if value is None or isinstance(value, int | float | str | bytes) else str(value)


def _plain(kind: str) -> Callable[[Any], Any]:
    if kind == _TRUTH:
        return lambda value: None if value is None else bool(value)
    if kind.startswith(_INSTANT):
        return lambda value: None if value is None else _instant(value)
    if kind in _NUMBER:
        return lambda value: None if value is None else repr(float(value))
    return _text


def _instant(value: str | datetime) -> str:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)).isoformat()


def _text(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value if value is None or isinstance(value, int | str) else str(value)


def _same(value: Any) -> Any:
    return value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
