"""The run that compiles the loop of backtests before anybody waits for it."""

from scizor_dagster.backtest.warm import warm
from tests.backtest.engine_cases import as_it_stands  # noqa: F401


def test_the_smallest_backtest_trades_what_its_weight_says(as_it_stands):  # noqa: F811
    (trade,) = warm().trades
    assert trade["count"] == 500 * 10**9
