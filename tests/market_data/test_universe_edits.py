"""One line more or less in a universe file: every other byte stays, and a file that would be none is never written."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from scizor_dagster.errors import InputError
from scizor_dagster.market_data import universe_edits
from scizor_dagster.market_data.universe import read_universe
from scizor_dagster.market_data.universe_edits import add_line, remove_line

HEADER = "symbol,mic,name,currency,borrow"
NEW = {"symbol": "B", "mic": "XNAS", "name": "B, Inc.", "currency": "USD", "sector": "Energy"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{HEADER}\nA,XNAS,x,USD,hard\n", f'{HEADER}\nA,XNAS,x,USD,hard\nB,XNAS,"B, Inc.",USD,\n'),
        (f"{HEADER}\nA,XNAS,x,USD,hard", f'{HEADER}\nA,XNAS,x,USD,hard\nB,XNAS,"B, Inc.",USD,\n'),
        (f"{HEADER}\r\nA,XNAS,x,USD,\r\n", f'{HEADER}\r\nA,XNAS,x,USD,\r\nB,XNAS,"B, Inc.",USD,\r\n'),
        (f"\ufeff{HEADER}\n\nA,XNAS,x,USD,\n", f'\ufeff{HEADER}\n\nA,XNAS,x,USD,\nB,XNAS,"B, Inc.",USD,\n'),
    ],
)
def test_a_line_is_added_in_the_manner_of_the_file_and_taken_out_again(tmp_path, before, after):
    path = tmp_path / "u.csv"
    path.write_bytes(before.encode())
    entry = add_line(path, NEW, "us")
    assert path.read_bytes().decode() == after
    assert (entry.instrument.id, entry.line) == ("B.XNAS", after.count("\n"))
    remove_line(path, "B", "us")
    assert path.read_bytes().decode().rstrip() == before.rstrip()
    assert [row.instrument.symbol for row in read_universe([path], "us")] == ["A"]


@pytest.mark.parametrize("values", [NEW | {"symbol": "A"}, NEW | {"mic": "NASDAQ"}, NEW | {"currency": "AUD"}])
def test_a_line_that_cannot_be_leaves_the_file_as_it_is_and_is_named_in_it(tmp_path, values):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\n", encoding="utf-8")
    with pytest.raises(InputError, match="Nothing was changed") as caught:
        add_line(path, values, "us")
    assert caught.value.where == f"{path}:3"
    assert path.read_text(encoding="utf-8") == f"{HEADER}\nA,XNAS,x,USD,\n"
    assert {item.name for item in tmp_path.iterdir()} == {"u.csv", ".u.csv.lock"}


def test_a_name_that_a_spreadsheet_would_run_is_defused_in_the_file_and_read_as_it_is(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\n", encoding="utf-8")
    assert add_line(path, NEW | {"name": "=1+1"}, "us").instrument.name == "=1+1"
    assert path.read_text(encoding="utf-8").endswith("\nB,XNAS,'=1+1,USD,\n")


def test_the_last_symbol_is_not_taken_out(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\n", encoding="utf-8")
    with pytest.raises(InputError, match="is empty"):
        remove_line(path, "A", "us")
    assert [row.instrument.symbol for row in read_universe([path], "us")] == ["A"]


def test_edits_at_the_same_time_lose_no_line(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\nZ,XNAS,x,USD,\n", encoding="utf-8")
    added = [f"S{number}" for number in range(12)]
    together = threading.Barrier(len(added) + 1)

    def edit(symbol: str) -> None:
        together.wait()
        if symbol == "A":
            remove_line(path, symbol, "us")
        else:
            add_line(path, NEW | {"symbol": symbol}, "us")

    with ThreadPoolExecutor(len(added) + 1) as pool:
        list(pool.map(edit, [*added, "A"]))
    assert {row.instrument.symbol for row in read_universe([path], "us")} == {"Z", *added}


def test_a_symbol_that_somebody_has_taken_out_meanwhile_is_named(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\nZ,XNAS,x,USD,\n", encoding="utf-8")
    remove_line(path, "A", "us")
    with pytest.raises(InputError, match="not in the universe file any more"):
        remove_line(path, "A", "us")


def test_an_edit_that_may_not_begin_says_who_is_in_the_way(tmp_path, monkeypatch):
    path = tmp_path / "u.csv"
    path.write_text(f"{HEADER}\nA,XNAS,x,USD,\n", encoding="utf-8")
    monkeypatch.setattr(universe_edits, "LOCK_SECONDS", 0.0)
    with FileLock(tmp_path / ".u.csv.lock"), pytest.raises(InputError, match="Another process has been changing"):
        add_line(path, NEW, "us")
