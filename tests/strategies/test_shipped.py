"""The shipped strategies: against their formulas computed otherwise, known properties, and data that is no good."""

from datetime import date

import numpy as np
import pytest
from scipy.optimize import minimize

from scizor_dagster.backtest.model import Action, ActionKind
from scizor_dagster.errors import ConfigError, DataError, InputError, SignalRefused
from scizor_dagster.strategies.deciding import decide, weights_at, weights_over
from scizor_dagster.strategies.prices import AsOf
from scizor_dagster.strategies.registry import SHIPPED, Registry
from scizor_dagster.strategies.shipped.covariance import equal_risk, least_variance, shrunk_covariance
from tests.strategies.markets import history_of, random_history

SHORT = {
    "buy_and_hold": {},
    "equal_weight": {"invested": 0.9},
    "mean_reversion": {"lookback": 10, "entry": 0.7, "top": 3},
    "minimum_variance": {"lookback": 15},
    "momentum": {"lookback": 20, "skip": 3, "top": 2},
    "moving_average_cross": {"fast": 4, "slow": 12},
    "risk_parity": {"lookback": 15},
}


def strategy(name, **parameters):
    return Registry().find(name).configured(SHORT.get(name, {}) | parameters)


def decided(name, history, row, **parameters):
    chosen = strategy(name, **parameters)
    return decide(chosen, AsOf(history).at(row, chosen.window))


def test_every_shipped_strategy_is_tried_here():
    assert set(SHORT) | {"file_weights"} == set(SHIPPED)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["buy_and_hold", "equal_weight", "mean_reversion", "momentum", "moving_average_cross"])
def test_the_vectorised_form_agrees_with_the_one_that_sees_one_close_at_a_time(name, seed):
    history, rows = random_history(seed), list(range(88))
    chosen = strategy(name)
    matrix = weights_over(chosen, history, rows)
    for row, weights in zip(rows, weights_at(chosen, history, rows), strict=True):
        named = {
            item.symbol: matrix[row, index] for index, item in enumerate(history.instruments) if matrix[row, index]
        }
        assert named == pytest.approx(weights, abs=2e-12), row


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_finite_long_and_no_more_than_all_and_every_strategy_invests(name, seed):
    made = weights_at(strategy(name), random_history(seed), range(0, 88, 3))
    for weights in made:
        assert all(0.0 < weight <= 1.0 for weight in weights.values())
        assert sum(weights.values()) <= 1.0 + 1e-9
    assert sum(map(len, made)) > 20


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize(
    "closes",
    [
        {"A": [5.0] * 40},
        {"A": [5.0] * 40, "B": [7.0] * 40},
        {"A": [np.nan] * 40},
        {"A": [np.nan] * 39 + [4.0], "B": [np.nan, 1.0] * 20},
        {"A": [3.0, 4.0]},
    ],
)
def test_data_that_is_no_good_gives_cash_or_weights_that_are_finite(name, closes):
    history = history_of(closes)
    for weights in weights_at(strategy(name), history, range(len(history.sessions))):
        assert all(np.isfinite(weight) and weight > 0 for weight in weights.values())
        assert sum(weights.values()) <= 1.0 + 1e-9


@pytest.mark.parametrize("name", sorted(set(SHORT) - {"buy_and_hold", "equal_weight"}))
def test_a_history_that_is_too_short_or_does_not_move_gives_cash(name):
    assert decided(name, history_of({"A": [3.0, 4.0], "B": [3.0, 3.5]}), 1) == {}
    if name != "momentum":
        assert decided(name, history_of({"A": [5.0] * 40, "B": [7.0] * 40}), 39) == {}


def test_equal_weights_are_of_what_is_listed_and_has_a_close():
    history = history_of({"A": [1.0, 1.0], "B": [2.0, np.nan], "C": [3.0, 3.0]})
    assert decided("equal_weight", history, 1) == {"A": 0.45, "C": 0.45}
    assert decided("equal_weight", history, 0, symbols=["C", "X"]) == {"C": 0.9}


