"""The average volume of a name is the median of its last bars, whatever order its volumes come in."""

from types import SimpleNamespace

import numpy as np
import pytest

from scizor_dagster.backtest.engine_loop import _add_volumes
from scizor_dagster.backtest.engine_model import FEWEST, WINDOW

NAMES, SESSIONS = 9, 90


def book_of(names):
    return SimpleNamespace(
        window=np.full((WINDOW, names), np.inf),
        ordered=np.full((WINDOW + 1, names), np.inf),
        known=np.zeros(names, dtype=np.int64),
        average=np.full(names, np.nan),
        turn=np.empty((3, names)),
    )


def expected(bars):
    last = bars[-WINDOW:]
    return float(np.floor(np.median(last))) if len(last) >= FEWEST else np.nan


@pytest.mark.parametrize("values", [3, 40, 10**9], ids=["many of them equal", "some of them equal", "all different"])
def test_each_name_has_the_median_of_its_own_last_bars(values):
    chance = np.random.default_rng(values)
    volume = chance.integers(0, values, (SESSIONS, NAMES)).astype(float)
    volume[chance.random(volume.shape) < 0.1] = np.nan
    close = np.where(chance.random(volume.shape) < 0.1, np.nan, 1.0)
    close[:30, 4], close[:, 5] = np.nan, np.nan
    book = book_of(NAMES)
    for row in range(SESSIONS):
        _add_volumes(volume[row], close[row], book)
        there = ~np.isnan(volume[: row + 1]) & ~np.isnan(close[: row + 1])
        wanted = [expected(volume[: row + 1, name][there[:, name]]) for name in range(NAMES)]
        np.testing.assert_array_equal(book.average, wanted)
    assert book.known[5] == 0
    assert np.isinf(book.ordered[WINDOW]).all()
