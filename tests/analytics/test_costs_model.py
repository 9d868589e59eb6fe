"""Estimates before a trade, what brokers charge, and what recorded orders teach."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from scizor_dagster.analytics.costs_fit import FEWEST_ORDERS, FEWEST_SESSIONS, PastOrders, fit
from scizor_dagster.analytics.costs_model import (
    ALPACA,
    ASSUMED,
    FREE,
    IBKR_AUSTRALIA,
    IBKR_US,
    Commission,
    CostModel,
    commission_of,
)
from scizor_dagster.brokers.protocol import Side

LAST = date(2025, 3, 3)


def charge(commission: Commission, side: Side, qty: float, price: float) -> float:
    return float(replace(ASSUMED, commission=commission).estimate(side, qty, price, 1e6, 0.02).fees)


@pytest.mark.parametrize(("qty", "price", "fee"), [(100, 25, 1.0), (1000, 25, 5.0), (1000, 0.25, 2.5)])
def test_the_brokers_own_examples_of_its_fixed_pricing(qty: float, price: float, fee: float) -> None:
    """Interactive Brokers, Commissions Stocks, United States, fixed examples."""
    assert charge(IBKR_US, Side.BUY, qty, price) == pytest.approx(fee)


def test_a_sale_pays_the_regulators_and_an_australian_order_pays_tax() -> None:
    assert charge(IBKR_US, Side.SELL, 1000, 25) == pytest.approx(5.0 + 25_000 * 27.8e-6 + 0.166)
    assert charge(ALPACA, Side.BUY, 1000, 25) == 0
    assert charge(IBKR_AUSTRALIA, Side.BUY, 1, 45) == pytest.approx(6.6)
    assert charge(IBKR_AUSTRALIA, Side.SELL, 1000, 45) == pytest.approx(45_000 * 0.0008 * 1.1)


def test_each_venue_has_its_commission() -> None:
    assert commission_of("paper", "USD") is FREE
    assert commission_of("ibkr", "AUD") is IBKR_AUSTRALIA
    assert commission_of("ibkr", "USD") is IBKR_US
    assert (commission_of("alpaca", "USD"), commission_of("alpaca", "USD", live=False)) == (ALPACA, FREE)
    assert Commission.read(IBKR_US.text()) == IBKR_US


def test_to_trade_a_days_volume_costs_a_days_volatility_and_half_the_spread() -> None:
    """Grinold and Kahn's rule, by hand: 10,000 shares at 50 of 10,000 a day, at 2 % a day, spread 10 bps."""
    found = ASSUMED.estimate(Side.BUY, 10_000, 50, 10_000, 0.02, 0.0010)
    assert (float(found.impact), float(found.spread), float(found.fees)) == pytest.approx((10_000.0, 250.0, 0.0))
    assert float(found.total_bps) == pytest.approx(205.0)
    quarter = ASSUMED.estimate(Side.BUY, 2_500, 50, 10_000, 0.02, 0.0010)
    assert float(quarter.bps(quarter.impact)) == pytest.approx(100.0), "a quarter of the size costs half as much each"


def test_the_assumption_is_of_the_size_that_almgren_and_others_measured() -> None:
    """Almgren, Thum, Hauptmann and Li (2005), table 3: IBM, 10 % of the day's volume, half a day, 1.57 % volatility.

    Their realised impact is 18 basis points, 32 when done in a tenth of a day; the rule of thumb says somewhat more.
    """
    volume, volatility = 6_561_000, 0.0157
    found = ASSUMED.estimate(Side.BUY, volume / 10, 80.0, volume, volatility, 0.0)
    assert 32 < float(found.total_bps) < 60


def test_arrays_are_estimated_as_one_by_one() -> None:
    draw = np.random.default_rng(5)
    qty, price, adv = draw.uniform(1, 1e4, 300), draw.uniform(1, 500, 300), draw.uniform(1e4, 1e7, 300)
    sigma, spread = draw.uniform(0.005, 0.05, 300), np.where(draw.random(300) < 0.3, np.nan, 0.001)
    signs = draw.choice([-1.0, 1.0], 300)
    model = replace(ASSUMED, commission=IBKR_US)
    found = model.estimate(signs, qty, price, adv, sigma, spread)
    for place in range(300):
        side = Side.BUY if signs[place] > 0 else Side.SELL
        one = model.estimate(side, qty[place], price[place], adv[place], sigma[place], spread[place])
        assert float(one.total) == pytest.approx(found.total[place])
    assert found.total.shape == found.value.shape == (300,)


