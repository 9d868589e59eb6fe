"""Small files and settings for the tests of signals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl

from scizor_dagster.config import FractionalShares, MappingTable, WeightRules
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.intake import AcceptedSignals, check_file, take_in
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import SignalReport

HEADER = "trade_date,asset_id,target_weight"
NYSE = TradingCalendar("XNYS")
WEIGHTS = WeightRules()


def fractional(max_total: float = 1.0, *, adjust: bool = True) -> FractionalShares:
    return FractionalShares(
        enabled=True, min_order_notional=1.0, quantity_precision=4, max_total_weight=max_total,
        adjust_for_overflow=adjust,
    )  # fmt: skip


def entry(path: Path, **changes: Any) -> StrategyEntry:
    """An entry that may be in one asset alone, for most tests need no other; `guards={}` is the default."""
    base = {"id": "test", "path": str(path), "format": "csv", "guards": {"one_name": "accept"}}
    return StrategyEntry.model_validate(base | changes)


def mapping(path: Path, text: str, **changes: Any) -> MappingTable:
    path.write_text(text)
    return MappingTable.model_validate({"file": str(path)} | changes)


def csv_file(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "weights.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def xlsx_file(folder: Path, rows: Sequence[Sequence[Any]], *, title: str = "Sheet1") -> Path:
    path = folder / "weights.xlsx"
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    workbook.save(path)
    return path


def check(path: Path, weights: WeightRules = WEIGHTS, max_total: float = 1.0, **changes: Any) -> SignalReport:
    if path.suffix == ".xlsx":
        changes = {"format": "xlsx"} | changes
    return check_file(entry(path, **changes), NYSE, weights, fractional(max_total))


def accept(path: Path, **changes: Any) -> AcceptedSignals:
    if path.suffix == ".xlsx":
        changes = {"format": "xlsx"} | changes
    return take_in(entry(path, **changes), NYSE, WEIGHTS, fractional())


def found(report: SignalReport) -> list[tuple[str, int | None]]:
    """Rule and line of every violation."""
    return [(item.rule, item.line) for item in report.violations]


def warned(report: SignalReport) -> list[tuple[str, int | None]]:
    return [(item.rule, item.line) for item in report.warnings]
