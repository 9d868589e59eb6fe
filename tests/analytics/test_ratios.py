"""Returns and ratios against figures that this project did not compute, and where there are too few sessions for them.

The figures of `reference_ffn` are those that ffn's own tests assert. Where definitions differ, it is said: ffn's CAGR
counts 365.25 calendar days a year, `annual_return` sessions, and the money-weighted return 365 days.
"""

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.analytics.money_weighted import money_weighted
from scizor_dagster.analytics.performance import equity_curve
from scizor_dagster.analytics.ratios import (
    FEWEST,
    OF_ANY,
    OF_BENCHMARK,
    OF_MANY,
    SESSIONS_A_YEAR,
    benchmark_ratios,
    ratios,
    sessions_a_year,
)
from scizor_dagster.analytics.rolling import rolling, worst_drawdowns
from scizor_dagster.sessions import TradingCalendar

NAMES = ["AAPL", "MSFT", "C"]
START = date(2024, 1, 1)


@pytest.fixture(scope="module")
def ffn(reference_data: Path) -> pd.DataFrame:
    frame = pd.read_csv(reference_data / "reference_ffn" / "test_data.csv")
    frame.index = [day.date() for day in pd.to_datetime(frame.pop("Date"), format="%m/%d/%Y")]
    return frame


@pytest.fixture(scope="module")
def expected(reference_data: Path) -> dict[tuple[str, str, str], tuple[float, int]]:
    frame = pd.read_csv(reference_data / "reference_ffn" / "expected.csv")
    return {(row.measure, row.symbol, row.window): (row.expected, row.decimals) for row in frame.itertuples()}


def returns_of(prices: pd.Series) -> pd.Series:
    return prices.pct_change().dropna()


def series(*values: float) -> pd.Series:
    return pd.Series(values, index=[START + timedelta(days=place) for place in range(1, len(values) + 1)], dtype=float)


def noise(count: int, seed: int = 1) -> pd.Series:
    return series(*np.random.default_rng(seed).normal(0.0005, 0.01, count))


@pytest.mark.parametrize("symbol", NAMES)
def test_returns_and_drawdowns_are_those_of_ffn(ffn, expected, symbol: str) -> None:
    prices = ffn[symbol]
    found = {
        "total_return": (ratios(returns_of(prices[:11]))["total_return"], "first 11 rows"),
        "max_drawdown": (ratios(returns_of(prices[:10]))["max_drawdown"], "first 10 rows"),
        "return_row2": (returns_of(prices).iloc[0], "row 2"),
        "rebased100_row10": (100 * (1 + ratios(returns_of(prices[:10]))["total_return"]), "row 10"),
    }
    for name, (value, window) in found.items():
        told, decimals = expected[name, symbol, window]
        assert round(value, decimals) == told, name
    falls = worst_drawdowns(prices.index[0], returns_of(prices[:10]))
    assert falls[0].depth == pytest.approx(ratios(returns_of(prices[:10]))["max_drawdown"])


def test_a_period_within_a_month_is_what_ffn_calls_month_to_date(ffn, expected) -> None:
    prices = ffn["AAPL"]
    inside = prices[[date(2004, 12, 10) <= day <= date(2004, 12, 25) for day in prices.index]]
    told, decimals = expected["mtd_return", "AAPL", "2004-12-10..2004-12-25"]
    assert round(ratios(returns_of(inside))["total_return"], decimals) == told


@pytest.mark.parametrize("symbol", NAMES)
def test_ten_years_compound_to_the_rate_of_ffn_by_days_and_nearly_by_sessions(ffn, expected, symbol: str) -> None:
    prices = ffn[symbol]
    told, decimals = expected["cagr", symbol, "all rows"]
    mine = money_weighted(prices.index[0], prices.iloc[0], [], prices.index[-1], prices.iloc[-1])
    # 365 days a year where ffn has 365.25.
    assert mine.annual == pytest.approx(told, abs=10**-decimals)
    assert mine.period == pytest.approx(prices.iloc[-1] / prices.iloc[0] - 1)
    assert ratios(returns_of(prices))["annual_return"] == pytest.approx(told, abs=0.002)


def test_a_loss_of_two_weeks_compounds_to_the_rate_of_ffn(ffn, expected) -> None:
    prices = ffn["AAPL"][:10]
    told, decimals = expected["cagr", "AAPL", "first 10 rows"]
    mine = money_weighted(prices.index[0], prices.iloc[0], [], prices.index[-1], prices.iloc[-1])
    assert round(mine.annual, decimals) == told
    assert math.isnan(ratios(returns_of(prices))["annual_return"])


def test_weights_by_inverse_volatility_are_those_of_ffn(ffn, expected) -> None:
    volatility = pd.Series({name: rolling(returns_of(ffn[name][:11]), windows=(10,)).iloc[-1, 1] for name in NAMES})
    weights = (1 / volatility) / (1 / volatility).sum()
    for name in NAMES:
        told, decimals = expected["inv_vol_weight", name, "first 11 rows"]
        assert round(weights[name], decimals) == told


