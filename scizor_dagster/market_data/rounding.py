"""How exactly prices are given.

What belongs here: the last decimal that a column of prices shows. What does not: comparing prices (`overlap`,
`adjusted_closes`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def half_step(prices: NDArray[np.float64]) -> float:
    """Half of the last decimal that the prices show; 0 where they show more than four."""
    for decimals in (2, 3, 4):
        if np.all(np.abs(prices - np.round(prices, decimals)) <= 1e-7 * np.abs(prices) + 1e-12):
            return float(0.5 * 10.0**-decimals)
    return 0.0
