"""A wide table: a column of dates, and beside it one column per asset.

What belongs here: which column is the date, which is cash, and the cells to rows. What does not: single
cells (`cells`) and rules over rows (`rules`).
"""

from __future__ import annotations

from dataclasses import dataclass

from scizor_dagster.signals.cells import (
    BadCell,
    ParsedRows,
    bad_cell,
    drop_dust,
    is_blank,
    number_as_text,
    parse_asset_id,
    parse_date,
    remembering,
    take_out_cash,
    weight_parser,
)
from scizor_dagster.signals.columns import belongings, is_row_number
from scizor_dagster.signals.names import is_note
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import DATE_HEADERS, OWNER_HEADERS, ReadSpec, normal
from scizor_dagster.signals.tables import Cell, RawTable


@dataclass(frozen=True, slots=True)
class _Places:
    """Which column is what; `assets` by index, cash among them."""

    date: int
    assets: dict[int, str]


def unpivot(table: RawTable, spec: ReadSpec) -> ParsedRows:
    """Read a wide table into one row per date and asset; each bad cell is one violation."""
    rows = ParsedRows(table.sheet, {ours: ours for ours in spec.columns}, wide=True)
    rows.violations.extend(belongings(table, spec))
    places = _places(table, spec, rows)
    if places is None:
        return rows
    rows.headers["trade_date"] = table.header[places.date].strip() or "date"
    rows.unfinished = table.unfinished
    _fill(rows, table, places, spec)
    take_out_cash(rows, spec)
    drop_dust(rows)
    return rows


def _fill(rows: ParsedRows, table: RawTable, places: _Places, spec: ReadSpec) -> None:
    date_of, weight_of = remembering(parse_date), weight_parser(spec)
    lines: list[int] = []
    for at, line in enumerate(table.lines):
        cell = table.columns[places.date][at]
        try:
            day = date_of(cell)
        except BadCell as bad:
            day = None
            rows.violations.add(bad_cell(bad, cell, line, table.sheet, rows.headers["trade_date"]))
        for index, asset_id in places.assets.items():
            cell = table.columns[index][at]
            try:
                weight = 0.0 if spec.blank_is_zero and is_blank(cell) else weight_of(cell)
            except BadCell as bad:
                rows.violations.add(bad_cell(bad, cell, line, table.sheet, asset_id))
                continue
            if table.typed and isinstance(cell, str) and cell.strip():
                rows.warnings.add(number_as_text(cell, line, table.sheet, asset_id))
            if day is not None:
                lines.append(line)
                rows.dates.append(day)
                rows.asset_ids.append(asset_id)
                rows.weights.append(weight)
    rows.lines = lines


def _places(table: RawTable, spec: ReadSpec, rows: ParsedRows) -> _Places | None:
    day = _date_column(table, spec)
    if isinstance(day, Violation):
        rows.violations.add(day)
        return None
    assets: dict[int, str] = {}
    for index, name in enumerate(table.header):
        owner = normal(name) in spec.required or normal(name) in OWNER_HEADERS
        if index == day or owner or is_row_number(name, index) or _is_empty(table, index):
            continue
        try:
            asset_id = parse_asset_id(name)
        except BadCell as bad:
            rows.violations.add(bad_cell(bad, name, table.header_line, table.sheet, name or f"number {index + 1}"))
            continue
        if is_note(asset_id):
            problem = f"The column '{asset_id}' says something about the weights, and is no asset."
            remedy = "Leave it out: every column of a wide file but the dates and cash is an asset."
            rows.violations.add(_at_header(table, "not_an_asset", problem, remedy, asset_id))
            continue
        if asset_id in assets.values() or (
            normal(asset_id) == normal(spec.cash_column)
            and any(normal(other) == normal(asset_id) for other in assets.values())
        ):
            problem = f"Two columns are '{asset_id}'."
            rows.violations.add(_at_header(table, "duplicate_column", problem, "Keep one of them.", asset_id))
        assets[index] = asset_id
    if not assets:
        remedy = "Deliver the weights, one column per asset, or correct 'layout' in the strategy manifest."
        rows.violations.add(_at_header(table, "missing_column", "There is no column of weights.", remedy, None))
    return _Places(day, assets)


def _date_column(table: RawTable, spec: ReadSpec) -> int | Violation:
    """The column named for dates, else the first one if it has no name and holds nothing but dates."""
    stated = normal(spec.columns["trade_date"])
    for names in ({stated}, DATE_HEADERS):
        found = [index for index, name in enumerate(table.header) if normal(name) in names]
        if len(found) == 1:
            return found[0]
        if found:
            problem = f"Columns {' and '.join(str(index + 1) for index in found)} may both be the date."
            return _at_header(table, "duplicate_column", problem, "Keep one of them.", table.header[found[0]])
    unnamed = [index for index, name in enumerate(table.header) if is_row_number(name, index) or not name.strip()]
    for index in unnamed[:1]:
        if table.columns[index] and all(_is_date(cell) for cell in table.columns[index]):
            return index
    problem = f"There is no column of dates ('{spec.columns['trade_date']}' or 'date')."
    remedy = "Name it in the file, or map it to trade_date in 'column_mapping' of the strategy manifest."
    return _at_header(table, "missing_column", problem, remedy, spec.columns["trade_date"])


def _is_date(cell: Cell) -> bool:
    try:
        parse_date(cell)
    except BadCell:
        return False
    return True


def _is_empty(table: RawTable, index: int) -> bool:
    return not table.header[index].strip() and all(cell == "" for cell in table.columns[index])


def _at_header(table: RawTable, rule: str, problem: str, remedy: str, column: str | None) -> Violation:
    return Violation(rule, problem, remedy, line=table.header_line, sheet=table.sheet, column=column)
