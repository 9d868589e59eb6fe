"""The turnover cap spreads a rebalance over sessions: it is never exceeded, and never stops on the way."""

import os
import random
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import crowded_book, filled, inputs_of, line_of, ruled_book
from tests.planning.examples import outcome, plan_of, rules_of

ZERO = Decimal(0)
TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
pytestmark = pytest.mark.timeout(3_600 if TORTURE else 300)


def traded(plan):
    return sum((order.notional for order in plan.orders), ZERO)


def test_what_scaling_rounds_away_goes_to_the_largest_change():
    # Four purchases of 10 shares at 900, and a cap of 2,000: a quarter of it is less than one share for each.
    weights, prices = dict.fromkeys("ABCD", "0.09"), dict.fromkeys("ABCD", 900)
    plan = plan_of(weights | {"D": "0.1"}, prices, rules=rules_of(max_turnover=0.02))
    assert [outcome(plan, name)[1] for name in "ABCD"] == [[], [], [], [2]]
    assert outcome(plan)[0] is Reason.TURNOVER_CAP


def test_full_exits_are_served_first_and_ties_by_instrument():
    held = {"A": 1, "B": 1, "C": 40}
    plan = plan_of({"D": "0.5"}, {"A": 900, "B": 900, "C": 1, "D": 10}, held, rules_of(max_turnover=0.0095))
    assert outcome(plan, "A") == (Reason.LIQUIDATE, [-1])
    assert outcome(plan, "B") == (Reason.TURNOVER_CAP, [])
    assert outcome(plan, "C") == (Reason.LIQUIDATE, [-40])
    assert outcome(plan, "D") == (Reason.OPEN, [1])


def test_a_full_exit_of_shares_larger_than_a_scaled_part_is_not_put_off_for_ever():
    inputs = inputs_of({}, {"A": 600, "B": 600}, {"A": 3, "B": 3})
    rules = rules_of(max_turnover=0.007)
    for _ in range(6):
        plan = make_plan(inputs, rules, IBKR_CAPABILITIES)
        assert traded(plan) == 600
        inputs = filled(inputs, plan)
    assert make_plan(inputs, rules, IBKR_CAPABILITIES).orders == ()
    assert not any(inputs.holdings.values())


def test_a_cap_below_every_order_moves_nothing_and_says_so():
    plan = plan_of({"A": "0.5"}, {"A": 900, "B": 700}, {"B": 5}, rules_of(max_turnover=0.006))
    assert plan.orders == ()
    assert any(
        "planning.max_turnover leaves 600.00 to trade" in note and "nothing moves" in note for note in plan.notes
    )


def test_what_open_orders_still_trade_counts_toward_the_cap():
    working = (OpenOrder("B", Side.BUY, Decimal(300)), OpenOrder("C", Side.SELL, Decimal(200)))
    prices = dict.fromkeys("ABC", 10)
    weights = {"A": "0.5", "B": "0.03", "C": "0.08"}
    plan = plan_of(weights, prices, {"C": 1000}, rules_of(max_turnover=0.06), open_orders=working)
    assert outcome(plan) == (Reason.OPEN, [100])
    assert any("open orders take 0.0500" in note for note in plan.notes)


def test_the_rest_of_a_cap_never_makes_a_change_one_that_no_slices_can_carry():
    # In lots of 100 at 1, an order of 300 is more than 250 and no two of at least 120 make it; one of 200 goes.
    lots = {name: Instrument(name, "XNYS", "USD", lot=100) for name in "AB"}
    rules = rules_of(max_turnover=0.55, min_order_notional=Decimal(120), max_notional_per_order=Decimal(250))
    plan = plan_of({"A": "0.4", "B": "0.4"}, {"A": 1, "B": 1}, {}, rules, equity=1000, instruments=lots)
    assert [outcome(plan, name) for name in "AB"] == [(Reason.OPEN, [200]), (Reason.OPEN, [200])]


def lump_of(change, inputs, rules, capabilities):
    """Value of the smallest order that this change may have, where it is not smaller itself."""
    line, instrument = change, inputs.instruments[change.symbol]
    whole = not (rules.fractional and capabilities.fractional and instrument.fractionable) or line.target_weight < 0
    decimals = min(rules.quantity_precision, capabilities.quantity_decimals)
    step = Decimal(instrument.lot) if whole or line.current_qty < 0 else Decimal(1).scaleb(-decimals)
    least = max(rules.min_order_notional, capabilities.min_notional)
    steps = (least / (line.price * step)).to_integral_value(rounding=ROUND_CEILING)
    return max(steps, Decimal(1)) * step * line.price


def without_cap(inputs, rules, capabilities):
    return make_plan(inputs, replace(rules, max_turnover=None), capabilities)


