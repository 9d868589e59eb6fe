"""Small tables from CSV or Parquet files, every cell with the line it stands on.

What belongs here: containers, headers, and turning cells into exact numbers, dates and tickers.
What does not: what the tables mean (`files`), weight files of strategies (`signals`).

Cells are text: a ticker NA, TRUE or 1E5 stays what it is, and the apostrophe that our own files have before what a
spreadsheet would run (`tabular.spreadsheet`) is taken off. A number of a Parquet file becomes the
shortest decimal that means the same float, of 32 or 64 bits; one that is no number becomes an empty cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.errors import InputError
from scizor_dagster.instruments import check_symbol
from scizor_dagster.tabular.spreadsheet import restored

MAX_BYTES = 64 * 1024 * 1024
NUMBER_LIMIT = Decimal(10) ** 15
"""Numbers are smaller than this, whatever their sign: a larger one is a slip, and outgrows exact arithmetic."""
SMALLEST_PRICE = Decimal("1e-9")
"""Nothing trades at less, or in smaller steps; below it a quantity outgrows exact arithmetic."""
_NUMBER = re.compile(r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE](\+?[0-9]{1,6}|-[0-9]{1,3}))?$")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_UNKNOWN = ("", "nan", "na", "n/a", "<na>", "null", "none")
_MIDNIGHT = re.compile(r"^(\d{4}-\d{2}-\d{2})([ T]00:00:00(\.0+)?)?$")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value and where it stands."""

    text: str
    where: str
    column: str

    def fail(self, problem: str, remedy: str) -> InputError:
        shown = f"'{self.text}'" if self.text else "an empty cell"
        return InputError(f"Column {self.column} has {shown}: {problem}.", remedy=remedy, where=self.where)

    def number(self) -> Decimal:
        if not _NUMBER.match(self.text):
            remedy = (
                "Write a plain, finite number with a decimal point." if self.text else "Fill it, or remove the row."
            )
            raise self.fail("not a number", remedy)
        value = Decimal(self.text)
        if abs(value) >= NUMBER_LIMIT:
            raise self.fail("too large", "Write a number below 1e15.")
        return value

    @property
    def unknown(self) -> bool:
        """Whether the cell says that its number is not known: empty, or as programs write that."""
        return self.text.lower() in _UNKNOWN

    def flag(self) -> bool:
        meaning = _FLAGS.get(self.text.lower())
        if meaning is None:
            raise self.fail("neither true nor false", "Write true or false, or leave the cell empty.")
        return meaning

    def day(self) -> date:
        match = _MIDNIGHT.match(self.text)
        try:
            return date.fromisoformat(match.group(1) if match else "")
        except ValueError:
            raise self.fail("not a date", "Write it as YYYY-MM-DD.") from None

    def symbol(self) -> str:
        try:
            return check_symbol(self.text)
        except InputError as error:
            raise self.fail("not a ticker", error.remedy) from error

    def word(self) -> str:
        if not self.text:
            raise self.fail("nothing to go by", "Fill the cell, or remove the row.")
        return self.text


@dataclass(frozen=True, slots=True)
class Table:
    """A read file: its columns by lower-case name, and its rows."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def pick(self, choices: Sequence[str]) -> str:
        """The one of `choices` that the table has, the first where it has several."""
        for name in choices:
            if name in self.columns:
                return name
        raise InputError(
            f"There is no column {' or '.join(choices)}; the file has {', '.join(self.columns)}.",
            remedy="Rename the column.",
            where=str(self.path),
        )

    def cells(self, column: str) -> list[Cell]:
        at = self.columns.index(column)
        return [Cell(row[at], self.where(line), column) for row, line in zip(self.rows, self.lines, strict=True)]

    def where(self, line: int) -> str:
        return f"{self.path}:{line}"


def read_table(path: Path) -> Table:
    """Read a CSV or Parquet file whole.

    Raises:
        InputError: the file is missing, too large, not readable as what its name says, has no header,
            a column twice, or a row with more or fewer cells than the header.
    """
    if not path.is_file():
        raise InputError("There is no such file.", remedy="Check the path.", where=str(path))
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"The file is larger than {MAX_BYTES} bytes.", remedy="Split it.", where=str(path))
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    raise InputError(f"'{path.suffix}' is no known format.", remedy="Use .csv or .parquet.", where=str(path))


def _read_csv(path: Path) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("The file is not UTF-8.", remedy="Save it as UTF-8.", where=str(path)) from error
    except OSError as error:
        raise InputError(
            f"The file cannot be read ({error.strerror}).",
            remedy="Check who may read it.",
            where=str(path),
        ) from error
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    header: tuple[str, ...] | None = None
    try:
        for record in reader:
            cells = tuple(restored(cell.strip()) for cell in record)
            if not any(cells):
                continue
            if header is None:
                header = _header(cells, path)
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"The row has {len(cells)} cells, the header has {len(header)}.",
                    remedy="Mend the row.",
                    where=f"{path}:{reader.line_num}",
                )
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(
            f"The row is not valid CSV ({error}).",
            remedy="Mend the quotes.",
            where=f"{path}:{reader.line_num}",
        ) from error
    if header is None:
        raise InputError("The file is empty.", remedy="Write a header and rows.", where=str(path))
    return Table(path, header, tuple(rows), tuple(lines))


def _read_parquet(path: Path) -> Table:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"The file is not readable as Parquet ({error}).", remedy="Write it again.", where=str(path)
        ) from error
    header = _header(tuple(table.column_names), path)
    columns = []
    for column in table.columns:
        values = column.to_pylist()
        if pa.types.is_float32(column.type):
            # The text of the narrow float is the shortest that means it; widened, it has binary noise.
            values = [None if value is None else float(str(np.float32(value))) for value in values]
        columns.append([_text(value) for value in values])
    rows = tuple(zip(*columns, strict=True))
    return Table(path, header, rows, tuple(range(1, len(rows) + 1)))


def _header(cells: tuple[str, ...], path: Path) -> tuple[str, ...]:
    header = tuple(cell.strip().lower() for cell in cells)
    separator = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if separator is not None:
        shown = "a tab" if separator.isspace() else f"'{separator}'"
        raise InputError(
            f"The separator of the file seems to be {shown}; a comma is expected.",
            remedy="Save it with commas between the columns and a point in decimal numbers.",
            where=str(path),
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise InputError(f"The column {', '.join(twice)} stands twice.", remedy="Keep one.", where=str(path))
    return header


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if value != value:
        return ""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    return str(value).strip()
