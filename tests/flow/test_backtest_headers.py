"""Usual names of a weight file's columns, where no strategy describes it."""

import pandas as pd
import pytest

from scizor_dagster.flow.backtest_headers import usual_columns


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("trade_date,asset_id,target_weight", {}),
        ("Date,Symbol,Weight", {"Date": "trade_date", "Symbol": "asset_id", "Weight": "target_weight"}),
        (
            "strategy,rebalance_date,signal_date,tic,weight,score",
            {"rebalance_date": "trade_date", "tic": "asset_id", "weight": "target_weight"},
        ),
        ("trade_date,date,symbol,target_weight", {"symbol": "asset_id"}),
        ("date,session,symbol,weight", {}),
        ("date,symbol,ticker,weight", {}),
        ("date,AAPL,MSFT", {}),
        ("", {}),
    ],
)
def test_one_usual_name_for_each_column_is_taken_and_two_are_left_to_a_person(tmp_path, header, expected):
    path = tmp_path / "weights.csv"
    path.write_text(f"{header}\n", encoding="utf-8")
    assert usual_columns(path, "csv") == expected


def test_parquet_has_the_same_names_and_what_cannot_be_read_has_none(tmp_path):
    pd.DataFrame({"date": ["2024-01-02"], "symbol": ["A"], "weight": [1.0]}).to_parquet(tmp_path / "w.parquet")
    assert list(usual_columns(tmp_path / "w.parquet", "parquet")) == ["date", "symbol", "weight"]
    (tmp_path / "w.csv").write_bytes(b"\xff\xfe\x00")
    for name, known in (("nothing.csv", "csv"), ("w.csv", "csv"), ("w.csv", "parquet"), ("w.csv", "json")):
        assert usual_columns(tmp_path / name, known) == {}
