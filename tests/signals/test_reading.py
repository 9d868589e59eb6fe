"""From bytes to cells: CSV and XLSX, nothing guessed."""

import hashlib
import io
import os
import stat
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest

from scizor_dagster.signals import containers, csv_reader, readers, tables, xlsx_sheet
from scizor_dagster.signals.readers import WeightFileMissing
from scizor_dagster.signals.reading import read
from tests.signals.builders import HEADER, accept, check, csv_file, found, warned, xlsx_file

AAPL = "2024-01-02,AAPL,0.5"
TUESDAY = date(2024, 1, 2)
ROW = (TUESDAY, "AAPL", 0.5)
OURS = tuple(HEADER.split(","))


def raw(folder: Path, data: bytes, name: str = "weights.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ticker", ["NA", "TRUE", "1E5", "0700", "NULL", "1161", "BRK.B", "null", "-0.5"])
def test_a_ticker_that_looks_like_something_else_stays_text(tmp_path: Path, ticker: str) -> None:
    frame = accept(csv_file(tmp_path, f"2024-01-02,{ticker},0.5")).frame
    assert frame["asset_id"].tolist() == [ticker]
    assert frame["line"].tolist() == [2]


@pytest.mark.parametrize(
    ("stored", "text"),
    [(1161.0, "1161"), (1161, "1161"), ("0700", "0700"), (True, "TRUE"), ("NA", "NA"), ("1E5", "1E5")],
)
def test_an_identifier_of_a_workbook_is_the_text_that_a_person_sees(tmp_path: Path, stored: object, text: str) -> None:
    frame = accept(xlsx_file(tmp_path, [OURS, (TUESDAY, stored, 0.5)])).frame
    assert frame["asset_id"].tolist() == [text]
    assert frame["sheet"].tolist() == ["Sheet1"]


@pytest.mark.parametrize(
    "cell",
    [datetime(2024, 1, 2), TUESDAY, "2024-01-02", "2024-01-02 00:00:00"],  # noqa: DTZ001
)
def test_true_dates_and_iso_text_are_the_same_date(tmp_path: Path, cell: object) -> None:
    frame = accept(xlsx_file(tmp_path, [OURS, (cell, "AAPL", 0.5)])).frame
    assert frame["weights_date"].tolist() == [date(2024, 1, 2)]


def test_the_hash_is_of_exactly_the_bytes(tmp_path: Path) -> None:
    path = csv_file(tmp_path, AAPL)
    assert accept(path).file_hash == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        f"\ufeff{HEADER}\n{AAPL}\n".encode(),
        f"{HEADER}\r\n{AAPL}\r\n".encode(),
        f"{HEADER}\r{AAPL}\r".encode(),
        f'{HEADER}\n"2024-01-02","AAPL","0.5"\n'.encode(),
        f"\n{HEADER}\n\n{AAPL}\n\n\n".encode(),
        f",{HEADER}\n7,{AAPL}\n".encode(),
        f"{HEADER}\n2024-01-02, AAPL ,5e-1\n".encode(),
    ],
    ids=["bom", "crlf", "cr", "quoted", "blank lines", "unnamed index", "blanks and exponent"],
)
def test_odd_but_valid_files_are_accepted(tmp_path: Path, data: bytes) -> None:
    frame = accept(raw(tmp_path, data)).frame
    assert frame[["asset_id", "weight"]].values.tolist() == [["AAPL", 0.5]]


def test_a_line_number_counts_quoted_line_breaks(tmp_path: Path) -> None:
    path = csv_file(tmp_path, '2024-01-02,AAPL,0.5,"two\nlines"', "2024-01-02,MSFT,x,b", header=HEADER + ",note")
    assert found(check(path)) == [("not_a_number", 4)]


def test_rows_with_another_number_of_fields_are_named_by_line(tmp_path: Path) -> None:
    report = check(csv_file(tmp_path, AAPL, "2024-01-02,MSFT", "2024-01-02,IBM,0,1", "2024-01-02,GE,0.1"))
    assert found(report) == [("field_count", 3), ("field_count", 4)]
    assert report.rows == 4


def test_a_quote_that_is_never_closed_is_named_by_the_line_it_opens_on(tmp_path: Path) -> None:
    assert found(check(csv_file(tmp_path, AAPL, '2024-01-02,"MSFT,0.1'))) == [("csv_syntax", 3)]
    assert found(check(raw(tmp_path, b'"trade_date'))) == [("csv_syntax", 1)]


