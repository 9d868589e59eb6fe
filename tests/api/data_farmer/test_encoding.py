"""Prices as bytes: every form says the same, and none of them carries what a program would run."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scizor_dagster.api.data_farmer import encoding
from scizor_dagster.api.data_farmer.encoding import MEDIA_TYPES, Form, chosen_form, encoded
from scizor_dagster.api.problems import RequestRefused
from scizor_dagster.tabular.spreadsheet import defused, restored

DAYS = [18262, 18263, 18264]


def table(source: str = "sample", rows: int = 3) -> pa.Table:
    values = [101.25, None, 1 / 3]
    return pa.table(
        {
            "session": pa.array([DAYS[0] + number for number in range(rows)], pa.int32()).cast(pa.date32()),
            "close": pa.array([values[number % 3] for number in range(rows)], pa.float64()),
            "synthetic": pa.array([False] * rows),
            "source": pa.array([source] * rows, pa.string()),
        }
    )


def whole(form: Form, of: pa.Table, symbol: str = "AAPL") -> bytes:
    return b"".join(encoded(form, of, {"symbol": symbol}, {"symbol": symbol}))


def test_json_has_the_columns_as_arrays_with_null_for_what_is_not_given() -> None:
    found = json.loads(whole(Form.JSON, table()))
    assert found == {
        "symbol": "AAPL",
        "bars": {"session": ["2020-01-01", "2020-01-02", "2020-01-03"], "close": [101.25, None, 1 / 3]},
    }


def test_json_of_no_rows_and_of_more_rows_than_go_at_once_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(whole(Form.JSON, table(rows=0)))["bars"] == {"session": [], "close": []}
    at_once = whole(Form.JSON, table(rows=50))
    monkeypatch.setattr(encoding, "ROWS_AT_ONCE", 7)
    assert whole(Form.JSON, table(rows=50)) == at_once
    assert whole(Form.CSV, table(rows=50)).count(b"\n") == 51


@pytest.mark.parametrize("number", [1e300, 5e-324, 0.1, 123456789.125, 1e16, -0.0, 2.5e-7])
def test_a_number_comes_back_as_the_same_number(number: float) -> None:
    one = pa.table({"close": pa.array([number], pa.float64())})
    assert json.loads(whole(Form.JSON, one))["bars"]["close"] == [number]
    assert float(whole(Form.CSV, one).decode().splitlines()[1].split(",")[1]) == number


def test_csv_parquet_and_arrow_have_symbol_and_source_beside_the_columns() -> None:
    lines = whole(Form.CSV, table()).decode().splitlines()
    assert lines[:3] == [
        '"symbol","session","close","synthetic","source"',
        '"AAPL",2020-01-01,101.25,false,"sample"',
        '"AAPL",2020-01-02,,false,"sample"',
    ]
    parquet = pq.read_table(io.BytesIO(whole(Form.PARQUET, table())))
    arrow = pa.ipc.open_stream(whole(Form.ARROW, table())).read_all()
    assert parquet.equals(arrow)
    assert arrow.column("close").to_pylist() == [101.25, None, 1 / 3]


@pytest.mark.parametrize("source", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "a,=1", '"=1"'])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe_in_csv_alone(source: str) -> None:
    cells = list(csv.reader(io.StringIO(whole(Form.CSV, table(source)).decode())))
    assert (cells[1][-1], restored(cells[1][-1])) == (defused(source), source)
    assert cells[1][-1] != source
    assert pq.read_table(io.BytesIO(whole(Form.PARQUET, table(source)))).column("source")[0].as_py() == source


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.JSON),
        ("*/*", Form.JSON),
        ("application/json", Form.JSON),
        ("text/csv", Form.CSV),
        ("text/*", Form.CSV),
        ("application/vnd.apache.parquet", Form.PARQUET),
        ("application/vnd.apache.arrow.stream, */*;q=0.1", Form.ARROW),
        ("application/json;q=0.5, text/csv;q=0.9", Form.CSV),
        ("application/json;q=0, */*", Form.CSV),
        ("text/html, application/xhtml+xml, */*;q=0.8", Form.JSON),
        ("text/csv;q=wrong, application/json;q=0.1", Form.JSON),
    ],
)
def test_the_form_is_what_the_header_likes_best(accept: str, form: Form) -> None:
    assert chosen_form(None, accept) is form


def test_a_form_by_name_counts_before_the_header_and_an_unknown_kind_is_refused_with_those_there_are() -> None:
    assert chosen_form(Form.ARROW, "text/csv") is Form.ARROW
    with pytest.raises(RequestRefused) as raised:
        chosen_form(None, "image/png")
    assert raised.value.status == 406
    assert all(kind in raised.value.remedy for kind in MEDIA_TYPES.values())
