"""What the best of a search is worth: figures against luck, and the sentence that they amount to.

What belongs here: figures of one search and words about them. What does not: their formulas (`statistics`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scizor_dagster.analytics.report.formats import counted
from scizor_dagster.backtest.search.search import Plan, Trials, best_trial
from scizor_dagster.backtest.search.statistics import (
    backtest_overfitting,
    deflated_sharpe,
    effective_trials,
    expected_maximum_sharpe,
    minimum_track_record,
    moments,
    probabilistic_sharpe,
    reality_check,
    without_market,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scizor_dagster.backtest.search.trials import Trial

CERTAIN = 0.95
"""Probability from which on skill is taken for granted."""
COIN = 0.5
"""Probability of over-fitting from which on the choice of a set is no better than drawing one."""


@dataclass(frozen=True, slots=True)
class Luck:
    """One of many curves of returns, and what luck alone would have reached. Sharpe ratios are annualised.

    Attributes:
        trials: Curves that move; `effective` as how many independent ones they count.
        sharpe: Of the one.
        lucky: The Sharpe ratio to expect of the best of as many curves without any skill.
        probabilistic: Probability that the one has a Sharpe ratio above 0, had it been the only trial.
        deflated: The same above `lucky`: the deflated Sharpe ratio.
        chance: Probability that the best of all these curves has so high a Sharpe ratio though none has any skill, by
            White's reality check.
        track_record: Sessions after which the one would be above `lucky` with certainty; infinite where it never is.
    """

    trials: int
    effective: float
    sharpe: float
    lucky: float
    probabilistic: float
    deflated: float
    chance: float
    track_record: float

    @property
    def is_luck(self) -> bool:
        """Whether luck would do as much; also where nothing moves, of which nothing is known."""
        return not (self.deflated >= CERTAIN and self.chance <= 1.0 - CERTAIN)

    def words(self) -> str:
        return (
            f"the best of {counted(self.trials, 'set')}, which {'count' if self.trials != 1 else 'counts'} as "
            f"{self.effective:.1f} independent ones, would reach a "
            f"Sharpe ratio of {self.lucky:.2f} without any skill; this one has {self.sharpe:.2f}, and is more with a "
            f"probability of {self.deflated:.1%} (deflated Sharpe ratio; {CERTAIN:.0%} is asked for). Without skill, "
            f"one of them would reach as much with a probability of {self.chance:.1%} (reality check; at most "
            f"{1 - CERTAIN:.0%} is asked for)."
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best of a search, and what it is worth.

    Attributes:
        score: The objective of the best.
        sessions: That were measured.
        own: Its returns against luck.
        beside: The same of what it earns beside its share of the market; None where that was not asked for.
        overfitting: Probability that what is best in one half of time is in the lower half of the rest; NaN where there
            is too little to say.
    """

    best: Trial
    score: float
    sessions: int
    own: Luck
    beside: Luck | None
    overfitting: float

    @property
    def is_luck(self) -> bool:
        """Whether the best is no better than luck."""
        return self.own.is_luck

    @property
    def is_market(self) -> bool:
        """Whether it is better than luck, but not beside its share of what holding all instruments earned."""
        return not self.is_luck and self.beside is not None and self.beside.is_luck

    @property
    def choice_is_luck(self) -> bool:
        """Whether which of the sets is best is luck."""
        return self.overfitting >= COIN

    def sentences(self) -> list[str]:
        """What a person should know before trading the best."""
        if math.isnan(self.own.deflated):
            return ["Too little moves to tell skill from luck."]
        if self.is_luck:
            said = [f"NO BETTER THAN LUCK: {self.own.words()}"]
        elif self.is_market:
            assert self.beside is not None
            said = [
                "NO BETTER THAN THE MARKET: what it earned came with holding these instruments at all. Beside its "
                f"share of what all of them in equal parts earned, {self.beside.words()}"
            ]
        else:
            said = [f"Better than luck: {self.own.words()}"]
            said += [] if self.beside is None else [f"Beside its share of the market as well: {self.beside.words()}"]
        if math.isnan(self.overfitting):
            return said
        part = f"what is best in one half of time is in the lower half of the rest with {self.overfitting:.0%}"
        if self.choice_is_luck:
            said.append(f"Which set is best is luck: {part} (probability of backtest over-fitting).")
        else:
            said.append(f"Probability of backtest over-fitting {self.overfitting:.0%}: {part}.")
        return said


def verdict_of(found: Trials, plan: Plan, market: NDArray[Any] | None = None) -> Verdict | None:
    """Judge the best of a search over the sessions after its warm-up; None where no trial has a score.

    `market` (T) are the returns of holding all instruments, which the best is compared with; see `Problem.market`.
    """
    best = best_trial(found, plan)
    if best is None:
        return None
    trial, score = best
    returns = found.returns()[plan.warm_up :]
    place = next(number for number, other in enumerate(found.done()) if other is trial)
    own = _luck(returns, place, plan.sessions_a_year)
    beside = None
    if market is not None:
        beside = _luck(without_market(returns, market[plan.warm_up :]), place, plan.sessions_a_year)
    return Verdict(
        best=trial,
        score=score,
        sessions=len(returns),
        own=own,
        beside=beside,
        overfitting=backtest_overfitting(returns),
    )


def _luck(returns: NDArray[Any], place: int, year: int) -> Luck:
    """The curve at this place among others (T x K) against what luck would reach."""
    import numpy as np

    figures = [moments(returns[:, column])[0] for column in range(returns.shape[1])]
    sharpes = np.array([figure for figure in figures if not math.isnan(figure)])
    sharpe, skew, kurtosis = moments(returns[:, place])
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    effective = effective_trials(returns)
    lucky, size = expected_maximum_sharpe(variance, effective), len(returns)
    return Luck(
        trials=len(sharpes),
        effective=effective,
        sharpe=sharpe * math.sqrt(year),
        lucky=lucky * math.sqrt(year),
        probabilistic=probabilistic_sharpe(sharpe, 0.0, size, skew, kurtosis),
        deflated=deflated_sharpe(sharpe, variance, effective, size, skew, kurtosis),
        chance=reality_check(returns),
        track_record=minimum_track_record(sharpe, lucky, skew, kurtosis, CERTAIN),
    )