@pytest.mark.parametrize(
    ("data", "rule", "line"),
    [
        (b"", "empty_file", None),
        (b"\n\n\n", "empty_file", None),
        (HEADER.encode() + b"\n", "no_rows", 1),
        (f"{HEADER}\n{AAPL}\n".encode("utf-16"), "wrong_format", None),
        (b"PK\x03\x04rest", "wrong_format", None),
        (f"{HEADER}\n{AAPL}\n2024-01-02,\xe9,0.1\n".encode("latin-1"), "encoding", 3),
        (f"{HEADER}\n2024-01-02,AA\0PL,0.1\n".encode(), "encoding", 2),
        (b"trade_date;asset_id;target_weight\n2024-01-02;AAPL;0,5\n", "missing_column", 1),
    ],
)
def test_what_is_no_csv_of_ours_is_refused_with_its_rule(
    tmp_path: Path, data: bytes, rule: str, line: int | None
) -> None:
    assert (rule, line) in found(check(raw(tmp_path, data)))


def test_a_missing_final_line_end_is_a_warning_where_the_weights_are_complete(tmp_path: Path) -> None:
    whole = check(raw(tmp_path, f"{HEADER}\n{AAPL}\n2024-01-02,MSFT,0.5".encode()))
    assert whole.accepted
    assert warned(whole) == [("no_final_newline", 3)]


def test_a_missing_final_line_end_is_refused_where_weights_are_missing(tmp_path: Path) -> None:
    path = raw(tmp_path, f"{HEADER}\n{AAPL}".encode())
    assert found(check(path)) == [("cut_off", 2)]
    assert ("cut_off", 2) in found(check(raw(tmp_path, f"{HEADER}\n2024-01-02,AAPL,0.".encode())))


@pytest.mark.parametrize(
    ("rows", "keys", "accepted"),
    [
        (("2024-01-02,A,0.5", "2024-01-02,B,0.4"), {}, False),
        (("2024-01-02,A,0.5", "2024-01-02,B,0.5"), {}, True),
        (("2024-01-02,A,0.5", "2024-01-02,B,0.5"), {"max_total_weight": 1.5}, True),
        (("2024-01-02,A,0.5", "2024-01-02,B,0.4", "2024-01-03,A,0.4", "2024-01-03,B,0.5"), {}, True),
        (("2024-01-02,A,0.5", "2024-01-02,B,0.45", "2024-01-03,A,0.5", "2024-01-03,B,0.4"), {}, False),
        (("2024-01-02,A,0.5", "2024-01-02,CASH,0.5"), {"cash_column": "CASH"}, True),
        (("2024-01-02,A,0.5", "2024-01-02,CASH,0.4"), {"cash_column": "CASH"}, False),
    ],
)
def test_a_last_line_without_an_end_is_taken_only_where_the_weights_show_that_it_is_whole(
    tmp_path: Path, rows: tuple[str, ...], keys: dict[str, object], accepted: bool
) -> None:
    path = raw(tmp_path, "\n".join((HEADER, *rows)).encode())
    assert check(path, unallocated="cash", **keys).accepted is accepted


def test_a_checksum_shows_that_a_last_line_without_an_end_is_whole(tmp_path: Path) -> None:
    path = raw(tmp_path, f"{HEADER}\n{AAPL}".encode())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert check(path, expect={"sha256": digest}).accepted
    assert found(check(path)) == [("cut_off", 2)]
    (tmp_path / "weights.csv.sha256").write_text(digest)
    assert check(path).accepted


def test_a_missing_file_and_a_folder_end_with_exit_code_two(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(WeightFileMissing, match="weight file") as caught:
            check(path)
        assert caught.value.exit_code == 2


def test_a_file_above_the_size_limit_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_FILE_BYTES", 10)
    report = check(csv_file(tmp_path, AAPL))
    assert found(report) == [("too_large", None)]
    assert report.file_hash == ""


def test_too_many_rows_or_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "read_in_child", read)
    for module in (tables, csv_reader):
        monkeypatch.setattr(module, "MAX_ROWS", 2)
    for module in (csv_reader, xlsx_sheet):
        monkeypatch.setattr(module, "MAX_COLUMNS", 3)
    assert found(check(csv_file(tmp_path, AAPL, AAPL, AAPL))) == [("too_many_rows", 4)]
    assert found(check(csv_file(tmp_path, AAPL, header=HEADER + ",more"))) == [("too_many_columns", 1)]
    assert found(check(xlsx_file(tmp_path, [OURS, ROW, ROW, ROW]))) == [("too_many_rows", 4)]
    assert found(check(xlsx_file(tmp_path, [(*OURS, "more"), ROW]))) == [("too_many_columns", 1)]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv_file(tmp_path, AAPL)
    real = os.fstat
    calls: list[int] = []

    def later(handle: int) -> os.stat_result:
        result = list(real(handle))
        if stat.S_ISREG(result[stat.ST_MODE]):
            calls.append(handle)
            result[stat.ST_SIZE] += len(calls)
        return os.stat_result(result)

    monkeypatch.setattr(readers.os, "fstat", later)
    assert found(check(path)) == [("still_being_written", None)]


