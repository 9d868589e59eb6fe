"""What a single cell may be: a date, an identifier, a weight.

What belongs here: strict parsing of one cell, and the violation when it fails. What does not: rules
over several rows (`rules`) and exchange dates (`dating`).

Dates are `YYYY-MM-DD`, the same with `00:00:00` (also of UTC, `Z`) or true date cells. Weights are plain
decimal numbers, with or without exponent; a decimal comma or percent only where the manifest says so.
Identifiers are kept as text: NA, TRUE, 1E5 and 0700 are tickers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from scizor_dagster.signals.columns import LocatedColumns, NamedColumn
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec, normal
from scizor_dagster.signals.tables import Cell, RawTable, shown

DUST = 1e-12
"""A weight smaller than this is rounding noise of whoever wrote it, and is taken as zero."""
EXCEL_ERRORS = frozenset(
    {"#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)
_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?:[ T]00:00(?::00(?:\.0{1,9})?)?(?:Z|\+00:?00)?)?$", re.ASCII)
_NUMBERS = {
    mark: re.compile(rf"^[+-]?(?:\d+(?:{re.escape(mark)}\d*)?|{re.escape(mark)}\d+)(?:[eE][+-]?\d+)?$", re.ASCII)
    for mark in ".,"
}
_QUOTES = frozenset("\"'`")
_INFINITE = frozenset({"inf", "infinity"})
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat"})
_ISO_REMEDY = "Write dates as YYYY-MM-DD, or as true date cells of a workbook, without a time of day."
_NUMBER_REMEDY = (
    "Write weights as plain numbers such as 0.05, with a decimal point and no percent sign, "
    "or declare 'decimal' or 'percent' in the strategy manifest."
)
_MISSING_REMEDY = "Fill it in; to hold none of an asset, write 0."


@dataclass(frozen=True, slots=True)
class CashCell:
    """What a row says is left in cash, as a share of the portfolio."""

    day: date
    line: int
    value: float


@dataclass
class ParsedRows:
    """The rows whose three cells are all good, column by column, and what was found in all rows.

    Attributes:
        headers: Our column name to the header in the file, for reports.
        weights: Shares of the portfolio (0.05 is 5 %), finite.
        wide: Whether the file has one column per asset.
        cash: Cash as the file states it, by row; empty where it does not.
        unfinished: As of `RawTable`.
    """

    sheet: str | None
    headers: dict[str, str]
    lines: Sequence[int] = field(default_factory=list)
    dates: list[date] = field(default_factory=list)
    asset_ids: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    wide: bool = False
    cash: list[CashCell] = field(default_factory=list)
    unfinished: int | None = None
    violations: Findings = field(default_factory=Findings)
    warnings: Findings = field(default_factory=Findings)

    def column(self, ours: str, index: int) -> str:
        """Header of the column that one of our values of a row stands in."""
        return self.asset_ids[index] if self.wide and ours != "trade_date" else self.headers[ours]

    def violation(self, index: int, ours: str, rule: str, problem: str, remedy: str, value: str) -> Violation:
        """A violation in one of our columns of a row."""
        column = self.column(ours, index)
        return Violation(rule, problem, remedy, line=self.lines[index], sheet=self.sheet, column=column, value=value)


class BadCell(Exception):
    """A cell that cannot be taken; becomes a `Violation` with its line. Never leaves this package."""

    def __init__(self, rule: str, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.rule = rule
        self.problem = problem
        self.remedy = remedy


def parse_rows(table: RawTable, located: LocatedColumns, spec: ReadSpec) -> ParsedRows:
    """Parse every row of a table whose columns are all known; each bad cell is one violation."""
    assert located.columns is not None
    columns = located.columns
    rows = ParsedRows(table.sheet, {ours: column.header for ours, column in columns.items()})
    rows.lines = table.lines
    rows.dates = _parsed(rows, table, columns["trade_date"], remembering(parse_date))
    rows.asset_ids = _parsed(rows, table, columns["asset_id"], remembering(parse_asset_id))
    weight_of = weight_parser(spec)
    if spec.layout == "wide" and spec.blank_is_zero:
        weight_of = _or_zero(weight_of)
    rows.weights = _parsed(rows, table, columns["target_weight"], weight_of)
    if rows.violations:
        good = zip(rows.dates, rows.asset_ids, rows.weights, strict=True)
        keep_rows(rows, [index for index, values in enumerate(good) if None not in values])
    rows.warnings.extend(_trimmed(table, columns["asset_id"]))
    if table.typed:
        rows.warnings.extend(_numbers_as_text(table, columns["target_weight"]))
    _watch_the_end(rows, table, columns["target_weight"])
    rows.wide = spec.layout == "wide"
    if rows.wide or spec.cash_rows:
        take_out_cash(rows, spec)
    drop_dust(rows)
    return rows


def is_blank(cell: Cell) -> bool:
    """Whether a cell holds nothing, or the NaN that data frames write for it."""
    return not cell.strip() if isinstance(cell, str) else isinstance(cell, float) and math.isnan(cell)


def _or_zero(weight_of: Callable[[Cell], float]) -> Callable[[Cell], float]:
    return lambda cell: 0.0 if is_blank(cell) else weight_of(cell)


def parse_date(cell: Cell) -> date:
    """Read a weight date.

    Raises:
        BadCell: it is blank, or anything but one calendar day.
    """
    if isinstance(cell, date):
        return cell
    if not isinstance(cell, str):
        raise BadCell("bad_date", "This is a number, not a date.", _ISO_REMEDY)
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
    """Read an identifier: visible ASCII text, blanks around it removed, or a whole number.

    Raises:
        BadCell: it is blank, an Excel error or date, or has characters that only look like others.
    """
    if isinstance(cell, date):
        remedy = "Format the column as text and write the identifier again."
        raise BadCell("bad_asset_id", "The workbook holds a date where an identifier belongs.", remedy)
    text = shown(cell).strip()
    if not isinstance(cell, str) and not text.isdigit():
        remedy = "Format the column as text and write the identifier again."
        raise BadCell("bad_asset_id", "The identifier is a number with a fraction or a sign.", remedy)
    if not text:
        raise BadCell("blank_asset_id", "The identifier is blank.", "Fill it in, or remove the row.")
    if text in EXCEL_ERRORS:
        raise BadCell("bad_asset_id", "The identifier is an error of the workbook.", "Mend the formula.")
    if text[0] in _QUOTES or text[-1] in _QUOTES:
        remedy = "Write it without; in a CSV a quote opens a field only right behind the delimiter."
        raise BadCell("bad_asset_id", "The identifier has quotes in it.", remedy)
    if text.startswith("="):
        raise BadCell("bad_asset_id", "The identifier is a formula.", "Write the identifier itself.")
    if not (text.isascii() and text.isprintable()):
        odd = ", ".join(sorted({f"U+{ord(letter):04X}" for letter in text if not " " <= letter <= "~"}))
        remedy = "Write the identifier with plain letters and digits."
        raise BadCell("bad_asset_id", f"The identifier has characters that may deceive ({odd}).", remedy)
    return text


def weight_parser(spec: ReadSpec) -> Callable[[Cell], float]:
    """The reader of a weight, as a share of the portfolio, as the manifest declares weights to be written.

    The function raises `BadCell`: blank or NaN, infinite, or not a plain number.
    """
    pattern, comma, percent = _NUMBERS[spec.decimal], spec.decimal == ",", spec.percent

    def parse(cell: Cell) -> float:
        if isinstance(cell, str):
            text = cell.strip()
            if percent and text.endswith("%"):
                text = text[:-1].rstrip()
            if not pattern.match(text):
                raise _no_weight(text)
            value = float(text.replace(",", ".") if comma else text)
        elif isinstance(cell, date):
            raise BadCell("not_a_number", "The file holds a date where a weight belongs.", _NUMBER_REMEDY)
        else:
            value = float(cell)
        if not math.isfinite(value):
            missing = BadCell("missing_weight", "The weight is NaN.", _MISSING_REMEDY)
            infinite = BadCell("infinite_weight", "The weight is larger than any number.", _NUMBER_REMEDY)
            raise missing if math.isnan(value) else infinite
        return value / 100 if percent else value

    return parse


def _no_weight(text: str) -> BadCell:
    lowered = text.casefold().lstrip("+-")
    if lowered in _MISSING:
        return BadCell("missing_weight", "The weight is blank or NaN.", _MISSING_REMEDY)
    if lowered in _INFINITE:
        return BadCell("infinite_weight", "The weight is infinite.", _NUMBER_REMEDY)
    return BadCell("not_a_number", "The weight is not a plain number.", _NUMBER_REMEDY)


def remembering(parse: Callable[[Cell], Any]) -> Callable[[Cell], Any]:
    """A file repeats few distinct dates and identifiers many times; each is parsed once."""
    return lru_cache(maxsize=None, typed=True)(parse)


def bad_cell(bad: BadCell, cell: Cell, line: int | None, sheet: str | None, column: str) -> Violation:
    """The violation that a bad cell is."""
    return Violation(bad.rule, bad.problem, bad.remedy, line=line, sheet=sheet, column=column, value=shown(cell))


def take_out_cash(rows: ParsedRows, spec: ReadSpec) -> None:
    """Take what the file says is cash out of its assets."""
    name = normal(spec.cash_column)
    at = [index for index, asset_id in enumerate(rows.asset_ids) if normal(asset_id) == name]
    rows.cash.extend(CashCell(rows.dates[index], rows.lines[index], rows.weights[index]) for index in at)
    gone = set(at)
    keep_rows(rows, [index for index in range(len(rows.weights)) if index not in gone])


def keep_rows(rows: ParsedRows, kept: Sequence[int]) -> None:
    """Keep the rows at these indexes."""
    rows.lines = [rows.lines[index] for index in kept]
    rows.dates = [rows.dates[index] for index in kept]
    rows.asset_ids = [rows.asset_ids[index] for index in kept]
    rows.weights = [rows.weights[index] for index in kept]


def drop_dust(rows: ParsedRows) -> None:
    """Take weights that are only noise as zero, with a warning for each."""
    for index, weight in enumerate(rows.weights):
        if weight and abs(weight) < DUST:
            rows.weights[index] = 0.0
            problem = f"A weight below {DUST:g} was taken as zero."
            remedy = "Round weights before writing."
            rows.warnings.add(rows.violation(index, "target_weight", "dust_weight", problem, remedy, repr(weight)))


def number_as_text(cell: Cell, line: int, sheet: str | None, column: str) -> Violation:
    """The warning of a number that its container holds as text."""
    problem = "The number is stored as text."
    remedy = "Store it as a number."
    return Violation("number_as_text", problem, remedy, line=line, sheet=sheet, column=column, value=shown(cell))


def _parsed(rows: ParsedRows, table: RawTable, column: NamedColumn, parse: Callable[[Cell], Any]) -> list[Any]:
    try:
        return list(map(parse, column.cells))
    except BadCell:
        pass  # once more, cell by cell, to name every one
    values: list[Any] = []
    for line, cell in zip(table.lines, column.cells, strict=True):
        try:
            values.append(parse(cell))
        except BadCell as bad:
            values.append(None)
            rows.violations.add(bad_cell(bad, cell, line, table.sheet, column.header))
    return values


def _trimmed(table: RawTable, column: NamedColumn) -> Iterator[Violation]:
    trimmed = {cell for cell in set(column.cells) if isinstance(cell, str) and cell.strip() not in ("", cell)}
    for line, cell in zip(table.lines, column.cells, strict=True) if trimmed else ():
        if cell in trimmed:
            assert isinstance(cell, str)
            problem = "Blanks around the identifier were removed."
            header = column.header
            yield Violation(
                "trimmed", problem, "Write it without them.", line=line, sheet=table.sheet, column=header, value=cell
            )


def _numbers_as_text(table: RawTable, column: NamedColumn) -> Iterator[Violation]:
    for line, cell in zip(table.lines, column.cells, strict=True):
        if isinstance(cell, str) and cell.strip():
            yield number_as_text(cell, line, table.sheet, column.header)


def _watch_the_end(rows: ParsedRows, table: RawTable, column: NamedColumn) -> None:
    rows.unfinished = table.unfinished
    if table.unfinished is None or not column.cells:
        return
    last = column.cells[-1]
    if isinstance(last, str) and last.endswith((".", ",")):
        problem = "The file ends within a number: it was cut off while it was written."
        remedy = "Write to another name and rename when done."
        line, header = table.lines[-1], column.header
        rows.violations.add(Violation("cut_off", problem, remedy, line=line, column=header, value=last))
