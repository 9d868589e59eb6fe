"""What a ledger holds, in one line for each table: two ledgers are told equal without laying them side by side.

What belongs here: counting and hashing rows as they are. What does not: whether they are what the history says
(`verification`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import sqlalchemy as sa

from scizor_dagster.ledger.changes import plain_row
from scizor_dagster.ledger.schema import metadata

_MODULUS = 2**256


def contents_of(connection: sa.Connection) -> dict[str, str]:
    """By table, how many rows it has and a hash over all of their columns, the same on every kind of store."""
    return {table.name: _content(connection, table) for table in metadata.sorted_tables}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The tables that do not hold what is expected, each with the rows of both."""
    return [
        f"{name} has {_rows(found.get(name))} row(s) of other content than the {_rows(content)} expected"
        for name, content in expected.items()
        if found.get(name) != content
    ]


def _content(connection: sa.Connection, table: sa.Table) -> str:
    rows, total = 0, 0
    for row in connection.execute(sa.select(table), execution_options={"yield_per": 1000}):
        text = json.dumps(plain_row(dict(row._mapping)), sort_keys=True)
        # A sum: databases order texts differently.
        total = (total + int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")) % _MODULUS
        rows += 1
    return f"{rows} {total:064x}"


def _rows(content: str | None) -> str:
    return content.partition(" ")[0] if content is not None else "no"
