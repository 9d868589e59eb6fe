"""One cell of a file: what it may say, and what is refused with its place."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.planning.files import FileSources, read_inputs
from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.output_files import summary
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.table_files import Cell
from tests.planning.books import ALPACA_LIKE


def cell(text: str) -> Cell:
    return Cell(text, "prices.csv:7", "price")


@pytest.mark.parametrize("text", ["", "nan", "NaN", "NA", "N/A", "n/a", "<NA>", "<na>", "NULL", "null", "None", "NONE"])
def test_an_unknown_number_may_be_written_as_any_program_writes_it(text: str) -> None:
    assert cell(text).unknown


@pytest.mark.parametrize("text", ["0", "-", "n", "nil", "unknown", "inf"])
def test_nothing_else_is_taken_for_an_unknown_number(text: str) -> None:
    assert not cell(text).unknown


@pytest.mark.parametrize("text", ["1e15", "-1e15", "1000000000000000", "1e999999"])
def test_a_number_that_no_account_has_is_refused_by_line_and_value(text: str) -> None:
    with pytest.raises(InputError, match=r"prices\.csv:7.*price.*too large") as refused:
        cell(text).number()
    assert text in str(refused.value)
    assert "1e15" in refused.value.remedy


@pytest.mark.parametrize("text", ["999999999999999", "-999999999999999.999", ".5", "5.", "+1e14", "1E-999"])
def test_a_number_below_that_is_read_exactly(text: str) -> None:
    assert cell(text).number() == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1,5", "1_000", "0x10", "\u0661", "1e", "--1", "inf", "nan", " 1", "1 ", "1e-1000", "1e1234567"]
)
def test_what_is_no_plain_finite_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a number") as refused:
        cell(text).number()
    assert "decimal point" in refused.value.remedy


def test_an_empty_number_is_told_to_be_filled() -> None:
    with pytest.raises(InputError, match="an empty cell: not a number") as refused:
        cell("").number()
    assert "Fill it" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("no", False), ("0", False)],
)
def test_a_flag_is_read_in_words_and_digits(text: str, meaning: bool) -> None:
    assert cell(text).flag() is meaning


@pytest.mark.parametrize("text", ["", "2", "on", "maybe"])
def test_any_other_flag_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="neither true nor false"):
        cell(text).flag()


@pytest.mark.parametrize(
    "text", ["2025-07-28", "2025-07-28 00:00:00", "2025-07-28T00:00:00", "2025-07-28 00:00:00.000"]
)
def test_a_day_may_be_written_as_its_midnight(text: str) -> None:
    assert cell(text).day() == date(2025, 7, 28)


@pytest.mark.parametrize(
    "text", ["2025-07-28 00:00:01", "2025-07-28 09:30:00", "2025-02-30", "28.07.2025", "20250728", ""]
)
def test_an_hour_of_a_day_is_no_day(text: str) -> None:
    with pytest.raises(InputError, match="not a date"):
        cell(text).day()


@pytest.mark.parametrize("quote", [1e-9, 1e12])
def test_the_least_and_the_greatest_price_are_sized_on(quote: float) -> None:
    sizing = size(Book(np.array([0.5]), np.array([quote]), np.zeros(1)), 1e12, PlanningRules())
    assert REASONS[sizing.codes[0]] is Reason.OPEN


@pytest.mark.parametrize("quote", [0.9e-9, 1.1e12])
def test_a_price_beyond_them_is_none(quote: float) -> None:
    sizing = size(Book(np.array([0.5]), np.array([quote]), np.zeros(1)), 1e12, PlanningRules())
    assert REASONS[sizing.codes[0]] is Reason.BAD_PRICE


def written(folder: Path, targets: str, mapping: str = "") -> FileSources:
    (folder / "targets.csv").write_text(targets)
    (folder / "prices.csv").write_text("symbol,price\nA,10\nB,25\n")
    if mapping:
        (folder / "map.csv").write_text(mapping)
    return FileSources(folder / "targets.csv", folder / "prices.csv", mapping=folder / "map.csv" if mapping else None)


def test_without_positions_nothing_is_held_and_the_summary_counts_what_is_opened(tmp_path: Path) -> None:
    sources = written(tmp_path, "trade_date,symbol,target_weight\n2025-07-28,A,0.5\n2025-07-28,B,0.25\n")
    read = read_inputs(sources, equity=Decimal(1000), day=None)
    assert (read.inputs.holdings, read.unread) == ({}, ())
    told = summary(make_plan(read.inputs, PlanningRules(), ALPACA_LIKE), read)
    assert {name: told[name] for name in ("orders", "buys_to_open", "buy_notional", "sell_notional", "lines")} == {
        "orders": 2, "buys_to_open": 2, "buy_notional": "750.00", "sell_notional": "0.00", "lines": 2,
    }  # fmt: skip
    assert (told["equity"], told["cash_buffer"], told["trade_date"]) == ("1000", "0", "2025-07-28")


def test_two_ids_that_may_each_mean_several_names_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    rows = "\n".join(f"2025-07-28,{name},0.1" for name in (1, 2))
    twice = "asset_id,symbol\n1,X\n1,Y\n2,V\n2,W\n"
    read = read_inputs(
        written(tmp_path, f"trade_date,asset_id,target_weight\n{rows}\n", twice), equity=Decimal(1000), day=None
    )
    named = [(target.asset_ids, target.symbol, target.instrument_id) for target in read.inputs.targets]
    assert named == [(("1",), "", ""), (("2",), "", "")]
    assert [item.candidates for item in read.ambiguities] == [("X", "Y"), ("V", "W")]
