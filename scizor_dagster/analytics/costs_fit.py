"""Learning the cost model from recorded orders.

What belongs here: one robust, regularised regression. What does not: the model (`costs_model`), which orders are
looked at (`flow.costs`).

Each order's cost against its arrival price is set against half spread + Y sigma sqrt(Q / ADV). An order's noise is what
the market does while it trades and grows with its volatility, so that everything is divided by sigma first. Outliers
weigh less by Huber's function with k = 1.345 ("Robust Estimation of a Location Parameter", 1964), by iterated weights.
The assumption that is there before any order counts as two more observations, each with its standard error: a few
orders hardly move it, many of them outweigh it. Neither parameter is ever negative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from scizor_dagster.analytics.costs_model import ASSUMED, BASIS_POINTS, CostModel

Floats = npt.NDArray[np.float64]
FEWEST_ORDERS = 50
FEWEST_SESSIONS = 5
_HUBER = 1.345
_TO_SIGMA = 1.4826
"""Standard deviations per median absolute deviation of a normal distribution."""
_LEAST_NOISE = 1e-3
"""In daily volatilities: a simulator without noise must not make the assumption weigh nothing to the last digit."""
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class PastOrders:
    """What is known of orders that were sent: arrays of one length, in the orders' own sequence.

    Attributes:
        cost_bps: Cost of the fills against the arrival price, in basis points of their value.
        volatility: Standard deviation of the daily return, a fraction.
        share: Filled shares over the average daily volume.
        sessions: Number of different sessions that they are of.
        through: The last of them; None without an order.
    """

    cost_bps: Floats
    volatility: Floats
    share: Floats
    sessions: int
    through: date | None

    def usable(self) -> npt.NDArray[np.bool_]:
        known = np.isfinite(self.cost_bps) & np.isfinite(self.volatility) & np.isfinite(self.share)
        return known & (self.volatility > 0) & (self.share > 0)


def fit(past: PastOrders, assumed: CostModel = ASSUMED) -> CostModel:
    """The model that the orders speak for; `assumed` itself, and why, where they are too few."""
    usable = past.usable()
    count = int(usable.sum())
    basis = replace(assumed, orders=count, sessions=past.sessions, session=past.through)
    if count < FEWEST_ORDERS or past.sessions < FEWEST_SESSIONS:
        return replace(
            basis,
            fitted=False,
            note=f"{assumed.note} There are {count} orders of {past.sessions} sessions to learn from; "
            f"{FEWEST_ORDERS} orders of {FEWEST_SESSIONS} sessions are needed.",
        )
    sigma = past.volatility[usable] * BASIS_POINTS
    design = np.column_stack([1 / sigma, np.sqrt(past.share[usable])])
    start = np.array([assumed.half_spread_bps, assumed.impact_coefficient])
    errors = np.array([assumed.half_spread_error, assumed.impact_error])
    found, found_errors = _regress(design, past.cost_bps[usable] / sigma, start, errors)
    return replace(
        basis,
        half_spread_bps=float(found[0]),
        impact_coefficient=float(found[1]),
        half_spread_error=float(found_errors[0]),
        impact_error=float(found_errors[1]),
        fitted=True,
        note=f"Fitted to {count} orders of {past.sessions} sessions.",
    )


def _regress(design: Floats, cost: Floats, start: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Parameters and their standard errors: Huber's weights, and `start` with `errors` as what is known before."""
    known = np.diag(1 / errors**2)
    found = start
    precision = known
    for _ in range(_ROUNDS):
        residuals = cost - design @ found
        noise = max(_TO_SIGMA * float(np.median(np.abs(residuals - np.median(residuals)))), _LEAST_NOISE)
        weights = np.minimum(1.0, _HUBER * noise / np.maximum(np.abs(residuals), 1e-300)) / noise**2
        precision = design.T @ (design * weights[:, None]) + known
        moved = _not_negative(precision, design.T @ (weights * cost) + known @ start)
        done = bool(np.all(np.abs(moved - found) <= 1e-9 * (1 + np.abs(found))))
        found = moved
        if done:
            break
    return found, np.sqrt(np.diag(np.linalg.inv(precision)))


def _not_negative(precision: Floats, moment: Floats) -> Floats:
    """Minimum of the quadratic over what is not negative: the free one, or the better of those with one at zero."""
    free = np.linalg.solve(precision, moment)
    if (free >= 0).all():
        return np.asarray(free)
    edges = np.diag(np.maximum(moment / np.diag(precision), 0.0))
    return min(edges, key=lambda point: float(point @ precision @ point / 2 - moment @ point))
