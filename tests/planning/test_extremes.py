"""Numbers that nobody meant: a reason or one clear error, and never a traceback of arithmetic."""

import os
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scizor_dagster.brokers.capabilities import ALPACA_CAPABILITIES, IBKR_CAPABILITIES
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import ConfigError, ScizorError
from scizor_dagster.planning.inputs import ReferencePrice
from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.open_orders import OpenOrder
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.planning.books import CLOSED, inputs_of, line_of
from tests.planning.examples import outcome, plan_of, rules_of

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
pytestmark = [
    pytest.mark.timeout(3_600 if TORTURE else 300),
    pytest.mark.filterwarnings("error::RuntimeWarning"),
]


@pytest.mark.parametrize("price", ["1e-60", "1e300", "1e-310", "0", "-5", "Infinity", "9e-10", "1.1e12"])
def test_a_price_that_no_share_has_is_a_bad_price(price):
    plan = plan_of({"A": "0.1"}, {"A": price}, {"A": 7})
    assert outcome(plan) == (Reason.BAD_PRICE, [])
    with np.errstate(all="raise"):
        sizing = size(Book(np.array([0.1]), np.array([float(price)]), np.array([7.0])), 1e5, rules_of())
    assert REASONS[sizing.codes[0]] is Reason.BAD_PRICE
    assert sizing.target.tolist() == [7]


@pytest.mark.parametrize(
    "numbers",
    [
        {"holdings": {"A": Decimal("1e300")}},
        {"foreign": {"A": Decimal("-1e19")}},
        {"adv": {"A": Decimal("1e300")}},
        {"atr": {"A": Decimal("1e300")}},
        {"previous_prices": {"A": Decimal("1e300")}},
        {"open_orders": (OpenOrder("A", Side.BUY, Decimal("1e300")),)},
        {"equity": Decimal("1e300")},
        {"cash": Decimal("-1e300")},
    ],
)
def test_a_quantity_or_amount_that_no_account_has_is_refused_by_name(numbers):
    inputs = replace(inputs_of({"A": "0.1"}, {"A": 10}), **numbers)
    with pytest.raises(ScizorError, match=r"1E\+|of A"):
        make_plan(inputs, rules_of(), ALPACA_CAPABILITIES)


def any_float(**limits):
    return st.floats(allow_nan=True, allow_infinity=True, **limits).map(lambda value: Decimal(repr(value)))


def rare(usual):
    return st.one_of(usual, any_float(), st.integers(-30, 30).map(lambda power: Decimal(1).scaleb(power)))


@settings(max_examples=20_000 if TORTURE else 500, deadline=None, derandomize=True)
@given(
    prices=st.lists(rare(st.integers(1, 900).map(Decimal)), min_size=3, max_size=3),
    weights=st.lists(rare(st.integers(-40, 40).map(lambda share: Decimal(share) / 100)), min_size=3, max_size=3),
    held=st.lists(rare(st.integers(-900, 900).map(Decimal)), min_size=3, max_size=3),
    equity=rare(st.just(Decimal(100_000))),
    facts=rare(st.integers(1, 900).map(Decimal)),
    rules=st.sampled_from(
        [
            {},
            {"band_absolute": 0.01, "trade_to": "edge", "allow_short": True, "max_turnover": 0.3},
            {"max_notional_per_order": Decimal(500), "max_share_per_order": Decimal(90), "allow_short": True},
            {"mode_on_buy": "bracket", "sl_atr": 2.0, "max_participation": 0.1},
            {"mode_on_buy": "limit", "mode_on_sell": "limit", "price_collar": 0.01, "slippage_allowance_pct": 0.01},
        ]
    ),
    fractional=st.booleans(),
)
def test_any_float_gives_a_plan_or_an_error_that_says_what_to_do(
    prices, weights, held, equity, facts, rules, fractional
):
    names = "ABC"
    inputs = replace(
        inputs_of({}, {}, equity=1),
        equity=equity,
        targets=inputs_of(dict(zip(names, weights, strict=True)), {}).targets,
        holdings=dict(zip(names, held, strict=True)),
        instruments=inputs_of({}, dict.fromkeys(names, 1)).instruments,
        prices={name: ReferencePrice(price, CLOSED, "fuzz") for name, price in zip(names, prices, strict=True)},
        adv={"A": facts},
        atr={"B": facts},
        previous_prices={"C": facts},
        open_orders=(OpenOrder("B", Side.BUY, facts), OpenOrder("A", Side.SELL, facts, protective=True)),
    )
    made = rules_of(PlanningRules(fractional=fractional), **rules)
    # A ScizorError cannot be made without a remedy; anything else fails here.
    with suppress(ScizorError):
        plan = make_plan(inputs, made, ALPACA_CAPABILITIES if fractional else IBKR_CAPABILITIES)
        assert all(order.qty.is_finite() and order.qty > 0 and order.price_used > 0 for order in plan.orders)


