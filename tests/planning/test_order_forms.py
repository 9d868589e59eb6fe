"""How a change is written as orders: slices, lots, brackets on whole shares, limits on fractions, collars."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES
from scizor_dagster.brokers.protocol import OrderType
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of, line_of, orders_of
from tests.planning.examples import outcome, plan_of, rules_of

FRACTIONS = PlanningRules()


def forms(plan, symbol="A"):
    return [(str(order.qty), order.order_type) for order in orders_of(plan, symbol)]


@pytest.mark.parametrize("rules", [{"mode_on_buy": "bracket"}, {"mode_on_buy": "bracket", "sl_atr": 2.0}])
def test_whole_shares_of_a_purchase_carry_the_bracket_and_the_fraction_none(rules):
    plan = plan_of({"A": "0.1"}, {"A": 38}, rules=rules_of(FRACTIONS, **rules), atr={"A": Decimal(1)})
    assert forms(plan) == [("0.15", OrderType.MARKET), ("263", OrderType.BRACKET)]
    assert "0.15 is no whole number of shares" in line_of(plan, "A").note


def test_a_fraction_too_small_to_send_takes_a_whole_share_with_it():
    plan = plan_of({"A": "0.1"}, {"A": 33}, rules=rules_of(FRACTIONS, mode_on_buy="bracket"))
    assert forms(plan) == [("1.03", OrderType.MARKET), ("302", OrderType.BRACKET)]


def test_whole_shares_that_are_too_few_for_an_order_of_their_own_stay_with_their_fraction():
    # 6.5 at 0.5: five shares less would leave 1.5 of them, and four less two, which are worth 1.
    rules = rules_of(FRACTIONS, mode_on_buy="bracket", min_order_notional=Decimal(2))
    plan = plan_of({"A": "0.00325"}, {"A": "0.5"}, rules=rules, equity=1000)
    assert forms(plan) == [("6.50", OrderType.MARKET)]


def test_every_slice_of_whole_shares_carries_its_own_bracket():
    rules = rules_of(FRACTIONS, mode_on_buy="bracket", max_notional_per_order=Decimal(4000))
    plan = plan_of({"A": "0.1"}, {"A": 38}, rules=rules)
    assert forms(plan) == [("0.15", OrderType.MARKET), *[(count, OrderType.BRACKET) for count in ("88", "88", "87")]]
    assert len({order.stop_loss for order in plan.orders if order.stop_loss}) == 1


def test_in_true_ranges_a_fractional_purchase_of_whole_shares_needs_its_range_too():
    rules = rules_of(FRACTIONS, mode_on_buy="bracket", sl_atr=2.0)
    assert outcome(plan_of({"A": "0.1"}, {"A": 38}, rules=rules)) == (Reason.NO_ATR, [])
    below_one = plan_of({"A": "0.0001"}, {"A": 38}, rules=rules)
    assert forms(below_one) == [("0.26", OrderType.MARKET)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    weight=st.integers(1, 999),
    cents=st.integers(50, 300_000),
    held=st.decimals(0, 50, places=2),
    maximum=st.sampled_from([None, 700, 5000]),
    least=st.sampled_from([1, 40]),
)
def test_what_brackets_protect_is_whole_and_never_more_than_what_is_held_after_the_fills(
    weight, cents, held, maximum, least
):
    rules = PlanningRules(
        mode_on_buy="bracket",
        max_notional_per_order=None if maximum is None else Decimal(maximum),
        min_order_notional=Decimal(least),
    )
    price = Decimal(cents) / 100
    plan = make_plan(inputs_of({"A": Decimal(weight) / 1000}, {"A": price}, {"A": held}), rules, ALPACA_CAPABILITIES)
    line = line_of(plan, "A")
    protected = [order.qty for order in plan.orders if order.order_type is OrderType.BRACKET]
    assert all(quantity % 1 == 0 for quantity in protected)
    assert sum(protected) <= (line.current_qty + line.delta_qty) // 1
    if line.reason in ORDERING_REASONS:
        assert sum(order.qty * order.side.sign for order in plan.orders) == line.delta_qty
        assert all(order.notional >= least for order in plan.orders if line.reason is not Reason.LIQUIDATE)
        assert all(maximum is None or order.notional <= maximum for order in plan.orders)


def lots(held, weight, rules, lot=100, **others):
    named = {"A": Instrument("A", "XASX", "USD", lot=lot, fractionable=False)}
    return plan_of(
        {"A": weight} if weight else {}, {"A": 10}, {"A": held}, rules, IBKR_CAPABILITIES, instruments=named, **others
    )


def test_slices_are_whole_lots_and_an_exit_ends_with_the_odd_rest():
    rules = rules_of(max_notional_per_order=Decimal(2500))
    assert outcome(lots(0, "0.07", rules)) == (Reason.OPEN, [200, 200, 200, 100])
    assert outcome(lots(650, "", rules)) == (Reason.LIQUIDATE, [-200, -200, -250])
    assert outcome(lots(0, "0.07", rules_of(max_notional_per_order=Decimal(900)))) == (Reason.LIMIT, [])


@pytest.mark.parametrize(
    ("held", "weight", "orders"), [(130, "0.03", [100]), (230, "0.03", []), (230, "0.01", [-100]), (130, "", [-130])]
)
def test_a_change_beside_an_odd_lot_is_whole_lots(held, weight, orders):
    assert outcome(lots(held, weight, rules_of()))[1] == orders


def test_a_crossing_closes_an_odd_lot_exactly_and_opens_whole_lots():
    assert outcome(lots(130, "-0.02", rules_of(allow_short=True))) == (Reason.CROSS_ZERO, [-130, -200])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    lot=st.sampled_from([1, 5, 100]),
    held=st.integers(-2000, 2000),
    weight=st.integers(-300, 300),
    maximum=st.sampled_from([900, 2500, 12_000]),
    shares=st.sampled_from([None, 150, 600]),
)
def test_slices_sum_to_the_order_and_are_lots_but_for_the_end_of_a_holding(lot, held, weight, maximum, shares):
    rules = rules_of(
        allow_short=True,
        max_notional_per_order=Decimal(maximum),
        max_share_per_order=None if shares is None else Decimal(shares),
    )
    plan = lots(held, Decimal(weight) / 1000, rules, lot=lot)
    line = line_of(plan, "A")
    if line.reason not in ORDERING_REASONS:
        assert not plan.orders
        return
    assert sum(order.qty * order.side.sign for order in plan.orders) == line.delta_qty
    assert all(order.notional <= maximum and (shares is None or order.qty <= shares) for order in plan.orders)
    for leg in {order.leg for order in plan.orders}:
        quantities = [order.qty for order in plan.orders if order.leg == leg]
        whole_exit = line.reason in (Reason.LIQUIDATE, Reason.CROSS_ZERO) and leg == 1
        assert all(quantity % lot == 0 for quantity in (quantities[:-1] if whole_exit else quantities))


def test_a_limit_on_a_fraction_goes_where_the_broker_takes_one_else_a_note_says_market():
    rules = rules_of(FRACTIONS, mode_on_buy="limit", mode_on_sell="limit")
    plan = plan_of({"A": "0.1"}, {"A": 38, "B": 10}, {"B": "0.5"}, rules)
    assert forms(plan) == [("263.15", OrderType.LIMIT)]
    assert forms(plan, "B") == [("0.5", OrderType.LIMIT)]
    simple = replace(ALPACA_CAPABILITIES, fractional_order_types=frozenset({OrderType.MARKET}))
    plan = plan_of({"A": "0.1"}, {"A": 38}, {}, rules, simple)
    assert forms(plan) == [("263.15", OrderType.MARKET)]
    assert "Market order instead of limit: 263.15 is no whole number of shares" in line_of(plan, "A").note


def test_a_collar_says_which_orders_it_does_not_hold():
    said = "1 of 1 orders have no limit price: planning.price_collar = 0.01 does not hold them."
    market = plan_of({"A": "0.1"}, {"A": 10}, rules=rules_of(price_collar=0.01))
    assert any(note.startswith(said) for note in market.notes)
    limit = plan_of({"A": "0.1"}, {"A": 10}, rules=rules_of(price_collar=0.01, mode_on_buy="limit"))
    assert not any("price_collar" in note for note in limit.notes)


def test_a_full_exit_above_the_largest_order_is_sliced_and_a_purchase_is_not():
    rules = rules_of(max_share_per_order=Decimal(400))
    assert outcome(plan_of({}, {"A": 10}, {"A": 1000}, rules)) == (Reason.LIQUIDATE, [-334, -333, -333])
    assert outcome(plan_of({"A": "0.02"}, {"A": 10}, {"A": 1000}, rules)) == (Reason.REBALANCE, [-400, -400])
    bought = plan_of({"A": "0.05"}, {"A": 10}, {}, rules)
    assert outcome(bought) == (Reason.LIMIT, [])
    assert "500 shares; risk.max_share_per_order allows 400." in line_of(bought, "A").note


def test_a_crossing_too_large_to_open_still_closes():
    rules = rules_of(max_share_per_order=Decimal(400), allow_short=True)
    plan = plan_of({"A": "-0.05"}, {"A": 10}, {"A": 700}, rules)
    assert outcome(plan) == (Reason.LIQUIDATE, [-350, -350])
    assert "max_share_per_order allows 400" in line_of(plan, "A").note
    assert outcome(plan_of({"A": "-0.03"}, {"A": 10}, {"A": 700}, rules)) == (Reason.CROSS_ZERO, [-350, -350, -300])


def test_an_exit_of_more_slices_than_a_plan_has_goes_as_far_as_they_carry():
    plan = plan_of({}, {"A": 10}, {"A": 1050}, rules_of(max_share_per_order=Decimal(10)))
    assert outcome(plan) == (Reason.REBALANCE, [-10] * 100)
    assert "Cut from 1050 to 1000" in line_of(plan, "A").note
