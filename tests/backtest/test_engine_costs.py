"""What trading and holding cost in a backtest, each figure by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import IBKR_AUSTRALIA, IBKR_US, Commission
from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import Costs, FillAt, Fills
from scizor_dagster.instruments import Instrument
from tests.backtest.engine_cases import (  # noqa: F401
    AT_CLOSE,
    FINE,
    NAN,
    SAME_CLOSE,
    WHOLE,
    as_it_stands,
    history_of,
    random_case,
    run,
)

pytestmark = pytest.mark.usefixtures("as_it_stands")
UNIT = 10**9
SHORTS = replace(FINE, allow_short=True)


def only(result):
    assert len(result.trades) == 1
    return result.trades[0]


def test_a_purchase_fills_at_the_open_on_what_the_close_before_sized():
    history = history_of([10.0, 12.0, 13.0], open=[9.0, 11.0, 12.5])
    result = run(history, {1: 0.5})
    trade = only(result)
    assert (trade["row"], trade["planned"], trade["count"]) == (1, 50 * UNIT, 50 * UNIT)
    assert (trade["reference"], trade["price"]) == (10.0, 11.0)
    assert result.cash.tolist() == [1000.0, 450.0, 450.0]
    assert result.equity.tolist() == [1000.0, 450.0 + 600.0, 450.0 + 650.0]


@pytest.mark.parametrize(("at", "price"), [(FillAt.OPEN, 11.0), (FillAt.CLOSE, 12.0), (FillAt.VWAP, 12.0 + 1 / 3)])
def test_a_fill_has_the_price_that_was_asked_for(at, price):
    history = history_of([10.0, 12.0], open=[9.0, 11.0], high=[10.0, 14.0], low=[9.0, 11.0])
    assert only(run(history, {1: 0.5}, fills=Fills(at)))["price"] == pytest.approx(price, rel=1e-15)


def test_at_the_very_close_a_plan_fills_at_the_price_that_sized_it():
    result = run(history_of([10.0, 12.0]), {0: 0.5, 1: 1.0}, fills=SAME_CLOSE)
    assert result.counts[:, 0].tolist() == [50 * UNIT, 91_666_666_666]
    assert result.trades["price"].tolist() == [10.0, 12.0]


def test_with_a_delay_of_two_sessions_a_plan_knows_nothing_of_the_one_between():
    history = history_of([10.0, 20.0, 25.0, 30.0], open=[10.0, 10.0, 24.0, 30.0])
    trade = only(run(history, {2: 0.5}, fills=Fills(delay=2)))
    assert (trade["row"], trade["reference"], trade["price"], trade["planned"]) == (2, 10.0, 24.0, 50 * UNIT)


@pytest.mark.parametrize(
    ("commission", "shares", "price"),
    [
        (Commission(per_share=0.005, minimum=1.0), 50, 10.0),
        (Commission(per_share=0.005, minimum=1.0), 500, 10.0),
        (IBKR_US, 50, 10.0),
        (IBKR_AUSTRALIA, 900, 10.0),
        (Commission(bps=5.0), 70, 7.0),
        (Commission(minimum=5.0, maximum_bps=20.0), 3, 7.0),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_commission_is_what_the_brokers_tariff_says(commission, shares, price, sign):
    capital = shares * price * 2
    weights = {1: 0.5} if sign > 0 else {1: 0.5, 2: 0.0}
    result = run(history_of([price] * 3), weights, capital=capital, costs=Costs(commission))
    trade = result.trades[-1]
    assert trade["count"] == sign * shares * UNIT
    expected = commission.charge(np.array(sign), np.array(float(shares)), np.array(shares * price))
    assert trade["commission"] == pytest.approx(float(expected), rel=1e-13)
    assert result.equity[-1] == pytest.approx(capital - result.trades["commission"].sum(), rel=1e-14)
    assert result.spent[:, 1].sum() == pytest.approx(result.trades["commission"].sum())


def test_spread_slippage_and_impact_move_the_price_against_the_order_and_add_up_to_what_it_lost():
    costs = Costs(half_spread_bps=2.0, slippage_bps=3.0, impact_bps=50.0)
    history = history_of([10.0] * 3, volume=[200.0] * 3)
    result = run(history, {1: 0.5, 2: 0.0}, costs=costs)
    bought, sold = result.trades
    worse = (2.0 + 3.0 + 50.0 * (50 / 200) ** 0.5) / 10_000
    assert bought["price"] == pytest.approx(10.0 * (1 + worse), rel=1e-14)
    assert sold["price"] == pytest.approx(10.0 * (1 - worse), rel=1e-14)
    for trade in (bought, sold):
        assert trade["spread"] == pytest.approx(500 * 0.0002)
        assert trade["slippage"] == pytest.approx(500 * 0.0003)
        assert trade["impact"] == pytest.approx(500 * 0.0025)
    lost = sum(float(result.trades[name].sum()) for name in ("spread", "slippage", "impact"))
    assert 1000.0 - result.equity[-1] == pytest.approx(lost, rel=1e-10)
    assert result.spent[:, 2:].sum() == pytest.approx(lost)


def test_single_instruments_have_costs_of_their_own():
    history = history_of([[10.0, 10.0]] * 2)
    result = run(history, {1: [0.4, 0.4]}, costs_of={"S01": Costs(Commission(minimum=3.0))})
    assert result.trades["commission"].tolist() == [0.0, 3.0]


def test_no_more_fills_than_the_sessions_share_of_volume_and_the_rest_ends():
    history = history_of([10.0] * 3, volume=[100.0, 100.0, 400.0])
    result = run(history, {1: 0.5}, costs=Costs(max_participation=0.1))
    trade = only(result)
    assert (trade["planned"], trade["count"]) == (50 * UNIT, 10 * UNIT)
    assert result.counts[:, 0].tolist() == [0, 10 * UNIT, 10 * UNIT]
    nothing = run(history_of([10.0] * 2, volume=[NAN, NAN]), {1: 0.5}, costs=Costs(max_participation=0.1))
    assert only(nothing)["count"] == 0
    assert np.isnan(only(nothing)["price"])


def test_what_is_ordered_in_whole_lots_fills_in_whole_lots():
    lots = [Instrument("S00", "XNYS", "USD", lot=100)]
    history = history_of([1.0] * 2, volume=[2_500.0] * 2, instruments=lots)
    assert only(run(history, {1: 0.5}, WHOLE, costs=Costs(max_participation=0.1)))["count"] == 200 * UNIT


def test_purchases_that_the_cash_does_not_pay_for_are_scaled_by_one_factor():
    # The sale brings less than its reference price said: 100 shares at 8 in place of 10.
    history = history_of(
        [[10.0, 10.0, 10.0]] * 3, open=[[10.0, 10.0, 10.0], [10.0, 10.0, 10.0], [8.0, 10.0, 10.0]]
    )  # fmt: skip
    result = run(history, {1: [1.0, 0.0, 0.0], 2: [0.0, 0.5, 0.5]}, WHOLE)
    assert result.needed.tolist() == [1.0, 0.8]
    assert result.counts[-1].tolist() == [0, 40 * UNIT, 40 * UNIT]
    assert result.cash[-1] == 0.0


def test_a_scaled_purchase_has_the_same_increments_where_the_exact_rules_decided_the_whole_book():
    history = history_of([[10.0, 10.0], [15.0, 10.0], [15.0, 10.0]], open=[[10.0, 10.0], [10.0, 10.0], [15.0, 9.1]])
    weights, filled = {1: [0.0, 1.0], 2: [1.0, 0.0]}, []
    # A move of just what may be leaves the book to the exact rules.
    for most in ("0.6", "0.5"):
        result = run(history, weights, replace(FINE, max_price_move=Decimal(most)))
        assert result.needed == pytest.approx([1.0, 0.91])
        filled.append(result.trades["count"].tolist())
    assert filled == [[100 * UNIT, 60_666_666_666, -100 * UNIT]] * 2


@pytest.mark.parametrize("seed", range(700, 708))
def test_orders_that_fill_whole_at_once_come_to_what_they_come_to_in_turn(seed):
    history, schedule, rules, capabilities, choices = random_case(seed)
    costs = replace(choices.costs, impact_bps=0.0, max_participation=float("inf"))
    choices = replace(choices, costs=costs, costs_of={})
    history = replace(history, volume=np.full(history.close.shape, 1e12))
    at_once = run_backtest(history, schedule, rules, capabilities, choices)
    # A participation that is never reached makes each order look at volumes, one after another.
    wide = replace(choices, costs=replace(costs, max_participation=1e6))
    in_turn = run_backtest(history, schedule, rules, capabilities, wide)
    for name in ("equity", "cash", "spent", "needed", "counts", "codes"):
        np.testing.assert_allclose(getattr(at_once, name), getattr(in_turn, name), rtol=1e-9, atol=1e-6, err_msg=name)
    for name in at_once.trades.dtype.names:
        np.testing.assert_allclose(at_once.trades[name], in_turn.trades[name], rtol=1e-9, atol=1e-6, err_msg=name)


def test_the_cash_buffer_is_not_spent():
    history = history_of([10.0] * 2)
    result = run(history, {1: 1.0}, replace(FINE, min_cash_buffer_pct=Decimal("0.05")))
    assert result.cash[-1] == 50.0


def test_a_sale_without_a_bar_frees_no_cash_and_ends_with_its_session():
    history = history_of(
        [[10.0, 10.0], [10.0, 10.0], [NAN, 10.0], [11.0, 10.0]],
        open=[[10.0, 10.0], [10.0, 10.0], [NAN, 10.0], [11.0, 10.0]],
    )
    result = run(history, {1: [1.0, 0.0], 2: [0.0, 1.0]}, WHOLE)
    assert result.counts[:, 0].tolist() == [0, 100 * UNIT, 100 * UNIT, 100 * UNIT]
    assert result.counts[-1, 1] == 0
    assert result.equity.tolist() == [1000.0, 1000.0, 1000.0, 1100.0]


def test_a_short_pays_its_lender_by_the_calendar_day():
    history = history_of([10.0] * 4)
    history = replace(history, sessions=(*history.sessions[:3], history.sessions[3] + timedelta(2)))
    result = run(history, {1: -0.5}, SHORTS, costs=Costs(borrow_rate=0.365))
    assert result.income[:, 2].tolist() == [0.0, 0.0, -0.5, -1.5]
    assert result.equity[-1] == 998.0


def test_cash_earns_and_debts_cost_by_the_calendar_day():
    earned = run(history_of([10.0] * 3), {}, costs=Costs(cash_rate=0.365))
    assert earned.income[:, 1] == pytest.approx([0.0, 1.0, 1.001], rel=1e-15)
    assert earned.equity[-1] == pytest.approx(1002.001)
    # Bought at the open above the close that sized it, all the cash and more is gone.
    history = history_of([10.0, 10.0, 10.0], open=[10.0, 12.0, 10.0])
    owed = run(history, {1: 1.0}, WHOLE, costs=Costs(debit_rate=0.365))
    assert owed.income[:, 1].tolist() == [0.0, 0.0, -0.2]


def test_what_a_short_brought_in_earns_nothing_unless_it_is_said_to():
    costs = Costs(cash_rate=0.365)
    result = run(history_of([10.0, 10.0, 10.0, 20.0, 20.0]), {1: -0.5}, SHORTS, costs=costs)
    # 500 were sold short: 1500 in cash, of which 500 and later 1000 belong to whoever lent the shares.
    assert result.income[:, 1].tolist() == pytest.approx([0.0, 1.0, 1.001, 1.002001, 0.503003001], rel=1e-12)
    said = run(history_of([10.0] * 3), {1: -0.5}, SHORTS, costs=replace(costs, short_proceeds_earn=True))
    assert said.income[:, 1].tolist() == pytest.approx([0.0, 1.0, 1.501], rel=1e-12)
    # More is owed than there is cash: nothing is earned, and nothing is a debt.
    owed = run(history_of([10.0, 10.0, 40.0, 40.0]), {1: -0.5}, SHORTS, costs=replace(costs, debit_rate=0.7))
    assert owed.income[3, 1] == 0.0


def test_before_the_capital_is_there_it_earns_nothing():
    choices = {"costs": Costs(cash_rate=0.365), "begins": 2}
    earned = run(history_of([10.0] * 4), {}, **choices)
    assert earned.income[:, 1].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_prices_round_against_the_account_and_fees_up_to_a_cent_where_the_venue_does():
    fills = Fills(FillAt.CLOSE, price_decimals=4, cents=True)
    history = history_of([10.0, 10.0, 10.0])
    costs = Costs(Commission(bps=1.0), slippage_bps=0.3)
    bought, sold = run(history, {1: 0.5, 2: 0.0}, costs=costs, fills=fills).trades
    assert (bought["price"], sold["price"]) == (10.0003, 9.9997)
    assert bought["commission"] == 0.06
    plain = run(history, {1: 0.5}, fills=fills).trades[0]
    assert (plain["price"], plain["commission"]) == (10.0, 0.0)


def test_a_crossing_is_two_orders_each_with_its_minimum():
    history = history_of([10.0] * 4)
    costs = Costs(Commission(minimum=1.0))
    rules = replace(WHOLE, allow_short=True)
    result = run(history, {1: 0.5, 2: -0.5, 3: 0.5}, rules, costs=costs)
    assert result.trades["commission"].tolist() == [1.0, 2.0, 2.0]
    assert [int(count) // UNIT for count in result.counts[:, 0]] == [0, 50, -49, 49]


def test_the_second_leg_of_a_crossing_waits_for_the_whole_of_the_first():
    history = history_of([10.0] * 3, volume=[1_000.0, 1_000.0, 30.0])
    rules = replace(WHOLE, allow_short=True)
    result = run(history, {1: 0.5, 2: -0.5}, rules, costs=Costs(max_participation=1.0))
    assert [int(count) // UNIT for count in result.counts[:, 0]] == [0, 50, 20]


def test_at_a_close_with_costs_nothing_but_costs_is_lost():
    result = run(history_of([10.0] * 3), {1: 0.5, 2: 0.2}, fills=AT_CLOSE, costs=Costs(Commission(bps=10.0)))
    assert result.equity[-1] == pytest.approx(1000.0 - result.trades["commission"].sum(), rel=1e-14)
