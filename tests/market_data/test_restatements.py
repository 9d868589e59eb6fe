"""What counts as restated: bars to which their own source has given other values."""

from datetime import date

import pytest

from scizor_dagster.market_data.bar_store import Origin, insert_missing, store_bars
from scizor_dagster.market_data.revisions import withdraw_series
from scizor_dagster.market_data.statistics import restatements
from tests.market_data.support import NOW, XNYS, flat_bars

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 8))
OTHER_SOURCE = Origin("us", "raw", False, "second", NOW)
ORIGIN = Origin("us", "raw", False, "first", NOW)


def _bars():
    return flat_bars(["A", "B"], SESSIONS, price=60.0)


def _moved(column, by):
    bars = _bars()
    bars.loc[1, column] += by
    return bars


@pytest.fixture
def filled(lake):
    with lake.write() as cursor:
        insert_missing(cursor, _bars(), ORIGIN)
    return lake


@pytest.mark.parametrize(("bars", "origin", "count"), [
    (_moved("close", 0.2), ORIGIN, 1),
    (_moved("volume", 1.0), ORIGIN, 1),
    (_moved("close", 1e-9), ORIGIN, 0),
    (_bars(), OTHER_SOURCE, 0),
    (_moved("close", 0.2), OTHER_SOURCE, 0),
], ids=["close", "volume", "noise", "source", "source and close"])  # fmt: skip
def test_only_other_values_of_the_same_source_count(filled, bars, origin, count):
    with filled.write() as cursor:
        done = store_bars(cursor, bars, origin)
    assert len(done.changed) + len(done.preferred) > 0
    assert restatements(filled, "us", SESSIONS[0], SESSIONS[-1]) == count


def test_a_bar_restated_twice_counts_once_and_one_that_was_set_aside_does_not(filled):
    for bars in (_moved("close", 0.1), _moved("close", 0.2)):
        with filled.write() as cursor:
            store_bars(cursor, bars, ORIGIN)
    with filled.write() as cursor:
        withdraw_series(cursor, "us", ["B"])
        insert_missing(cursor, _bars().assign(close=61.0), ORIGIN)
    assert restatements(filled, "us", SESSIONS[0], SESSIONS[-1]) == 1
