"""The reference of both stores: every table of the lake and of the ledger, column by column.

What belongs here: reading the SQL of `lake.tables`, the pandera schemas and SQLAlchemy's metadata. What a table is for
stands in `docs/reference/tables.yaml`; a table without a sentence fails the build.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

WORDS = Path(__file__).resolve().parents[1] / "reference" / "tables.yaml"


def pages() -> dict[str, str]:
    return {"reference/lake.md": _lake(), "reference/ledger.md": _ledger()}


@cache
def words() -> dict[str, dict[str, str]]:
    """What each table is for, by store."""
    read: dict[str, dict[str, str]] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return read


def _check(store: str, tables: Iterable[str]) -> None:
    told, there = words()[store], set(tables)
    missing, idle = sorted(there - told.keys()), sorted(told.keys() - there)
    if missing or idle:
        problem = f"docs/reference/tables.yaml lacks {missing} of the {store}, and has {idle} too many"
        raise ValueError(f"{problem}: say in a sentence what each is for.")


def _lake() -> str:
    from scizor_dagster.lake.tables import TABLES

    _check("lake", TABLES)
    lines = ["# Tables of the lake", "", words()["about"]["lake"], ""]
    schemas = _schemas()
    for name, columns in TABLES.items():
        lines += ["", f"## {name}", "", words()["lake"][name], "", "| column | type | rules |", "|---|---|---|"]
        rules = schemas.get(name, {})
        lines += [f"| `{column}` | {kind} | {rules.get(column, '')} |" for column, kind in _columns(columns)]
    return "\n".join([*lines, ""])


def _columns(sql: str) -> Iterator[tuple[str, str]]:
    """Names and types of a list of columns; a comma within brackets parts nothing."""
    depth, piece = 0, ""
    for letter in f"{' '.join(sql.split())},":
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            name, _, kind = piece.strip().partition(" ")
            yield name, kind.lower()
            piece = ""
        else:
            piece += letter


def _schemas() -> dict[str, dict[str, str]]:
    """Rules of columns in words, by table, out of the pandera schemas."""
    from scizor_dagster.lake import schemas

    made = {
        name.removesuffix("_schema"): function()
        for name, function in inspect.getmembers(schemas, callable)
        if name.endswith("_schema") and not name.startswith("_") and not inspect.isclass(function)
    }
    return {table: {name: _rule(column) for name, column in schema.columns.items()} for table, schema in made.items()}


def _rule(column: Any) -> str:
    found = []
    for check in column.checks:
        statistics = dict(check.statistics or {})
        if "allowed_values" in statistics:
            values = [value for value in statistics["allowed_values"] if not isinstance(value, bool)]
            found += ["one of " + ", ".join(f"`{value}`" for value in values)] if values else []
        elif "min_value" in statistics:
            word = "at least" if check.name == "greater_than_or_equal_to" else "above"
            found.append(f"{word} {statistics['min_value']:g}")
        elif "max_value" in statistics:
            found.append(f"below {statistics['max_value']:g}")
        elif check.name == "is_finite":
            found.append("finite")
    return ", ".join(found)


def _ledger() -> str:
    from scizor_dagster.ledger.schema import metadata

    _check("ledger", metadata.tables)
    lines = ["# Tables of the ledger", "", words()["about"]["ledger"], ""]
    for table in metadata.tables.values():
        lines += ["", f"## {table.name}", "", words()["ledger"][table.name], ""]
        lines += ["| column | type | |", "|---|---|---|"]
        lines += [f"| `{column.name}` | {_kind(column)} | {_notes(column)} |" for column in table.columns]
        unique = [", ".join(f"`{name}`" for name in names) for names in _unique(table)]
        lines += ["", *[f"Unique: {names}.  " for names in unique]]
    return "\n".join([*lines, ""])


def _kind(column: Any) -> str:
    kind = type(column.type).__name__
    return {"ExactDecimal": "exact decimal", "Instant": "instant, UTC"}.get(kind, str(column.type).lower())


def _notes(column: Any) -> str:
    parts = ["key"] if column.primary_key else []
    parts += [] if column.nullable or column.primary_key else ["must be there"]
    parts += [f"of `{key.column.table.name}`" for key in column.foreign_keys]
    return ", ".join(parts)


def _unique(table: Any) -> list[list[str]]:
    import sqlalchemy as sa

    constraints = [item.columns.keys() for item in table.constraints if isinstance(item, sa.UniqueConstraint)]
    indexes = [item.columns.keys() for item in table.indexes if item.unique]
    return sorted(list(names) for names in {tuple(found) for found in [*constraints, *indexes]})
