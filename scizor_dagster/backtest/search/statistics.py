"""How much of a search's best result is luck: what is known about the best of many tries.

What belongs here: figures of curves of returns, with their papers. What does not: words about them (`verdicts`), and
the figures that a search maximises (`analytics.ratios`).

Sharpe ratios are per session here, not annualised. Kurtosis is that of the normal distribution at 3.
"""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EULER = 0.5772156649015329
"""The Euler-Mascheroni constant."""
BLOCKS = 16
"""Of sessions, of which half are chosen: 12,870 ways to do so."""
FEWEST_IN_BLOCK = 5
RESAMPLES = 1000
_NORMAL = NormalDist()
_AT_ONCE = 512


def probabilistic_sharpe(sharpe: float, against: float, sessions: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above `against`, where `sharpe` was seen over so many sessions.

    Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012, equation 6. NaN where
    it is not defined.
    """
    spread = _spread(sharpe, skew, kurtosis)
    if not spread > 0.0 or sessions < 2 or math.isnan(against):
        return math.nan
    return _NORMAL.cdf((sharpe - against) * math.sqrt(sessions - 1) / math.sqrt(spread))


def expected_maximum_sharpe(variance: float, trials: float) -> float:
    """The Sharpe ratio to expect of the best of so many independent trials of which none has any skill.

    Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014, equation 1,
    with a mean of 0. `variance` is that of the trials' Sharpe ratios. 0 for a single trial.
    """
    if trials <= 1.0 or not variance > 0.0:
        return 0.0
    largest = (1.0 - EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    largest += EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * max(largest, 0.0)


def deflated_sharpe(
    sharpe: float, variance: float, trials: float, sessions: int, skew: float, kurtosis: float
) -> float:
    """Probability that the best of so many trials has skill: its Sharpe ratio against that of the luckiest without.

    Equation 2 of the paper of `expected_maximum_sharpe`.
    """
    return probabilistic_sharpe(sharpe, expected_maximum_sharpe(variance, trials), sessions, skew, kurtosis)


def minimum_track_record(sharpe: float, against: float, skew: float, kurtosis: float, certainty: float = 0.95) -> float:
    """Sessions after which a Sharpe ratio is above `against` with this certainty; infinite where it is not above it.

    Equation 11 of the paper of `probabilistic_sharpe`.
    """
    spread = _spread(sharpe, skew, kurtosis)
    if math.isnan(sharpe) or math.isnan(against) or not spread > 0.0:
        return math.nan
    if sharpe <= against:
        return math.inf
    return 1.0 + spread * (_NORMAL.inv_cdf(certainty) / (sharpe - against)) ** 2


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of an estimated Sharpe ratio, times the sessions less one."""
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2


def moments(returns: NDArray[Any]) -> tuple[float, float, float]:
    """Sharpe ratio, skew and kurtosis of returns (T, finite); NaN for a series without any movement.

    The deviation divides by n - 1 in the Sharpe ratio, as in `analytics.ratios`, and by n in the others.
    """
    size = len(returns)
    mean = float(returns.mean()) if size else math.nan
    offsets = returns - mean
    variance = float((offsets**2).mean()) if size else math.nan
    # A curve without trades is constant but for the noise of binary numbers.
    if size < 3 or not variance > 1e-30:
        return math.nan, math.nan, math.nan
    skew = float((offsets**3).mean()) / variance**1.5
    kurtosis = float((offsets**4).mean()) / variance**2
    return mean / math.sqrt(variance * size / (size - 1)), skew, kurtosis


def without_market(returns: NDArray[Any], market: NDArray[Any]) -> NDArray[Any]:
    """What K curves of returns (T x K) earn beside their share of the market's (T): r - b m, with b by least squares.

    Not their residuals: what a regression calls alpha stays in.
    """
    import numpy as np

    offsets = market - market.mean()
    spread = float((offsets**2).sum())
    if not spread > 0.0:
        return returns
    share = offsets @ (returns - returns.mean(axis=0)) / spread
    left: NDArray[Any] = returns - np.outer(market, share)
    # A curve that is the market leaves nothing but the noise of binary numbers.
    left[:, left.std(axis=0) <= 1e-9 * returns.std(axis=0)] = 0.0
    return left


def effective_trials(returns: NDArray[Any]) -> float:
    """As how many independent trials K curves of returns (T x K, finite) count: between 1 and K.

    The mean correlation r of all pairs interpolates between one trial and all of them, r + (1 - r) K: appendix 3 of the
    paper of `expected_maximum_sharpe`. A negative mean counts as none. Curves without movement are no trial.
    """
    import numpy as np

    deviation = returns.std(axis=0)
    moving = deviation > 1e-15
    count = int(moving.sum())
    if count < 2:
        return float(count)
    standard = (returns[:, moving] - returns[:, moving].mean(axis=0)) / deviation[moving]
    # The sum of all entries of the correlation matrix, without the matrix.
    total = float((standard.sum(axis=1) ** 2).mean())
    mean = min(max((total - count) / (count * (count - 1)), 0.0), 1.0)
    return float(np.float64(mean + (1.0 - mean) * count))


def backtest_overfitting(returns: NDArray[Any], blocks: int = BLOCKS) -> float:
    """Probability that the best of K curves of returns (T x K, finite) in one half of time is in the lower half after.

    Combinatorially symmetric cross-validation: Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest
    Overfitting", Journal of Computational Finance 20(4), 2017, with the Sharpe ratio. Each way to choose half of the
    blocks of sessions is a training set, and the rest its test. A rank in the very middle counts half. NaN for fewer
    than two curves that move, and for fewer than `FEWEST_IN_BLOCK` sessions in a block.

    Raises:
        InputError: the blocks are not an even number, or fewer than two.
    """
    import numpy as np

    if blocks < 2 or blocks % 2:
        raise InputError(f"{blocks} blocks cannot be halved.", remedy="Use an even number of blocks, 16 for example.")
    moving = returns[:, returns.std(axis=0) > 1e-15]
    size, count = len(moving) // blocks, moving.shape[1]
    if count < 2 or size < FEWEST_IN_BLOCK:
        return math.nan
    kept = moving[len(moving) - size * blocks :].reshape(blocks, size, count)
    sums, squares = kept.sum(axis=1), (kept**2).sum(axis=1)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, places in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(places)] = 1.0
    below, half = 0.0, size * blocks // 2
    # So many ways at a time: their figures of a thousand curves would be 100 MB each at once.
    for start in range(0, len(chosen), _AT_ONCE):
        ways = chosen[start : start + _AT_ONCE]
        inside = _sharpe_of_sums(ways @ sums, ways @ squares, half)
        outside = _sharpe_of_sums((1.0 - ways) @ sums, (1.0 - ways) @ squares, half)
        best = inside.argmax(axis=1)
        reached = outside[np.arange(len(ways)), best][:, None]
        rank = (outside < reached).sum(axis=1) + 0.5 * ((outside == reached).sum(axis=1) - 1)
        share = rank / (count - 1)
        below += float((share < 0.5).sum() + 0.5 * (share == 0.5).sum())
    return below / len(chosen)


