"""One series alone whose dates have moved is told from a correction by what is stored of it."""

from datetime import date, timedelta

import numpy as np
import pytest

from scizor_dagster.market_data.collect import collect_history, collect_session
from scizor_dagster.market_data.moved_dates import moved_series
from tests.market_data.support import NOW, XNYS, CountingMarket, flat_bars, market, rows

DAYS = XNYS.sessions(date(2024, 1, 16), date(2024, 3, 1))
PRICES = ["open", "high", "low", "close"]


def _bars(symbol="A"):
    """Bars that move as shares do: no two sessions are alike."""
    bars = flat_bars([symbol], DAYS, price=60.0)
    steps = np.round(np.random.default_rng(7).normal(0, 0.6, len(bars)).cumsum(), 2)
    bars[PRICES] = bars[PRICES].add(steps, axis=0)
    return bars.assign(volume=1000.0 + 7 * np.arange(len(bars)))


def _dated(bars, by):
    return bars.assign(session=bars["session"] + by * timedelta(days=1))


def _few_corrected(bars):
    changed = bars.copy()
    changed.loc[3:6, "close"] += 0.05
    return changed


def _one_repeated(bars):
    changed = bars.copy()
    changed.loc[6, [*PRICES, "volume"]] = changed.loc[5, [*PRICES, "volume"]].to_numpy()
    return changed


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (lambda bars: _dated(bars, -1), {"A": -1}),
        (lambda bars: _dated(bars, 1), {"A": 1}),
        (lambda bars: bars, {}),
        (_few_corrected, {}),
        (_one_repeated, {}),
        (lambda bars: _few_corrected(_dated(bars, -1)), {}),
        (lambda bars: _dated(bars, -1).iloc[9:10], {}),
        (lambda bars: bars.assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0), {}),
    ],
    ids=["early", "late", "same", "corrected", "repeated", "moved and corrected", "one bar", "another basis"],
)
def test_only_a_series_whose_every_bar_is_that_of_a_day_beside_it_has_moved(answer, found):
    assert moved_series(_bars(), answer(_bars()), {"A"}) == found


def _still(sessions=None):
    bars = flat_bars(["A"], sessions or DAYS, price=10.0)
    return bars.assign(open=10.0, high=10.0, low=10.0, close=10.0, volume=0.0)


def _with_a_late_trade(bars, row):
    changed = bars.copy()
    changed.loc[row, ["high", "close"]] = 10.5
    changed.loc[row, "volume"] = 500.0
    return changed


def test_a_share_that_stands_still_has_not_moved_because_one_of_its_bars_is_corrected(lake):
    stored, newest = _still(), len(DAYS) - 4
    assert moved_series(stored.iloc[: newest + 1], _with_a_late_trade(stored, newest), {"A"}) == {}
    collect_history(
        lake, "us", market(DAYS[0]), CountingMarket(stored), XNYS, ["A"], 2024, 2024, NOW, through=DAYS[newest]
    )
    corrected = CountingMarket(_with_a_late_trade(stored, newest))
    report = collect_session(lake, "us", market(DAYS[0]), corrected, XNYS, ["A"], DAYS[-1], NOW)
    assert ([fault.kind for fault in report.faults], report.inserted) == ([], 3)
    assert rows(lake, f"SELECT close, volume FROM bars WHERE session = '{DAYS[newest]}'") == [(10.5, 500.0)]


def test_a_series_collected_alone_under_dates_of_the_day_before_replaces_nothing_and_names_both_ways_out(lake):
    collect_history(
        lake, "us", market(DAYS[0]), CountingMarket(_bars()), XNYS, ["A"], 2024, 2024, NOW, through=DAYS[-3]
    )
    before = rows(lake, "SELECT session, close FROM bars ORDER BY 1")
    moved = CountingMarket(_dated(_bars(), -1))
    report = collect_session(lake, "us", market(DAYS[0]), moved, XNYS, ["A"], DAYS[-1], NOW)
    assert (report.restatements, report.suspected_splits, report.changed, report.inserted) == ((), (), 0, 0)
    assert [fault.kind for fault in report.faults] == ["shifted_day"]
    assert rows(lake, "SELECT session, close FROM bars ORDER BY 1") == before
    reasons = dict(rows(lake, "SELECT reason, any_value(detail) FROM quarantined_bars GROUP BY reason"))
    assert "correct the time zone at the source" in reasons["shifted_day"]
    assert "scizor collect history A --market us --again-as raw" in reasons["shifted_day"]
    mended = collect_session(lake, "us", market(DAYS[0]), CountingMarket(_bars()), XNYS, ["A"], DAYS[-1], NOW)
    assert (mended.inserted, mended.faults) == (2, ())
