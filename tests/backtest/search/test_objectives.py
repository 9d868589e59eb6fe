"""Figures of many curves at once are those of each curve alone."""

import math

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.analytics.ratios import OF_CURVES, ratios, ratios_of_curves
from scizor_dagster.backtest.search.objectives import Objective, best_of, returns_of, scores_of


def curves(seed: int, sessions: int = 300) -> np.ndarray:
    chance = np.random.default_rng(seed)
    returns = chance.normal(0.0003, 0.012, (sessions, 6))
    returns[:, 3] = 0.0
    returns[:, 4] = np.abs(returns[:, 4])
    return returns


@pytest.mark.parametrize("sessions", [300, 20, 19, 1, 0])
@pytest.mark.parametrize("year", [252, 253])
def test_ratios_of_many_curves_are_those_of_each_alone(sessions: int, year: int):
    returns = curves(1, sessions)
    found = ratios_of_curves(returns, year)
    assert set(found) == set(OF_CURVES)
    for place in range(returns.shape[1]):
        alone = ratios(pd.Series(returns[:, place], dtype=float), year)
        for name in OF_CURVES:
            assert found[name][place] == pytest.approx(alone[name], rel=1e-12, nan_ok=True), (name, place)


def test_returns_begin_with_the_capital_and_end_with_the_last_of_the_money():
    equity = np.array([[110.0, 100.0], [99.0, 50.0], [99.0, -10.0], [120.0, 30.0]])
    found = returns_of(equity, 100.0)
    assert found[:, 0] == pytest.approx([0.1, -0.1, 0.0, 120 / 99 - 1])
    assert found[:, 1] == pytest.approx([0.0, -0.5, -1.0, 0.0])


def test_every_objective_has_a_score_of_each_curve_and_idle_cash_has_no_ratio():
    returns = curves(2)
    for objective in Objective:
        assert len(scores_of(returns, objective)) == 6
    assert math.isnan(scores_of(returns, Objective.SHARPE)[3])
    assert scores_of(returns, Objective.EQUITY)[3] == 0.0


def test_the_best_is_the_first_of_the_largest_known_scores():
    assert best_of(np.array([math.nan, 2.0, 3.0, 3.0])) == 2
    assert best_of(np.array([math.nan])) is None
    assert best_of(np.array([])) is None
