"""What the best of a search is worth: figures against luck, and the sentence that they amount to.

What belongs here: figures of one search and words about them. What does not: their formulas (`statistics`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
)

if TYPE_CHECKING:
    from scizor_dagster.backtest.search.trials import Trial

CERTAIN = 0.95
"""Probability from which on skill is taken for granted."""
COIN = 0.5
"""Probability of over-fitting from which on the choice of a set is no better than drawing one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best of a search, and what luck alone would have reached. Sharpe ratios are annualised.

    Attributes:
        score: The objective of the best.
        trials: Sets with a curve that moves; `effective` as how many independent ones they count.
        sharpe: Of the best.
        lucky: The Sharpe ratio to expect of the best of as many trials without any skill.
        probabilistic: Probability that the best has a Sharpe ratio above 0, had it been the only trial.
        deflated: The same above `lucky`: the deflated Sharpe ratio.
        chance: Probability that the best of all these curves has so high a Sharpe ratio though none has any skill, by
            White's reality check.
        overfitting: Probability that what is best in one half of time is in the lower half of the rest; NaN where there
            is too little to say.
        track_record: Sessions after which the best would be above `lucky` with certainty; infinite where it never is.
        sessions: That were measured.
        is_luck: Whether the best is no better than luck.
        choice_is_luck: Whether which of the sets is best is luck.
    """

    best: Trial
    score: float
    trials: int
    effective: float
    sharpe: float
    lucky: float
    probabilistic: float
    deflated: float
    chance: float
    overfitting: float
    track_record: float
    sessions: int

    @property
    def is_luck(self) -> bool:
        return not (self.deflated >= CERTAIN and self.chance <= 1.0 - CERTAIN)

    @property
    def choice_is_luck(self) -> bool:
        return self.overfitting >= COIN

    def sentences(self) -> list[str]:
        """What a person should know before trading the best."""
        said = []
        if math.isnan(self.deflated):
            said.append("Too little moves to tell skill from luck.")
        else:
            said.append(
                f"{'NO BETTER THAN LUCK' if self.is_luck else 'Better than luck'}: the best of {self.trials} sets, "
                f"which count as {self.effective:.1f} independent ones, would reach a Sharpe ratio of "
                f"{self.lucky:.2f} without any skill; this one has {self.sharpe:.2f}, and is more with a probability "
                f"of {self.deflated:.1%} (deflated Sharpe ratio; {CERTAIN:.0%} is asked for). Without skill, one of "
                f"them would reach as much with a probability of {self.chance:.1%} (reality check; at most "
                f"{1 - CERTAIN:.0%} is asked for)."
            )
        if math.isnan(self.overfitting):
            return said
        part = f"what is best in one half of time is in the lower half of the rest with {self.overfitting:.0%}"
        if self.choice_is_luck:
            said.append(f"Which set is best is luck: {part} (probability of backtest over-fitting).")
        else:
            said.append(f"Probability of backtest over-fitting {self.overfitting:.0%}: {part}.")
        return said


def verdict_of(found: Trials, plan: Plan) -> Verdict | None:
    """Judge the best of a search over the sessions after its warm-up; None where no trial has a score."""
    import numpy as np

    best = best_trial(found, plan)
    if best is None:
        return None
    trial, score = best
    returns = found.returns()[plan.warm_up :]
    figures = [moments(returns[:, place])[0] for place in range(returns.shape[1])]
    sharpes = np.array([figure for figure in figures if not math.isnan(figure)])
    sharpe, skew, kurtosis = moments(found.returns([trial])[plan.warm_up :, 0])
    sessions, effective = len(returns), effective_trials(returns)
    variance = float(sharpes.var(ddof=1)) if len(sharpes) > 1 else 0.0
    lucky, year = expected_maximum_sharpe(variance, effective), math.sqrt(plan.sessions_a_year)
    return Verdict(
        best=trial,
        score=score,
        trials=len(sharpes),
        effective=effective,
        sharpe=sharpe * year,
        lucky=lucky * year,
        probabilistic=probabilistic_sharpe(sharpe, 0.0, sessions, skew, kurtosis),
        deflated=deflated_sharpe(sharpe, variance, effective, sessions, skew, kurtosis),
        chance=reality_check(returns),
        overfitting=backtest_overfitting(returns),
        track_record=minimum_track_record(sharpe, lucky, skew, kurtosis, CERTAIN),
        sessions=sessions,
    )