def wide_book(seed, shorts):
    """Many names of few shares each, so that a cap's part of a change is often less than one share."""
    chance = random.Random(f"wide {seed}")
    names = [f"S{number:02}" for number in range(chance.randint(4, 25))]
    prices = {name: Decimal(chance.randint(500, 90_000)) / 100 for name in names}
    shares = {name: chance.randint(-4 if shorts else 0, 9) for name in names}
    gross = sum(map(abs, shares.values())) or 1
    weights = {
        name: (Decimal(share) / gross).quantize(Decimal("0.0001")) * Decimal("0.99") for name, share in shares.items()
    }
    held = {name: chance.randint(-9 if shorts else 0, 20) for name in names if chance.random() < 0.6}
    value = sum((abs(quantity) * prices[name] for name, quantity in held.items()), ZERO)
    inputs = inputs_of(weights, prices, held, equity=max(value, Decimal(chance.randint(5_000, 60_000))))
    rules = PlanningRules(
        fractional=chance.random() < 0.3,
        min_order_notional=Decimal(chance.choice([0, 1, 150])),
        allow_short=shorts,
        max_total_weight=Decimal(1),
    )
    return inputs, rules, chance.choice([IBKR_CAPABILITIES, ALPACA_CAPABILITIES])


@settings(max_examples=3_000 if TORTURE else 120, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**48),
    st.booleans(),
    st.sampled_from([wide_book, ruled_book]),
    st.sampled_from(["0.05", "0.21", "0.7"]),
)
def test_capped_plans_reach_the_target_in_as_many_sessions_as_the_cap_needs(seed, shorts, make_book, cap):
    inputs, rules, capabilities = make_book(seed, shorts)
    rules = replace(
        rules,
        max_turnover=Decimal(cap),
        max_participation=None,
        slippage_allowance_pct=ZERO,
        max_notional_per_order=None,
    )
    rest = without_cap(inputs, rules, capabilities)
    lumps = [
        lump_of(line, inputs, rules, capabilities)
        for line in rest.lines
        if line.price is not None and line.symbol in inputs.instruments and line.price > 0
    ]
    share = rules.max_turnover * inputs.equity
    # Each session uses its cap but for less than one order, or than the two of a crossing of zero.
    used = share - (2 if shorts else 1) * max(lumps, default=ZERO)
    assume(used > share / 20)
    for _ in range(int(traded(rest) / used) + 3):
        plan = make_plan(inputs, rules, capabilities)
        assert traded(plan) <= share
        inputs = filled(inputs, plan)
    assert without_cap(inputs, rules, capabilities).orders == ()


@settings(max_examples=3_000 if TORTURE else 150, deadline=None, derandomize=True)
@given(st.integers(0, 2**48), st.booleans(), st.sampled_from(["0.001", "0.05", "0.5"]))
def test_no_plan_and_its_open_orders_exceed_the_cap(seed, shorts, cap):
    inputs, rules, capabilities = crowded_book(seed, shorts)
    plan = make_plan(inputs, replace(rules, max_turnover=Decimal(cap)), capabilities)
    working = sum(
        order.remaining * inputs.prices[order.symbol].price
        for order in inputs.open_orders
        if order.own and not order.protective and order.symbol in inputs.prices
    )
    assert not plan.orders or traded(plan) + working <= Decimal(cap) * inputs.equity


@settings(max_examples=2_000 if TORTURE else 100, deadline=None, derandomize=True)
@given(st.integers(0, 2**48), st.sampled_from(["0.02", "0.1", "0.3"]))
def test_nothing_that_would_fit_into_the_cap_is_left_out(seed, cap):
    inputs, rules, capabilities = ruled_book(seed)
    rules = replace(
        rules,
        max_turnover=Decimal(cap),
        max_participation=None,
        slippage_allowance_pct=ZERO,
        max_notional_per_order=None,
    )
    free, plan = without_cap(inputs, rules, capabilities), make_plan(inputs, rules, capabilities)
    if any(line.reason is Reason.NO_CASH or "no room" in line.note for line in (*free.lines, *plan.lines)):
        return
    left = rules.max_turnover * inputs.equity - traded(plan)
    for line in free.lines:
        now = line_of(plan, line.symbol)
        given_now = abs(now.delta_qty) * now.price if now.reason in ORDERING_REASONS else ZERO
        missing = abs(line.delta_qty) * line.price - given_now if line.reason in ORDERING_REASONS else ZERO
        lump = lump_of(line, inputs, rules, capabilities) if missing > 0 else ZERO
        assert missing <= 0 or left < lump


def test_the_share_of_a_cap_is_an_exact_number_of_increments():
    plan = plan_of({"A": "0.5"}, {"A": 7}, rules=PlanningRules(max_turnover=Decimal("0.1")))
    quantity = line_of(plan, "A").delta_qty
    assert quantity == (Decimal(10_000) / 7).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)
    assert ALPACA_CAPABILITIES.fractional
