"""Frames as a person sees them in the UI."""

import pandas as pd

from assets.metadata import table


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
