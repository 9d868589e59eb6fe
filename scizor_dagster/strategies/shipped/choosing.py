"""What several shipped strategies do alike: which columns they choose from, and equal weights of the chosen.

What belongs here: parts without a rule of their own. What does not: the rules (the modules beside this one), and
covariances (`covariance`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from scizor_dagster.strategies.prices import Panel, Prices, columns_of
from scizor_dagster.strategies.protocol import Invested, Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

Names = Annotated[int, Field(ge=1, le=10_000)]


class Chosen(Parameters):
    """Parameters of a strategy that trades some of the market's symbols.

    Attributes:
        symbols: Those that it trades; empty for all that are listed.
        invested: Share of equity that the weights of a full portfolio sum to.
    """

    symbols: tuple[str, ...] = ()
    invested: Invested = 1.0


def chosen_closes(prices: Prices, parameters: Chosen) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The symbols that the strategy trades, and T x n total-return closes of them."""
    columns = columns_of(prices.symbols, parameters.symbols)
    return tuple(prices.symbols[column] for column in columns), prices.closes()[:, columns]


def chosen_of(panel: Panel, parameters: Chosen) -> NDArray[Any]:
    """T x N: which instruments the strategy may hold."""
    mask = np.zeros(len(panel.symbols), dtype=bool)
    mask[columns_of(panel.symbols, parameters.symbols)] = True
    allowed: NDArray[Any] = panel.listed & mask
    return allowed


def evenly(held: NDArray[Any], invested: float) -> NDArray[Any]:
    """Rows of weights that share `invested` among the columns that are held; zeros where none is."""
    counts = held.sum(axis=-1, keepdims=True)
    weights: NDArray[Any] = np.where(held, invested / np.maximum(counts, 1), 0.0)
    return weights


def strongest(scores: NDArray[Any], names: int) -> NDArray[Any]:
    """R x N: the `names` highest scores of each row; NaN is none, and of equal scores the first column counts."""
    order = np.argsort(np.where(np.isnan(scores), np.inf, -scores), axis=1, kind="stable")
    taken = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(taken, order[:, :names], True, axis=1)
    chosen: NDArray[Any] = taken & ~np.isnan(scores)
    return chosen


def by_symbol(symbols: tuple[str, ...], weights: NDArray[Any]) -> dict[str, float]:
    """Weights of one decision, without zeros."""
    return {symbol: float(weight) for symbol, weight in zip(symbols, weights, strict=True) if weight}
