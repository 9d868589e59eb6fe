"""What gives way where there is no room: as little as will do, whole orders where no less can be sent, and no close."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import IBKR_CAPABILITIES
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.laws import book_after
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import crowded_book, filled, goes_on_later, inputs_of, line_of
from tests.planning.examples import outcome, plan_of, rules_of

LOTS = {"A": Instrument("A", "XNYS", "USD", lot=100, fractionable=False)}
SLICED = rules_of(min_order_notional=Decimal(120), max_notional_per_order=Decimal(250), allow_short=True)
"""In lots of 100 at 1, an order of 400 is two of 200; of 300 no two slices of at least 120 can be made."""


def crowded(held, wanted, extra):
    """Inputs with so many shares of A held and wanted at 1; of B, `extra` too many are held, and too few to sell."""
    rest = 1000 - wanted
    weights = {"A": Decimal(wanted) / 1000, "B": Decimal(rest) / 1000}
    return inputs_of(weights, {"A": 1, "B": 1}, {"A": held, "B": rest + extra}, equity=1000, instruments=LOTS)


def test_an_order_gives_way_by_as_many_lots_as_there_is_no_room_for():
    plan = make_plan(crowded(0, 400, 101), SLICED, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.OPEN, [200])
    assert line_of(plan, "A").note == "Reduced from 400 to 200: there is no room for more."


def test_a_purchase_that_no_slices_can_carry_once_it_is_reduced_is_left_out_whole_for_want_of_room():
    plan = make_plan(crowded(0, 400, 50), SLICED, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.NO_CASH, [])
    line = line_of(plan, "A")
    assert (line.target_qty, line.delta_qty) == (400, 400)
    assert line.note == "What cannot be sold leaves no room for it."


def test_a_crossing_whose_other_side_no_slices_can_carry_once_it_is_reduced_still_closes():
    inputs = crowded(-100, 400, 50)
    plan = make_plan(inputs, SLICED, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.LIQUIDATE, [100])
    line = line_of(plan, "A")
    assert (line.target_qty, line.note) == (0, "There is no room to open the other side.")
    assert make_plan(filled(inputs, plan), SLICED, IBKR_CAPABILITIES).orders == ()


def test_a_crossing_whose_other_side_no_slices_can_carry_still_closes():
    plan = make_plan(crowded(-100, 300, 0), SLICED, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.LIQUIDATE, [100])
    assert "no slices both fit risk.max_notional_per_order = 250 and can be sent." in line_of(plan, "A").note
    assert outcome(make_plan(crowded(-200, 400, 0), SLICED, IBKR_CAPABILITIES)) == (
        Reason.CROSS_ZERO,
        [200, 200, 200],
    )


def test_as_much_of_a_close_goes_as_slices_can_carry_and_the_next_plan_has_the_rest():
    # At 1, at most 120 shares an order: whole lots of 100, and the 50 that are left over make no order with another.
    rules = rules_of(max_share_per_order=Decimal(120))
    inputs = inputs_of({}, {"A": 1}, {"A": 450}, equity=1000, instruments=LOTS)
    plan = make_plan(inputs, rules, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.REBALANCE, [-100] * 4)
    assert "Cut from 450 to 400: no slices carry the rest." in line_of(plan, "A").note
    assert outcome(make_plan(filled(inputs, plan), rules, IBKR_CAPABILITIES)) == (Reason.LIQUIDATE, [-50])


@pytest.mark.parametrize(("held", "weight", "sold"), [(11, "0", 10), (11, "0.35", 10), (9, "0.7", 6)])
def test_a_share_that_is_too_small_a_slice_does_not_keep_the_others_from_being_sold(held, weight, sold):
    # At 350, two shares are an order, three are too large, and one is too small.
    rules = rules_of(max_notional_per_order=Decimal(1000), min_order_notional=Decimal(400))
    plan = plan_of({"A": weight}, {"A": 350}, {"A": held}, rules, IBKR_CAPABILITIES, equity=1000)
    assert outcome(plan) == (Reason.REBALANCE, [-2] * (sold // 2))
    assert line_of(plan, "A").target_qty == held - sold


def test_a_crossing_of_which_only_a_part_of_the_close_can_be_sliced_closes_that_part():
    plan = make_plan(crowded(-300, 300, 0), SLICED, IBKR_CAPABILITIES)
    assert outcome(plan) == (Reason.REBALANCE, [200])
    assert line_of(plan, "A").target_qty == -100


def test_a_short_that_one_plan_cannot_cover_whole_is_covered_in_whole_shares():
    # 700 at 92.37 are 7.57 shares; what stays short is a whole number of them.
    rules = PlanningRules(allow_short=True, max_notional_per_order=Decimal(700), max_share_per_order=Decimal(40))
    plan = plan_of({"A": "0.5"}, {"A": "92.3729"}, {"A": -2637}, rules)
    assert outcome(plan) == (Reason.REBALANCE, [7] * 100)
    assert line_of(plan, "A").target_qty == -1937


def test_a_long_that_one_plan_cannot_close_whole_is_closed_in_fractions_where_they_trade():
    rules = PlanningRules(max_notional_per_order=Decimal(700))
    plan = plan_of({}, {"A": "92.3729"}, {"A": 2637}, rules, equity=300_000)
    assert outcome(plan) == (Reason.REBALANCE, [Decimal("-7.57")] * 100)


def test_where_an_order_may_be_worth_nothing_one_without_any_room_is_left_out_all_the_same():
    rules = rules_of(min_order_notional=Decimal(0), overrides=(("B", "no_sell"),))
    plan = plan_of({"A": "0.4", "B": "0.6"}, {"A": 1, "B": 1}, {"B": 1000}, rules, IBKR_CAPABILITIES, equity=1000)
    assert outcome(plan) == (Reason.NO_CASH, [])


def test_a_close_of_which_no_order_is_large_enough_to_be_sent_is_left_alone_and_says_why():
    rules = rules_of(max_share_per_order=Decimal(3), min_order_notional=Decimal(40))
    for weight in ("0", "-0.1"):
        plan = plan_of({"A": weight}, {"A": 10}, {"A": 50}, rules_of(rules, allow_short=True), IBKR_CAPABILITIES)
        assert outcome(plan) == (Reason.LIMIT, [])
        assert "No slices both fit risk.max_share_per_order = 3 and can be sent." in line_of(plan, "A").note


ASX = {"A": Instrument("A", "XASX", "AUD", fractionable=False)}


@pytest.mark.parametrize(
    ("weight", "expected"),
    [("-0.003", (Reason.REBALANCE, [300])), ("0", (Reason.LIQUIDATE, [300, 300]))],
)
def test_covering_a_short_is_no_first_purchase(weight, expected):
    rules = rules_of(allow_short=True, max_notional_per_order=Decimal(400))
    inputs = replace(inputs_of({"A": weight}, {"A": 1}, {"A": -600}, instruments=ASX), currency="AUD")
    assert outcome(make_plan(inputs, rules, IBKR_CAPABILITIES)) == expected


def test_what_is_bought_beyond_a_covered_short_is_a_first_purchase():
    rules = rules_of(allow_short=True)
    short = {"A": -600}
    small, large = (
        replace(inputs_of({"A": weight}, {"A": 1}, short, instruments=ASX), currency="AUD")
        for weight in ("0.00499", "0.005")
    )
    assert outcome(make_plan(small, rules, IBKR_CAPABILITIES)) == (Reason.LIQUIDATE, [600])
    assert outcome(make_plan(large, rules, IBKR_CAPABILITIES)) == (Reason.CROSS_ZERO, [600, 500])


def lotted_book(seed):
    """A random long-short book beside open orders, in lots, at an exchange that may ask for a first parcel, sliced."""
    inputs, rules, capabilities = crowded_book(seed, shorts=True)
    chance = random.Random(f"lots {seed}")
    mic, currency = chance.choice([("XNYS", "USD"), ("XASX", "AUD")])
    listed = {
        symbol: replace(known, mic=mic, currency=currency, lot=chance.choice([1, 1, 10, 100]))
        for symbol, known in inputs.instruments.items()
    }
    limits = {
        "max_notional_per_order": chance.choice([None, max(Decimal(130), 2 * rules.min_order_notional), Decimal(700)]),
        "max_share_per_order": chance.choice([None, Decimal(40), Decimal(2000)]),
    }
    return replace(inputs, instruments=listed, currency=currency), replace(rules, **limits), capabilities


def closing_of(line):
    """Unsigned shares of a line's change that close what it has, and will have from open orders."""
    current, delta = line.current_qty + line.working_qty, line.delta_qty
    return min(abs(delta), abs(current)) if current * delta < 0 else Decimal(0)


