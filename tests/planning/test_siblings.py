"""Other portfolios of the same account: the broker nets all of them, so a plan keeps out of their way."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES
from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import inputs_of, line_of

RULES = PlanningRules(fractional=False, allow_short=True)


def outcome(weight, held=0, *, siblings=0, orders=(), capabilities=ALPACA_CAPABILITIES):
    """Reason of A and its signed orders; at 10 a share, 0.1 of the equity is 1,000 shares."""
    inputs = inputs_of(
        {"A": weight},
        {"A": 10},
        {"A": held} if held else {},
        siblings={"A": Decimal(siblings)} if siblings else {},
        open_orders=tuple(OpenOrder("A", side, Decimal(qty), own=False) for side, qty in orders),
    )
    plan = make_plan(inputs, RULES, capabilities)
    return line_of(plan, "A").reason, [order.side.sign * order.qty for order in plan.orders]


def test_a_buy_against_anothers_open_sale_and_a_sale_against_its_open_buy_are_kept() -> None:
    assert outcome("0.1", siblings=50, orders=[(Side.SELL, 50)]) == (Reason.WASH_TRADE, [])
    assert outcome("0", held=50, orders=[(Side.BUY, 5)]) == (Reason.WASH_TRADE, [])


def test_where_the_broker_takes_opposite_orders_they_are_sent() -> None:
    lenient = replace(ALPACA_CAPABILITIES, refuses_wash_trades=False)
    assert outcome("0.1", siblings=50, orders=[(Side.SELL, 50)], capabilities=lenient) == (Reason.OPEN, [1000])


def test_orders_of_the_same_side_and_holdings_of_the_same_sign_are_in_nobodys_way() -> None:
    assert outcome("0.1", siblings=70, orders=[(Side.BUY, 30)]) == (Reason.OPEN, [1000])
    assert outcome("0", held=60, siblings=70, orders=[(Side.SELL, 70)]) == (Reason.LIQUIDATE, [-60])
    assert outcome("-0.1", siblings=-70) == (Reason.OPEN, [-1000])


@pytest.mark.parametrize(
    ("weight", "siblings"), [("0.1", -15), ("-0.1", 15)], ids=["buy_beside_a_short", "short_beside_a_long"]
)
def test_an_opening_that_the_broker_would_take_as_closing_anothers_position_is_kept(weight, siblings) -> None:
    assert outcome(weight, siblings=siblings) == (Reason.ACCOUNT_NET, [])


@pytest.mark.parametrize(
    ("held", "siblings", "expected"),
    [
        (10, -6, (Reason.REBALANCE, [-4])),
        (10, -15, (Reason.ACCOUNT_NET, [])),
        (-10, 6, (Reason.REBALANCE, [4])),
        (-10, 10, (Reason.ACCOUNT_NET, [])),
    ],
)
def test_no_more_is_closed_than_the_account_has_net_of_its_other_portfolios(held, siblings, expected) -> None:
    assert outcome("0", held, siblings=siblings) == expected


def test_a_crossing_only_closes_while_another_portfolio_is_in_the_account() -> None:
    assert outcome("-0.1", held=10, siblings=500) == (Reason.LIQUIDATE, [-10])


def test_the_line_says_what_the_others_hold() -> None:
    inputs = inputs_of({"A": "0.1"}, {"A": 10}, siblings={"A": Decimal(-15)})
    note = line_of(make_plan(inputs, RULES, ALPACA_CAPABILITIES), "A").note
    assert note == (
        "The account's other portfolios hold -15, and the broker nets the account: "
        "it would take the order as closing that."
    )


SHARES = st.sampled_from((-60, -30, -10, 0, 0, 10, 30, 60))
WEIGHTS = st.sampled_from(("-0.002", "0", "0.001", "0.004"))
ORDERS = st.lists(st.tuples(st.sampled_from(Side), st.sampled_from((5, 10, 30))), max_size=2)


@given(SHARES, SHARES, SHARES, WEIGHTS, ORDERS)
@settings(max_examples=400, deadline=None)
def test_every_order_is_what_the_broker_infers_from_the_accounts_net(held, siblings, unowned, weight, orders) -> None:
    resting = tuple(OpenOrder("A", side, Decimal(qty), own=False) for side, qty in orders)
    inputs = inputs_of({"A": weight}, {"A": 10}, {"A": held} if held else {}, open_orders=resting)
    beside = {"siblings": {"A": Decimal(siblings)}, "foreign": {"A": Decimal(unowned)}}
    net = held + siblings + unowned
    for order in make_plan(replace(inputs, **beside), RULES, ALPACA_CAPABILITIES).orders:
        if order.leg == 2:
            assert not siblings
            assert not unowned
            assert not orders
            continue
        assert order.side in {side for side, _ in orders} or not orders
        opens = net * order.side.sign >= 0
        assert opens == order.intent.value.endswith("_open")
        assert opens or order.qty <= abs(net) - sum(qty for side, qty in orders if side is order.side)


def test_a_first_parcel_is_none_where_another_portfolio_holds_the_instrument() -> None:
    listed = {"A": Instrument("A", "XASX", "AUD")}
    inputs = replace(inputs_of({"A": "0.003"}, {"A": 10}, instruments=listed), currency="AUD")
    alone = make_plan(inputs, RULES, ALPACA_CAPABILITIES)
    beside = make_plan(replace(inputs, siblings={"A": Decimal(70)}), RULES, ALPACA_CAPABILITIES)
    assert line_of(alone, "A").reason is Reason.FIRST_PARCEL
    assert [order.intent for order in beside.orders] == [PositionIntent.BUY_TO_OPEN]


def test_a_holding_of_others_that_is_no_number_is_refused_and_any_other_is_part_of_the_plans_identity() -> None:
    inputs = inputs_of({"A": "0.1"}, {"A": 10})
    with pytest.raises(InputError, match="other portfolios' holding of A is NaN"):
        make_plan(replace(inputs, siblings={"A": Decimal("NaN")}), RULES, ALPACA_CAPABILITIES)
    plans = [make_plan(replace(inputs, siblings={"A": Decimal(qty)}), RULES, ALPACA_CAPABILITIES) for qty in (5, 6)]
    assert plans[0].plan_id != plans[1].plan_id
