"""Universe files: accepted as text, refused by line."""

from pathlib import Path

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.market_data.universe import read_universe

HEADER = "symbol,mic,name,currency,sector,category,exchange\n"


def _file(folder: Path, text: str, name: str = "u.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "count", "currency"), [("nasdaq105", 105, "USD"), ("etf52", 52, "USD"), ("asx200", 200, "AUD")]
)
def test_each_shipped_universe_has_its_instruments(project_root, name, count, currency):
    entries = read_universe([project_root / "config" / "universes" / f"{name}.csv"], "m")
    assert len(entries) == count
    assert {entry.instrument.currency for entry in entries} == {currency}


def test_the_shipped_us_universe_has_no_symbol_twice(project_root):
    folder = project_root / "config" / "universes"
    assert len(read_universe([folder / "nasdaq105.csv", folder / "etf52.csv"], "us")) == 157


def test_an_asx_symbol_is_the_code_alone(project_root):
    entries = read_universe([project_root / "config" / "universes" / "asx200.csv"], "asx")
    assert "BHP.XASX" in {entry.instrument.id for entry in entries}


def test_tickers_that_look_like_other_types_stay_text(tmp_path):
    lines = "".join(f"{symbol},XNAS,x,USD,,,\n" for symbol in ("TRUE", "NA", "1E5", "NULL", "360"))
    entries = read_universe([_file(tmp_path, HEADER + lines)], "us")
    assert [entry.instrument.symbol for entry in entries] == ["TRUE", "NA", "1E5", "NULL", "360"]


def test_the_universe_says_how_shares_are_lent(tmp_path):
    text = "symbol,mic,name,currency,borrow\nA,XNAS,x,USD,\nB,XNAS,x,USD,easy\nC,XNAS,x,USD,hard\nD,XNAS,x,USD,none\n"
    lent = [entry.instrument for entry in read_universe([_file(tmp_path, text)], "us")]
    assert [(row.shortable, row.easy_to_borrow) for row in lent] == [(True, True)] * 2 + [(True, False), (False, False)]


def test_a_quoted_name_keeps_its_comma_and_the_line_is_known(tmp_path):
    (entry,) = read_universe([_file(tmp_path, HEADER + '\nAAA,XNYS,"A, Inc.",USD,Energy,Oil,NYSE\n')], "us")
    assert (entry.instrument.name, entry.sector, entry.line) == ("A, Inc.", "Energy", 3)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("symbol,name\nA,x\n", ":1", "lacks the column(s) mic, currency"),
        ("symbol,mic,mic,name,currency\n", ":1", "mic stand twice"),
        (HEADER + "A,XNAS,x,USD,,,\nA,XNAS,x,USD,,,\n", ":3", "stands twice"),
        (HEADER + "AAPL,XNAS,x,USD,,,\naapl,XNAS,x,USD,,,\n", ":3", "another letter case"),
        (HEADER + "aapl,XNAS,x,USD,,,\n", ":2", "not a ticker"),
        (HEADER + ",XNAS,x,USD,,,\n", ":2", "not a ticker"),
        (HEADER + "A,NASDAQ,x,USD,,,\n", ":2", "not a market identifier"),
        (HEADER + "A,XNAS,x,usd,,,\n", ":2", "not a currency"),
        (HEADER + "A,XNAS,x,XXX,,,\n", ":2", "not a currency"),
        (HEADER + "A,XASX,x,USD,,,\n", ":2", "XASX, which trades in AUD"),
        ("symbol,mic,name,currency,borrow\nA,XNAS,x,USD,maybe\n", ":2", "'maybe' does not say how A is borrowed"),
        (HEADER + "A,XNAS,x, Inc,USD,,,\n", ":2", "has 8 values"),
        (HEADER + 'A,XNAS,"x,USD,,,\n', ":2", "has 3 values"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(tmp_path, text, line, words):
    path = _file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_universe([path], "us")
    assert caught.value.where == f"{path}{line}"
    assert words in caught.value.problem


def test_a_symbol_in_two_files_names_both_places(tmp_path):
    first = _file(tmp_path, HEADER + "A,XNAS,x,USD,,,\n", "one.csv")
    second = _file(tmp_path, HEADER + "B,XNAS,x,USD,,,\nA,XNAS,x,USD,,,\n", "two.csv")
    with pytest.raises(InputError, match=r"one\.csv:2") as caught:
        read_universe([first, second], "us")
    assert caught.value.where == f"{second}:3"


def test_a_missing_empty_or_foreign_encoded_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_universe([tmp_path / "none.csv"], "us")
    with pytest.raises(InputError, match="is empty"):
        read_universe([_file(tmp_path, HEADER)], "us")
    latin = tmp_path / "latin.csv"
    latin.write_bytes((HEADER + "A,XNAS,Caf\xe9,USD,,,\n").encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_universe([latin], "us")
