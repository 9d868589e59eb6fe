"""Alpaca's corporate actions of every type, as its SDK has them, in our kinds."""

from datetime import date

import pytest
from alpaca.data.enums import CorporateActionsType
from alpaca.data.models.corporate_actions import CorporateActionsSet

from scizor_dagster.brokers.alpaca.rows import Unreadable
from scizor_dagster.market_data.alpaca_actions import TYPES, action_rows
from scizor_dagster.market_data.jumps import Action

DAY = "2024-03-05"
EX = date(2024, 3, 5)
IDS = {"id": "d209b6c2-9231-474c-a80e-1a79dacadbb2", "process_date": DAY}
PAID = IDS | {"cusip": "1", "ex_date": DAY, "symbol": "A"}
BOUGHT = IDS | {"acquiree_symbol": "A", "acquiree_cusip": "1", "effective_date": DAY}
BUYER = {"acquirer_symbol": "B", "acquirer_cusip": "2", "acquirer_rate": 0.25, "acquiree_rate": 1}
SPUN = IDS | {"source_symbol": "A", "source_cusip": "1", "new_symbol": "N", "new_cusip": "2", "ex_date": DAY}
UNIT = IDS | {
    "old_symbol": "A", "old_cusip": "1", "old_rate": 1, "new_symbol": "N", "new_cusip": "2", "new_rate": 1,
    "alternate_symbol": "W", "alternate_cusip": "3", "alternate_rate": 0.5, "effective_date": DAY,
}  # fmt: skip
CUSIPS = {"old_cusip": "1", "new_cusip": "2"}
CASES = {
    "forward_splits": (PAID | {"new_rate": 4, "old_rate": 1}, ("split", 4.0, None)),
    "reverse_splits": (
        PAID | {"new_rate": 1, "old_rate": 8, "old_cusip": "1", "new_cusip": "2"},
        ("split", 0.125, None),
    ),
    "stock_dividends": (PAID | {"rate": 0.05}, ("split", 1.05, None)),
    "unit_splits": (UNIT, ("delisting", None, None)),
    "spin_offs": (SPUN | {"source_rate": 3, "new_rate": 1}, ("spin_off", pytest.approx(1 / 3), "N")),
    "rights_distributions": (SPUN | {"rate": 0.2, "payable_date": DAY}, ("rights", 0.2, "N")),
    "cash_mergers": (BOUGHT | {"rate": 95.0}, ("delisting", None, None)),
    "stock_mergers": (BOUGHT | BUYER, ("delisting", None, None)),
    "stock_and_cash_mergers": (BOUGHT | BUYER | {"cash_rate": 3.0}, ("delisting", None, None)),
    "redemptions": (IDS | {"symbol": "A", "cusip": "1", "rate": 10.2}, ("delisting", None, None)),
    "worthless_removals": (IDS | {"symbol": "A", "cusip": "1"}, ("delisting", None, None)),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_type_is_one_of_our_kinds(kind):
    row, (ours, ratio, new) = CASES[kind]
    assert len(CorporateActionsSet({kind: [row]}).data[kind]) == 1
    assert list(action_rows({kind: [row]}, ["A"])) == [("A", EX, ours, ratio, None, None, new)]


def test_every_type_that_the_sdk_knows_is_asked_for():
    assert set(TYPES) == {str(item.value) for item in CorporateActionsType}


def test_the_buyer_and_the_share_that_is_spun_off_have_no_action_themselves():
    listed = {kind: [row] for kind, (row, _) in CASES.items()}
    assert list(action_rows(listed, ["B", "N", "W"])) == []


def test_a_merger_into_the_same_symbol_is_a_split_where_the_number_of_shares_changes():
    row = BOUGHT | BUYER | {"acquirer_symbol": "A"}
    assert list(action_rows({"stock_mergers": [row]}, ["A"])) == [("A", EX, "split", 0.25, None, None, None)]
    assert list(action_rows({"stock_mergers": [row | {"acquirer_rate": 1}]}, ["A"])) == []


def test_a_unit_that_keeps_its_symbol_is_split():
    row = UNIT | {"new_symbol": "A", "new_rate": 3}
    assert list(action_rows({"unit_splits": [row]}, ["A"])) == [("A", EX, "split", 3.0, None, None, None)]


def test_a_row_that_lacks_its_date_is_unreadable():
    row, _ = CASES["stock_dividends"]
    with pytest.raises(Unreadable):
        list(action_rows({"stock_dividends": [{**row, "ex_date": None}]}, ["A"]))


def test_a_spin_off_says_nothing_of_the_price_that_follows():
    assert Action.of("spin_off", EX, 0.25, 0.0, "raw").break_
    assert Action.of("rights", EX, 0.25, 0.0, "raw") is None
