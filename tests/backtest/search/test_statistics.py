"""Figures against over-fitting, held to the numerical examples of their papers and to what follows from them."""

import math
from itertools import combinations

import numpy as np
import pytest

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
from scizor_dagster.errors import InputError

YEAR = 250


def test_the_deflated_sharpe_ratio_is_that_of_the_example_of_its_paper():
    """Bailey and Lopez de Prado 2014, "A numerical example": 2.5 a year over 1,250 days, best of 100 trials."""
    sharpe, variance = 2.5 / math.sqrt(YEAR), 0.5 / YEAR
    assert expected_maximum_sharpe(variance, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(sharpe, variance, 100, 1250, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("trials", "skew", "kurtosis"), [(46, -3.0, 10.0), (88, 0.0, 3.0)])
def test_the_papers_other_numbers_of_trials_reach_the_same_certainty(trials: int, skew: float, kurtosis: float):
    """The same paper: 46 trials, or 88 with normal returns, would have left 95 % certainty."""
    found = deflated_sharpe(2.5 / math.sqrt(YEAR), 0.5 / YEAR, trials, 1250, skew, kurtosis)
    assert found == pytest.approx(0.9505, abs=1.5e-3)


@pytest.mark.parametrize(("skew", "kurtosis", "expected"), [(0.0, 3.0, 0.982), (-2.448, 10.164, 0.913)])
def test_the_probabilistic_sharpe_ratio_is_that_of_the_example_of_its_paper(
    skew: float, kurtosis: float, expected: float
):
    """Bailey and Lopez de Prado 2012: 24 months with a Sharpe ratio of 0.458 a month."""
    assert probabilistic_sharpe(0.458, 0.0, 24, skew, kurtosis) == pytest.approx(expected, abs=5e-4)


def test_after_the_minimum_track_record_the_probability_is_the_certainty_asked_for():
    sessions = minimum_track_record(0.1, 0.02, -0.5, 5.0, certainty=0.95)
    assert probabilistic_sharpe(0.1, 0.02, math.ceil(sessions), -0.5, 5.0) == pytest.approx(0.95, abs=1e-3)
    assert minimum_track_record(0.02, 0.1, 0.0, 3.0) == math.inf
    assert math.isnan(minimum_track_record(math.nan, 0.0, 0.0, 3.0))


def test_one_trial_deflates_nothing():
    assert expected_maximum_sharpe(0.5, 1) == 0.0
    assert deflated_sharpe(0.1, 0.5, 1, 500, 0.0, 3.0) == probabilistic_sharpe(0.1, 0.0, 500, 0.0, 3.0)


def test_the_expected_maximum_is_what_simulated_luck_reaches():
    chance = np.random.default_rng(5)
    best = chance.normal(0.0, 0.2, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(0.04, 50) == pytest.approx(best, rel=0.02)


def test_a_curve_without_movement_has_no_moments_and_no_probability():
    assert all(math.isnan(value) for value in moments(np.zeros(100)))
    assert math.isnan(probabilistic_sharpe(math.nan, 0.0, 100, math.nan, math.nan))
    assert math.isnan(probabilistic_sharpe(0.1, 0.0, 1, 0.0, 3.0))


def test_moments_are_those_of_scipy():
    from scipy import stats

    returns = np.random.default_rng(3).standard_t(5, 800) * 0.01 + 0.0005
    sharpe, skew, kurtosis = moments(returns)
    assert sharpe == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-12)
    assert skew == pytest.approx(float(stats.skew(returns)), rel=1e-9)
    assert kurtosis == pytest.approx(float(stats.kurtosis(returns, fisher=False)), rel=1e-9)


def test_copies_count_as_one_trial_and_independent_curves_each():
    chance = np.random.default_rng(11)
    one = chance.normal(0, 0.01, (2000, 1))
    assert effective_trials(np.repeat(one, 40, axis=1)) == pytest.approx(1.0)
    assert effective_trials(chance.normal(0, 0.01, (2000, 40))) == pytest.approx(40.0, rel=0.02)
    # Half of the movement of each is shared by all: the mean correlation is 0.5.
    mixed = one + chance.normal(0, 0.01, (2000, 40))
    assert effective_trials(mixed) == pytest.approx(0.5 + 0.5 * 40, rel=0.05)
    assert effective_trials(np.zeros((50, 3))) == 0.0


def test_the_mean_correlation_is_that_of_the_whole_matrix():
    returns = np.random.default_rng(2).normal(size=(300, 6)) + np.random.default_rng(3).normal(size=(300, 1))
    matrix = np.corrcoef(returns, rowvar=False)
    mean = matrix[np.triu_indices(6, 1)].mean()
    assert effective_trials(returns) == pytest.approx(mean + (1 - mean) * 6, rel=1e-9)


def test_the_best_of_noise_is_overfitted_and_a_lasting_edge_is_not():
    chance = np.random.default_rng(17)
    trials = [backtest_overfitting(chance.normal(0, 0.01, (800, 30)), 10) for _ in range(20)]
    assert 0.4 < float(np.mean(trials)) < 0.6
    noise = chance.normal(0, 0.01, (2000, 30))
    noise[:, 7] += 0.002
    assert backtest_overfitting(noise) < 0.01


def test_overfitting_is_what_the_combinations_say_one_by_one():
    """The same written as the paper says it: halves joined, ratios of each, rank, logit below zero."""
    returns = np.random.default_rng(23).normal(0.0002, 0.01, (120, 8))
    blocks = returns.reshape(6, 20, 8)
    below = []
    for places in combinations(range(6), 3):
        others = [place for place in range(6) if place not in places]
        inside, outside = (np.concatenate(blocks[list(part)]) for part in (places, others))
        best = (inside.mean(axis=0) / inside.std(axis=0)).argmax()
        ratios = outside.mean(axis=0) / outside.std(axis=0)
        omega = ((ratios < ratios[best]).sum() + 1) / 9
        below.append(math.log(omega / (1 - omega)) < 0)
    assert backtest_overfitting(returns, 6) == pytest.approx(np.mean(below), abs=1e-12)


def test_too_little_to_halve_has_no_probability_and_odd_blocks_are_refused():
    assert math.isnan(backtest_overfitting(np.random.default_rng(1).normal(size=(500, 1))))
    assert math.isnan(backtest_overfitting(np.random.default_rng(1).normal(size=(60, 5))))
    with pytest.raises(InputError, match="7 blocks"):
        backtest_overfitting(np.zeros((500, 2)), 7)


def test_the_reality_check_calls_noise_skill_about_as_often_as_it_says():
    """120 searches of noise, whose 20 sets have half of their movement in common: one in twenty is below 5 %."""
    chance = np.random.default_rng(31)
    found = [
        reality_check(chance.normal(0, 0.01, (250, 20)) + chance.normal(0, 0.01, (250, 1)), resamples=200)
        for _ in range(120)
    ]
    assert 1 <= sum(one <= 0.05 for one in found) <= 14
    assert 0.4 < float(np.mean(found)) < 0.6


def test_the_reality_check_sees_an_edge_and_says_nothing_of_nothing():
    returns = np.random.default_rng(37).normal(0, 0.01, (500, 20))
    returns[:, 4] += 0.003
    assert reality_check(returns) == pytest.approx(1 / 1001)
    assert reality_check(returns) == reality_check(returns)
    assert math.isnan(reality_check(np.zeros((500, 3))))
    assert math.isnan(reality_check(returns[:1]))


def test_a_share_of_the_market_leaves_nothing_and_what_comes_beside_it_stays():
    chance = np.random.default_rng(41)
    market = chance.normal(0.001, 0.01, 400)
    own = chance.normal(0.002, 0.01, 400)
    own -= np.cov(own, market)[0, 1] / market.var(ddof=1) * (market - market.mean())
    left = without_market(np.column_stack([0.7 * market, 0.7 * market + own]), market)
    assert np.array_equal(left[:, 0], np.zeros(400))
    assert left[:, 1] == pytest.approx(own)
    assert np.array_equal(without_market(left, np.zeros(400)), left)
