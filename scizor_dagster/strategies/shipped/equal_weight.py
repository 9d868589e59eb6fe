"""The same weight for every instrument that is listed and has a close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.strategies.prices import Panel, Prices
from scizor_dagster.strategies.shipped.choosing import Chosen, by_symbol, chosen_closes, chosen_of, evenly

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EqualWeightParameters(Chosen):
    """As `Chosen`."""

    def window(self) -> int | None:
        return 1


class EqualWeight:
    """The same weight for every instrument: `w_i = invested / n` for the n with a close in the last session.

    DeMiguel, Garlappi, Uppal, "Optimal Versus Naive Diversification", Review of Financial Studies 22 (2009), the
    strategy "1/N".
    """

    def weights(self, prices: Prices, parameters: EqualWeightParameters) -> dict[str, float]:
        symbols, closes = chosen_closes(prices, parameters)
        return by_symbol(symbols, evenly(np.isfinite(closes[-1]), parameters.invested))

    def weights_over(self, panel: Panel, rows: NDArray[Any], parameters: EqualWeightParameters) -> NDArray[Any]:
        held = chosen_of(panel, parameters)[rows] & np.isfinite(panel.adjusted[rows])
        return evenly(held, parameters.invested)