def test_ratios_follow_their_textbook_formulas() -> None:
    returns, other = noise(300), noise(300, seed=2)
    mine, year = returns + 0.4 * other, math.sqrt(252)
    found = {**ratios(mine), **benchmark_ratios(mine, other)}
    assert set(found) == {*OF_ANY, *OF_MANY, *OF_BENCHMARK}
    downside = math.sqrt((mine.clip(upper=0) ** 2).mean())
    rate = float((1 + mine).prod()) ** (252 / 300) - 1
    beta = mine.cov(other) / other.var()
    wanted = {
        "annual_return": rate,
        "annual_volatility": mine.std() * year,
        "sharpe_ratio": mine.mean() / mine.std() * year,
        "sortino_ratio": mine.mean() / downside * year,
        "calmar_ratio": rate / abs(found["max_drawdown"]),
        "tail_ratio": mine.quantile(0.95) / abs(mine.quantile(0.05)),
        "omega_ratio": mine.clip(lower=0).sum() / -mine.clip(upper=0).sum(),
        "beta": beta,
        "alpha": (1 + (mine - beta * other).mean()) ** 252 - 1,
        "information_ratio": (mine - other).mean() / (mine - other).std() * year,
        "benchmark_return": float((1 + other).prod()) - 1,
    }
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_of_too_few_sessions_there_are_no_ratios() -> None:
    short = noise(FEWEST - 1)
    found = {**ratios(short), **benchmark_ratios(short, short)}
    known = {name for name, value in found.items() if not math.isnan(value)}
    assert known == {*OF_ANY, "benchmark_return"}
    assert not any(math.isnan(value) for value in ratios(noise(FEWEST)).values())
    assert all(math.isnan(value) for value in ratios(series()).values())
    assert all(math.isnan(value) for value in benchmark_ratios(series(0.1), series(math.nan)).values())


def test_what_divides_by_nothing_is_not_given() -> None:
    flat = ratios(series(*[0.0] * 40))
    assert (flat["total_return"], flat["annual_return"]) == (0, 0)
    assert all(math.isnan(flat[name]) for name in ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "tail_ratio"))


def test_a_year_is_that_of_the_exchange() -> None:
    assert sessions_a_year(TradingCalendar("XNYS"), 2026) == 251
    assert sessions_a_year(TradingCalendar("XASX"), 2026) == 253
    assert sessions_a_year(TradingCalendar("XNYS"), 1950) == SESSIONS_A_YEAR


def test_the_money_weighted_return_is_that_of_the_owner_s_money() -> None:
    year = timedelta(days=365)
    alone = money_weighted(START, 100.0, [], START + year, 110.0)
    assert (alone.annual, alone.period) == (pytest.approx(0.1), pytest.approx(0.1))
    # 100 for two years and 100 for one, at 10 % a year: 121 + 110.
    two = money_weighted(START, 100.0, [(START + year, 100.0)], START + 2 * year, 231.0)
    assert (two.annual, two.period) == (pytest.approx(0.1), pytest.approx(0.21))


def test_money_that_comes_before_a_fall_lowers_the_money_weighted_return_alone() -> None:
    rows = pd.DataFrame(
        {"session": [START, START + timedelta(days=182)], "equity": [1200.0, 1080.0], "flows": [100.0, 0.0]}
    )
    timed = equity_curve(rows, 1000.0)["cumulative_return"].iloc[-1]
    assert timed == pytest.approx(1.1 * 0.9 - 1)
    before = START - timedelta(days=182)
    found = money_weighted(before, 1000.0, [(START, 100.0)], rows["session"].iloc[-1], 1080.0).period
    # Modified Dietz (GIPS): the flow is there for half of the period.
    dietz = (1080 - 1000 - 100) / (1000 + 100 * 0.5)
    assert found == pytest.approx(dietz, abs=2e-4)
    assert found < timed


@pytest.mark.parametrize(
    ("value", "flows", "days", "at_end"), [(100.0, [], 0, 110.0), (0.0, [], 9, 0.0), (100.0, [], 9, 0.0)]
)
def test_no_rate_is_given_where_none_solves_it(value: float, flows: list, days: int, at_end: float) -> None:
    found = money_weighted(START, value, flows, START + timedelta(days=days), at_end)
    assert math.isnan(found.annual)
    assert math.isnan(found.period)


def test_rolling_measures_are_those_of_each_window_alone() -> None:
    returns, other = noise(40), noise(40, seed=2)
    found = rolling(returns, other, windows=(20,))
    assert found.iloc[:19].isna().all().all()
    window, beside = returns.iloc[5:25], other.iloc[5:25]
    row = found.iloc[24]
    whole = {**ratios(window), **benchmark_ratios(window, beside)}
    assert row["return_20"] == pytest.approx(whole["total_return"])
    assert row["volatility_20"] == pytest.approx(whole["annual_volatility"])
    assert row["sharpe_20"] == pytest.approx(whole["sharpe_ratio"])
    assert row["beta_20"] == pytest.approx(whole["beta"])
    assert rolling(returns, windows=(20,))["beta_20"].isna().all()


def test_drawdowns_are_named_with_high_trough_and_recovery_the_deepest_first() -> None:
    returns = series(0.1, -0.05, 0.06, -0.2, 0.1, 0.2, 0.0, -0.01)
    days = list(returns.index)
    first, second, third = worst_drawdowns(START, returns)
    assert (first.start, first.trough, first.recovery, first.sessions) == (days[2], days[3], days[5], 3)
    assert first.depth == pytest.approx(-0.2)
    assert (second.start, second.trough, second.recovery, second.depth) == (
        days[0], days[1], days[2], pytest.approx(-0.05),
    )  # fmt: skip
    assert (third.start, third.trough, third.recovery, third.sessions) == (days[6], days[7], None, 1)
    assert worst_drawdowns(START, returns, most=1) == [first]
    assert worst_drawdowns(START, series(0.1, 0.2)) == []


def test_a_fall_from_the_start_begins_there_and_ends_where_returns_are_not_known_any_more() -> None:
    (fall,) = worst_drawdowns(START, series(-0.1, -0.1, math.nan, 0.5))
    assert (fall.start, fall.trough, fall.recovery) == (START, START + timedelta(days=2), None)
    assert fall.depth == pytest.approx(-0.19)