def test_bought_weights_drift_as_the_holdings_do():
    """1 in each: 10 shares of A at 0.1 and 2 of B at 0.5; B pays nothing, splits, and doubles."""
    history = history_of({"A": [0.1, 0.2, 0.3], "B": [0.5, 0.25, 0.5]}, actions=[Action(ActionKind.SPLIT, 1, 1, 2.0)])
    assert decided("buy_and_hold", history, 0) == {"A": 0.5, "B": 0.5}
    assert decided("buy_and_hold", history, 1) == pytest.approx({"A": 2 / 3, "B": 1 / 3})
    assert decided("buy_and_hold", history, 2) == pytest.approx({"A": 3 / 5, "B": 2 / 5})
    assert decided("buy_and_hold", history, 2, start=history.sessions[1]) == pytest.approx({"A": 3 / 7, "B": 4 / 7})
    assert decided("buy_and_hold", history, 2, start=date(2030, 1, 2)) == {}


def test_momentum_holds_the_highest_returns_between_its_two_sessions():
    history, row = random_history(5, strange=False), 60
    past = history.close[row - 3] / history.close[row - 20] - 1
    best = {history.instruments[index].symbol for index in sorted(range(6), key=lambda i: -past[i])[:2]}
    assert decided("momentum", history, row) == dict.fromkeys(sorted(best), 0.5)
    falling = history_of({"A": np.linspace(9, 5, 40), "B": np.linspace(5, 6, 40)})
    assert decided("momentum", falling, 39, rising_only=True) == {"B": 0.5}


def test_equal_momentum_goes_to_the_first_symbol():
    history = history_of({name: np.linspace(5, 6, 40) for name in "CAB"})
    assert set(decided("momentum", history, 39)) == {"C", "A"}


def test_an_instrument_is_held_while_its_short_average_is_above_its_long_one():
    history, row = random_history(6, strange=False), 70
    mean = history.close[row - 3 : row + 1].mean(0) - history.close[row - 11 : row + 1].mean(0)
    expected = {f"S{index:02d}": pytest.approx(1 / 6, abs=1e-12) for index in range(6) if mean[index] > 0}
    assert 0 < len(expected) < 6
    assert decided("moving_average_cross", history, row) == expected


def test_what_is_far_below_its_mean_is_held():
    history, row = random_history(7, strange=False), 50
    closes = history.close[row - 9 : row + 1]
    z = (closes[-1] - closes.mean(0)) / closes.std(0, ddof=1)
    low = [index for index in np.argsort(z) if z[index] <= -0.7][:3]
    assert low
    assert decided("mean_reversion", history, row) == dict.fromkeys(
        [f"S{index:02d}" for index in sorted(low)], pytest.approx(1 / 3, abs=1e-12)
    )


def test_the_shrunk_covariance_is_that_of_ledoit_and_wolf_computed_term_by_term():
    returns = np.random.default_rng(3).normal(0, [0.01, 0.02, 0.03], (30, 3))
    x = returns - returns.mean(0)
    n, p = x.shape
    s = sum(np.outer(row, row) for row in x) / n
    m = np.trace(s) / p
    d2 = np.sum((s - m * np.eye(p)) ** 2) / p
    b2 = min(d2, sum(np.sum((np.outer(row, row) - s) ** 2) / p for row in x) / n**2)
    np.testing.assert_allclose(shrunk_covariance(returns), b2 / d2 * m * np.eye(p) + (1 - b2 / d2) * s, rtol=1e-12)
    assert 0 < b2 / d2 < 1


def test_the_covariance_of_one_instrument_is_its_variance():
    returns = np.array([[0.01], [-0.02], [0.04]])
    np.testing.assert_allclose(shrunk_covariance(returns), [[returns.var()]])


