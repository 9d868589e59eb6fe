"""Covariances of returns, shrunk, and the two long-only portfolios that are made of them.

What belongs here: arithmetic on matrices. What does not: which returns they are of (`minimum_variance`, `risk_parity`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from scizor_dagster.errors import DataError
from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.shipped.choosing import Chosen, chosen_closes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 200_000
_CLOSE = 1e-10
_MOVED = 1e-10
"""A return that varies by less than that is rounding: the price has not moved."""


class CovarianceParameters(Chosen):
    """As `Chosen`, and `lookback`: returns that the covariance is estimated from."""

    lookback: Annotated[int, Field(ge=2, le=5000)] = 252

    def window(self) -> int | None:
        return self.lookback + 1


def estimated(prices: Prices, parameters: CovarianceParameters) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Symbols with a return in every one of the last `lookback` sessions, and their shrunk covariance.

    A price that has not moved at all is no riskless asset but one that did not trade: it is left out. Empty where the
    history is shorter, or nothing is left.
    """
    symbols, closes = chosen_closes(prices, parameters)
    if len(prices) <= parameters.lookback:
        return (), np.zeros((0, 0))
    returns = closes[-parameters.lookback :] / closes[-parameters.lookback - 1 : -1] - 1.0
    kept = np.flatnonzero(np.isfinite(returns).all(axis=0))
    kept = kept[returns[:, kept].std(axis=0) > _MOVED]
    return tuple(symbols[column] for column in kept), shrunk_covariance(returns[:, kept])


def shrunk_covariance(returns: NDArray[Any]) -> NDArray[Any]:
    """Covariance of T x N returns, shrunk towards a multiple of the identity as far as the sample says.

    Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
    Analysis 88 (2004), lemmas 3.2 to 3.4, of returns less their means; `d2`, `b2` and `mu` are named as there. S is the
    sample's (divided by T), and the answer is `b2/d2 mu I + (1 - b2/d2) S`.
    """
    count, names = returns.shape
    if not names:
        return np.zeros((0, 0))
    centred = returns - returns.mean(axis=0)
    sample = centred.T @ centred / count
    mu = float(np.trace(sample)) / names
    d2 = float(((sample - mu * np.eye(names)) ** 2).sum()) / names
    # The sum over t of |x_t x_t' - S|^2 is that of |x_t|^4, less T |S|^2.
    spread = float(((centred**2).sum(axis=1) ** 2).sum()) / count - float((sample**2).sum())
    b2 = min(d2, max(spread, 0.0) / count / names)
    share = b2 / d2 if d2 > 0.0 else 0.0
    shrunk: NDArray[Any] = share * mu * np.eye(names) + (1.0 - share) * sample
    return shrunk


def least_variance(covariance: NDArray[Any], most: float = 1.0) -> NDArray[Any]:
    """Weights that minimise `w' C w` with sum 1 and `0 <= w <= most`, to a relative accuracy of 1e-10.

    Sequential minimal optimisation, in each step along the pair that violates the optimality conditions most (Keerthi
    et al., Neural Computation 13, 2001): exact for a positive definite C, and without a matrix to invert.

    Raises:
        DataError: the bounds leave no solution, or it is not reached.
    """
    names = len(covariance)
    if names * most < 1.0 - 1e-12:
        raise DataError(
            f"{names} instruments with at most {most:g} each cannot sum to 1.",
            remedy="Raise max_weight, or choose more symbols.",
        )
    weights = np.full(names, 1.0 / names)
    scaled = covariance / np.diag(covariance).mean()
    slope, diagonal = scaled @ weights, np.diag(scaled)
    for _ in range(_STEPS):
        up = int(np.argmin(np.where(weights < most, slope, np.inf)))
        down = int(np.argmax(np.where(weights > 0.0, slope, -np.inf)))
        gap = float(slope[down] - slope[up])
        if gap <= _CLOSE * max(float(weights @ slope), 1e-300):
            found: NDArray[Any] = weights / weights.sum()
            return found
        curve = float(diagonal[up] + diagonal[down] - 2.0 * scaled[up, down])
        room = min(float(weights[down]), most - float(weights[up]))
        step = min(gap / curve, room) if curve > 0.0 else room
        weights[up], weights[down] = weights[up] + step, weights[down] - step
        slope += step * (scaled[:, up] - scaled[:, down])
    raise _not_reached("minimum variance")


def equal_risk(covariance: NDArray[Any]) -> NDArray[Any]:
    """Weights above 0 with sum 1 of which each contributes the same risk: `w_i (C w)_i` is equal for all.

    The minimum of `x' C x / 2 - sum(log x_i) / N`, which is convex (Spinu, "An Algorithm for Computing Risk Parity
    Weights", 2013), scaled to sum 1; found by cyclical coordinate descent (Griveau-Billion, Richard, Roncalli, "A Fast
    Algorithm for Computing High-dimensional Risk Parity Portfolios", 2013).

    Raises:
        DataError: it is not reached: C is not positive definite.
    """
    names = len(covariance)
    scaled = covariance / np.diag(covariance).mean()
    budget = 1.0 / names
    found = np.sqrt(budget / np.diag(scaled))
    for _ in range(_STEPS // max(names, 20)):
        for index in range(names):
            own = scaled[index, index]
            others = float(scaled[index] @ found) - own * found[index]
            found[index] = (-others + np.sqrt(others * others + 4.0 * own * budget)) / (2.0 * own)
        if np.abs(found * (scaled @ found) - budget).max() <= _CLOSE * budget:
            weights: NDArray[Any] = found / found.sum()
            return weights
    raise _not_reached("equal risk")


def _not_reached(what: str) -> DataError:
    return DataError(
        f"The weights of {what} were not found: the covariance is close to singular.",
        remedy="Use a longer lookback or fewer symbols.",
    )
