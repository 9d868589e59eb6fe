"""The cells of one worksheet, and what its decorations hide.

What belongs here: one pass over a sheet's XML to rows of cells. What does not: choosing the sheet, and
the parts it refers to (`xlsx_parts`).

A number stays a number, a number with a date format becomes a day, a boolean becomes TRUE or FALSE
(which is how Excel stores that ticker), an error its text. A formula counts with its stored value, unless the
workbook says that it is still to be calculated: programs that cannot calculate write a 0 there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.tables import (
    MAX_COLUMNS,
    Cell,
    ColumnBuffer,
    RawTable,
    ReadResult,
    TooMuch,
    shown,
    too_many,
)
from scizor_dagster.signals.xlsx_parts import NumberFormat, Workbook

MAX_BLANK_ROWS = 10_000
"""Rows without a value; a workbook that was formatted down to its last row has a million."""
_EPOCHS = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}  # noqa: DTZ001 -- a day has no zone
_LAST_SERIAL = 2_958_465
_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_DDE = re.compile(r"^=?\s*'?[\w.]+'?\s*\|")
_PLAIN = NumberFormat()
_HIDDEN_REMEDY = "Show or delete it: a person who checks the sheet cannot see what would be traded."


class SheetParser:
    """Handlers for `parse_part`; `result` is filled when the part has been read."""

    def __init__(self, workbook: Workbook, title: str, spec: ReadSpec) -> None:
        self.result = ReadResult()
        self._workbook, self._title, self._spec = workbook, title, spec
        self._header: tuple[str, ...] = ()
        self._header_line: int | None = None
        self._buffer: ColumnBuffer | None = None
        self._malformed = self._blank = self._line = self._column = 0
        self._hidden_columns: list[tuple[int, int]] = []
        self._row: dict[int, Cell] = {}
        self._unstored: list[int] = []
        self._row_hidden = False
        self._place: tuple[str, NumberFormat] = ("n", _PLAIN)
        self._pieces: list[str] = []
        self._formula: list[str] | None = None
        self._reading: list[str] | None = None

    def start(self, tag: str, found: Mapping[str, str]) -> None:
        if tag == "c":
            self._begin_cell(found)
        elif tag in ("v", "t"):
            self._reading = self._pieces
        elif tag == "f":
            self._formula = self._reading = []
        elif tag == "row":
            self._line = int(found.get("r", self._line + 1))
            self._row_hidden = _true(found.get("hidden")) or _nothing(found.get("ht"))
            self._row, self._unstored, self._column = {}, [], 0
        elif tag == "col" and (_true(found.get("hidden")) or _nothing(found.get("width"))):
            self._hidden_columns.append((int(found["min"]), int(found["max"])))
        elif tag == "mergeCell":
            self._refuse("merged_cells", f"The cells {found['ref']} are merged.", "Unmerge them, and fill each one.")
        elif tag == "autoFilter":
            problem = "A filter is on: some of the rows may be out of sight."
            self._refuse("filter_on", problem, "Turn the filter off (Data, Filter).")

    def end(self, tag: str) -> None:
        if tag in ("v", "t", "f"):
            self._reading = None
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            self._end_row()
        elif tag == "worksheet":
            self._finish()

    def text(self, data: str) -> None:
        if self._reading is not None:
            self._reading.append(data)

    def _begin_cell(self, found: Mapping[str, str]) -> None:
        place = _PLACE.fullmatch(found.get("r", ""))
        self._column = _column_number(place.group(1)) if place else self._column + 1
        formats, style = self._workbook.formats, int(found.get("s", "0"))
        self._place = (found.get("t", "n"), formats[style] if style < len(formats) else _PLAIN)
        self._pieces, self._formula = [], None

    def _end_cell(self) -> None:
        kind, number_format = self._place
        text = "".join(self._pieces)
        formula = "".join(self._formula) if self._formula is not None else ""
        if formula and _DDE.match(formula):
            self._refuse("dde", "A formula asks another program for its value.", "Store the value.", value=formula)
        unstored = self._workbook.uncalculated or (not text and kind not in ("str", "inlineStr"))
        if self._formula is not None and unstored:
            self._unstored.append(self._column)
        cell = self._cell(kind, text, number_format)
        if cell != "":
            self._row[self._column] = cell

    def _cell(self, kind: str, text: str, number_format: NumberFormat) -> Cell:
        if kind == "s" and text:
            return self._workbook.texts[int(text)]
        if kind == "b" and text:
            return "TRUE" if text.strip() in ("1", "true") else "FALSE"
        if kind != "n" or not text:
            return text
        value = float(text)
        if number_format.is_date and 0 <= value <= _LAST_SERIAL:
            return _day(value, starts_1904=self._workbook.starts_1904)
        if number_format.digits and value.is_integer():
            return f"{int(value):0{number_format.digits}d}"
        return value * 100 if number_format.is_percent and self._spec.percent else value

    def _end_row(self) -> None:
        if not self._row and not self._unstored:
            self._blank += 1
            if self._blank > MAX_BLANK_ROWS:
                problem = f"The sheet has more than {MAX_BLANK_ROWS} rows without a value."
                remedy = "Delete the empty rows, formats included."
                raise TooMuch(Violation("too_many_rows", problem, remedy, line=self._line, sheet=self._title))
            return
        if self._row_hidden:
            self._refuse("hidden_rows", "The row is hidden.", _HIDDEN_REMEDY, line=self._line)
        if self._buffer is None:
            self._begin_table()
        elif not self._is_malformed():
            self._buffer.add(self._line, [self._row.get(number, "") for number in range(1, len(self._header) + 1)])

    def _begin_table(self) -> None:
        width = max(self._row, default=0)
        if width > MAX_COLUMNS:
            raise TooMuch(too_many("columns", MAX_COLUMNS, self._line, self._title))
        cells = [self._row.get(number, "") for number in range(1, width + 1)]
        self._header = tuple(shown(cell) for cell in cells)
        self._header_line = self._line
        self._buffer = ColumnBuffer(width, self._title)

    def _is_malformed(self) -> bool:
        """Whether the row is left out, with a violation: it has a value beside the table, or lacks a stored one."""
        width = len(self._header)
        beside = max(self._row, default=0)
        if beside > width:
            problem = f"The row has a value in column {beside}; the header has {width}."
            remedy = "Clear the cells beside the table."
            self._refuse("field_count", problem, remedy, line=self._line, value=shown(self._row[beside]))
        unstored = [number for number in self._unstored if number <= width and self._needs(number)]
        for number in unstored:
            problem = "The cell has a formula without a stored value"
            problem += ": the workbook is to be calculated first." if self._workbook.uncalculated else "."
            remedy = "Open the workbook in a spreadsheet program and save it, or store plain values."
            header = self._header[number - 1].strip()
            self._refuse("formula_without_value", problem, remedy, line=self._line, column=header)
        self._malformed += bool(beside > width or unstored)
        return bool(beside > width or unstored)

    def _finish(self) -> None:
        if self._buffer is None:
            problem = "The sheet has no content."
            self._refuse("empty_file", problem, "Deliver the file again.")
            return
        for first, last in self._hidden_columns:
            for number in range(first, min(last, len(self._header)) + 1):
                if self._needs(number):
                    column = self._header[number - 1].strip()
                    self._refuse("hidden_columns", f"Column {number} is hidden.", _HIDDEN_REMEDY, column=column)
        columns, lines = self._buffer.finish()
        rows = len(lines) + self._malformed
        self.result.table = RawTable(self._title, self._header, self._header_line, columns, lines, rows, typed=True)

    def _needs(self, number: int) -> bool:
        return self._spec.settled(self._header).needs(self._header[number - 1])

    def _refuse(self, rule: str, problem: str, remedy: str, **place: object) -> None:
        self.result.violations.add(Violation(rule, problem, remedy, sheet=self._title, **place))  # type: ignore[arg-type]


def _nothing(size: str | None) -> bool:
    """Whether a height or width is stated and leaves nothing to see."""
    try:
        return size is not None and float(size) <= 0
    except ValueError:
        return False


def _day(serial: float, *, starts_1904: bool) -> Cell:
    """A day, or for an instant (which is no date) its text, that is refused as such later."""
    seconds = round(serial % 1 * 86_400, 3)
    at = _EPOCHS[starts_1904] + timedelta(days=int(serial), seconds=seconds)
    return at.isoformat(sep=" ") if at.time() != datetime.min.time() else date(at.year, at.month, at.day)


def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _true(value: str | None) -> bool:
    return value in ("1", "true")
