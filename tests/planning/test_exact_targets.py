"""Targets are exact: the most increments that the weight pays for, whatever binary fractions make of it."""

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import ALPACA_LIKE, inputs_of


def targets_of(weights, prices, *, equity, **rules):
    plan = make_plan(inputs_of(weights, prices, equity=equity), PlanningRules(**rules), ALPACA_LIKE)
    return {line.symbol: line.target_qty for line in plan.lines}


def test_four_decimals_are_rounded_toward_zero_in_a_large_book():
    weights = {"A": ".131423", "B": ".067077", "C": ".168372", "D": ".160834", "E": ".121456"}
    prices = {"A": "10.74", "B": "23.88", "C": "27.43", "D": "17.73", "E": "22.93"}
    found = targets_of(weights, prices, equity=250_000, quantity_precision=4)
    assert {symbol: str(quantity) for symbol, quantity in found.items()} == {
        "A": "3059.1945",
        "B": "702.2298",
        "C": "1534.5606",
        "D": "2267.8228",
        "E": "1324.2040",
    }


@pytest.mark.parametrize(("weight", "price", "quantity"), [("0.1", 3, "3333.333333333"), ("0.2", 7, "2857.142857142")])
def test_nine_decimals_never_cost_more_than_the_weight(weight, price, quantity):
    assert targets_of({"A": weight}, {"A": price}, equity=100_000, quantity_precision=9) == {"A": Decimal(quantity)}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    weight=st.decimals("0.0001", "1", places=6),
    price=st.decimals("0.01", "9999", places=4),
    equity=st.integers(1_000, 10**9),
    precision=st.integers(0, 9),
)
def test_every_target_is_the_weight_in_money_divided_by_the_price_and_cut(weight, price, equity, precision):
    found = targets_of({"A": weight}, {"A": price}, equity=equity, quantity_precision=precision)
    exact = (weight * equity / price).quantize(Decimal(1).scaleb(-precision), ROUND_DOWN)
    assert found["A"] == exact