@pytest.mark.parametrize("most", [1.0, 0.3])
def test_the_least_variance_is_that_of_another_optimiser(most):
    random = np.random.default_rng(11)
    covariance = np.cov(random.normal(0, random.uniform(0.5, 3, 8), (40, 8)), rowvar=False)
    weights = least_variance(covariance, most)
    other = minimize(
        lambda w: w @ covariance @ w,
        np.full(8, 1 / 8),
        jac=lambda w: 2 * covariance @ w,
        bounds=[(0, most)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(8)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    np.testing.assert_allclose(weights, other.x, atol=1e-5)
    assert weights @ covariance @ weights <= other.fun * (1 + 1e-9)
    assert (weights.sum(), weights.min() >= 0, weights.max() <= most + 1e-12) == (pytest.approx(1), True, True)


def test_the_least_variance_of_uncorrelated_instruments_goes_by_the_inverse_of_their_variances():
    np.testing.assert_allclose(least_variance(np.diag([1.0, 2.0, 4.0])), np.array([4, 2, 1]) / 7, rtol=1e-9)


def test_a_maximum_that_leaves_no_portfolio_is_refused():
    with pytest.raises(DataError, match=r"2 instruments with at most 0\.3 each cannot sum to 1"):
        least_variance(np.eye(2), 0.3)


def test_every_instrument_contributes_the_same_risk():
    random = np.random.default_rng(12)
    covariance = np.cov(random.normal(0, random.uniform(0.5, 3, 20), (60, 20)), rowvar=False)
    weights = equal_risk(covariance)
    parts = weights * (covariance @ weights)
    np.testing.assert_allclose(parts, parts.mean(), rtol=1e-8)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1)


def test_the_equal_risk_of_two_instruments_goes_by_the_inverse_of_their_deviations_whatever_their_correlation():
    """Maillard, Roncalli, Teiletche (2010), section 2.2.1."""
    for correlation in (-0.5, 0.0, 0.9):
        covariance = np.array([[4.0, 2 * correlation], [2 * correlation, 1.0]])
        np.testing.assert_allclose(equal_risk(covariance), [1 / 3, 2 / 3], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "values", "named"),
    [
        ("momentum", {"lookback": 10, "skip": 10}, "'skip' must be 0 or more and less than 'lookback'"),
        ("momentum", {"lookbak": 10}, "lookbak: Extra inputs"),
        ("momentum", {"top": 0}, "top (0)"),
        ("moving_average_cross", {"fast": 200}, "'fast' must be less than 'slow'"),
        ("equal_weight", {"invested": 1.5}, "invested (1.5)"),
        ("equal_weight", {"invested": float("nan")}, "invested"),
        ("file_weights", {}, "path: Field required"),
    ],
)
def test_parameters_that_are_unknown_or_out_of_bounds_are_named(name, values, named):
    with pytest.raises(ConfigError) as refused:
        Registry().find(name).configured(values)
    assert named in str(refused.value)


def test_file_weights_are_those_of_the_session_that_follows_the_close(tmp_path):
    history = history_of({"A": [1.0] * 4, "B": [2.0] * 4})
    file = tmp_path / "w.csv"
    file.write_text(f"date,ticker,w\n{history.sessions[2]},A,0.25\n{history.sessions[2]},GONE,0.5\n")
    columns = {"date_column": "date", "asset_column": "ticker", "weight_column": "w"}
    assert decided("file_weights", history, 1, path=str(file), **columns) == {"A": 0.25}
    assert decided("file_weights", history, 0, path=str(file), **columns) is None
    signal = {"weights_dated": "signal_close", **columns}
    assert decided("file_weights", history, 2, path=str(file), **signal) == {"A": 0.25}
    with pytest.raises(InputError, match="session after"):
        decided("file_weights", history, 3, path=str(file), **columns)


def test_a_file_that_cannot_be_read_makes_no_weights(tmp_path):
    file = tmp_path / "w.csv"
    file.write_text("trade_date,asset_id,target_weight\n2024-01-04,A,heavy\n")
    with pytest.raises(SignalRefused, match=r"heavy|violation"):
        decided("file_weights", history_of({"A": [1.0] * 4}), 1, path=str(file))
