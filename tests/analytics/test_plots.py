from datetime import date, timedelta
from io import BytesIO

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from scizor_dagster.analytics.plots import equity_plot, weights_plot


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
