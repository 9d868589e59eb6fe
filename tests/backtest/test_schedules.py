"""Dates and symbols of weights to rows and columns of a history."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.backtest.model import History
from scizor_dagster.backtest.schedules import schedule_of, schedule_of_frame
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from tests.market_data.support import XNYS

SESSIONS = tuple(XNYS.sessions(date(2023, 12, 27), date(2024, 1, 5)))
HISTORY = History(
    SESSIONS, tuple(Instrument(name, "XNYS", "USD") for name in "AB"), "USD", "raw", np.ones((len(SESSIONS), 2))
)
NEW_YEAR, SATURDAY = date(2024, 1, 1), date(2023, 12, 30)


def test_weights_of_a_session_trade_in_it_and_of_a_holiday_in_the_next_one_with_a_note():
    schedule = schedule_of(HISTORY, [SESSIONS[4], NEW_YEAR], ["B", "A"], np.array([[0.1, 0.2], [0.3, 0.4]]))
    assert schedule.rows.tolist() == [3, 4]
    assert schedule.weights.tolist() == [[0.4, 0.3], [0.2, 0.1]]
    assert schedule.notes == ("1 dates are no sessions and trade in the next one: 2024-01-01 to 2024-01-02.",)


def test_weights_of_a_close_trade_in_the_session_after_it():
    schedule = schedule_of(HISTORY, [SESSIONS[0], SATURDAY], ["A"], np.array([[0.1], [0.2]]), "signal_close")
    assert (schedule.rows.tolist(), schedule.notes) == ([1, 3], ())


def test_two_dates_of_one_session_are_refused():
    with pytest.raises(InputError, match="weights of 2023-12-30 and of 2024-01-01 belong to one session, 2024-01-02"):
        schedule_of(HISTORY, [NEW_YEAR, SATURDAY], ["A"], np.zeros((2, 1)))


def test_dates_that_cannot_trade_are_left_out_and_named():
    days = [date(2023, 1, 3), SESSIONS[0], SESSIONS[1], SESSIONS[5], date(2024, 2, 1)]
    schedule = schedule_of(HISTORY, days, ["A"], np.full((5, 1), 0.5), last=SESSIONS[4])
    assert schedule.rows.tolist() == [1]
    assert schedule.notes == (
        "2 dates are before the first session that trades and are left out: 2023-01-03, 2023-12-27.",
        "2 dates are after the last session and are left out: 2024-01-04, 2024-02-01.",
    )
    late = schedule_of(HISTORY, days, ["A"], np.full((5, 1), 0.5), first=SESSIONS[2])
    assert late.rows.tolist() == [5]


def test_a_delay_moves_what_was_made_on_a_close_and_leaves_out_what_no_close_could_decide():
    weights = np.full((2, 1), 0.5)
    later = schedule_of(HISTORY, SESSIONS[:2], ["A"], weights, "signal_close", delay=3)
    assert later.rows.tolist() == [3, 4]
    at_once = schedule_of(HISTORY, SESSIONS[:2], ["A"], weights, "signal_close", delay=0)
    assert at_once.rows.tolist() == [1]
    stated = schedule_of(HISTORY, SESSIONS[1:3], ["A"], weights, delay=2)
    assert stated.rows.tolist() == [2]


def test_a_symbol_without_prices_is_named_with_its_weight_and_one_that_is_never_held_is_not():
    schedule = schedule_of(HISTORY, [SESSIONS[1]], ["A", "Z", "Y"], np.array([[0.5, -0.25, 0.0]]))
    assert schedule.weights.tolist() == [[0.5, 0.0]]
    assert schedule.notes == ("Without prices in this backtest, so that their weight stays in cash: Z (up to 25.00%).",)


@pytest.mark.parametrize(
    ("days", "symbols", "weights", "told"),
    [
        ([SESSIONS[1]], ["A"], [[0.1, 0.2]], "weights are 1 x 2 and belong to 1 dates and 1 symbols"),
        ([SESSIONS[1]] * 2, ["A"], [[0.1], [0.2]], "date 2023-12-28 stands twice"),
        ([SESSIONS[1]], ["A", "A"], [[0.1, 0.2]], "symbol A stands twice"),
        ([SESSIONS[1]], ["A"], [[np.nan]], "weight of A on 2023-12-28 is nan"),
        ([SESSIONS[1]], ["A"], [[np.inf]], "weight of A on 2023-12-28 is inf"),
        ([date(2020, 1, 2)], ["A"], [[0.1]], "No weights trade in the sessions of this backtest: they are of 2020"),
        ([], [], np.zeros((0, 0)), "they are of no date at all"),
    ],
)
def test_weights_that_mean_nothing_certain_are_refused(days, symbols, weights, told):
    with pytest.raises(InputError, match=told):
        schedule_of(HISTORY, days, symbols, np.array(weights))


def test_a_frame_is_taken_by_its_dates_and_columns():
    frame = pd.DataFrame({"B": [0.5], "A": [0.25]}, index=pd.DatetimeIndex([SESSIONS[2]]))
    schedule = schedule_of_frame(HISTORY, frame)
    assert (schedule.rows.tolist(), schedule.weights.tolist()) == ([2], [[0.25, 0.5]])
    assert schedule_of_frame(HISTORY, frame.set_axis([str(SESSIONS[2])]), "signal_close").rows.tolist() == [3]


@pytest.mark.parametrize(
    ("index", "told"),
    [
        (["one"], "holds no dates"),
        ([pd.Timestamp("2024-01-02 16:00")], "holds times of a day"),
        ([pd.Timestamp("2024-01-02", tz="America/New_York")], "holds times of a day"),
    ],
)
def test_an_index_that_is_no_dates_is_refused(index, told):
    with pytest.raises(InputError, match=told):
        schedule_of_frame(HISTORY, pd.DataFrame({"A": [0.5]}, index=index))


def test_a_gap_in_a_frame_is_refused_and_not_taken_for_nothing():
    frame = pd.DataFrame({"A": [0.5], "B": [None]}, index=[SESSIONS[2]])
    with pytest.raises(InputError, match="weight of B on 2023-12-29 is nan"):
        schedule_of_frame(HISTORY, frame)
