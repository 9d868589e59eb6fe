"""Ratios of a series of returns, by their names in `empyrical`.

What belongs here: which ratios there are, how they are annualised, and where there are too few sessions for them.
What does not: the returns (`performance`), and the same over windows (`rolling`).

A year is a number of sessions of the exchange. Rates without risk are taken as 0: Sharpe and Sortino are of the plain
returns, and Sortino's downside is below 0. Standard deviations divide by n - 1. `annual_return` is the compound rate;
Sharpe and Sortino divide the mean return, not that rate, as `empyrical` does (others divide the rate).
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scizor_dagster.sessions import TradingCalendar

SESSIONS_A_YEAR = 252
FEWEST = 20
"""Returns that an annualised figure needs; of fewer it would be noise, and is NaN."""
_YEARS = 10

OF_ANY = ("total_return", "max_drawdown", "best_session", "worst_session", "positive_sessions")
OF_MANY = (
    "annual_return", "annual_volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "tail_ratio",
    "downside_risk", "value_at_risk", "conditional_value_at_risk", "stability",
)  # fmt: skip
OF_CURVES = ("sharpe_ratio", "sortino_ratio", "annual_return", "calmar_ratio", "total_return", "max_drawdown")
"""Those that `ratios_of_curves` gives."""
OF_BENCHMARK = ("alpha", "beta", "correlation", "information_ratio", "tracking_error", "benchmark_return")


def ratios(returns: pd.Series[float], sessions_a_year: int = SESSIONS_A_YEAR) -> dict[str, float]:
    """Figures of `OF_ANY` and `OF_MANY` by name, as fractions; NaN where they are not defined.

    `returns` are of successive sessions; NaN among them is left out. Below `FEWEST`, those of `OF_MANY` are NaN.
    """
    import empyrical

    known = returns.dropna().astype(float)
    found = dict.fromkeys((*OF_ANY, *OF_MANY), math.nan)
    if known.empty:
        return found
    found |= {
        "total_return": empyrical.cum_returns_final(known),
        "max_drawdown": empyrical.max_drawdown(known),
        "best_session": known.max(),
        "worst_session": known.min(),
        "positive_sessions": float((known > 0).mean()),
    }
    if len(known) >= FEWEST:
        year = {"annualization": sessions_a_year}
        with warnings.catch_warnings():
            # A series without a loss divides by zero; what comes of it is NaN below.
            warnings.simplefilter("ignore", RuntimeWarning)
            found |= {
                "annual_return": empyrical.annual_return(known, **year),
                "annual_volatility": empyrical.annual_volatility(known, **year),
                "sharpe_ratio": empyrical.sharpe_ratio(known, **year),
                "sortino_ratio": empyrical.sortino_ratio(known, **year),
                "calmar_ratio": empyrical.calmar_ratio(known, **year),
                "omega_ratio": empyrical.omega_ratio(known, **year),
                "tail_ratio": empyrical.tail_ratio(known),
                "downside_risk": empyrical.downside_risk(known, **year),
                "value_at_risk": empyrical.value_at_risk(known),
                "conditional_value_at_risk": empyrical.conditional_value_at_risk(known),
                "stability": empyrical.stability_of_timeseries(known),
            }
    return _finite(found)


def ratios_of_curves(returns: NDArray[Any], sessions_a_year: int = SESSIONS_A_YEAR) -> dict[str, NDArray[Any]]:
    """Figures of `OF_CURVES` of many curves at once, one place per curve: what `ratios` gives of each of them.

    `returns` (T x K, finite) are of successive sessions.
    """
    import empyrical
    import numpy as np

    size, count = returns.shape
    if not size:
        return {name: np.full(count, math.nan) for name in OF_CURVES}
    found = {
        "total_return": empyrical.cum_returns_final(returns),
        "max_drawdown": empyrical.max_drawdown(returns),
    }
    if size >= FEWEST:
        year = {"annualization": sessions_a_year}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            annual, depth = empyrical.annual_return(returns, **year), found["max_drawdown"]
            found |= {
                "annual_return": annual,
                "sharpe_ratio": empyrical.sharpe_ratio(returns, **year),
                "sortino_ratio": empyrical.sortino_ratio(returns, **year),
                # The library's own is of one curve: the rate over the depth, where there is a depth.
                "calmar_ratio": np.where(depth < 0.0, annual / np.abs(depth), math.nan),
            }
    nothing = np.full(count, math.nan)
    known = {name: np.asarray(found.get(name, nothing), dtype=float) for name in OF_CURVES}
    return {name: np.where(np.isfinite(values), values, math.nan) for name, values in known.items()}


def benchmark_ratios(
    returns: pd.Series[float], benchmark: pd.Series[float], sessions_a_year: int = SESSIONS_A_YEAR
) -> dict[str, float]:
    """Figures of `OF_BENCHMARK` by name, over the sessions of which both returns are known (same index)."""
    import empyrical
    import pandas as pd

    both = pd.DataFrame({"mine": returns, "benchmark": benchmark}).dropna().astype(float)
    mine, other = both["mine"], both["benchmark"]
    found = dict.fromkeys(OF_BENCHMARK, math.nan)
    if not both.empty:
        found["benchmark_return"] = empyrical.cum_returns_final(other)
    if len(both) >= FEWEST:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found |= {
                "alpha": empyrical.alpha(mine, other, annualization=sessions_a_year),
                "beta": empyrical.beta(mine, other),
                "correlation": mine.corr(other),
                "information_ratio": empyrical.excess_sharpe(mine, other) * math.sqrt(sessions_a_year),
                "tracking_error": float((mine - other).std()) * math.sqrt(sessions_a_year),
            }
    return _finite(found)


def sessions_a_year(calendar: TradingCalendar, year: int) -> int:
    """Sessions in a year of the exchange: the mean over the ten whole years before `year`, rounded.

    `SESSIONS_A_YEAR` where the calendar does not know them.
    """
    from datetime import date

    first, last = date(year - _YEARS, 1, 1), date(year - 1, 12, 31)
    if first < calendar.first or last > calendar.last:
        return SESSIONS_A_YEAR
    return round(len(calendar.sessions(first, last)) / _YEARS)


def _finite(found: dict[str, float]) -> dict[str, float]:
    return {name: float(value) if math.isfinite(value) else math.nan for name, value in found.items()}
