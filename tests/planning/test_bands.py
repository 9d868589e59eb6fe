"""No-trade bands lie around the target's value, not around the quantity that whole shares or lots leave of it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of, line_of
from tests.planning.examples import outcome, plan_of, rules_of


@pytest.mark.parametrize(
    ("held", "reason", "orders"),
    [
        # The target is worth 1,890, two shares of 900 and a tenth; the band reaches from 990 to 2,790.
        (1, Reason.REBALANCE, [1]),
        (2, Reason.ON_TARGET, []),
        (3, Reason.INSIDE_BAND, []),
        (4, Reason.REBALANCE, [-2]),
    ],
)
def test_rounding_to_whole_shares_neither_causes_nor_prevents_a_trade(held, reason, orders):
    rules = rules_of(band_absolute=0.009)
    shifted = {"A": "0.0189"}
    width = Decimal("0.009") * 100_000
    plan = plan_of(shifted, {"A": 900}, {"A": held}, rules)
    inside = abs(held * 900 - 1890) <= width
    assert inside == (reason is not Reason.REBALANCE)
    assert outcome(plan) == (reason, orders)


def test_a_lot_that_rounds_the_target_down_does_not_make_the_holding_look_far_away():
    # 1,950 shares wanted, 1,900 in lots of 100; 1,990 held are 40 away and not 90.
    lots = {"A": Instrument("A", "XNYS", "USD", lot=100)}
    held, rules = {"A": 1990}, rules_of(band_absolute=0.005)
    assert outcome(plan_of({"A": "0.195"}, {"A": 10}, held, rules, instruments=lots)) == (Reason.INSIDE_BAND, [])


def test_a_target_that_rounds_to_zero_is_held_in_its_band_and_else_closed_with_the_reason_why():
    weights, prices = {"A": "0.008"}, {"A": 900}
    assert outcome(plan_of(weights, prices, {"A": 1}, rules_of(band_absolute=0.002))) == (Reason.INSIDE_BAND, [])
    closed = plan_of(weights, prices, {"A": 3}, rules_of(band_absolute=0.002))
    assert outcome(closed) == (Reason.LIQUIDATE, [-3])
    assert "Its target is worth 800.00 and rounds to zero shares." in line_of(closed, "A").note
    untargeted = plan_of({}, prices, {"A": 3})
    assert line_of(untargeted, "A").note == ""


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    weight=st.integers(-900, 900),
    cents=st.integers(100, 90_000),
    held=st.integers(-900, 900),
    width=st.sampled_from(["0.002", "0.01", "0.05"]),
    fractional=st.booleans(),
)
def test_a_trade_to_the_edge_ends_inside_the_band_where_an_increment_lies_there(weight, cents, held, width, fractional):
    rules = PlanningRules(
        fractional=fractional, band_absolute=Decimal(width), trade_to="edge", allow_short=True, max_weight=None
    )
    price, share = Decimal(cents) / 100, Decimal(weight) / 1000
    inputs = inputs_of({"A": share}, {"A": price}, {"A": held})
    line = line_of(make_plan(inputs, rules, ALPACA_CAPABILITIES if fractional else IBKR_CAPABILITIES), "A")
    if not weight or held * weight < 0:
        return
    value, half = share * inputs.equity, Decimal(width) * inputs.equity
    step = Decimal("0.01") if fractional and weight > 0 else Decimal(1)
    after = (line.current_qty + line.delta_qty) * price
    if abs(held * price - value) <= half:
        assert line.reason in (Reason.INSIDE_BAND, Reason.ON_TARGET)
    elif line.reason in (Reason.REBALANCE, Reason.OPEN, Reason.LIQUIDATE):
        # A position is enlarged to at most its target, so that a share that is dearer than the band may stay out.
        assert abs(after - value) <= half or (step * price > half and abs(after - value) < step * price)


def test_an_edge_that_the_way_up_would_overshoot_gives_way_to_the_rounded_target():
    # 10.6 shares wanted with half a share of band: eleven lie inside it, and cost more than the weight pays for.
    rules = replace(rules_of(band_absolute=0.0045, trade_to="edge"))
    assert outcome(plan_of({"A": "0.0954"}, {"A": 900}, {"A": 3}, rules)) == (Reason.REBALANCE, [7])
    assert outcome(plan_of({"A": "0.0954"}, {"A": 900}, {"A": 30}, rules)) == (Reason.REBALANCE, [-19])