def reality_check(returns: NDArray[Any], resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Probability that the best of K curves of returns (T x K, finite) has so high a Sharpe ratio if all means are 0.

    The curves are centred, blocks of successive sessions are drawn at random, the same for all of them, and the largest
    Sharpe ratio of each draw is held against the one that was seen: White, "A Reality Check for Data Snooping",
    Econometrica 68(5), 2000, with blocks (of the cube root of T sessions) because returns depend on those before. What
    the curves have in common needs no assumption here. NaN where nothing moves, or for fewer than two blocks.
    """
    import numpy as np

    moving = returns[:, returns.std(axis=0) > 1e-15]
    size = max(1, round(len(moving) ** (1.0 / 3.0)))
    blocks = len(moving) // size
    if blocks < 2 or not moving.shape[1]:
        return math.nan
    kept = moving[len(moving) - size * blocks :]
    sessions = len(kept)
    best = float(_sharpe_of_sums(kept.sum(axis=0), (kept**2).sum(axis=0), sessions).max())
    centred = (kept - kept.mean(axis=0)).reshape(blocks, size, -1)
    sums, squares = centred.sum(axis=1), (centred**2).sum(axis=1)
    chance, reached = np.random.default_rng(seed), 0
    for start in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - start)
        drawn = chance.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=count).astype(float)
        largest = _sharpe_of_sums(drawn @ sums, drawn @ squares, sessions).max(axis=1)
        reached += int((largest >= best).sum())
    return (1 + reached) / (1 + resamples)


def _sharpe_of_sums(sums: NDArray[Any], squares: NDArray[Any], sessions: int) -> NDArray[Any]:
    """Sharpe ratios of sums of returns and of their squares; where nothing moves it is 0, as of holding cash."""
    import numpy as np

    mean = sums / sessions
    variance = np.maximum(squares / sessions - mean**2, 0.0)
    deviation = np.sqrt(variance)
    still = deviation <= 1e-12
    ratio: NDArray[Any] = np.where(still, 0.0, mean / np.where(still, 1.0, deviation))
    return ratio
