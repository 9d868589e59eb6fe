"""The loop of a backtest, compiled before anybody waits for it: `python -m scizor_dagster.backtest.warm`.

What belongs here: a run of two sessions. What does not: finding and keeping machine code (`planning.compiled`).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from scizor_dagster.backtest.engine import run_backtest
from scizor_dagster.backtest.model import Choices, History, Result, Schedule
from scizor_dagster.brokers.protocol import Capabilities, OrderType
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.rules import PlanningRules

BROKER = Capabilities(
    fractional=True,
    quantity_decimals=9,
    short=True,
    order_types=frozenset({OrderType.MARKET}),
    min_notional=Decimal(1),
    full_exit_below_minimum=True,
    unique_client_ids=True,
    max_client_id_length=128,
)


def warm() -> Result:
    """Run the smallest backtest: where there is a compiler, its machine code is on disk afterwards."""
    import numpy as np

    prices = np.ones((2, 1))
    history = History(
        sessions=(date(2024, 1, 2), date(2024, 1, 3)),
        instruments=(Instrument("A", "XNYS", "USD"),),
        currency="USD",
        adjustment="raw",
        open=prices,
        close=prices,
    )
    schedule = Schedule(np.array([1]), np.array([[0.5]]))
    return run_backtest(history, schedule, PlanningRules(), BROKER, Choices(capital=1_000.0))


if __name__ == "__main__":
    warm()
