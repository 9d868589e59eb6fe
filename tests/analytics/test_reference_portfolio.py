"""Real weights on real prices: profits by instrument link to the return that the weights alone give."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.analytics.performance import equity_curve
from scizor_dagster.analytics.profits import ProfitBook, SessionOfPortfolio, Trade
from scizor_dagster.analytics.virtual_positions import PlannedMove
from scizor_dagster.signals.arithmetic import exact_arithmetic

D = Decimal
CAPITAL = 1_000_000


@pytest.fixture(scope="module")
def data(reference_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = reference_data / "reference_weights_to_nav_2026"
    weights = pd.read_csv(folder / "daily_weights.csv", index_col=0)
    prices = pd.read_csv(folder / "yahoo_2024_2026_prices.csv", index_col=0)
    closes = prices[[name for name in prices if name.startswith("close_")]].rename(columns=lambda name: name[6:])
    for frame in (weights, closes):
        frame.index = [day.date() for day in pd.to_datetime(frame.index)]
    return weights, closes.loc[weights.index, weights.columns].ffill()


def test_the_return_of_daily_weights_is_that_of_trading_them_at_each_close_and_adding_up_profits(data) -> None:
    weights, closes = data
    priced = closes.notna().all()
    weights, closes = weights.loc[:, priced], closes.loc[:, priced]
    assert weights.shape[0] == 82
    assert weights.shape[1] >= 95
    # By the weights alone: each session earns the weights of the close before.
    earned = (weights.shift(1) * closes.pct_change()).sum(axis=1)
    expected = CAPITAL * (1 + earned).cumprod()
    book, equity, rows = ProfitBook(), D(CAPITAL), []
    for day in weights.index:
        prices = {symbol: D(repr(price)) for symbol, price in closes.loc[day].items()}
        profits = book.measured(prices)
        equity += profits.total
        with exact_arithmetic():
            assert sum(line.profit for line in profits.by_strategy.values()) == profits.total
        rows.append({"session": day, "equity": float(equity), "flows": 0.0})
        book.pass_session(SessionOfPortfolio(trades=_rebalance(book, weights.loc[day], prices, equity, day)))
    curve = equity_curve(pd.DataFrame(rows), float(CAPITAL))
    assert curve["equity"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-7)
    assert curve["cumulative_return"].iloc[-1] == pytest.approx(expected.iloc[-1] / CAPITAL - 1, abs=1e-6)


def _rebalance(
    book: ProfitBook, weights: pd.Series, prices: dict[str, Decimal], equity: Decimal, day: date
) -> list[Trade]:
    """Two strategies halve each weight, on odd days unevenly."""
    trades = []
    for symbol, weight in weights.items():
        target = (D(repr(float(weight))) * equity / prices[symbol]).quantize(D("1e-9"))
        delta = target - book.quantities().get(symbol, D(0))
        first = D("0.7") if (day - date.min) % timedelta(days=2) else D("0.5")
        move = PlannedMove(
            str(day), delta, {"one": D(repr(float(weight))) * first, "two": D(repr(float(weight))) * (1 - first)}
        )
        trades.append(Trade(symbol, delta, prices[symbol], D(0), move))
    return [trade for trade in trades if trade.qty]
