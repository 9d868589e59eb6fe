"""The same measures over windows of sessions, and the drawdowns one by one.

What belongs here: series and episodes of a curve of returns. What does not: single figures of the whole (`ratios`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from scizor_dagster.analytics.ratios import SESSIONS_A_YEAR

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = (20, 60, 252)
MEASURES = ("return", "volatility", "sharpe", "beta")


def rolling(
    returns: pd.Series[float],
    benchmark: pd.Series[float] | None = None,
    windows: tuple[int, ...] = WINDOWS,
    sessions_a_year: int = SESSIONS_A_YEAR,
) -> pd.DataFrame:
    """Return, volatility, Sharpe ratio and beta over the last so many sessions, a column each (`return_20`, ...).

    The return is of the window; volatility and Sharpe ratio are annualised as in `ratios`. NaN until a window is full,
    where a return in it is not known, and beta without a benchmark.
    """
    import numpy as np
    import pandas as pd

    year = math.sqrt(sessions_a_year)
    growth = pd.Series(np.log1p(returns.astype(float).where(returns > -1)), index=returns.index)
    columns: dict[str, pd.Series[float]] = {}
    for window in windows:
        mean, deviation = returns.rolling(window).mean(), returns.rolling(window).std()
        columns[f"return_{window}"] = np.expm1(growth.rolling(window).sum())
        columns[f"volatility_{window}"] = deviation * year
        columns[f"sharpe_{window}"] = (mean / deviation.where(deviation > 0)) * year
        columns[f"beta_{window}"] = _beta(returns, benchmark, window)
    return pd.DataFrame(columns, index=returns.index)


def _beta(returns: pd.Series[float], benchmark: pd.Series[float] | None, window: int) -> pd.Series[float]:
    if benchmark is None:
        return returns * math.nan
    variance = benchmark.rolling(window).var()
    return returns.rolling(window).cov(benchmark) / variance.where(variance > 0)


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall from a high to the next time that it is reached.

    Attributes:
        start: Session of the high: the last one before the fall.
        trough: Session of the lowest point.
        recovery: Session in which the high was reached again; None where it has not been.
        depth: As a fraction, below 0.
        sessions: From the high to the recovery, or to the last session.
    """

    start: date
    trough: date
    recovery: date | None
    depth: float
    sessions: int


def worst_drawdowns(start: date, returns: pd.Series[float], most: int = 5) -> list[Drawdown]:
    """The deepest falls of a curve, deepest first, the earlier first of equal ones.

    `start` is the close that the first return counts from; `returns` are by session. What follows a return that is not
    known is passed over.
    """
    known = returns[returns.notna().cummin()].astype(float)
    days = [start, *known.index]
    found: list[Drawdown] = []
    wealth = high = low = 1.0
    at = trough = 0
    for place, value in enumerate(known, start=1):
        wealth *= 1 + value
        if wealth >= high:
            if low < high:
                found.append(Drawdown(days[at], days[trough], days[place], low / high - 1, place - at))
            high = low = wealth
            at = trough = place
        elif wealth < low:
            low, trough = wealth, place
    if low < high:
        found.append(Drawdown(days[at], days[trough], None, low / high - 1, len(known) - at))
    return sorted(found, key=lambda one: (one.depth, one.start))[:most]
