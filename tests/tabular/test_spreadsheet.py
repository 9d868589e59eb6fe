"""Cells that a spreadsheet would run: each dangerous beginning is defused, nothing else is, and readers get it back."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scizor_dagster.tabular.spreadsheet import csv_line, defused, restored

BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CELLS = st.text(st.sampled_from("'\";,|\t\r\n =+-@\uff1dA1.e"), max_size=12)


@pytest.mark.parametrize("beginning", BEGINNINGS, ids=ascii)
def test_a_cell_that_begins_like_a_formula_gets_an_apostrophe(beginning: str) -> None:
    assert defused(f"{beginning}cmd|'/C calc'!A0")[:2] == f"'{beginning}"


@pytest.mark.parametrize("before", ['"', " ", "'", "''", " \"' "])
@pytest.mark.parametrize("sign", ["=", "+", "-", "@"])
def test_quotes_and_blanks_before_a_formula_hide_nothing(before: str, sign: str) -> None:
    assert defused(f"{before}{sign}A1").startswith("'")
    assert defused(f"{before}{sign}A1") != f"{before}{sign}A1"


@pytest.mark.parametrize("separator", [";", ",", "\t", "|", "\r", "\n"], ids=ascii)
def test_a_formula_behind_what_another_program_takes_for_a_separator_is_one(separator: str) -> None:
    assert defused(f"a{separator}=A1") == f"a{separator}'=A1"
    assert defused(f'a{separator} "=A1') == f"a{separator}' \"=A1"


@pytest.mark.parametrize("number", ["-5", "+5", "-0.5", "-.5", "-1e-9", "-5.", " -5 ", "a;-5"])
def test_a_plain_number_is_no_formula(number: str) -> None:
    assert defused(number) == number


@pytest.mark.parametrize("text", ["", "AAPL", "BRK-B", "a-b", "a = b", "x@y.z", "'quoted'", "it's", "A|B", "'-5"])
def test_a_text_that_no_spreadsheet_runs_is_left_alone(text: str) -> None:
    assert (defused(text), restored(text)) == (text, text)


@pytest.mark.parametrize("almost", ["-5+A1", "-5 AAPL", "--5", "+-5", "-", "=5", "-5e"])
def test_what_only_begins_like_a_number_is_none(almost: str) -> None:
    assert defused(almost) == f"'{almost}"


@given(CELLS)
@example("'=A1")
@example("''\t=1")
@example("';'=1")
def test_whatever_was_written_is_read_again(text: str) -> None:
    assert restored(defused(text)) == text


@given(CELLS)
def test_no_part_that_could_be_a_cell_begins_like_a_formula(text: str) -> None:
    part = defused(text)
    for separator in ";,|\t\r\n":
        part = part.replace(separator, "\0")
    for cell in part.split("\0"):
        bare = cell.strip().strip('"').strip()
        assert not bare.startswith(("=", "@", "\uff1d")), (text, cell)
        if bare.startswith(("+", "-")):
            float(bare)


def test_a_line_of_text_cells_is_defused_and_quoted() -> None:
    line = csv_line(["AAPL", "=A1", 'a,"b"'], "\r\n")
    assert line.endswith("\r\n")
    assert next(csv.reader(io.StringIO(line))) == ["AAPL", "'=A1", 'a,"b"']
