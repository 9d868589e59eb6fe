"""Comparing a provider's answer with what is stored: has the source restated a series?

What belongs here: one pure comparison. What does not: what is then done (`session_bars`, `history`).

Sources that adjust their prices rewrite the past after every split (or dividend). New bars must not be
put beside old ones of another basis, so a constant factor over the overlap is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scizor_dagster.market_data.provider import PRICE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

MIN_SESSIONS = 2
_FLOAT_NOISE = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Restatement:
    """A constant factor: the provider's price per stored price, over `sessions` sessions."""

    factor: float
    sessions: int


@dataclass(frozen=True)
class Overlap:
    """`restated` by symbol, and the symbols that differ in any other way."""

    restated: dict[str, Restatement]
    differing: tuple[str, ...]


def compare(stored: pd.DataFrame, fetched: pd.DataFrame) -> Overlap:
    """Compare the sessions that both frames have.

    Prices count as equal within the rounding that they show (half of the last decimal, up to four) and
    float noise of 1e-6. Fewer than `MIN_SESSIONS` sessions prove no factor.

    Args:
        stored: Columns symbol, session, open, high, low, close; one row for each symbol and session.
        fetched: Likewise.
    """
    keys = ["symbol", "session"]
    wanted = [*keys, *PRICE_COLUMNS]
    both = stored[wanted].merge(fetched[wanted], on=keys, suffixes=("_stored", "_fetched"))
    old = both[[f"{name}_stored" for name in PRICE_COLUMNS]].to_numpy(dtype=np.float64)
    new = both[[f"{name}_fetched" for name in PRICE_COLUMNS]].to_numpy(dtype=np.float64)
    apart = np.abs(new - old) > _FLOAT_NOISE * np.abs(old)
    suspects = both["symbol"][apart.any(axis=1)].unique()
    restated: dict[str, Restatement] = {}
    differing = []
    for symbol in suspects:
        rows = (both["symbol"] == symbol).to_numpy()
        factor = _constant_factor(old[rows], new[rows])
        if factor is not None:
            restated[str(symbol)] = Restatement(factor, int(rows.sum()))
        else:
            differing.append(str(symbol))
    return Overlap(restated, tuple(sorted(differing)))


def _constant_factor(old: Floats, new: Floats) -> float | None:
    """The one factor that explains every price, if it is not 1."""
    if len(old) < MIN_SESSIONS:
        return None
    factor = float(np.median(new[:, -1] / old[:, -1]))
    slack = _half_step(new) + factor * _half_step(old)
    explained = np.abs(new - factor * old) <= slack + _FLOAT_NOISE * np.abs(new)
    unmoved = np.abs(new - old) <= slack + _FLOAT_NOISE * np.abs(new)
    return factor if explained.all() and not unmoved.all() else None


def _half_step(prices: Floats) -> float:
    """Half of the last decimal that the prices show; 0 where they show more than four."""
    for decimals in (2, 3, 4):
        if np.all(np.abs(prices - np.round(prices, decimals)) <= 1e-7 * np.abs(prices) + 1e-12):
            return float(0.5 * 10.0**-decimals)
    return 0.0
