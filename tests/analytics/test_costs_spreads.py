"""Spreads out of daily bars: what is put into simulated bars comes out, and what real bars say is of a sane size."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.analytics.costs_spreads import (
    FEWEST,
    SESSIONS,
    abdi_ranaldo,
    corwin_schultz,
    daily_volatility,
)

STEPS = 390


def simulated(spread: float, sessions: int, seed: int, volatility: float = 0.01) -> tuple[Any, Any, Any]:
    """Bars of a random walk whose trades are half a spread above or below it, as in both papers' simulations."""
    draw = np.random.default_rng(seed)
    walk = np.cumsum(draw.normal(0, volatility / math.sqrt(STEPS), sessions * STEPS)).reshape(sessions, STEPS)
    trades = 50 * np.exp(walk) * (1 + draw.choice([-0.5, 0.5], walk.shape) * spread)
    return trades.max(axis=1), trades.min(axis=1), trades[:, -1]


@pytest.mark.parametrize("spread", [0.01, 0.03])
@pytest.mark.parametrize("estimator", [abdi_ranaldo, corwin_schultz])
def test_a_wide_spread_of_simulated_trades_is_found(estimator: Any, spread: float) -> None:
    found = estimator(*simulated(spread, 1500, seed=7))
    assert found == pytest.approx(spread, rel=0.2)


def test_a_spread_far_below_the_daily_range_is_not_made_up() -> None:
    found = [abdi_ranaldo(*simulated(0.0001, SESSIONS + 1, seed, volatility=0.02)) for seed in range(40)]
    assert sum(value is None for value in found) >= 36
    always = [corwin_schultz(*simulated(0.0001, SESSIONS + 1, seed, volatility=0.02)) for seed in range(40)]
    assert min(value for value in always if value is not None) > 0.001, "ten times what it is"


def test_a_worked_pair_of_sessions() -> None:
    """Corwin and Schultz by hand: highs 101 and 101.2, lows 99 and 99.1; the same pair over and over has one spread."""
    beta = math.log(101 / 99) ** 2 + math.log(101.2 / 99.1) ** 2
    gamma = math.log(101.2 / 99) ** 2
    k = 3 - 2 * math.sqrt(2)
    alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
    expected = 2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha))
    highs, lows = np.tile([101.0, 101.2], 20), np.tile([99.0, 99.1], 20)
    assert corwin_schultz(highs, lows, (highs + lows) / 2) == pytest.approx(expected)
    assert expected == pytest.approx(0.0170, abs=0.0005)


def test_ranges_that_do_not_move_are_all_spread() -> None:
    """Abdi and Ranaldo by hand: the range stands still, and the close is at its top or bottom, two days each."""
    close = np.tile([101.0, 101.0, 99.0, 99.0], 10)
    found = abdi_ranaldo(np.full(40, 101.0), np.full(40, 99.0), close)
    assert found == pytest.approx(math.log(101 / 99))


def test_a_night_that_lifts_the_whole_range_does_not_widen_the_spread() -> None:
    high, low, close = simulated(0.01, 400, seed=3)
    jumps = np.exp(np.where(np.arange(400) % 2, 0.05, 0.0))
    plain, jumped = corwin_schultz(high, low, close), corwin_schultz(high * jumps, low * jumps, close * jumps)
    assert plain is not None
    assert jumped is not None
    assert 0 < jumped < plain * 1.05


def test_few_bars_tell_nothing() -> None:
    short = np.linspace(50, 51, FEWEST)
    assert abdi_ranaldo(short + 1, short - 1, short) is None
    assert corwin_schultz(short + 1, short - 1, short) is None
    assert daily_volatility(short) is None


def test_volatility_is_the_deviation_of_the_daily_log_returns() -> None:
    close = 50 * np.exp(np.cumsum(np.tile([0.01, -0.01], 15)))
    assert daily_volatility(close) == pytest.approx(np.std(np.diff(np.log(close)), ddof=1))
    assert daily_volatility(close) == pytest.approx(0.01, rel=0.05)


@pytest.mark.reference_data
def test_real_spreads_are_narrow_for_large_companies_and_wide_for_small_ones(
    reference_data: Path, record_property: Any
) -> None:
    archive = zipfile.ZipFile(reference_data / "lean_raw_with_actions" / "daily" / "spy.zip")
    spy = pd.read_csv(io.BytesIO(archive.read("spy.csv")), header=None)
    windows = [spy.iloc[end - SESSIONS - 1 : end] for end in range(SESSIONS + 1, len(spy), SESSIONS)]
    found = [abdi_ranaldo(*(part[place].to_numpy(float) for place in (2, 3, 4))) for part in windows]
    noisy = [corwin_schultz(*(part[place].to_numpy(float) for place in (2, 3, 4))) for part in windows]
    unknown = sum(value is None for value in found) / len(found)
    record_property("spy_windows_without_an_estimate", round(unknown, 3))
    record_property("spy_corwin_schultz_bps", round(float(np.median([v for v in noisy if v is not None])) * 1e4, 1))
    assert unknown > 0.95, "its spread is a basis point, and nobody can see that in daily bars"

    table = pd.read_parquet(reference_data / "asx_2024_2026" / "ohlcv.parquet").rename(columns=str.lower)
    table = table[(table["volume"] > 0) & table[["high", "low", "close"]].notna().all(axis=1)]
    rows = []
    for _, bars in table.groupby("symbol"):
        last = bars.tail(SESSIONS + 1)
        prices = [last[name].to_numpy() for name in ("high", "low", "close")]
        rows.append(((last["volume"] * last["close"]).median(), abdi_ranaldo(*prices)))
    spreads = pd.DataFrame(rows, columns=["value", "spread"]).dropna().astype(float)
    halves = spreads.groupby(spreads["value"] > spreads["value"].median())["spread"].median() * 1e4
    rank = spreads["value"].corr(spreads["spread"], method="spearman")
    record_property("asx_spread_bps_of_small_and_large", [round(float(value), 1) for value in halves])
    record_property("asx_rank_correlation_with_traded_value", round(float(rank), 2))
    assert rank < -0.5
    assert 150 < halves[False] < 1000
    assert 30 < halves[True] < 200
