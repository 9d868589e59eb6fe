"""What a single cell may be: a date, an identifier, a weight.

What belongs here: strict parsing of one cell, and the violation when it fails. What does not: rules
over several rows (`rules`) and exchange dates (`dating`).

Dates are `YYYY-MM-DD`, `YYYY-MM-DD 00:00:00` or true Excel dates. Weights are plain decimal numbers,
with or without exponent. Identifiers are kept as text: NA, TRUE, 1E5 and 0700 are tickers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from scizor_dagster.signals.columns import LocatedColumns, NamedColumn
from scizor_dagster.signals.readers import Cell, RawTable
from scizor_dagster.signals.report import Violation

DUST = 1e-12
"""A weight smaller than this is rounding noise of whoever wrote it, and is taken as zero."""
EXCEL_ERRORS = frozenset(
    {"#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)
_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[ T]00:00(?::00(?:\.0{1,9})?)?)?$", re.ASCII)
_NUMBER = re.compile(r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$", re.ASCII)
_INFINITE = frozenset({"inf", "infinity"})
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat"})
_ISO_REMEDY = "Write dates as YYYY-MM-DD, or as true date cells of a workbook, without a time of day."
_NUMBER_REMEDY = "Write weights as plain numbers such as 0.05, with a decimal point and no percent sign."


@dataclass
class ParsedRows:
    """The rows whose three cells are all good, column by column, and what was found in all rows.

    Attributes:
        headers: Our column name to the header in the file, for reports.
        weights: Shares of the portfolio (0.05 is 5 %), finite.
    """

    sheet: str | None
    headers: dict[str, str]
    lines: list[int] = field(default_factory=list)
    dates: list[date] = field(default_factory=list)
    asset_ids: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    warnings: list[Violation] = field(default_factory=list)


class BadCell(Exception):
    """A cell that cannot be taken; becomes a `Violation` with its line. Never leaves this module."""

    def __init__(self, rule: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.rule = rule
        self.problem = problem
        self.remedy = remedy


def parse_rows(table: RawTable, located: LocatedColumns) -> ParsedRows:
    """Parse every row of a table whose columns are all known; each bad cell is one violation."""
    assert located.columns is not None
    columns = located.columns
    rows = ParsedRows(table.sheet, {ours: column.header for ours, column in columns.items()})
    dates = _parsed(rows, table, columns["trade_date"], _remembering(parse_date))
    ids = _parsed(rows, table, columns["asset_id"], _remembering(parse_asset_id))
    weights = _parsed(rows, table, columns["target_weight"], parse_weight)
    for line, day, asset_id, weight in zip(table.lines, dates, ids, weights, strict=True):
        if day is None or asset_id is None or weight is None:
            continue
        rows.lines.append(line)
        rows.dates.append(day)
        rows.asset_ids.append(asset_id)
        rows.weights.append(weight)
    _warn_of_trimmed(rows, table, columns["asset_id"])
    _drop_dust(rows)
    return rows


def parse_date(cell: Cell) -> date:
    """Read a weight date.

    Raises:
        BadCell: it is blank, or anything but one calendar day.
    """
    if isinstance(cell, date):
        return cell
    text = cell.strip()
    if not text:
        raise BadCell("blank_date", "The date is blank.", _ISO_REMEDY)
    match = _DATE.match(text)
    try:
        if match:
            return date.fromisoformat(match.group(1))
    except ValueError as error:
        raise BadCell("bad_date", f"There is no such day ({error}).", _ISO_REMEDY) from error
    raise BadCell("bad_date", "This is not a date that can be read in only one way.", _ISO_REMEDY)


def parse_asset_id(cell: Cell) -> str:
    """Read an identifier: visible ASCII text, blanks around it removed.

    Raises:
        BadCell: it is blank, an Excel error or date, or has characters that only look like others.
    """
    if isinstance(cell, date):
        remedy = "Format the column as text and write the identifier again."
        raise BadCell("bad_asset_id", "The workbook holds a date where an identifier belongs.", remedy)
    text = cell.strip()
    if not text:
        raise BadCell("blank_asset_id", "The identifier is blank.", "Fill it in, or remove the row.")
    if text in EXCEL_ERRORS:
        raise BadCell("bad_asset_id", "The identifier is an error of the workbook.", "Mend the formula.")
    if not (text.isascii() and text.isprintable()):
        odd = ", ".join(sorted({f"U+{ord(letter):04X}" for letter in text if not " " <= letter <= "~"}))
        remedy = "Write the identifier with plain letters and digits."
        raise BadCell("bad_asset_id", f"The identifier has characters that may deceive ({odd}).", remedy)
    return text


def parse_weight(cell: Cell) -> float:
    """Read a weight, as a share of the portfolio.

    Raises:
        BadCell: it is blank or NaN, infinite, or not a plain decimal number.
    """
    if isinstance(cell, date):
        raise BadCell("not_a_number", "The workbook holds a date where a weight belongs.", _NUMBER_REMEDY)
    text = cell.strip()
    if _NUMBER.match(text):
        value = float(text)
        if math.isfinite(value):
            return value
        raise BadCell("infinite_weight", "The weight is larger than any number.", _NUMBER_REMEDY)
    lowered = text.casefold().lstrip("+-")
    if lowered in _MISSING:
        remedy = "Fill it in; to hold none of an asset, write 0."
        raise BadCell("missing_weight", "The weight is blank or NaN.", remedy)
    if lowered in _INFINITE:
        raise BadCell("infinite_weight", "The weight is infinite.", _NUMBER_REMEDY)
    raise BadCell("not_a_number", "The weight is not a plain number.", _NUMBER_REMEDY)


def _remembering(parse: Callable[[Cell], Any]) -> Callable[[Cell], Any]:
    """A file repeats few distinct dates and identifiers many times; each is parsed once."""
    known: dict[Cell, Any] = {}

    def remembered(cell: Cell) -> Any:
        if cell not in known:
            known[cell] = parse(cell)
        return known[cell]

    return remembered


def _parsed(rows: ParsedRows, table: RawTable, column: NamedColumn, parse: Callable[[Cell], Any]) -> list[Any]:
    values: list[Any] = []
    for line, cell in zip(table.lines, column.cells, strict=True):
        try:
            values.append(parse(cell))
        except BadCell as bad:
            values.append(None)
            rows.violations.append(
                Violation(
                    bad.rule,
                    bad.problem,
                    bad.remedy,
                    line=line,
                    sheet=table.sheet,
                    column=column.header,
                    value=str(cell),
                )
            )
    return values


def _warn_of_trimmed(rows: ParsedRows, table: RawTable, column: NamedColumn) -> None:
    for line, cell in zip(table.lines, column.cells, strict=True):
        if isinstance(cell, str) and cell and (cell[0].isspace() or cell[-1].isspace()) and cell.strip():
            rows.warnings.append(
                Violation(
                    "trimmed",
                    "Blanks around the identifier were removed.",
                    "Write it without them.",
                    line=line,
                    sheet=table.sheet,
                    column=column.header,
                    value=cell,
                )
            )


def _drop_dust(rows: ParsedRows) -> None:
    for index, weight in enumerate(rows.weights):
        if weight and abs(weight) < DUST:
            rows.weights[index] = 0.0
            rows.warnings.append(
                Violation(
                    "dust_weight",
                    f"A weight below {DUST:g} was taken as zero.",
                    "Round weights before writing.",
                    line=rows.lines[index],
                    sheet=rows.sheet,
                    column=rows.headers["target_weight"],
                    value=repr(weight),
                )
            )
