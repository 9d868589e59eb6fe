"""A change of one row of the ledger: applied with the entry of the history that it is part of, and stored in it.

What belongs here: the kinds of change, applying them, and the words in which a row stands in the history. What does
not: the history itself (`events`), and putting rows together from it (`replay`).

A change names its row by the primary key. An update may say what it expects to find in other columns: a row
that is otherwise by now is not changed, and the whole transaction is undone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.tables import exact_text

# What a broker's garbled reply, or a terminal of another encoding, may hold and no database takes.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Operation(StrEnum):
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One row inserted, updated or deleted.

    Attributes:
        key: Values of the primary key, by column.
        values: The other columns that are written, with their new values; nothing for a deletion.
        expected: What an update finds in other columns before it.
    """

    operation: Operation
    table: sa.Table
    key: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)


def inserted(table: sa.Table, row: Mapping[str, Any]) -> Change:
    """A new row. Columns that are not named stay empty."""
    key = {name: row[name] for name in key_of(table)}
    values = {name: _storable(value) for name, value in row.items() if name not in key}
    return Change(Operation.INSERT, table, key, values)


def updated(
    table: sa.Table, key: Mapping[str, Any], values: Mapping[str, Any], *, expected: Mapping[str, Any] | None = None
) -> Change:
    """New values of some columns of a row that exists."""
    assert set(key) == set(key_of(table)), key
    storable = {name: _storable(value) for name, value in values.items()}
    return Change(Operation.UPDATE, table, key, storable, expected or {})


def deleted(table: sa.Table, key: Mapping[str, Any]) -> Change:
    """A row that is taken away."""
    assert set(key) == set(key_of(table)), key
    return Change(Operation.DELETE, table, key)


def key_of(table: sa.Table) -> tuple[str, ...]:
    """Names of the primary key's columns."""
    return tuple(column.name for column in table.primary_key.columns)


def apply(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Write the changes in their order, inserts of one table together.

    Raises:
        LedgerError: a row to update or delete is not there, or not as expected.
        sqlalchemy.exc.IntegrityError: a row to insert is there already.
    """
    for (operation, table, columns), group in groupby(changes, key=_shape):
        rows = list(group)
        if operation is Operation.INSERT:
            connection.execute(_insert(table), [{**row.key, **row.values} for row in rows])
            continue
        for row in rows:
            _apply_to_one(connection, row, columns)


def as_text(changes: Iterable[Change]) -> str:
    """The changes as canonical JSON: `[operation, table, key and values]` of each."""
    return json.dumps(
        [[row.operation.value, row.table.name, plain_row({**row.key, **row.values})] for row in changes],
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values as JSON has them, and as they compare equal whichever store they come from."""
    return {name: _plain(value) for name, value in row.items()}


def typed(column: sa.Column[Any], value: Any) -> Any:
    """A value of `plain_row` as the column takes it."""
    if value is None:
        return None
    name = type(column.type).__name__
    if name == "ExactDecimal":
        return Decimal(value)
    if name == "Instant":
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(column.type, sa.Date) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    assert value is None or isinstance(value, bool | int | str | dict), value
    return value


def _storable(value: Any) -> Any:
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def _shape(change: Change) -> tuple[Operation, sa.Table, tuple[str, ...]]:
    return change.operation, change.table, tuple(change.values)


def _apply_to_one(connection: sa.Connection, row: Change, columns: tuple[str, ...]) -> None:
    statement = _change_one(row.operation, row.table, tuple(row.expected))
    key = {f"wanted_{name}": value for name, value in {**row.key, **row.expected}.items()}
    if connection.execute(statement, {**{name: row.values[name] for name in columns}, **key}).rowcount == 1:
        return
    named = ", ".join(str(value) for value in row.key.values())
    expected = "".join(f" with {name} '{value}'" for name, value in row.expected.items())
    raise LedgerError(
        f"There is no row '{named}'{expected} in the ledger's table '{row.table.name}' any more.",
        remedy="Nothing was changed. Another run has moved it; follow the orders again.",
    )


# Built once for each shape: an order makes several changes, and building a statement costs more than running it.
@lru_cache(maxsize=256)
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert()


@lru_cache(maxsize=256)
def _change_one(operation: Operation, table: sa.Table, expected: tuple[str, ...]) -> sa.Update | sa.Delete:
    found = [table.c[name] == sa.bindparam(f"wanted_{name}") for name in (*key_of(table), *expected)]
    return table.update().where(*found) if operation is Operation.UPDATE else table.delete().where(*found)
