"""Amounts, spans and reasons that a person types: read in one place, exactly, or refused."""

from datetime import date
from decimal import Decimal

import pytest

from scizor_dagster.cli.actor import reason_of
from scizor_dagster.cli.amounts import parse_amount, parse_ratio
from scizor_dagster.cli.dates import parse_span
from scizor_dagster.errors import InputError


@pytest.mark.parametrize(
    ("text", "amount"),
    [("25000", "25000"), ("25,000.50", "25000.50"), (" 1e6 ", "1e6"), ("0.0001", "0.0001"), ("+3", "3"), ("1.", "1"),
     ("999999999999999.99", "999999999999999.99")],
)  # fmt: skip
def test_an_amount_is_what_was_typed_to_the_last_digit(text: str, amount: str) -> None:
    assert parse_amount(text, "--cash", example="1") == Decimal(amount)


@pytest.mark.parametrize(
    "text",
    ["", " ", "lots", "NaN", "Infinity", "-1", "0", "1,5", "1,00", "12,3456", "1.000,00", "1_000", "\u0661", "1e15",
     "1e99", "--1", "1 000"],
)  # fmt: skip
def test_what_is_no_amount_is_refused_with_its_option_and_how_one_looks(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_amount(text, "--cash", example="12500.00")
    assert f"'{text}' is no amount" in refused.value.problem
    assert refused.value.where == "--cash"
    assert "12500.00" in refused.value.remedy


def test_shares_may_have_a_sign_where_that_is_meant() -> None:
    assert parse_amount("-12.5", "--qty", example="12.5", sign="nonzero") == Decimal("-12.5")
    assert parse_amount("0", "--cash", example="12.5", sign="any") == 0
    for text in ("0", "-0.00", "-1e15"):
        with pytest.raises(InputError, match="is no amount"):
            parse_amount(text, "--qty", example="12.5", sign="nonzero")


def test_a_split_is_new_shares_for_old_ones() -> None:
    assert parse_ratio("3:2", "--split") == Decimal("1.5")
    assert parse_ratio("1 : 20", "--split") == Decimal("0.05")


@pytest.mark.parametrize("text", ["2", "2:", ":1", "2:0", "0:1", "1:1", "-2:1", "a:b", "2:1:1", "nan:1"])
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no split"):
        parse_ratio(text, "--split")


def test_a_span_is_read_as_far_as_it_is_given() -> None:
    assert parse_span(None, None) == (None, None)
    assert parse_span("2026-01-02", None) == (date(2026, 1, 2), None)
    assert parse_span("2026-01-02", "2026-01-02") == (date(2026, 1, 2), date(2026, 1, 2))


def test_a_span_that_ends_before_it_begins_is_refused_with_its_options() -> None:
    with pytest.raises(InputError, match="2026-01-03 is after 2026-01-02") as refused:
        parse_span("2026-01-03", "2026-01-02", ("--start-date", "--end-date"))
    assert refused.value.where == "--start-date, --end-date"


def test_a_reason_says_something() -> None:
    assert reason_of(" the feed was wrong ") == "the feed was wrong"
    with pytest.raises(InputError, match="The reason is empty"):
        reason_of(" ")
