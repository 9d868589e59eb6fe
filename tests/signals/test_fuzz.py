"""Whatever the bytes and cells are, the answer is a verdict or an error of our own."""

import tempfile
from pathlib import Path

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.errors import ScizorError
from tests.signals.builders import HEADER, check

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


def verdict(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"weights{suffix}"
        path.write_bytes(data)
        judge(path)


def judge(path: Path) -> None:
    try:
        report = check(path)
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


WORKBOOK = _workbook()
