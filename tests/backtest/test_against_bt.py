"""The same weights on the same real prices through `bt`, where the assumptions of both coincide.

`bt` trades at the close that it decides on, in any fraction, and here without costs: with `delay=0` at the close and
quantities of nine decimals so does the engine. With costs they differ by intention: `bt` takes a fee out of the order
that it is of, so that less is bought; here, as in life, it comes out of the cash.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.model import History, Schedule
from scizor_dagster.instruments import Instrument
from tests.backtest.engine_cases import FINE, SAME_CLOSE, as_it_stands, run  # noqa: F401

bt = pytest.importorskip("bt", reason="bt is a dependency of the tests alone: the extra `dev` has it")
pytestmark = pytest.mark.usefixtures("as_it_stands")
NAMES, SESSIONS, CAPITAL = 30, 500, 1_000_000.0


@pytest.fixture(scope="module")
def closes(reference_data):
    bars = pd.read_parquet(reference_data / "sp500_2018_2023" / "ohlcv.parquet", columns=["date", "symbol", "close"])
    wide = bars.pivot(index="date", columns="symbol", values="close").sort_index().dropna(axis=1)
    wide.index = pd.to_datetime(wide.index)
    return wide.iloc[:SESSIONS, :: max(1, wide.shape[1] // NAMES)].iloc[:, :NAMES]


def by_bt(closes, weights):
    """Value at each close."""
    strategy = bt.Strategy("weights", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
    test = bt.Backtest(strategy, closes, initial_capital=CAPITAL, integer_positions=False, progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bt.run(test, progress_bar=False)
    return test.strategy.values.loc[closes.index].to_numpy()


@pytest.mark.parametrize("every", [1, 21], ids=["daily", "monthly"])
def test_equity_agrees_with_bt_at_every_close(closes, every):
    chance = np.random.default_rng(11)
    rows = np.arange(0, len(closes), every)
    drawn = chance.random((len(rows), closes.shape[1]))
    weights = 0.98 * drawn / drawn.sum(axis=1, keepdims=True)
    history = History(
        tuple(day.date() for day in closes.index), tuple(Instrument(name, "XNYS", "USD") for name in closes), "USD",
        "total_return", close=closes.to_numpy(dtype=float),
    )  # fmt: skip
    ours = run(history, Schedule(rows, weights), FINE, capital=CAPITAL, fills=SAME_CLOSE)
    theirs = by_bt(closes, pd.DataFrame(weights, index=closes.index[rows], columns=closes.columns))
    assert np.abs(ours.equity / theirs - 1).max() < 1e-6
    assert len(ours.trades) == pytest.approx(weights.size, rel=0.01)
