"""The bid-ask spread out of daily bars, for instruments whose quotes nobody has recorded.

What belongs here: two published estimators and the choice between what they say. What does not: which bars (`flow`).

- Abdi and Ranaldo, "A Simple Estimation of Bid-Ask Spreads from Daily Close, High, and Low Prices", Review of Financial
  Studies 30 (2017), equation 11: with c the log close and m the mean of log high and log low,
  spread^2 = 4 E[(c_t - m_t)(c_t - m_{t+1})]. This is the one that is used.
- Corwin and Schultz, "A Simple Way to Estimate Bid-Ask Spreads from Daily High and Low Prices", Journal of Finance 67
  (2012), equations 14 and 18, with their correction for moves overnight and negative days as zero. It stands beside
  the other one for comparison: where spreads are narrow, zeroing its negative days makes it several times too wide.

Both say a fraction of the price, of the whole spread. For an instrument whose spread is much smaller than its daily
range either is noise: a square that is not twice its own standard error above zero is no estimate, and none is made up.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SESSIONS = 60
FEWEST = 20
"""Pairs of bars below which nothing is estimated."""
_CERTAIN = 2.0
"""Standard errors by which a mean square must be above zero to be told from noise."""
_K = 3 - 2 * math.sqrt(2)


def abdi_ranaldo(high: Floats, low: Floats, close: Floats) -> float | None:
    """The spread as a fraction of the price; None with fewer than 20 pairs of bars, or where it is lost in the noise.

    Args:
        high: Per session, oldest first, all in the units of one session.
        low: Like `high`.
        close: Like `high`.
    """
    if len(close) - 1 < FEWEST:
        return None
    middle = (np.log(high) + np.log(low)) / 2
    last = np.log(close)
    squares = 4 * (last[:-1] - middle[:-1]) * (last[:-1] - middle[1:])
    square, error = float(np.mean(squares)), float(np.std(squares, ddof=1)) / math.sqrt(len(squares))
    return math.sqrt(square) if square > 0 and square >= _CERTAIN * error else None


def corwin_schultz(high: Floats, low: Floats, close: Floats) -> float | None:
    """The spread as a fraction of the price, the mean over pairs of sessions; None with fewer than 20 pairs.

    Args:
        high: Per session, oldest first, all in the units of one session.
        low: Like `high`.
        close: Like `high`; it tells by how much the next session was moved as a whole overnight.
    """
    if len(close) - 1 < FEWEST:
        return None
    # A night that lifts the whole next range above the close (or below it) is taken out of that range.
    moved = np.maximum(low[1:] - close[:-1], 0) + np.minimum(high[1:] - close[:-1], 0)
    next_high, next_low = high[1:] - moved, low[1:] - moved
    beta = np.log(high[:-1] / low[:-1]) ** 2 + np.log(next_high / next_low) ** 2
    gamma = np.log(np.maximum(high[:-1], next_high) / np.minimum(low[:-1], next_low)) ** 2
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / _K - np.sqrt(gamma / _K)
    return float(np.mean(np.maximum(2 * np.tanh(alpha / 2), 0)))


def daily_volatility(close: Floats) -> float | None:
    """Standard deviation of the log returns from close to close, as a fraction; None with fewer than 20 of them."""
    if len(close) - 1 < FEWEST:
        return None
    return float(np.std(np.diff(np.log(close)), ddof=1))
