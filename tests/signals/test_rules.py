"""What rows and cells may say; every breach is named, none is silently mended."""

import json
import math
from pathlib import Path

import pytest

from scizor_dagster.config import WeightRules
from scizor_dagster.signals import report as reports
from scizor_dagster.signals.intake import check_file
from tests.signals.builders import NYSE, accept, check, csv_file, entry, found, fractional, mapping, warned

pytestmark = pytest.mark.usefixtures("in_process")
DAY = "2024-01-02"


def weights(folder: Path, *values: str) -> Path:
    return csv_file(folder, *(f"{DAY},A{index},{value}" for index, value in enumerate(values)))


BAD_WEIGHTS = {
    "missing_weight": ["", "   ", "NaN", "nan", "-nan", "None", "NA", "-"],
    "infinite_weight": ["inf", "-Infinity", "1e400"],
    "not_a_number": [
        "50%", '"0,5"', '"1,000"', "(0.5)", "\u22120.5", "0x1p-1", "1_0", "0.5.1", "\u0661", "e5", "#N/A",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("value", "rule"), [(value, rule) for rule, values in BAD_WEIGHTS.items() for value in values])
def test_a_weight_that_is_no_plain_number_is_refused_by_line(tmp_path: Path, value: str, rule: str) -> None:
    report = check(csv_file(tmp_path, f"{DAY},AAPL,0.1", f"{DAY},MSFT,{value}"))
    assert found(report) == [(rule, 3)]
    assert report.violations[0].column == "target_weight"
    assert report.violations[0].value == value.strip('"')
    assert report.violations[0].remedy


@pytest.mark.parametrize(
    ("value", "number"),
    [("0.5", 0.5), ("+.5", 0.5), ("5e-1", 0.5), ("0", 0.0), ("1.", 1.0), ("-0", 0.0), (" 0.5 ", 0.5)],
)
def test_plain_numbers_are_read_exactly(tmp_path: Path, value: str, number: float) -> None:
    assert accept(weights(tmp_path, value)).frame["weight"].tolist() == [number]


@pytest.mark.parametrize(
    "value",
    [
        "", "2024-02-30", "02/01/2024", "20/11/26", "20240102", "2024-1-2", "45293", "2024-01-02 09:30:00",
        "2024-01-02T00:00:00-05:00", "2024-01-02Z", "Jan 2 2024", "0000-01-01", "NaT",
    ],
)  # fmt: skip
def test_a_date_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, value: str) -> None:
    report = check(csv_file(tmp_path, f"{value},AAPL,0.5"))
    assert found(report) == [("bad_date" if value else "blank_date", 2)]


@pytest.mark.parametrize("value", ["2062-01-03", "1960-01-04", "9999-12-31"])
def test_a_date_outside_the_calendar_is_refused(tmp_path: Path, value: str) -> None:
    assert found(check(csv_file(tmp_path, f"{value},AAPL,0.5"))) == [("date_outside_calendar", 2)]


