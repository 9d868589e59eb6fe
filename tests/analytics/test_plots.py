from datetime import date, timedelta
from io import BytesIO

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from scizor_dagster.analytics.plots import equity_plot, spread_days, weights_plot


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(BytesIO(png), format="png")


def curve(sessions: int) -> pd.DataFrame:
    days = [date(2024, 3, 4) + timedelta(days=index) for index in range(sessions)]
    return pd.DataFrame({"session": days, "equity": [1000.0 + i * 3 for i in range(sessions)], "drawdown": 0.0})


@pytest.mark.parametrize("sessions", [1, 2, 250])
def test_an_equity_curve_of_any_length_is_a_small_picture(sessions):
    png = equity_plot(curve(sessions))
    assert pixels(png).shape[:2] == (270, 576)
    assert len(png) < 60_000


def test_another_curve_is_another_picture_and_the_same_one_the_same():
    assert equity_plot(curve(20)) == equity_plot(curve(20))
    assert equity_plot(curve(20)) != equity_plot(curve(21))


@pytest.mark.parametrize("count", [0, 1, 40, 200])
def test_weights_of_any_number_are_a_small_picture(count):
    frame = pd.DataFrame(
        {"symbol": [f"S{i}" for i in range(count)], "target_weight": [1 / (i + 1) for i in range(count)]}
    )
    assert pixels(weights_plot(frame)).shape[:2] == (270, 576)


def test_two_rows_of_one_symbol_are_one_bar():
    twice = pd.DataFrame({"symbol": ["A", "A", "B"], "target_weight": [0.1, 0.2, 0.3]})
    once = pd.DataFrame({"symbol": ["B", "A"], "target_weight": [0.3, 0.30000000000000004]})
    assert np.array_equal(pixels(weights_plot(twice)), pixels(weights_plot(once.iloc[::-1])))


def test_a_benchmark_is_drawn_beside_the_equity():
    beside = curve(20).assign(benchmark=[100_000.0] * 20)
    assert equity_plot(beside).startswith(b"\x89PNG")
    assert equity_plot(beside) != equity_plot(curve(20))


def test_days_are_labelled_far_enough_from_each_other_to_be_read():
    days = [date(2026, 11, day) for day in (13, 16, 17, 18, 19, 20)]
    assert spread_days(days, 4, 0.32) == [days[0], days[1], days[-1]]
    assert spread_days(days[:2], 4, 0.32) == days[:2]
    assert spread_days(days[:1], 4, 0.32) == days[:1]
    many = [date(2026, 1, 1) + timedelta(days=number) for number in range(300)]
    assert len(spread_days(many, 4, 0.32)) == 4


@pytest.mark.parametrize("drawdown", [0.0, float("nan"), -0.2])
def test_a_drawdown_is_drawn_below_nothing_also_where_there_is_none(drawdown):
    assert equity_plot(curve(3).assign(drawdown=drawdown)).startswith(b"\x89PNG")
