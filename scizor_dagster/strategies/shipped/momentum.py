"""The strongest instruments of the past year, without its last month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import model_validator

from scizor_dagster.strategies.prices import Panel, Prices
from scizor_dagster.strategies.protocol import Sessions
from scizor_dagster.strategies.shipped.choosing import (
    Chosen,
    Names,
    by_symbol,
    chosen_closes,
    chosen_of,
    evenly,
    strongest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MomentumParameters(Chosen):
    """As `Chosen`, and what is ranked.

    Attributes:
        lookback: Sessions back that the return begins.
        skip: Sessions back that it ends; fewer than `lookback`.
        top: Instruments that are held.
        rising_only: Whether an instrument must have risen to be held; what is missing from `top` is cash.
    """

    lookback: Sessions = 252
    skip: int = 21
    top: Names = 20
    rising_only: bool = False

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> MomentumParameters:
        if not 0 <= self.skip < self.lookback:
            raise ValueError(f"'skip' must be 0 or more and less than 'lookback' ({self.lookback})")
        return self

    def window(self) -> int | None:
        return self.lookback + 1


class Momentum:
    """The instruments with the highest past return, in equal parts: `m_i = P_i(t - skip) / P_i(t - lookback) - 1`.

    P are total-return closes. Jegadeesh, Titman, "Returns to Buying Winners and Selling Losers", Journal of Finance 48
    (1993); the defaults are the usual twelve months without the last one. Each of the `top` gets `invested / top` where
    only rising ones are held, else the same share of what is invested. Without a close in all three of the sessions t,
    t - skip and t - lookback an instrument is not ranked.
    """

    def weights(self, prices: Prices, parameters: MomentumParameters) -> dict[str, float]:
        symbols, closes = chosen_closes(prices, parameters)
        if len(prices) <= parameters.lookback:
            return {}
        scores = closes[-1 - parameters.skip] / closes[-1 - parameters.lookback] - 1.0
        return by_symbol(symbols, _weights(np.where(np.isfinite(closes[-1]), scores, np.nan)[None], parameters)[0])

    def weights_over(self, panel: Panel, rows: NDArray[Any], parameters: MomentumParameters) -> NDArray[Any]:
        enough = rows >= parameters.lookback
        before = panel.adjusted[np.maximum(rows - parameters.lookback, 0)]
        scores = panel.adjusted[np.maximum(rows - parameters.skip, 0)] / before - 1.0
        ranked = chosen_of(panel, parameters)[rows] & np.isfinite(panel.adjusted[rows]) & enough[:, None]
        return _weights(np.where(ranked, scores, np.nan), parameters)


def _weights(scores: NDArray[Any], parameters: MomentumParameters) -> NDArray[Any]:
    # Restated closes differ in their last digits with the session that they are restated for, and would break ties.
    scores = np.round(scores, 12)
    if not parameters.rising_only:
        return evenly(strongest(scores, parameters.top), parameters.invested)
    held = strongest(np.where(scores > 0.0, scores, np.nan), parameters.top)
    return np.where(held, parameters.invested / parameters.top, 0.0)
