"""JSON: every fault at once, each with its record and its key; what is not read may hold anything."""

import json
from datetime import date
from pathlib import Path

import pytest

from scizor_dagster.signals.report import SignalReport
from tests.signals.builders import accept, check

pytestmark = pytest.mark.usefixtures("in_process")
DAY = "2024-01-02"


def written(folder: Path, text: str) -> Path:
    path = folder / "weights.json"
    path.write_text(text, encoding="utf-8")
    return path


def records(*rows: str) -> str:
    return "[" + ", ".join(f'{{"trade_date": "{DAY}", {row}}}' for row in rows) + "]"


def faults(report: SignalReport) -> list[tuple[str, int | None, str | None, str | None]]:
    return [(item.rule, item.line, item.column, item.value) for item in report.violations]


def test_every_fault_is_named_at_once_by_its_record_and_its_key(tmp_path: Path) -> None:
    text = records(
        '"asset_id": "A", "target_weight": true',
        '"asset_id": true, "target_weight": 0.1',
        '"asset_id": "C", "target_weight": NaN',
        '"asset_id": "D", "target_weight": {"value": 0.1}',
        '"asset_id": "E", "target_weight": 0.1, "target_weight": 0.2',
        '"asset_id": "F", "target_weight": "x"',
        '"asset_id": "G", "target_weight": null',
        '"asset_id": "H", "target_weight": 0.1',
    )
    report = check(written(tmp_path, text), format="json")
    assert faults(report) == [
        ("json_boolean", 1, "target_weight", "true"),
        ("json_boolean", 2, "asset_id", "true"),
        ("json_constant", 3, "target_weight", "NaN"),
        ("too_deep", 4, "target_weight", "{...}"),
        ("duplicate_key", 5, "target_weight", "target_weight"),
        ("not_a_number", 6, "target_weight", "x"),
        ("missing_weight", 7, "target_weight", ""),
    ]
    assert report.rows == 8


def test_every_fault_of_dates_is_named_by_the_number_of_the_date_and_the_asset(tmp_path: Path) -> None:
    text = f'{{"{DAY}": {{"A": true, "B": 0.5, "B": 0.4}}, "2024-01-03": {{"A": -Infinity}}, "2024-01-04": {{}}}}'
    report = check(written(tmp_path, text), format="json")
    assert faults(report) == [
        ("duplicate_key", 1, "B", "B"),
        ("json_boolean", 1, "A", "true"),
        ("json_constant", 2, "A", "-Infinity"),
        ("no_rows", 3, None, "2024-01-04"),
    ]


def test_what_is_not_read_may_hold_anything(tmp_path: Path) -> None:
    row = '"asset_id": "A", "target_weight": 1, "live": true, "meta": {"a": [1, {"b": NaN}]}, "score": Infinity'
    accepted = accept(written(tmp_path, records(row)), format="json")
    assert accepted.frame[["asset_id", "weight", "line"]].values.tolist() == [["A", 1.0, 1]]
    assert [item.column for item in accepted.warnings] == ["live", "meta", "score"]


def test_each_row_leads_back_to_its_record_also_where_the_text_is_one_line(tmp_path: Path) -> None:
    body = [{"trade_date": DAY, "asset_id": name, "target_weight": 0.25} for name in "ABCD"]
    for indent in (None, 2):
        frame = accept(written(tmp_path, json.dumps(body, indent=indent)), format="json").frame
        assert frame["line"].tolist() == [1, 2, 3, 4]
    wide = accept(written(tmp_path, json.dumps({DAY: {"A": 0.5}, "2024-01-03": {"A": 0.4}})), format="json").frame
    assert list(zip(wide["weights_date"], wide["line"], strict=True)) == [(date(2024, 1, 2), 1), (date(2024, 1, 3), 2)]


def test_text_that_is_no_json_is_told_by_the_line_of_the_text(tmp_path: Path) -> None:
    report = check(written(tmp_path, f"[\n{records('1: 2')[1:-1]}\n]"), format="json")
    assert [(rule, line) for rule, line, _, _ in faults(report)] == [("json_syntax", 2)]