def test_the_last_day_of_the_calendar_has_no_session_after_its_close(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{NYSE.last},AAPL,0.5")
    assert check(path).accepted
    assert found(check(path, weights_dated="signal_close")) == [("date_outside_calendar", 2)]


@pytest.mark.parametrize("asset", ["", "  ", "\u0405PY", "AA\u200bPL", "A\tB", "#REF!", ' "AAPL"', "'AAPL'"])
def test_a_blank_or_deceiving_identifier_is_refused(tmp_path: Path, asset: str) -> None:
    rule = "bad_asset_id" if asset.strip() else "blank_asset_id"
    assert found(check(csv_file(tmp_path, f"{DAY},{asset},0.5"))) == [(rule, 2)]


@pytest.mark.parametrize("asset", [" AAPL", "AAPL ", "AAPL\u00a0"])
def test_blanks_around_an_identifier_are_removed_with_a_warning(tmp_path: Path, asset: str) -> None:
    accepted = accept(csv_file(tmp_path, f"{DAY},{asset},1"))
    assert accepted.frame["asset_id"].tolist() == ["AAPL"]
    assert [(item.rule, item.line) for item in accepted.warnings] == [("trimmed", 2)]


def test_an_asset_twice_on_a_date_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{DAY},A,0.1", f"{DAY},B,0.1", f"{DAY},A,0.2", f"{DAY},B,0.1", "2024-01-03,A,0.1")
    report = check(path)
    assert found(report) == [("duplicate_asset", 4), ("duplicate_asset", 5)]
    assert "line 2 gives another weight" in report.violations[0].problem
    assert "line 3 gives the same weight" in report.violations[1].problem


def test_an_asset_in_two_spellings_is_refused_only_on_the_same_date(tmp_path: Path) -> None:
    assert found(check(csv_file(tmp_path, f"{DAY},SPY,0.1", f"{DAY},spy,0.1"))) == [("case_twins", 3)]
    assert check(csv_file(tmp_path, f"{DAY},SPY,0.1", "2024-01-03,spy,0.1")).accepted


def test_shorts_need_permission(tmp_path: Path) -> None:
    path = weights(tmp_path, "0.5", "-0.2")
    assert found(check(path)) == [("negative_weight", 3)]
    assert check(path, WeightRules(allow_short=True)).accepted


def test_one_asset_may_not_be_above_the_maximum_long_or_short(tmp_path: Path) -> None:
    path = weights(tmp_path, "0.25", "0.2500001", "-0.3")
    rules = WeightRules(allow_short=True, max_weight=0.25)
    assert found(check(path, rules)) == [("weight_above_maximum", 3), ("weight_above_maximum", 4)]


@pytest.mark.parametrize(
    ("values", "accepted", "warnings"),
    [
        (("0.5", "0.5"), True, 0),
        (("0.3333333333333333",) * 3, True, 0),
        (("0.1",) * 10, True, 0),
        (("0.5", "0.498"), True, 0),
        (("0.5", "0.50107"), True, 1),
        (("0.5", "0.502"), True, 1),
        (("0.5", "0.50201"), False, 0),
        (("0.9", "-0.2"), False, 0),
        (("0", "0"), True, 1),
    ],
)
def test_a_gross_sum_may_exceed_the_maximum_by_the_tolerance_with_a_warning(
    tmp_path: Path, values: tuple[str, ...], accepted: bool, warnings: int
) -> None:
    guards = {"all_zero": "accept", "one_name": "accept"}
    report = check(weights(tmp_path, *values), WeightRules(allow_short=True), guards=guards)
    assert report.accepted is accepted
    assert len(report.warnings) == warnings
    if not accepted:
        assert found(report) == [("sum_above_maximum", 2)]


def test_a_strategy_may_tighten_the_maximum_and_not_loosen_it(tmp_path: Path) -> None:
    path = weights(tmp_path, "0.5", "0.4")
    assert found(check(path, max_total_weight=0.8)) == [("sum_above_maximum", 2)]
    assert found(check(path, max_total=0.8, max_total_weight=2.0)) == [("sum_above_maximum", 2)]


def test_the_sum_of_each_date_is_judged_and_named_on_its_first_line(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{DAY},A,0.5", "2024-01-03,A,0.9", "2024-01-03,B,0.3", f"{DAY},B,0.5")
    report = check(path, date_order="any")
    assert found(report) == [("sum_above_maximum", 3)]
    assert report.violations[0].value == "1.2"


def test_weights_written_as_percentages_are_named_as_such(tmp_path: Path) -> None:
    assert ("percentages", 2) in found(check(weights(tmp_path, "50", "50", "0")))
    assert ("percentages", 2) not in found(check(weights(tmp_path, "50", "0.5")))


def test_the_remedy_of_percentages_names_the_key_that_declares_them(tmp_path: Path) -> None:
    report = check(weights(tmp_path, "60", "39.5", "0.5"))
    assert [item.remedy for item in report.violations if item.rule == "percentages"] == [
        "Divide the weights by 100, or set percent: true in the strategy manifest."
    ]
    assert found(check(weights(tmp_path, "0.6", "0.4"), percent=True)) == [("fractions", 2)]
    assert check(weights(tmp_path, "60", "40"), percent=True).accepted


def test_a_sum_within_the_tolerance_promises_no_scaling_of_the_file(tmp_path: Path) -> None:
    path = weights(tmp_path, "0.5", "0.501")
    (item,) = check(path).warnings
    assert "they are taken as written; the plan scales targets that together exceed" in item.problem
    (item,) = check_file(entry(path), NYSE, WeightRules(), fractional(adjust=False)).warnings
    assert item.problem.endswith("they are taken as written.")


def test_dust_is_taken_as_zero_with_a_warning(tmp_path: Path) -> None:
    accepted = accept(weights(tmp_path, "-1e-18", "1"))
    assert accepted.frame["weight"].tolist() == [0.0, 1.0]
    assert [item.rule for item in accepted.warnings] == ["dust_weight"]


def test_every_violation_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{DAY},A,x", "bad,A,0.1", f"{DAY},,0.1", f"{DAY},B,-1", f"{DAY},B,3", f"{DAY},C")
    assert found(check(path)) == [
        ("not_a_number", 2), ("bad_date", 3), ("blank_asset_id", 4), ("negative_weight", 5),
        ("sum_above_maximum", 5), ("duplicate_asset", 6), ("field_count", 7),
    ]  # fmt: skip


def test_missing_columns_are_all_named_with_the_header_that_is_there(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, f"{DAY},A,0.1", header="date,asset_id,wieght"))
    assert [(item.rule, item.column) for item in report.violations] == [
        ("missing_column", "trade_date"),
        ("missing_column", "target_weight"),
    ]
    assert "'wieght'" in report.violations[1].problem
    assert report.rows == 1


def test_a_header_that_stands_twice_is_refused(tmp_path: Path) -> None:
    header = "trade_date,asset_id,target_weight,Target_Weight"
    assert found(check(csv_file(tmp_path, f"{DAY},A,0.1,0.2", header=header))) == [("duplicate_column", 1)]


def test_a_header_in_other_case_or_with_blanks_is_read_with_a_warning(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, f"{DAY},A,1", header="Trade_Date , asset_id,TARGET_WEIGHT"))
    assert report.accepted
    assert warned(report) == [("header_spelling", 1)] * 3


