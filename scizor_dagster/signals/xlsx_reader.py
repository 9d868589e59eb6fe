"""XLSX as text: one named sheet, or the only visible one.

What belongs here: workbook bytes to cells with row numbers, true dates kept as dates. What does not:
old `.xls`, macros and formulas; a formula counts with its stored value, and without one it is blank.

A number becomes the shortest text that reads back as the same number, so that an identifier stored as
1161.0 is "1161"; a boolean becomes TRUE or FALSE, which is how Excel stores that ticker.
"""

from __future__ import annotations

import io
import warnings as python_warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from scizor_dagster.signals.readers import MAX_COLUMNS, MAX_ROWS, Cell, RawTable, ReadResult, too_many
from scizor_dagster.signals.report import Violation

MAX_UNPACKED_BYTES = 256 * 1024 * 1024
MAX_MEMBERS = 2_000
_REMEDY = "Save it as a plain .xlsx workbook without password, or correct 'format' in the strategy manifest."


def read_xlsx(data: bytes, sheet: str | None) -> ReadResult:
    """Read workbook bytes into a table of text and dates.

    Args:
        data: The file.
        sheet: Worksheet to read; None takes the only visible one.
    """
    problem = _container_problem(data)
    if problem is not None:
        return ReadResult(None, (problem,))
    try:
        with python_warnings.catch_warnings():
            # openpyxl warns about decorations (validation, drawings) that carry no values.
            python_warnings.simplefilter("ignore")
            return _read(data, sheet)
    except Exception as error:  # a damaged workbook fails in the parser in ways without a common type
        problem_text = f"The workbook cannot be read ({type(error).__name__}: {error})."
        return ReadResult(None, (Violation("unreadable_workbook", problem_text, _REMEDY),))


def _container_problem(data: bytes) -> Violation | None:
    """Look at the archive's directory before anything is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return Violation("wrong_format", "The file is not an XLSX workbook.", _REMEDY)
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES:
        limit = f"{MAX_UNPACKED_BYTES} in {MAX_MEMBERS}"
        problem = f"The workbook unpacks to {unpacked} bytes in {len(members)} parts; {limit} are allowed."
        return Violation("too_large", problem, "Deliver only the dates that still matter.")
    return None


def _read(data: bytes, sheet: str | None) -> ReadResult:
    import openpyxl

    workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        chosen = _chosen_sheet(workbook, sheet)
        if isinstance(chosen, Violation):
            return ReadResult(None, (chosen,))
        # The stored extent may be wrong; without it every row is read as it is.
        chosen.reset_dimensions()
        return _table(chosen.iter_rows(values_only=True), str(chosen.title))
    finally:
        workbook.close()


def _chosen_sheet(workbook: Any, sheet: str | None) -> Any:
    visible = [item for item in workbook.worksheets if item.sheet_state == "visible"]
    names = ", ".join(repr(item.title) for item in workbook.worksheets)
    if sheet is not None:
        named = [item for item in workbook.worksheets if item.title == sheet]
        if named:
            return named[0]
        return Violation("no_such_sheet", f"The workbook has no sheet '{sheet}'.", f"Use one of: {names}.", value=sheet)
    if len(visible) == 1:
        return visible[0]
    problem = f"The workbook has {len(visible)} visible sheets, and none is named."
    return Violation("sheet_not_named", problem, f"Name one with 'sheet' in the strategy manifest: {names}.")


def _table(values: Iterator[tuple[Any, ...]], sheet: str) -> ReadResult:
    violations: list[Violation] = []
    rows: list[list[Cell]] = []
    lines: list[int] = []
    header: tuple[str, ...] = ()
    header_line = 0
    for line, row in enumerate(values, start=1):
        if line > MAX_ROWS:
            return ReadResult(None, (*violations, too_many("rows", MAX_ROWS, line, sheet)))
        cells = [_cell(value) for value in row]
        while cells and cells[-1] == "":
            cells.pop()
        if not cells:
            continue
        if not header_line:
            header, header_line = tuple(_header_text(cell) for cell in cells), line
            if len(header) > MAX_COLUMNS:
                return ReadResult(None, (too_many("columns", MAX_COLUMNS, line, sheet),))
            continue
        if len(cells) > len(header):
            violations.append(_beyond_header(line, sheet, cells, len(header)))
            continue
        rows.append(cells + [""] * (len(header) - len(cells)))
        lines.append(line)
    if not header_line:
        empty = Violation("empty_file", "The sheet has no content.", "Deliver the file again.", sheet=sheet)
        return ReadResult(None, (empty,))
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * len(header)
    table = RawTable(sheet, header, header_line, columns, lines, len(lines) + len(violations))
    return ReadResult(table, tuple(violations))


def _cell(value: Any) -> Cell:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        # A time of day makes it an instant, which is not a date: it stays text and is refused as such.
        return value.date() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date):
        return value
    return str(value)


def _header_text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.isoformat()


def _beyond_header(line: int, sheet: str, cells: list[Cell], expected: int) -> Violation:
    problem = f"The row has a value in column {len(cells)}; the header has {expected}."
    value = str(cells[-1])
    return Violation("field_count", problem, "Clear the cells beside the table.", line=line, sheet=sheet, value=value)
