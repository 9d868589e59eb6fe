"""Close before the last, average volume and average true range, on bars done by hand."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.trading_facts import (
    average_true_range,
    average_volumes,
    previous_closes,
    true_ranges,
    usual_moves,
)
from tests.market_data.support import NOW, XNYS, actions_frame, bars_frame

LAST = date(2024, 2, 28)
DAYS = XNYS.sessions(date(2024, 1, 2), LAST)


def store(lake: Lake, rows: list[tuple], adjustment: str = "raw", actions: list[tuple] = ()) -> None:
    extra = {"market": "us", "source": "test", "fetched_at": NOW}
    with lake.write() as cursor:
        frame = bars_frame(rows).assign(adjustment=adjustment, synthetic=False, **extra)
        append_rows(cursor, "bars", frame)
        if actions:
            append_rows(cursor, "corporate_actions", actions_frame(actions).assign(**extra))


def steady(symbol: str, days=DAYS, price: float = 100.0, volume: float = 1000.0) -> list[tuple]:
    return [(symbol, day.isoformat(), price, price + 2, price - 2, price, volume) for day in days]


def test_the_close_before_the_last_bar_is_in_the_units_of_the_last(lake: Lake) -> None:
    before, after = steady("A", DAYS[:-1]), steady("A", DAYS[-1:], 25.0, 4000.0)
    store(lake, before + after, actions=[("A", DAYS[-1].isoformat(), "split", 4.0, None, None, None)])
    assert previous_closes(lake, "us", LAST) == {"A": Decimal("25.000000")}
    assert average_volumes(lake, "us", LAST) == {"A": Decimal(4000)}
    assert true_ranges(lake, "us", LAST)["A"] < 2


def test_prices_that_know_of_splits_already_are_taken_as_they_are(lake: Lake) -> None:
    store(lake, steady("A"), "split", [("A", DAYS[-1].isoformat(), "split", 4.0, None, None, None)])
    assert previous_closes(lake, "us", LAST) == {"A": Decimal("100.000000")}


def test_bars_after_the_last_closed_session_count_for_nothing(lake: Lake) -> None:
    store(lake, [*steady("A", DAYS[:-1]), *steady("A", DAYS[-1:], 900.0, 9.0)])
    assert previous_closes(lake, "us", DAYS[-2]) == {"A": Decimal("100.000000")}
    assert true_ranges(lake, "us", DAYS[-2]) == {"A": Decimal("4.000000")}


@pytest.mark.parametrize(("bars", "known"), [(4, False), (5, True), (20, True)])
def test_an_average_volume_needs_five_bars(lake: Lake, bars: int, known: bool) -> None:
    store(lake, steady("A", DAYS[-bars:]))
    assert bool(average_volumes(lake, "us", LAST)) is known


def test_one_day_of_outsized_volume_does_not_move_the_average(lake: Lake) -> None:
    store(lake, [*steady("A", DAYS[:-1]), *steady("A", DAYS[-1:], volume=1e9)])
    assert average_volumes(lake, "us", LAST) == {"A": Decimal(1000)}


def test_an_average_volume_is_of_the_last_twenty_bars_and_a_day_without_trading_counts_as_none(lake: Lake) -> None:
    busy, quiet = steady("A", DAYS[-25:-20], volume=1e9), steady("A", DAYS[-20:-9])
    store(lake, [*busy, *quiet, *steady("A", DAYS[-9:], volume=0.0), *steady("B", DAYS[-6:], volume=0.0)])
    assert average_volumes(lake, "us", LAST) == {"A": Decimal(1000), "B": Decimal(0)}


@pytest.mark.parametrize(("bars", "known"), [(10, False), (11, True)])
def test_a_usual_move_needs_ten_of_them(lake: Lake, bars: int, known: bool) -> None:
    store(lake, steady("A", DAYS[-bars:]))
    assert (usual_moves(lake, "us", LAST) == {"A": 0.0}) is known


def test_a_usual_move_is_the_mean_of_the_last_twenty_and_a_split_is_none(lake: Lake) -> None:
    swing = [bar for at, day in enumerate(DAYS) for bar in steady("A", [day], 110.0 if at % 2 else 100.0)]
    symbol, day, *prices, volume = swing[-1]
    store(
        lake,
        [*swing[:-1], (symbol, day, *(price / 4 for price in prices), volume)],
        actions=[("A", DAYS[-1].isoformat(), "split", 4.0, None, None, None)],
    )
    assert usual_moves(lake, "us", LAST)["A"] == pytest.approx(np.log(1.1))


@pytest.mark.parametrize(("bars", "known"), [(14, False), (15, True)])
def test_a_true_range_needs_fifteen_bars(lake: Lake, bars: int, known: bool) -> None:
    store(lake, steady("A", DAYS[-bars:]))
    assert bool(true_ranges(lake, "us", LAST)) is known


def test_wilders_smoothing_gives_a_new_range_the_weight_of_one_in_fourteen() -> None:
    close = np.full(16, 10.0)
    high, low = np.full(16, 11.0), np.full(16, 9.0)
    high[-1] = 23.0
    assert average_true_range(high, low, close) == pytest.approx(2.0 + (14.0 - 2.0) / 14)


def test_a_gap_counts_in_the_true_range() -> None:
    close = np.array([10.0] * 14 + [24.0])
    assert average_true_range(close, close, close) == pytest.approx(14.0 / 14)