def test_an_unknown_column_is_a_warning_and_an_unnamed_first_one_is_not(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, f"0,{DAY},A,1,0.7,,x", header=",trade_date,asset_id,target_weight,score,,"))
    assert report.accepted
    assert [item.column for item in report.warnings] == ["score", "number 7 (unnamed)"]


def test_a_file_that_is_wrong_in_every_row_lists_a_thousand_and_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_LISTED_PER_RULE", 3)
    report = check(weights(tmp_path, *["x"] * 10))
    assert found(report) == [("not_a_number", line) for line in (2, 3, 4)] + [("not_a_number", None)]
    assert report.violations[-1].problem.startswith("7 more")


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, f"{DAY},A,0.25", f"{DAY},B,{'9' * 500}x"))
    body = json.loads(json.dumps(report.to_json()))
    assert (body["status"], body["rows"], body["weight_sum"], body["first_date"]) == ("refused", 2, 0.25, DAY)
    violation = body["violations"][0]
    assert {"rule", "file", "line", "column", "value", "problem", "remedy", "sheet"} == set(violation)
    assert len(violation["value"]) < 200


def test_the_sum_of_several_dates_is_a_range(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, f"{DAY},A,0.25", "2024-01-03,A,0.5"))
    assert report.to_json()["weight_sum"] == {"min": 0.25, "max": 0.5}
    assert math.isclose(report.weight_sum.highest if report.weight_sum else 0.0, 0.5)


def test_identifiers_are_judged_on_the_rows_that_would_trade(tmp_path: Path) -> None:
    table = mapping(tmp_path / "map.csv", "asset_id,symbol\n1,AAPL\n2,GOOG\n2,GOOGL\n")
    path = csv_file(tmp_path, f"{DAY},9,0.01", f"{DAY},1,0.5", "2024-01-03,1,0.5", "2024-01-03,2,0.02")
    report = check(path, mapping=table)
    assert report.accepted
    assert warned(report) == [("rest_in_cash", 2), ("unknown_id", 2), ("ambiguous_id", 5)]
    first = NYSE.session_on_or_after(accept(path).sessions[0])
    entry_refusing = entry(path, mapping=table)
    entry_lenient = entry(path, mapping=table, on_unknown_id="quarantine")
    entry_tight = entry(path, mapping=table, on_unknown_id="quarantine", max_quarantined_weight=0.0)
    results = [
        check_file(item, NYSE, WeightRules(), fractional(), session=first)
        for item in (entry_refusing, entry_lenient, entry_tight)
    ]
    assert [found(item) for item in results] == [[("unknown_id", 2)], [], [("too_much_quarantined", None)]]
    refusing = table.model_copy(update={"on_ambiguous": "refuse"})
    assert found(check(path, mapping=refusing)) == [("ambiguous_id", 5)]
