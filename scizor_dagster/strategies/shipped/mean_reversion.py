"""Instruments that are far below their own mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from scizor_dagster.strategies.prices import Panel, Prices
from scizor_dagster.strategies.shipped.choosing import Chosen, Names, by_symbol, chosen_closes, chosen_of, strongest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 1e-10
"""A standard deviation below that, relative to the mean, is rounding: the price has not moved."""


class ReversionParameters(Chosen):
    """As `Chosen`, and what counts as far.

    Attributes:
        lookback: Sessions of mean and standard deviation.
        entry: Standard deviations below the mean from which on an instrument is held.
        top: Instruments that are held at most; each has `invested / top`.
    """

    lookback: Annotated[int, Field(ge=2, le=5000)] = 20
    entry: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    top: Names = 10

    def window(self) -> int | None:
        return self.lookback


class MeanReversion:
    """Instruments far below their mean: `z_i = (P_i(t) - mean_i) / s_i`, held while `z_i <= -entry`.

    Mean and sample standard deviation are of the last `lookback` total-return closes, the last one included: Bollinger,
    "Bollinger on Bollinger Bands" (2002), the band of `entry` standard deviations (there with the population's). The
    `top` lowest are held, and what is missing from them stays in cash. An instrument with a missing close, or a
    price that has not moved, has no z.
    """

    def weights(self, prices: Prices, parameters: ReversionParameters) -> dict[str, float]:
        symbols, closes = chosen_closes(prices, parameters)
        if len(prices) < parameters.lookback:
            return {}
        return by_symbol(symbols, _weights(_scores(closes[-parameters.lookback :])[None], parameters)[0])

    def weights_over(self, panel: Panel, rows: NDArray[Any], parameters: ReversionParameters) -> NDArray[Any]:
        scores = np.full((len(rows), len(panel.symbols)), np.nan)
        for place, row in enumerate(rows):
            if row + 1 >= parameters.lookback:
                scores[place] = _scores(panel.adjusted[row + 1 - parameters.lookback : row + 1])
        return _weights(np.where(chosen_of(panel, parameters)[rows], scores, np.nan), parameters)


def _scores(closes: NDArray[Any]) -> NDArray[Any]:
    # Against the last close, so that the units of a price do not matter to the last digit.
    closes = closes / closes[-1]
    mean, deviation = closes.mean(axis=0), closes.std(axis=0, ddof=1)
    moved = deviation > _LEAST * np.abs(mean)
    return np.where(moved, (closes[-1] - mean) / np.where(moved, deviation, 1.0), np.nan)


def _weights(scores: NDArray[Any], parameters: ReversionParameters) -> NDArray[Any]:
    scores = np.round(scores, 9)
    low = np.where(scores <= -parameters.entry, -scores, np.nan)
    return np.where(strongest(low, parameters.top), parameters.invested / parameters.top, 0.0)