def test_what_is_not_known_makes_no_estimate_and_an_order_of_nothing_costs_nothing() -> None:
    assert np.isnan(ASSUMED.estimate(Side.BUY, 10, 5, np.nan, 0.02).total)
    assert np.isnan(ASSUMED.estimate(Side.BUY, 10, 5, 1e6, np.nan).total)
    assert float(ASSUMED.estimate(Side.BUY, 10, 5, 0, 0.02).impact) == np.inf
    nothing = replace(ASSUMED, commission=IBKR_US).estimate(Side.BUY, 0, 5, 1e6, 0.02)
    assert float(nothing.total) == 0
    assert np.isnan(nothing.total_bps)


def past(half_spread: float, coefficient: float, count: int, seed: int = 1, noise: float = 0.2) -> PastOrders:
    """Orders that cost what a model says, with noise in proportion to their volatility."""
    draw = np.random.default_rng(seed)
    sigma, share = draw.uniform(0.008, 0.04, count), 10 ** draw.uniform(-4, -0.5, count)
    cost = half_spread + coefficient * sigma * 1e4 * np.sqrt(share) + draw.normal(0, noise, count) * sigma * 1e4
    return PastOrders(cost, sigma, share, 20, LAST)


def test_many_orders_outweigh_the_assumption_and_the_errors_say_how_sure_that_is() -> None:
    found = fit(past(6.0, 0.4, 3000))
    assert found.fitted
    assert (found.orders, found.sessions, found.session) == (3000, 20, LAST)
    assert found.half_spread_bps == pytest.approx(6.0, abs=3 * found.half_spread_error)
    assert found.impact_coefficient == pytest.approx(0.4, abs=3 * found.impact_error)
    assert found.impact_error < ASSUMED.impact_error / 10
    assert found.note == "Fitted to 3000 orders of 20 sessions."


@pytest.mark.parametrize(("count", "sessions"), [(FEWEST_ORDERS - 1, 20), (FEWEST_ORDERS, FEWEST_SESSIONS - 1), (0, 0)])
def test_with_too_few_orders_the_assumption_stands_and_says_so(count: int, sessions: int) -> None:
    found = fit(replace(past(60.0, 4.0, count), sessions=sessions), replace(ASSUMED, commission=IBKR_US))
    assert not found.fitted
    assert (found.half_spread_bps, found.impact_coefficient) == (2.5, 1.0)
    assert f"There are {count} orders of {sessions} sessions" in found.note
    assert found.commission == IBKR_US


def test_a_few_orders_move_the_assumption_less_than_many() -> None:
    few, many = fit(past(2.5, 3.0, FEWEST_ORDERS, noise=1.0)), fit(past(2.5, 3.0, 3000, noise=1.0))
    assert 1.0 < few.impact_coefficient < many.impact_coefficient
    assert few.impact_error > many.impact_error


def test_a_wild_fill_hardly_moves_the_model() -> None:
    quiet = past(5.0, 0.5, 500)
    wild = replace(quiet, cost_bps=np.where(np.arange(500) % 50 == 0, 5_000.0, quiet.cost_bps))
    found, clean = fit(wild), fit(quiet)
    assert found.impact_coefficient == pytest.approx(clean.impact_coefficient, abs=0.1)
    assert found.half_spread_bps == pytest.approx(clean.half_spread_bps, abs=4.0)


def test_orders_without_volume_or_volatility_teach_nothing() -> None:
    known = past(5.0, 0.5, 60)
    gap = replace(known, share=np.where(np.arange(60) < 20, np.nan, known.share))
    assert fit(gap).orders == 40
    assert not fit(gap).fitted


@pytest.mark.parametrize(("half_spread", "coefficient"), [(-40.0, 1.0), (3.0, -2.0), (-40.0, -2.0)])
def test_no_parameter_is_ever_negative(half_spread: float, coefficient: float) -> None:
    found = fit(past(half_spread, coefficient, 2000))
    assert found.half_spread_bps >= 0
    assert found.impact_coefficient >= 0
    assert 0 in (found.half_spread_bps, found.impact_coefficient)


def test_a_simulator_without_noise_is_learned_as_it_is() -> None:
    found = fit(past(1.0, 0.058, 400, noise=0.0))
    assert (found.half_spread_bps, found.impact_coefficient) == pytest.approx((1.0, 0.058), abs=0.01)


def test_a_model_is_a_value_that_compares() -> None:
    assert CostModel(1.0, 1.0, 1.0, 1.0) == CostModel(1.0, 1.0, 1.0, 1.0)
