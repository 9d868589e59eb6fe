"""What a page is made of: sections of sentences, figures, tables and charts, all of them text already.

What belongs here: value objects. What does not: their content (`verdict`, `trading`, `results`, `holdings`), and HTML
(`page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

Tone = Literal["", "good", "warn", "bad"]
MOST_ROWS = 200
"""Rows that a table of the page shows; a sentence says how many there are more."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and whether it is good or bad news."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure with its name; `note` is small print below it."""

    name: str
    value: Cell
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tiles:
    kind: ClassVar[str] = "tiles"
    items: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence, and the command that a person types about it."""

    kind: ClassVar[str] = "said"
    text: str
    tone: Tone = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title; `unit` is that of every amount in them, such as a currency."""

    kind: ClassVar[str] = "table"
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG element without its outer tag's description.

    Attributes:
        key: Unique on the page, a word.
        svg: What is inside of `<svg>`.
        box: Its `viewBox`.
        legend: Names by the class of their colour.
    """

    kind: ClassVar[str] = "chart"
    key: str
    title: str
    description: str
    svg: str
    box: str
    legend: tuple[tuple[str, str], ...] = ()


Block: TypeAlias = Tiles | Said | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `tone` is that of the verdict."""

    portfolio: str
    session: str
    subtitle: str
    tone: Tone
    sections: tuple[Section, ...]


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Cell]],
    note: str = "",
    most: int = MOST_ROWS,
    *,
    unit: str = "",
    sparse: bool = False,
) -> Table:
    """A table of the first `most` rows. The name of a column of numbers begins with `#`, which is not shown.

    `sparse` leaves out columns in which no row says anything.
    """
    cells = [tuple(value if isinstance(value, Cell) else Cell(value) for value in row) for row in rows]
    if sparse:
        kept = [number for number in range(len(columns)) if any(row[number].text for row in cells)]
        columns = [columns[number] for number in kept]
        cells = [tuple(row[number] for number in kept) for row in cells]
    rest = len(cells) - most
    said = f"{rest} more rows are not shown." if rest > 0 else ""
    named = tuple(Column(name.removeprefix("#"), name.startswith("#")) for name in columns)
    return Table(title, named, tuple(cells[:most]), " ".join(part for part in (note, said) if part), unit)


def worst(tones: Iterable[Tone]) -> Tone:
    order: tuple[Tone, ...] = ("", "good", "warn", "bad")
    return max(tones, key=order.index, default="")
