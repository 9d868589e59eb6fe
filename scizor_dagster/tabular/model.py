"""A table of typed columns: what every writer is handed.

What belongs here: columns and rows. What does not: bytes (`writers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Value = str | int | Decimal | date | datetime | None
Row = tuple[Value, ...]


class Kind(StrEnum):
    """What a column's values are, as the documents call it."""

    TEXT = "text"
    NUMBER = "number"
    """Exact: a `Decimal`."""
    COUNT = "count"
    """A whole number."""
    DATE = "date"
    TIME = "time"
    """An aware instant, written in UTC."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        meaning: What it says, with its unit.
        scale: Digits after the point that Parquet keeps of a number, where no value needs more.
    """

    name: str
    kind: Kind
    meaning: str
    scale: int = 9


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows with a value for each of them; None where there is none."""

    columns: tuple[Column, ...]
    rows: Sequence[Row]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)
