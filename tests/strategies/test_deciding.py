"""Calling a strategy: what it may answer, when it decides, and what becomes of an error."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.errors import ConfigError, DataError, PriceUnavailable
from scizor_dagster.strategies.deciding import decide, strategy_schedule, weights_over
from scizor_dagster.strategies.definition import definition_of
from scizor_dagster.strategies.prices import AsOf
from scizor_dagster.strategies.rebalancing import rebalance_rows, rebalance_sessions
from tests.strategies.markets import CALENDAR, history_of, random_history

HISTORY = history_of({"A": [1.0, 2.0, 3.0], "B": [1.0, 1.0, 1.0]})


def answering(answer):
    def weights(prices):
        return answer(prices) if callable(answer) else answer

    return definition_of(weights, "tried", "file").configured()


def decided(answer):
    return decide(answering(answer), AsOf(HISTORY).at(1))


def test_weights_are_in_the_order_of_symbols_of_twelve_decimals_and_without_zeros():
    assert list(decided({"B": 1 / 3, "A": np.float64(0.5)}).items()) == [("A", 0.5), ("B", 0.333333333333)]
    assert decided({"A": 0, "B": 1e-15}) == {}
    assert decided(pd.Series({"A": -0.5})) == {"A": -0.5}
    assert decided(None) is None


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"A": float("nan")}, "nan for A on the close of 2024-01-03"),
        ({"A": "much"}, "'much' for A"),
        ({"X": 0.5}, "'X', which is not among the 2 symbols"),
        ([0.5, 0.5], "a list on the close"),
    ],
)
def test_an_answer_that_is_no_weights_is_refused_with_symbol_and_session(answer, named):
    with pytest.raises(DataError) as refused:
        decided(answer)
    assert named in str(refused.value)
    assert "test_deciding.py" in str(refused.value)


def test_a_strategy_that_fails_is_named_with_file_line_and_session():
    def weights(prices):
        return {"A": 1 / 0}

    failing = definition_of(weights, "failing", "file").configured()
    with pytest.raises(DataError) as refused:
        decide(failing, AsOf(HISTORY).at(1))
    line = weights.__code__.co_firstlineno + 1
    assert f"test_deciding.py:{line}" in str(refused.value)
    assert "ZeroDivisionError" in str(refused.value)
    assert "2024-01-03" in str(refused.value)


def test_a_strategy_that_would_end_the_program_has_failed():
    def weights(prices):
        raise SystemExit(3)

    with pytest.raises(DataError, match="SystemExit: 3"):
        decide(definition_of(weights, "ending", "file").configured(), AsOf(HISTORY).at(1))


def test_an_error_of_this_project_is_passed_on_as_it_is():
    def weights(prices):
        raise PriceUnavailable("There is none.", remedy="Wait.")

    with pytest.raises(PriceUnavailable):
        decide(definition_of(weights, "waits", "file").configured(), AsOf(HISTORY).at(1))


def test_a_class_that_needs_arguments_is_refused():
    class Needs:
        def __init__(self, top):
            self.top = top

        def weights(self, prices):
            return {}

    with pytest.raises(DataError, match="TypeError"):
        decide(definition_of(Needs, "needs", "file").configured(), AsOf(HISTORY).at(1))
    Needs.weights_over = Needs.weights
    with pytest.raises(ConfigError, match="'needs' cannot be made without arguments"):
        definition_of(Needs, "needs", "file")


def test_a_class_is_made_anew_for_each_decision():
    class Remembers:
        def __init__(self):
            self.calls = 0

        def weights(self, prices):
            self.calls += 1
            return {"A": self.calls / 10}

    chosen = definition_of(Remembers, "remembers", "file").configured()
    assert strategy_schedule(chosen, HISTORY).weights[:, 0].tolist() == [0.1, 0.1]


def test_weights_of_a_row_are_made_on_the_close_before_it():
    schedule = strategy_schedule(answering(lambda prices: {"A": len(prices) / 10}), HISTORY)
    assert schedule.rows.tolist() == [1, 2]
    assert schedule.weights.tolist() == [[0.1, 0.0], [0.2, 0.0]]


def test_a_schedule_is_of_the_sessions_that_are_asked_for_and_looks_back_further():
    history = random_history(1, sessions=30)
    chosen = answering(lambda prices: {"S00": len(prices) / 100})
    schedule = strategy_schedule(chosen, history, first=history.sessions[20], last=history.sessions[22])
    assert schedule.rows.tolist() == [20, 21, 22]
    assert schedule.weights[:, 0].tolist() == [0.2, 0.21, 0.22]


def test_nothing_is_decided_before_anything_is_listed_and_a_delay_moves_the_close():
    history = history_of({"A": [np.nan, np.nan, 1.0, 1.0, 1.0]})
    chosen = answering(lambda prices: {"A": len(prices) / 10})
    assert strategy_schedule(chosen, history).rows.tolist() == [3, 4]
    later = strategy_schedule(chosen, history, delay=2)
    assert (later.rows.tolist(), later.weights.tolist()) == ([4], [[0.3]])


def test_a_session_for_which_nothing_is_decided_has_no_row_and_a_note_says_how_many():
    schedule = strategy_schedule(answering(lambda prices: None if len(prices) == 1 else {"B": 1.0}), HISTORY)
    assert schedule.rows.tolist() == [2]
    assert schedule.notes == ("Strategy 'tried' decided nothing for 1 of 2 sessions.",)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (lambda panel, rows, parameters: np.zeros((1, 2)), r"the shape \(1, 2\), not \(2, 2\)"),
        (lambda panel, rows, parameters: np.full((2, 2), np.nan), "nan for A on the close of 2024-01-02"),
        (lambda panel, rows, parameters: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_vectorised_form_that_is_wrong_is_refused(answer, named):
    class Wrong:
        def weights(self, prices):
            return {}

        weights_over = staticmethod(answer)

    with pytest.raises(DataError, match=named):
        weights_over(definition_of(Wrong, "wrong", "file").configured(), HISTORY, [0, 1])


def test_periods_begin_with_their_first_session():
    history = random_history(1, sessions=90)
    days = [history.sessions[row] for row in rebalance_rows(history.sessions, "monthly")]
    assert days == [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1), date(2024, 5, 1)]
    weeks = rebalance_sessions(CALENDAR, date(2024, 1, 1), date(2024, 1, 31), "weekly")
    # Monday the 15th is a holiday.
    assert weeks == [date(2024, 1, 2), date(2024, 1, 8), date(2024, 1, 16), date(2024, 1, 22), date(2024, 1, 29)]
    assert rebalance_sessions(CALENDAR, date(2024, 1, 3), date(2025, 2, 1), "yearly") == [date(2025, 1, 2)]
    assert rebalance_sessions(CALENDAR, date(2024, 1, 3), date(2024, 7, 31), "quarterly") == [
        date(2024, 4, 1),
        date(2024, 7, 1),
    ]
    assert rebalance_sessions(CALENDAR, date(2024, 1, 2), date(2024, 1, 4), "daily") == [
        date(2024, 1, 2),
        date(2024, 1, 3),
        date(2024, 1, 4),
    ]
    assert rebalance_sessions(CALENDAR, date(2024, 1, 6), date(2024, 1, 7), "daily") == []
    assert rebalance_sessions(CALENDAR, date(1980, 1, 1), CALENDAR.first, "daily") == []
