"""The tables as the history makes them: every change of every entry, one after the other.

What belongs here: replaying, and what a ledger from before such changes carries over. What does not: comparing
with the tables (`verification`), and writing them from it (`backup`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import Operation, inserted, key_of, plain_row
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.tables import events as history
from scizor_dagster.ledger.tables import leases

Row = dict[str, Any]
Image = dict[str, dict[tuple[Any, ...], Row]]
"""By table and primary key, each row as `changes.plain_row` has it."""

VENUE = "paper_"
"""Begins the names of the embedded exchange's own tables: the broker's side, not part of what the history makes."""
CARRIED_OVER = "carried_over"
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def journaled() -> list[sa.Table]:
    """The tables that the history makes, those that others refer to first."""
    apart = {history.name, leases.name}
    return [table for table in metadata.sorted_tables if table.name not in apart and not table.name.startswith(VENUE)]


def replayed(connection: sa.Connection) -> Image:
    """What every table holds if the history is right.

    A column that an entry does not name is empty: one that a later version has added, for instance. A change of a row
    that the history has not made is kept as a row of what is known of it, so that the comparison shows it.
    """
    image: Image = {table.name: {} for table in journaled()}
    keys = {table.name: key_of(table) for table in journaled()}
    empty: dict[str, Row] = {table.name: dict.fromkeys(table.columns.keys()) for table in journaled()}
    statement = sa.select(history.c.changes).where(history.c.changes.is_not(None)).order_by(history.c.seq)
    for text in connection.execute(statement, execution_options={"yield_per": 1000}).scalars():
        for operation, name, values in json.loads(text):
            rows = image[name]
            key = tuple(values[column] for column in keys[name])
            if operation == Operation.DELETE:
                rows.pop(key, None)
            elif operation == Operation.INSERT:
                rows[key] = {**empty[name], **values}
            else:
                rows[key] = {**rows.get(key, {}), **values}
    return image


def stored_rows(connection: sa.Connection, table: sa.Table) -> dict[tuple[Any, ...], Row]:
    """What a table holds."""
    names = key_of(table)
    rows = (plain_row(dict(row._mapping)) for row in connection.execute(sa.select(table)))
    return {tuple(row[name] for name in names): row for row in rows}


def carry_over(connection: sa.Connection) -> None:
    """Take what a ledger held before its history named rows into the history, once.

    An entry of all rows as they are: edits from before it cannot be told.
    """
    if connection.execute(sa.select(history.c.seq).where(history.c.changes.is_not(None)).limit(1)).first():
        return
    found = [
        inserted(table, dict(row._mapping))
        for table in journaled()
        for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
    ]
    if not found:
        return
    at = connection.execute(sa.select(history.c.at).order_by(history.c.seq.desc()).limit(1)).scalar() or _LONG_AGO
    for table in reversed(journaled()):
        connection.execute(table.delete())
    events.append(connection, at, "", CARRIED_OVER, {"rows": len(found)}, changes=found)
    for account in sorted(known_portfolios(connection)):
        store_positions(connection, account, now=at)