def largest_slice(line, inputs, rules, capabilities):
    """The most shares that one order may close of a line, in the increments that such an order has."""
    instrument, short = inputs.instruments[line.symbol], line.current_qty + line.working_qty < 0
    fractional = rules.fractional and capabilities.fractional and instrument.fractionable
    fractional = fractional and (line.target_weight > 0 or (not line.target_weight and not short))
    step = Decimal(1).scaleb(-rules.quantity_precision) if fractional else Decimal(instrument.lot)
    step = max(step, Decimal(1)) if short else step
    by_value = rules.max_notional_per_order / line.price if rules.max_notional_per_order else None
    most = min(limit for limit in (by_value, rules.max_share_per_order) if limit is not None)
    return most // step * step


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**48))
def test_nothing_that_closes_is_withheld_for_want_of_room_or_by_a_limit_that_its_slices_can_keep(seed):
    inputs, rules, capabilities = lotted_book(seed)
    for line in make_plan(inputs, rules, capabilities).lines:
        if line.reason in (Reason.NO_CASH, Reason.FIRST_PARCEL):
            assert not closing_of(line)
        if line.reason is Reason.LIMIT and closing_of(line):
            least = max(rules.min_order_notional, capabilities.min_notional)
            slice_ = largest_slice(line, inputs, rules, capabilities)
            assert not slice_ or slice_ * line.price < least


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**48))
def test_every_plan_in_lots_and_slices_fits_its_book_and_comes_to_rest(seed):
    inputs, rules, capabilities = lotted_book(seed)
    plan = make_plan(inputs, rules, capabilities)
    assert book_after(plan, rules.max_total_weight).fits
    rules = replace(rules, max_participation=None, max_turnover=None, slippage_allowance_pct=Decimal(0))
    inputs = replace(inputs, open_orders=(), foreign={})
    plan = make_plan(inputs, rules, capabilities)
    again = make_plan(filled(inputs, plan), rules, capabilities)
    assert again.orders == () or goes_on_later(plan)
