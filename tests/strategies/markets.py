"""Small random markets: prices that wander, with gaps, listings, splits, dividends and a delisting."""

from datetime import date
from decimal import Decimal

import numpy as np

from scizor_dagster.backtest.model import Action, ActionKind, History
from scizor_dagster.instruments import Instrument
from scizor_dagster.sessions import TradingCalendar

CALENDAR = TradingCalendar("XNYS")


def instrument(symbol):
    return Instrument(symbol, "XNAS", "USD", symbol, Decimal(1), Decimal("0.01"), True, True, True)


def random_history(seed, sessions=90, names=6, *, strange=True, first=date(2024, 1, 2)):
    """A raw history; a strange one has every kind of action, an instrument that is listed late, and missing bars."""
    random = np.random.default_rng(seed)
    days = CALENDAR.sessions(first, date(2026, 1, 1))[:sessions]
    steps = random.normal(0.0004, 0.02, (sessions, names))
    close = 50.0 * np.exp(np.cumsum(steps, axis=0))
    actions = []
    if strange:
        close[: sessions // 3, 1] = np.nan
        close[random.random((sessions, names)) < 0.02] = np.nan
        close[sessions // 2 :, 2] /= 4
        actions = [
            Action(ActionKind.SPLIT, sessions // 2, 2, 4.0),
            Action(ActionKind.DIVIDEND, sessions // 4, 0, 1.5),
            Action(ActionKind.DIVIDEND, sessions // 2, 2, 0.2),
            Action(ActionKind.DELISTING, 3 * sessions // 4, 3, float("nan")),
        ]
        close[3 * sessions // 4 :, 3] = np.nan
        actions.sort(key=lambda item: item.row)
    symbols = [f"S{index:02d}" for index in range(names)]
    return History(
        sessions=tuple(days),
        instruments=tuple(map(instrument, symbols)),
        currency="USD",
        adjustment="raw",
        close=close,
        open=close * 0.99,
        actions=tuple(actions),
    )


def history_of(closes, *, actions=(), adjustment="raw", first=date(2024, 1, 2)):
    """A history of these closes by symbol, one list each."""
    days = CALENDAR.sessions(first, date(2026, 1, 1))[: len(next(iter(closes.values())))]
    close = np.column_stack([np.asarray(values, dtype=float) for values in closes.values()])
    return History(tuple(days), tuple(map(instrument, closes)), "USD", adjustment, close, actions=tuple(actions))
