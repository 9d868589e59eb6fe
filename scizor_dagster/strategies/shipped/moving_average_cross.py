"""Each instrument is held while its short average is above its long one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import model_validator

from scizor_dagster.strategies.prices import Panel, Prices
from scizor_dagster.strategies.protocol import Sessions
from scizor_dagster.strategies.shipped.choosing import Chosen, by_symbol, chosen_closes, chosen_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROOM = 1e-12
"""Averages closer than that, relative, are equal: constant prices do not cross."""


class CrossParameters(Chosen):
    """As `Chosen`, and the lengths of both averages in sessions."""

    fast: Sessions = 50
    slow: Sessions = 200

    @model_validator(mode="after")
    def _fast_is_shorter(self) -> CrossParameters:
        if self.fast >= self.slow:
            raise ValueError(f"'fast' must be less than 'slow' ({self.slow})")
        return self

    def window(self) -> int | None:
        return self.slow


class MovingAverageCross:
    """Each instrument is held while the mean of its last `fast` closes is above that of its last `slow`.

    Closes are total-return ones. Brock, Lakonishok, LeBaron, "Simple Technical Trading Rules and the Stochastic
    Properties of Stock Returns", Journal of Finance 47 (1992), the variable-length rule without a band. Each of the n
    instruments with a close in every session of the long average has `invested / n`; those below theirs stay in cash.
    """

    def weights(self, prices: Prices, parameters: CrossParameters) -> dict[str, float]:
        symbols, closes = chosen_closes(prices, parameters)
        if len(prices) < parameters.slow:
            return {}
        slow, fast = closes[-parameters.slow :].mean(axis=0), closes[-parameters.fast :].mean(axis=0)
        return by_symbol(symbols, _weights(fast, slow, parameters.invested))

    def weights_over(self, panel: Panel, rows: NDArray[Any], parameters: CrossParameters) -> NDArray[Any]:
        found = np.zeros((len(rows), len(panel.symbols)))
        allowed = chosen_of(panel, parameters)
        for place, row in enumerate(rows):
            if row + 1 >= parameters.slow:
                closes = panel.adjusted[row + 1 - parameters.slow : row + 1]
                slow = np.where(allowed[row], closes.mean(axis=0), np.nan)
                found[place] = _weights(closes[-parameters.fast :].mean(axis=0), slow, parameters.invested)
        return found


def _weights(fast: NDArray[Any], slow: NDArray[Any], invested: float) -> NDArray[Any]:
    known = np.isfinite(slow)
    above = known & (fast > slow * (1.0 + _ROOM))
    return np.where(above, invested / max(int(known.sum()), 1), 0.0)
