"""Bought once in equal parts, and held."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.strategies.prices import Panel, Prices
from scizor_dagster.strategies.shipped.choosing import Chosen, by_symbol, chosen_closes, chosen_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BuyAndHoldParameters(Chosen):
    """As `Chosen`, and since when.

    Attributes:
        start: Weights are equal on the close of the first session from this day on; without it, of the first session
            that there are prices of. A strategy that trades states it: how much history is stored must not matter.
    """

    start: date | None = None


class BuyAndHold:
    """Equal parts bought once, and held: weights drift with prices, `w_i = g_i / sum(g)`, `g_i = P_i(t) / P_i(start)`.

    P are total-return closes (the last ones, where the session has none). What is listed only later is not bought; what
    is delisted leaves its part to the others. Between instruments nothing is traded: these are the weights that the
    holdings have anyway.
    """

    def weights(self, prices: Prices, parameters: BuyAndHoldParameters) -> dict[str, float]:
        symbols, closes = chosen_closes(prices, parameters)
        first = _first(prices.sessions, parameters.start)
        if first is None:
            return {}
        grown = _last(closes)[-1] / closes[first]
        return by_symbol(symbols, _shared(grown, parameters.invested))

    def weights_over(self, panel: Panel, rows: NDArray[Any], parameters: BuyAndHoldParameters) -> NDArray[Any]:
        first = _first(panel.sessions, parameters.start)
        if first is None:
            return np.zeros((len(rows), len(panel.symbols)))
        allowed = chosen_of(panel, parameters)[rows] & (rows >= first)[:, None]
        grown = np.where(allowed, _last(panel.adjusted)[rows] / panel.adjusted[first], np.nan)
        return _shared(grown, parameters.invested)


def _first(sessions: tuple[date, ...], start: date | None) -> int | None:
    return next((row for row, session in enumerate(sessions) if start is None or session >= start), None)


def _last(closes: NDArray[Any]) -> NDArray[Any]:
    """Each session's closes, or the last ones before it."""
    rows = np.where(np.isfinite(closes), np.arange(len(closes))[:, None], 0)
    return np.take_along_axis(closes, np.maximum.accumulate(rows, axis=0), axis=0)


def _shared(grown: NDArray[Any], invested: float) -> NDArray[Any]:
    grown = np.where(np.isfinite(grown), grown, 0.0)
    total = grown.sum(axis=-1, keepdims=True)
    return invested * grown / np.where(total > 0.0, total, 1.0)
