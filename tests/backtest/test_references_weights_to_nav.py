"""Daily weights and rebalance weights of 2026 to a net asset value, each stated model against plain NumPy."""

import csv

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.model import FillAt, Fills, History, Schedule
from scizor_dagster.instruments import Instrument
from tests.backtest.engine_cases import AT_CLOSE, FINE, SAME_CLOSE, as_it_stands, run  # noqa: F401

pytestmark = pytest.mark.usefixtures("as_it_stands")
CAPITAL = 1_000_000.0


@pytest.fixture(scope="module")
def market(reference_data):
    """Adjusted closes of 2025-12-31 to 2026-04-30 of everything that has a weight, and the folder."""
    folder = reference_data / "reference_weights_to_nav_2026"
    prices = pd.read_csv(folder / "yahoo_2024_2026_prices.csv", index_col=0, parse_dates=True)
    closes = prices[[name for name in prices if name.startswith("close_")]].rename(columns=lambda name: name[6:])
    closes = closes.loc["2025-12-31":"2026-04-30"]
    closes = closes[sorted(name for name in closes if closes[name].notna().all())]
    history = History(
        tuple(day.date() for day in closes.index), tuple(Instrument(name, "XNAS", "USD") for name in closes), "USD",
        "total_return", close=closes.to_numpy(dtype=float),
    )  # fmt: skip
    return history, folder


def columns_of(history):
    return {instrument.symbol: place for place, instrument in enumerate(history.instruments)}


def daily_of(history, folder):
    """Row of each day's weights in the history, and the weights."""
    frame = pd.read_csv(folder / "daily_weights.csv", index_col=0, parse_dates=True)
    rows = [history.sessions.index(day.date()) for day in frame.index]
    places, weights = columns_of(history), np.zeros((len(frame), len(history.instruments)))
    for name in frame:
        if name in places:
            weights[:, places[name]] = frame[name]
        else:
            assert frame[name].max() == 0, name
    return np.array(rows), weights


def rebalances_of(history, folder, strategy, dated):
    places, found = columns_of(history), {}
    for line in csv.DictReader((folder / "rebalance_weights.csv").open()):
        if line["strategy"] == strategy:
            row = history.sessions.index(pd.Timestamp(line[dated]).date())
            found.setdefault(row, np.zeros(len(places)))[places[line["tic"]]] = float(line["weight"])
    return np.array(sorted(found)), np.array([found[row] for row in sorted(found)])


def held_between(closes, rows, weights):
    """Plain: at the close of each of `rows` all is turned into its weights, and held until the next."""
    value, cash, shares = np.full(len(closes), CAPITAL), CAPITAL, np.zeros(closes.shape[1])
    planned = dict(zip(rows.tolist(), weights, strict=True))
    for row, price in enumerate(closes):
        value[row] = cash + shares @ price
        if row in planned:
            shares = planned[row] * value[row] / price
            cash = value[row] - shares @ price
    return value


def close_to_close(closes, rows, weights, lag):
    """Plain: weights of a day earn the return from its close to the next (lag 1), or that of the day itself (lag 0)."""
    returns = closes[1:] / closes[:-1] - 1
    grown = np.ones(len(closes))
    for row, weight in zip(rows.tolist(), weights, strict=True):
        into = row + lag
        if 0 < into < len(closes):
            grown[into] = 1 + returns[into - 1] @ weight
    return CAPITAL * np.cumprod(grown)


@pytest.mark.parametrize(
    ("lag", "shift", "fills"),
    [(1, 0, SAME_CLOSE), (0, -1, SAME_CLOSE), (1, 0, AT_CLOSE)],
    ids=["next day's return", "same day's return", "fill one close after the plan"],
)
def test_daily_weights_make_the_nav_of_their_stated_model(market, lag, shift, fills):
    """Weights dated t, without costs, in fractions, without a buffer. `delay=0` at the close of t: they earn the return
    of t+1. The same one session earlier: they earn the return of t itself, which is known only after the fact.
    `delay=1` at the close of t: quantities are sized on the close of t-1 and filled at that of t."""
    history, folder = market
    rows, weights = daily_of(history, folder)
    result = run(history, Schedule(rows + shift, weights), FINE, capital=CAPITAL, fills=fills)
    if fills.delay == 0:
        expected = close_to_close(history.close, rows, weights, lag)
        assert np.abs(result.equity / expected - 1).max() < 1e-9
        assert np.abs(result.equity / held_between(history.close, rows + shift, weights) - 1).max() < 1e-9
    else:
        assert np.abs(result.equity / lagged(history.close, rows, weights) - 1).max() < 1e-9


def lagged(closes, rows, weights):
    """Plain: sized at the close before, filled at the close of the row; purchases scaled to the cash there is."""
    value, cash, shares = np.full(len(closes), CAPITAL), CAPITAL, np.zeros(closes.shape[1])
    planned = dict(zip(rows.tolist(), weights, strict=True))
    for row, price in enumerate(closes):
        if row in planned:
            trades = planned[row] * value[row - 1] / closes[row - 1] - shares
            cash -= np.minimum(trades, 0) @ price
            needed = np.maximum(trades, 0) @ closes[row - 1]
            trades = np.where(trades > 0, trades * min(1.0, max(cash, 0.0) / needed), trades)
            cash -= np.maximum(trades, 0) @ price
            shares = shares + trades
        value[row] = cash + shares @ price
    return value


@pytest.mark.parametrize("dated", ["signal_date", "rebalance_date"])
@pytest.mark.parametrize("strategy", ["FinRL only", "Integrated AI Strategy", "FinRL + FinGPT", "FinRL + FinRobot"])
def test_rebalance_weights_make_the_nav_of_buying_at_the_close_of_their_date_and_holding(market, strategy, dated):
    """Weights are traded at the close of their signal date, or of their rebalance date, and held in between without
    costs, in fractions, without a buffer."""
    history, folder = market
    rows, weights = rebalances_of(history, folder, strategy, dated)
    assert len(rows) == 4
    result = run(history, Schedule(rows, weights), FINE, capital=CAPITAL, fills=Fills(FillAt.CLOSE, delay=0))
    assert np.abs(result.equity / held_between(history.close, rows, weights) - 1).max() < 1e-9
