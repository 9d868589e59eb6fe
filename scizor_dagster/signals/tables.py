"""The table that every format becomes, before anybody asks what its columns mean.

What belongs here: cells, tables, and how large they may be. What does not: the formats
(`csv_reader`, `xlsx_reader`, `parquet_reader`, `json_reader`) and the meaning of columns (`columns`, `wide`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from scizor_dagster.signals.report import Findings, Violation

MAX_ROWS = 1_500_000
MAX_COLUMNS = 5_000
MAX_CELLS = 16_000_000
"""Rows times columns; with `MAX_COLUMNS` it bounds what a table of short cells may cost."""
_KNOWN_VALUES = 50_000
_PIECE = 1_000

Cell = str | int | float | date
"""Text as written; a number or a day where the container itself says that it is one (never a datetime)."""
Needed = Callable[[str], bool]
"""Whether a column with this header is read; the cells of others stay blank."""


@dataclass(slots=True)
class RawTable:
    """A header and columns of equal length below it.

    Attributes:
        sheet: Worksheet name; None where the format has none.
        header: Cells of the header row, as written.
        header_line: Where the header stands; None where a format names its columns otherwise.
        columns: One list of cells per header cell.
        lines: Line (CSV, JSON) or row number (workbook, Parquet) of each row, from 1.
        rows: Rows found, those left out of `columns` because they are malformed included.
        typed: Whether the format tells numbers from text, so that a number written as text is odd.
        unfinished: Line of the last row where nothing says that it is whole (no line end after it).
        unpivoted: Whether it was wide in the file and is long already.
    """

    sheet: str | None
    header: tuple[str, ...]
    header_line: int | None
    columns: tuple[Sequence[Cell], ...]
    lines: Sequence[int]
    rows: int
    typed: bool = False
    unfinished: int | None = None
    unpivoted: bool = False


@dataclass(slots=True)
class ReadResult:
    """The table, None where the container itself is unusable, and what was found while reading."""

    table: RawTable | None = None
    violations: Findings = field(default_factory=Findings)
    warnings: Findings = field(default_factory=Findings)

    @classmethod
    def refused(cls, *violations: Violation) -> ReadResult:
        return cls(None, Findings(violations))


class TooMuch(Exception):
    """A table beyond what is read; never leaves this package."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.problem)
        self.violation = violation


class ColumnBuffer:
    """Rows taken column by column, a thousand at a time. The texts of a column repeat: each is kept once."""

    def __init__(self, width: int, sheet: str | None = None) -> None:
        self._columns: list[list[Cell]] = [[] for _ in range(width)]
        self._known: list[dict[Cell, Cell]] = [{} for _ in range(width)]
        self._lines: list[int] = []
        self._rows: list[Sequence[Cell]] = []
        self._sheet = sheet

    def add(self, line: int, row: Sequence[Cell]) -> None:
        """Take one row of as many cells as there are columns.

        Raises:
            TooMuch: the table has more rows than are read.
        """
        self._rows.append(row)
        self._lines.append(line)
        if len(self._rows) >= _PIECE:
            self._flush()

    def widen(self, width: int) -> None:
        """Add columns; what was taken before is blank in them."""
        self._flush()
        blank: list[Cell] = [""] * len(self._lines)
        while len(self._columns) < width:
            self._columns.append(blank.copy())
            self._known.append({})

    def finish(self) -> tuple[tuple[Sequence[Cell], ...], list[int]]:
        """The columns, and the line of each row. Raises as `add`."""
        self._flush()
        return tuple(self._columns), self._lines

    def _flush(self) -> None:
        limit = min(MAX_ROWS, MAX_CELLS // max(len(self._columns), 1))
        if len(self._lines) > limit:
            raise TooMuch(too_many("rows", limit, self._lines[limit], self._sheet))
        for column, known, cells in zip(self._columns, self._known, zip(*self._rows, strict=True), strict=False):
            # A column of ever new values gains nothing from being looked up.
            column.extend(map(known.setdefault, cells, cells) if len(known) < _KNOWN_VALUES else cells)
        self._rows.clear()


def too_many(what: str, limit: int, line: int | None = None, sheet: str | None = None) -> Violation:
    """The violation of `MAX_ROWS` (`too_many_rows`) or `MAX_COLUMNS` (`too_many_columns`)."""
    problem = f"The table has more than {limit} {what}."
    remedy = "Deliver only the dates and assets that still matter."
    return Violation(f"too_many_{what}", problem, remedy, line=line, sheet=sheet)


def shown(cell: Cell) -> str:
    """A cell as a report repeats it: a whole number without a decimal point, as a workbook shows it."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return repr(cell) if isinstance(cell, float) else str(cell)
