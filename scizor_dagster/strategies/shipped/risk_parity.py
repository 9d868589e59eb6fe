"""Every instrument contributes the same risk."""

from __future__ import annotations

from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.shipped.choosing import by_symbol
from scizor_dagster.strategies.shipped.covariance import CovarianceParameters, equal_risk, estimated


def weights(prices: Prices, parameters: CovarianceParameters) -> dict[str, float]:
    """Every instrument contributes the same risk: `w_i (C w)_i` is equal for all, w > 0, and sum(w) = 1.

    Maillard, Roncalli, Teiletche, "The Properties of Equally Weighted Risk Contribution Portfolios", Journal of
    Portfolio Management 36 (2010), in Spinu's convex form (`covariance.equal_risk`); C is the covariance of the last
    `lookback` daily total returns, shrunk as Ledoit and Wolf do (`covariance.shrunk_covariance`).
    """
    symbols, covariance = estimated(prices, parameters)
    return by_symbol(symbols, parameters.invested * equal_risk(covariance)) if symbols else {}
