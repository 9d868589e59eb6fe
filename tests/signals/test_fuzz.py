"""Whatever the bytes and cells are, the answer is a verdict or an error of our own."""

import io
import json
import tempfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.errors import ScizorError
from scizor_dagster.signals.reading import read
from scizor_dagster.signals.sandbox import read_in_child
from scizor_dagster.signals.spec import ReadSpec
from tests.signals.builders import HEADER, check

pytestmark = pytest.mark.usefixtures("in_process")
FORMATS = {".csv": "csv", ".xlsx": "xlsx", ".parquet": "parquet", ".json": "json"}
ODD = [
    "",
    "NaN",
    "inf",
    "1e999",
    "2024-01-02",
    "2024-02-30",
    "AAPL",
    "-0.2",
    '"',
    ",",
    "\n",
    "\0",
    "\ufeff",
    "#N/A",
]
TEXT = st.one_of(st.sampled_from(ODD), st.text(max_size=12))
CELL = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.dates(), st.datetimes(),
    st.times(), st.timedeltas(), TEXT.filter(lambda text: text.isprintable() and not text.startswith("=")),
)  # fmt: skip


def verdict(data: bytes, suffix: str, **changes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"weights{suffix}"
        path.write_bytes(data)
        judge(path, **changes)


def judge(path: Path, **changes: str) -> None:
    try:
        report = check(path, format=FORMATS[path.suffix], **changes)
    except ScizorError:
        return
    assert report.accepted == (not report.violations)
    assert all(item.rule and item.problem and item.remedy for item in (*report.violations, *report.warnings))
    assert report.to_json()["status"] == report.status


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.sampled_from([b"", HEADER.encode() + b"\n"]))
def test_arbitrary_bytes_of_a_csv_end_in_a_verdict(data: bytes, before: bytes) -> None:
    verdict(before + data, ".csv")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.lists(TEXT, min_size=1, max_size=5), max_size=6))
def test_arbitrary_cells_of_a_csv_end_in_a_verdict(rows: list[list[str]]) -> None:
    lines = [HEADER, *(",".join(row) for row in rows)]
    verdict("\n".join(lines).encode("utf-8", "surrogatepass"), ".csv")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06"]))
def test_arbitrary_bytes_of_a_workbook_end_in_a_verdict(data: bytes, before: bytes) -> None:
    verdict(before + data, ".xlsx")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_workbook_with_one_wrong_byte_ends_in_a_verdict(position: int, value: int) -> None:
    damaged = bytearray(WORKBOOK)
    damaged[position % len(damaged)] = value
    verdict(bytes(damaged), ".xlsx")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(CELL, min_size=1, max_size=4), min_size=1, max_size=4))
def test_arbitrary_cells_of_a_workbook_end_in_a_verdict(rows: list[list[object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.xlsx"
        if _saved(path, rows):
            judge(path)


def _saved(path: Path, rows: list[list[object]]) -> bool:
    workbook = openpyxl.Workbook()
    workbook.active.append(HEADER.split(","))
    try:
        for row in rows:
            workbook.active.append(row)
        workbook.save(path)
    except (ValueError, OverflowError, openpyxl.utils.exceptions.IllegalCharacterError):
        return False
    return True


def _workbook() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.xlsx"
        _saved(path, [["2024-01-02", "AAPL", 0.5]])
        return path.read_bytes()


def _parquet(columns: dict[str, list[object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


WORKBOOK = _workbook()
PARQUET = _parquet({"trade_date": ["2024-01-02"], "asset_id": ["AAPL"], "target_weight": [0.5]})
JSON_VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT), lambda inner: st.lists(inner, max_size=3)
)
LAYOUT = st.sampled_from(["long", "wide"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from([b"", b"[", b'{"2024-01-02": {"A": ', b"PAR1"]), LAYOUT)
def test_arbitrary_bytes_of_json_and_parquet_end_in_a_verdict(data: bytes, before: bytes, layout: str) -> None:
    verdict(before + data, ".json", layout=layout)
    verdict(before + data + b"PAR1", ".parquet", layout=layout)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.sampled_from([*HEADER.split(","), "x", ""]), JSON_VALUE, max_size=4), max_size=4))
def test_arbitrary_records_of_json_end_in_a_verdict(records: list[dict[str, object]]) -> None:
    verdict(json.dumps(records).encode("utf-8", "surrogatepass"), ".json")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(TEXT, st.one_of(JSON_VALUE, st.dictionaries(TEXT, JSON_VALUE, max_size=3)), max_size=3))
def test_arbitrary_dates_of_json_end_in_a_verdict(dates: dict[str, object]) -> None:
    verdict(json.dumps(dates).encode("utf-8", "surrogatepass"), ".json", layout="wide")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(TEXT, min_size=1, max_size=5), max_size=6))
def test_arbitrary_cells_of_a_wide_csv_end_in_a_verdict(rows: list[list[str]]) -> None:
    lines = ["date,AAPL,cash", *(",".join(row) for row in rows)]
    verdict("\n".join(lines).encode("utf-8", "surrogatepass"), ".csv", layout="wide")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 5000), st.integers(0, 255))
def test_a_parquet_file_with_one_wrong_byte_ends_in_a_verdict(position: int, value: int) -> None:
    damaged = bytearray(PARQUET)
    damaged[position % len(damaged)] = value
    verdict(bytes(damaged), ".parquet")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.floats(), st.integers(-(2**60), 2**60)), min_size=1, max_size=3), st.data())
def test_arbitrary_columns_of_parquet_end_in_a_verdict(weights: list[float], data: st.DataObject) -> None:
    kinds = (st.dates(), st.datetimes(), TEXT, st.binary(max_size=3), st.lists(st.integers(0, 9)), st.none())
    cells = [data.draw(st.lists(st.one_of(kinds[data.draw(st.integers(0, 5))]), min_size=len(weights),
                                max_size=len(weights))) for _ in range(2)]  # fmt: skip
    try:
        content = _parquet({"trade_date": cells[0], "asset_id": cells[1], "target_weight": weights})
    except (pa.ArrowException, OverflowError, UnicodeError):
        return
    verdict(content, ".parquet")


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.binary(max_size=200), st.sampled_from(sorted(FORMATS.values())), LAYOUT)
def test_the_process_that_reads_answers_what_reading_here_does(data: bytes, name: str, layout: str) -> None:
    spec = ReadSpec("test", name, {ours: ours for ours in HEADER.split(",")}, layout=layout)  # type: ignore[arg-type]
    assert read_in_child(data, spec) == read(data, spec)
