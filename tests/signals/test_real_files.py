"""Weight files that a real strategy wrote, with its real mapping table."""

import shutil
from collections import defaultdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from scizor_dagster.config import MappingTable
from tests.signals.builders import accept, check, found, warned

COLUMNS = {"trade_date": "trade_date", "gvkey": "asset_id", "weights": "target_weight"}
WORKBOOKS = ("equally_weighted.xlsx", "mean_weighted.xlsx", "minimum_weighted.xlsx")


@pytest.fixture
def folder(reference_data: Path) -> Path:
    return reference_data / "weights_finrl_trading"


def settings(folder: Path) -> dict[str, Any]:
    table = MappingTable(file=str(folder / "tic_gvkey_mapping_2025.csv"), id_column="gvkey", symbol_column="tic")
    return {"column_mapping": COLUMNS, "mapping": table}


@pytest.mark.reference_data
@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_real_workbook_is_accepted_and_sums_as_its_own_cells_do(folder: Path, name: str) -> None:
    sheet = openpyxl.load_workbook(folder / name, read_only=True, data_only=True).worksheets[0]
    expected: dict[date, float] = defaultdict(float)
    for day, _, weight, _ in list(sheet.iter_rows(values_only=True))[1:]:
        assert isinstance(day, datetime)
        expected[day.date()] += weight
    accepted = accept(folder / name, **settings(folder))
    sums = accepted.frame.groupby("weights_date")["weight"].sum()
    assert len(accepted.frame) == 6714
    assert len(accepted.sessions) == 31
    assert sums.to_dict() == pytest.approx(dict(expected))
    assert check(folder / name, **settings(folder)).accepted


@pytest.mark.reference_data
def test_weekend_and_holiday_dates_of_a_real_workbook_go_to_the_next_session(folder: Path) -> None:
    frame = accept(folder / "equally_weighted.xlsx", **settings(folder)).frame
    pairs = frame.drop_duplicates("weights_date").set_index("weights_date")["session"].to_dict()
    assert pairs[date(2018, 3, 1)] == date(2018, 3, 1)
    assert pairs[date(2018, 9, 1)] == date(2018, 9, 4)
    assert pairs[date(2019, 9, 1)] == date(2019, 9, 3)
    assert pairs[date(2020, 3, 1)] == date(2020, 3, 2)
    assert pairs[date(2025, 9, 1)] == date(2025, 9, 2)
    assert frame.loc[0, "asset_id"] == "1161"


@pytest.mark.reference_data
def test_sums_from_0_99904_to_1_00107_and_zero_weights_are_accepted(folder: Path) -> None:
    report = check(folder / "mean_weighted.xlsx", **settings(folder))
    assert report.accepted
    assert report.to_json()["weight_sum"] == {"min": pytest.approx(0.99904), "max": pytest.approx(1.00107)}
    assert ("sum_within_tolerance", 3995) in warned(report)
    assert (accept(folder / "mean_weighted.xlsx", **settings(folder)).frame["weight"] == 0).any()


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("cell", "rule"), [(None, "missing_weight"), ("NaN", "missing_weight"), ("#N/A", "not_a_number")]
)
def test_a_copy_with_one_bad_weight_is_refused_by_line(folder: Path, tmp_path: Path, cell: Any, rule: str) -> None:
    path = tmp_path / "mean_weighted.xlsx"
    shutil.copyfile(folder / path.name, path)
    workbook = openpyxl.load_workbook(path)
    workbook["Sheet1"]["C3000"] = cell
    workbook.save(path)
    report = check(path, **settings(folder))
    assert found(report) == [(rule, 3000)]
    assert (report.violations[0].sheet, report.violations[0].column) == ("Sheet1", "weights")


@pytest.mark.reference_data
def test_the_daily_file_with_an_unnamed_index_column_is_accepted(folder: Path) -> None:
    accepted = accept(folder / "drl_weight_excerpt_2025-07-28.csv", **settings(folder))
    assert len(accepted.frame) == 214
    assert accepted.sessions == (date(2025, 7, 28),)
    assert accepted.frame["line"].tolist() == list(range(2, 216))
    assert accepted.frame["weight"].sum() == pytest.approx(1.0, abs=1e-6)
    assert [item.rule for item in accepted.warnings] == ["sum_within_tolerance", "ambiguous_id"]
    assert "GOOG or GOOGL" in accepted.warnings[1].problem


@pytest.mark.reference_data
def test_a_real_parquet_file_is_accepted_and_one_without_rows_is_refused(folder: Path) -> None:
    table = settings(folder)["mapping"]
    frame = accept(folder / "targets_consolidated_20250728.parquet", format="parquet", mapping=table).frame
    assert len(frame) == 214
    assert frame["asset_id"].tolist()[:2] == ["1045", "1161"]
    assert frame["weight"].sum() == pytest.approx(1.0, abs=2e-3)
    empty = check(folder / "targets_consolidated_20250828.parquet", format="parquet", mapping=table)
    assert found(empty) == [("no_rows", None)]
