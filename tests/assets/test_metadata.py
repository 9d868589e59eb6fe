"""Frames as a person sees them in the UI."""

from decimal import Decimal

import pandas as pd

from assets.metadata import table
from assets.rendering import performance_metadata
from scizor_dagster.analytics.profits import Profits
from scizor_dagster.flow.measuring import MeasuredSession


def test_sessions_are_shown_as_days_instants_whole_and_what_is_not_there_as_nothing():
    frame = pd.DataFrame(
        {
            "session": pd.to_datetime(["2024-01-02", None]),
            "fetched_at": pd.to_datetime(["2024-01-02", "2024-01-03 20:20"], utc=True, format="ISO8601"),
            "close": [60.0, None],
        }
    )
    assert table(frame).value.splitlines()[2:] == [
        "| 2024-01-02 | 2024-01-02 00:00:00+00:00 | 60 |",
        "|  | 2024-01-03 20:20:00+00:00 |  |",
    ]


def test_a_table_without_a_row_says_none_in_place_of_headings_alone() -> None:
    assert table(pd.DataFrame({"symbol": []})).md_str == "none"
    assert table(pd.DataFrame()).md_str == "none"


def test_a_frame_that_leaves_out_all_of_its_rows_still_says_how_many() -> None:
    assert "3 more rows." in str(table(pd.DataFrame({"symbol": []}), rest=3).md_str)


def test_numbers_have_separators_all_their_digits_and_stand_on_the_right() -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["A", "B"],
            "value": [1234567.891, 0.25],
            "qty": [Decimal("14000.818000000"), Decimal("-0.000000002")],
            "price": ["53.51499228417569276769", None],
            "line": [1200, 3],
        }
    )
    assert str(table(frame, numbers=["price"]).md_str).splitlines() == [
        "| symbol | value | qty | price | line |",
        "|---|---:|---:|---:|---:|",
        "| A | 1,234,567.89 | 14,000.818 | 53.514992284 | 1200 |",
        "| B | 0.25 | -0.000000002 |  | 3 |",
    ]


def test_the_figures_of_a_session_are_numbers_for_the_ui_and_words_for_a_person() -> None:
    row = pd.DataFrame(
        [{"portfolio": "main", "session": pd.Timestamp("2025-03-10"), "equity": 1234567.891, "cash": 20.0, "flows": 0.0,
          "fees": 1.5, "return": 0.0123456789123, "cumulative_return": float("nan"), "drawdown": -0.1, "turnover": 0.0,
          "adjustment": "raw", "synthetic": False}]
    )  # fmt: skip
    shown = performance_metadata(MeasuredSession(row, row, (), (), Profits({}, {})), "USD")
    assert (shown["equity"], shown["return"], shown["cumulative_return"]) == (1234567.89, 0.01234568, None)
    lines = str(shown["summary"].md_str).splitlines()
    assert lines[1] == "main 2025-03-10"
    assert [line.split() for line in lines[2:4]] == [["equity", "1,234,567.89", "USD"], ["cash", "20.00", "USD"]]
    assert [line.split() for line in lines[7:9]] == [["return", "1.23", "%"], ["cumulative_return", "not", "known"]]
    assert len({len(line.removesuffix(" USD")) for line in lines[2:-1]}) == 1