@pytest.mark.parametrize("held", [9_700, 9_900, 10_000])
def test_nothing_is_sold_to_set_cash_aside_for_slippage(held):
    # The allowance of 1 % brings the target from 10,000 shares to 9,801.
    rules = rules_of(slippage_allowance_pct=0.01)
    plan = plan_of({"A": "1"}, {"A": 10}, {"A": held}, rules)
    assert outcome(plan) == ((Reason.REBALANCE, [101]) if held < 9_801 else (Reason.ON_TARGET, []))


def test_what_is_above_its_target_is_sold_to_that_target_and_not_to_the_allowances():
    rules = rules_of(slippage_allowance_pct=0.01, allow_short=True)
    assert outcome(plan_of({"A": "0.5"}, {"A": 10}, {"A": 6_000}, rules)) == (Reason.REBALANCE, [-1_000])
    assert outcome(plan_of({"A": "-0.5"}, {"A": 10}, {"A": -6_000}, rules)) == (Reason.REBALANCE, [1_000])
    assert outcome(plan_of({"A": "-0.5"}, {"A": 10}, {"A": -4_950}, rules)) == (Reason.ON_TARGET, [])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.integers(-40, 40), min_size=4, max_size=4),
    held=st.lists(st.integers(-6_000, 6_000), min_size=4, max_size=4),
    stuck=st.booleans(),
)
def test_with_the_allowance_no_more_is_sold_or_covered_than_without(weights, held, stuck):
    named = dict(zip("ABCD", held, strict=True))
    inputs = inputs_of(
        {name: Decimal(share) / 200 for name, share in zip("ABCD", weights, strict=True)},
        dict.fromkeys("ABCDK", 10),
        named | ({"K": 8_000} if stuck else {}),
        frozen_symbols={"K": "An order of unknown outcome."} if stuck else {},
    )
    plain = rules_of(allow_short=True, max_total_weight=Decimal(2))
    without = make_plan(inputs, plain, ALPACA_CAPABILITIES)
    allowing = make_plan(inputs, replace(plain, slippage_allowance_pct=Decimal("0.02")), ALPACA_CAPABILITIES)
    for name, quantity in named.items():
        if quantity:
            towards_zero = -1 if quantity > 0 else 1
            with_it, bare = (
                towards_zero
                * sum(order.qty * order.side.sign for order in plan.orders if order.symbol == name and order.leg == 1)
                for plan in (allowing, without)
            )
            assert with_it <= max(bare, 0)


def test_an_allowance_that_leaves_nothing_to_invest_is_refused():
    with pytest.raises(ConfigError, match=r"slippage_allowance_pct = 0\.1 of a book of up to .*= 10") as refused:
        PlanningRules(slippage_allowance_pct=Decimal("0.1"), max_total_weight=Decimal(10))
    assert "Lower the allowance" in refused.value.remedy
    assert line_of(plan_of({"A": "0.5"}, {"A": 10}, rules=rules_of(slippage_allowance_pct=0.1)), "A").delta_qty > 0


@pytest.mark.parametrize("trade_to", ["target", "edge"])
def test_what_is_held_between_the_target_with_and_without_the_allowance_is_held_whatever_its_band(trade_to):
    # 4,090 shares with the allowance, 5,000 without it.
    rules = rules_of(slippage_allowance_pct=0.1, band_absolute=0.01, trade_to=trade_to)
    assert outcome(plan_of({"A": "0.5"}, {"A": 10}, {"A": 4500}, rules)) == (Reason.ON_TARGET, [])


@pytest.mark.parametrize("largest", ["0.5", "1"])
def test_an_allowance_that_leaves_the_least_to_invest_is_planned_with(largest):
    # It is a share of the whole equity at least, however little of it the weights may take.
    rules = PlanningRules(slippage_allowance_pct=Decimal("0.4"), max_total_weight=Decimal(largest))
    almost = replace(rules, min_cash_buffer_pct=Decimal("0.5999"))
    assert line_of(plan_of({"A": "0.5"}, {"A": "0.01"}, rules=almost), "A").target_qty == Decimal("357.14")
    with pytest.raises(ConfigError, match="would set aside all of the equity"):
        replace(rules, min_cash_buffer_pct=Decimal("0.6"))


def test_an_instrument_that_is_neither_held_nor_targeted_needs_no_price():
    with np.errstate(all="raise"):
        sizing = size(Book(np.zeros(3), np.array([np.nan, 0.0, np.inf]), np.zeros(3)), 1e5, rules_of())
    assert sizing.target.tolist() == sizing.delta.tolist() == [0, 0, 0]
    assert {REASONS[code] for code in sizing.codes} == {Reason.ON_TARGET}