def test_the_only_visible_sheet_is_read_and_two_must_be_named(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, [OURS, ROW])
    workbook = openpyxl.load_workbook(path)
    other = workbook.create_sheet("Notes", 0)
    other.append(["nothing"])
    other.sheet_state = "hidden"
    workbook.save(path)
    assert found(check(path)) == [("sheet_not_named", None)]
    assert check(path, sheet="Sheet1").accepted
    workbook.move_sheet("Notes", 1)
    workbook.save(path)
    assert ("hidden_sheet", None) in warned(check(path))
    workbook.move_sheet("Notes", -1)
    other.sheet_state = "visible"
    workbook.save(path)
    report = check(path)
    assert found(report) == [("sheet_not_named", None)]
    assert "'Notes', 'Sheet1'" in report.violations[0].remedy
    assert check(path, sheet="Sheet1").accepted
    assert found(check(path, sheet="Other")) == [("no_such_sheet", None)]


def test_blank_rows_of_a_workbook_are_left_out_and_row_numbers_kept(tmp_path: Path) -> None:
    path = xlsx_file(tmp_path, [OURS, ROW, (None, None, None), (TUESDAY, "MSFT", 0.1)])
    assert accept(path).frame["line"].tolist() == [2, 4]


def test_a_value_beside_the_table_is_refused(tmp_path: Path) -> None:
    assert found(check(xlsx_file(tmp_path, [OURS, (*ROW, "TOTAL")]))) == [("field_count", 2)]


def test_a_formula_without_a_stored_value_is_refused_by_row(tmp_path: Path) -> None:
    assert found(check(xlsx_file(tmp_path, [OURS, (ROW[0], "AAPL", "=1/2")]))) == [("formula_without_value", 2)]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ((45293, "AAPL", 0.5), "bad_date"),
        ((datetime(2024, 1, 2, 9, 30), "AAPL", 0.5), "bad_date"),  # noqa: DTZ001
        ((TUESDAY, date(2024, 3, 1), 0.5), "bad_asset_id"),
        ((TUESDAY, "#N/A", 0.5), "bad_asset_id"),
        ((TUESDAY, "AAPL", "#REF!"), "not_a_number"),
        ((TUESDAY, "AAPL", True), "not_a_number"),
        ((TUESDAY, "AAPL", TUESDAY), "not_a_number"),
    ],
)
def test_a_cell_of_the_wrong_kind_is_refused_by_row(tmp_path: Path, row: tuple[object, ...], rule: str) -> None:
    assert found(check(xlsx_file(tmp_path, [OURS, row]))) == [(rule, 2)]


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    assert found(check(xlsx_file(tmp_path, []))) == [("empty_file", None)]
    assert found(check(xlsx_file(tmp_path, [OURS]))) == [("no_rows", 1)]


@pytest.mark.parametrize("data", [b"trade_date,asset_id\n", b"\xd0\xcf\x11\xe0" + b"\0" * 600, b"PK\x03\x04"])
def test_what_is_no_workbook_is_refused(tmp_path: Path, data: bytes) -> None:
    assert found(check(raw(tmp_path, data, "weights.xlsx"))) == [("wrong_format", None)]


def test_a_zip_that_is_no_workbook_and_a_bomb_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * 100_000)
    path = raw(tmp_path, buffer.getvalue(), "weights.xlsx")
    assert found(check(path)) == [("unreadable_workbook", None)]
    monkeypatch.setattr(readers, "read_in_child", read)
    monkeypatch.setattr(containers, "MAX_UNPACKED_BYTES", 99_999)
    path.write_bytes(buffer.getvalue() + b"\0")
    assert found(check(path)) == [("too_large", None)]
