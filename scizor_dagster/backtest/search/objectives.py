"""What a search maximises, of many curves of equity at once.

What belongs here: the names of objectives and returns from equity. What does not: how the figures are defined
(`analytics.ratios`).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.ratios import SESSIONS_A_YEAR, ratios_of_curves

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Objective(StrEnum):
    """More is better of each."""

    SHARPE = "sharpe"
    SORTINO = "sortino"
    CAGR = "cagr"
    CALMAR = "calmar"
    EQUITY = "equity"

    @property
    def ratio(self) -> str:
        """Its name among `analytics.ratios`; equity at the end is ranked by what was gained."""
        return _RATIOS[self]


_RATIOS = {
    Objective.SHARPE: "sharpe_ratio",
    Objective.SORTINO: "sortino_ratio",
    Objective.CAGR: "annual_return",
    Objective.CALMAR: "calmar_ratio",
    Objective.EQUITY: "total_return",
}


def returns_of(equity: NDArray[Any], capital: float) -> NDArray[Any]:
    """Returns (T x K) of curves of equity (T x K), the first against the capital.

    A curve that has lost everything has nothing to return from then on: the session that took the last is -1, all after
    it are 0.
    """
    import numpy as np

    before = np.vstack([np.full((1, equity.shape[1]), capital), equity[:-1]])
    lost = np.logical_or.accumulate(equity <= 0.0, axis=0)
    with np.errstate(all="ignore"):
        returns: NDArray[Any] = equity / before - 1.0
    returns[lost] = 0.0
    first = lost & ~np.vstack([np.zeros((1, equity.shape[1]), dtype=bool), lost[:-1]])
    returns[first] = -1.0
    return returns


def scores_of(returns: NDArray[Any], objective: Objective, sessions_a_year: int = SESSIONS_A_YEAR) -> NDArray[Any]:
    """The objective of each of K curves of returns (T x K); NaN where it is not defined, as of cash that lies idle."""
    scores: NDArray[Any] = ratios_of_curves(returns, sessions_a_year)[objective.ratio]
    return scores


def best_of(scores: NDArray[Any]) -> int | None:
    """Place of the largest score, the first of equal ones; None where none is known."""
    import numpy as np

    known = np.where(np.isnan(scores), -math.inf, scores)
    place = int(known.argmax()) if len(known) else 0
    return place if len(known) and known[place] > -math.inf else None
