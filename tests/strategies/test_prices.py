"""What a strategy is handed: only what was known, restated by what had happened."""

from dataclasses import replace

import numpy as np
import pytest

from scizor_dagster.backtest.model import Action, ActionKind
from scizor_dagster.errors import DataError, InputError
from scizor_dagster.strategies.prices import AsOf
from tests.strategies.markets import history_of, random_history


def reachable_arrays(found, depth=4):
    """Every array that ordinary attributes of an object lead to."""
    if isinstance(found, np.ndarray):
        return [found] + (reachable_arrays(found.base, depth - 1) if found.base is not None and depth else [])
    if callable(found) or isinstance(found, str | int | float | type(None)) or not depth:
        return []
    if isinstance(found, dict):
        items = list(found.values())
    elif isinstance(found, tuple | list):
        items = list(found)[:50]
    else:
        items = [getattr(found, name) for name in dir(found) if not name.startswith("__") and hasattr(found, name)]
    return [array for item in items for array in reachable_arrays(item, depth - 1)]


def test_prices_end_with_the_session_of_the_decision_and_the_rows_after_it_are_not_reachable():
    history = random_history(1)
    prices = AsOf(history).at(40)
    prices.closes(), prices.closes("raw"), prices.field("open")
    assert prices.last == history.sessions[40]
    assert prices.trades_in == history.sessions[41]
    assert prices.closes().shape == (41, len(prices.symbols))
    assert all(len(array) <= 41 for array in reachable_arrays(prices))
    assert not any(np.shares_memory(array, history.close) for array in reachable_arrays(prices))


def test_prices_are_read_only():
    prices = AsOf(random_history(1)).at(40, 10)
    for array in (prices.closes(), prices.field("open"), prices.window(5).closes("split")):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_handed_out_depends_on_later_rows(seed):
    history, row = random_history(seed), 50
    cut = replace(
        history,
        sessions=history.sessions[: row + 1],
        close=history.close[: row + 1],
        open=history.open[: row + 1],
        actions=tuple(item for item in history.actions if item.row <= row),
    )
    whole, short = AsOf(history).at(row), AsOf(cut, history.sessions[row + 1]).at(row)
    assert whole.symbols == short.symbols
    assert (whole.sessions, whole.trades_in) == (short.sessions, short.trades_in)
    for kind in ("raw", "split", "total_return"):
        np.testing.assert_array_equal(whole.closes(kind), short.closes(kind))


def test_a_split_restates_the_closes_before_it_only_from_its_session_on():
    split = Action(ActionKind.SPLIT, 2, 0, 4.0)
    known = AsOf(history_of({"A": [100.0, 104.0, 26.0, 27.0]}, actions=[split]))
    assert known.at(1).closes("split")[:, 0].tolist() == [100.0, 104.0]
    assert known.at(3).closes("split")[:, 0].tolist() == [25.0, 26.0, 26.0, 27.0]
    assert known.at(3).closes("raw")[:, 0].tolist() == [100.0, 104.0, 26.0, 27.0]
    np.testing.assert_allclose(known.at(3).returns()[:, 0], [0.04, 0.0, 27 / 26 - 1])


def test_a_dividend_is_part_of_the_return_of_its_session():
    """1 - 2 / 100 of the price before is kept: the return from 100 to 98 with 2 paid is nothing."""
    paid = Action(ActionKind.DIVIDEND, 1, 0, 2.0)
    prices = AsOf(history_of({"A": [100.0, 98.0, 99.0]}, actions=[paid])).at(2)
    assert prices.closes("split")[:, 0].tolist() == [100.0, 98.0, 99.0]
    np.testing.assert_allclose(prices.returns()[:, 0], [0.0, 99 / 98 - 1], atol=1e-15)


def test_a_dividend_after_a_split_of_its_session_is_per_new_share():
    actions = [Action(ActionKind.SPLIT, 1, 0, 2.0), Action(ActionKind.DIVIDEND, 1, 0, 1.0)]
    prices = AsOf(history_of({"A": [100.0, 49.0]}, actions=actions)).at(1)
    np.testing.assert_allclose(prices.closes()[:, 0], [49.0, 49.0])


@pytest.mark.parametrize("closes", [[np.nan, 50.0, 51.0], [1.5, 50.0, 51.0]])
def test_a_dividend_without_a_close_before_it_or_above_that_close_restates_nothing(closes):
    paid = Action(ActionKind.DIVIDEND, 1, 0, 2.0)
    prices = AsOf(history_of({"A": closes}, actions=[paid])).at(2)
    np.testing.assert_array_equal(prices.closes()[:, 0], closes)


def test_an_instrument_has_a_column_from_its_first_bar_to_its_delisting_and_no_longer():
    history = history_of(
        {"A": [1.0] * 6, "LATE": [np.nan] * 2 + [1.0] * 4, "GONE": [1.0] * 3 + [np.nan] * 3},
        actions=[Action(ActionKind.DELISTING, 3, 2, float("nan"))],
    )
    known = AsOf(history)
    assert [known.at(row).symbols for row in (1, 2, 3)] == [("A", "GONE"), ("A", "LATE", "GONE"), ("A", "LATE")]


def test_an_instrument_without_a_bar_for_twenty_sessions_is_not_listed_any_more():
    known = AsOf(history_of({"A": [1.0] * 30, "HALTED": [1.0] * 5 + [np.nan] * 25}))
    assert known.at(23).symbols == ("A", "HALTED")
    assert known.at(24).symbols == ("A",)


def test_prices_that_are_adjusted_already_have_no_raw_closes():
    prices = AsOf(history_of({"A": [1.0, 2.0]}, adjustment="split")).at(1)
    with pytest.raises(DataError, match=r"kind 'raw'.*split, total_return"):
        prices.closes("raw")


def test_a_history_of_closes_alone_says_that_it_has_no_volumes():
    with pytest.raises(DataError, match="no column 'volume'"):
        AsOf(history_of({"A": [1.0, 2.0]})).at(1).field("volume")


def test_a_window_is_the_end_of_the_prices():
    prices = AsOf(random_history(2)).at(60)
    np.testing.assert_array_equal(prices.window(7).closes(), prices.closes()[-7:])
    assert prices.window(7).sessions == prices.sessions[-7:]
    assert len(prices.window(500)) == 61
    with pytest.raises(InputError, match="0 sessions"):
        prices.window(0)


def test_a_frame_is_a_copy_with_days_and_symbols():
    prices = AsOf(random_history(2)).at(60, 10)
    frame = prices.frame()
    frame.iloc[:] = 0.0
    assert np.nanmax(prices.closes()) > 0.0
    assert frame.index[-1].date() == prices.last
    assert tuple(frame.columns) == prices.symbols
    np.testing.assert_array_equal(prices.frame("open"), prices.field("open"))
