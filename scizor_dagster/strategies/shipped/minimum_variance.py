"""The long-only portfolio with the least variance."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.shipped.choosing import by_symbol
from scizor_dagster.strategies.shipped.covariance import CovarianceParameters, estimated, least_variance


class MinimumVarianceParameters(CovarianceParameters):
    """As `CovarianceParameters`, and `max_weight`: the largest share of what is invested that one instrument has."""

    max_weight: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0


def weights(prices: Prices, parameters: MinimumVarianceParameters) -> dict[str, float]:
    """The long-only portfolio with the least variance: `w' C w` is least for sum(w) = 1 and `0 <= w <= max_weight`.

    Markowitz, "Portfolio Selection", Journal of Finance 7 (1952), without expected returns; C is the covariance of the
    last `lookback` daily total returns, shrunk as Ledoit and Wolf do (`covariance.shrunk_covariance`).
    """
    symbols, covariance = estimated(prices, parameters)
    if not symbols:
        return {}
    return by_symbol(symbols, parameters.invested * least_variance(covariance, parameters.max_weight))
