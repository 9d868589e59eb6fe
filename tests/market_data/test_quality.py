"""Bars are parted into good ones and quarantined ones, each with one reason."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.market_data.quality import REASONS, check_bars
from tests.market_data.support import NOW, XNYS, bars_frame, flat_bars

GOOD = ("A", "2024-02-28", 10.0, 11.0, 9.0, 10.5, 100.0)
NAN, INF = float("nan"), float("inf")


def _check(*rows, now=NOW, known=("A", "B")):
    return check_bars(bars_frame(rows), XNYS, now, known)


def _bad(**changes):
    row = dict(zip(("symbol", "session", "open", "high", "low", "close", "volume"), GOOD, strict=True)) | changes
    return tuple(row.values())


def test_good_bars_pass_unchanged():
    rows = [GOOD, _bad(session="2024-02-29"), _bad(symbol="B", volume=0.0)]
    checked = _check(*rows)
    assert checked.good.equals(bars_frame(rows))
    assert (len(checked.quarantined), checked.collapsed) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"symbol": "Z"}, "unknown_symbol", "universe"),
        ({"session": "2030-01-02"}, "in_the_future", "2024-03-01"),
        ({"session": "2024-02-24"}, "not_a_session", "does not trade"),
        ({"session": "2024-02-19"}, "not_a_session", "does not trade"),
        ({"open": NAN}, "bad_price", "open missing"),
        ({"close": INF}, "bad_price", "close inf"),
        ({"low": 0.0}, "bad_price", "low 0.0"),
        ({"high": -1.0}, "bad_price", "high -1.0"),
        ({"volume": -1.0}, "bad_volume", "volume -1.0"),
        ({"volume": NAN}, "bad_volume", "volume missing"),
        ({"high": 8.9, "open": 8.9, "close": 8.9}, "high_below_low", "high 8.9, low 9.0"),
        ({"open": 11.5}, "open_outside_range", "open 11.5"),
        ({"open": 8.5}, "open_outside_range", "low 9.0"),
        ({"close": 11.5}, "close_outside_range", "close 11.5"),
    ],
)
def test_a_bad_bar_is_quarantined_with_its_reason(changes, reason, words):
    checked = _check(GOOD, _bad(**({"session": "2024-02-29"} | changes)))
    assert len(checked.good) == 1
    (row,) = checked.quarantined.itertuples()
    assert row.reason == reason
    assert words in row.detail


def test_a_bar_of_todays_open_session_is_not_closed_and_after_the_close_it_is_good():
    row = _bad(session="2024-03-01")
    before, after = datetime(2024, 3, 1, 21, 19, tzinfo=UTC), datetime(2024, 3, 1, 21, 20, tzinfo=UTC)
    assert list(_check(row, now=before).quarantined["reason"]) == ["session_not_closed"]
    assert len(_check(row, now=after).good) == 1


def test_the_first_reason_in_order_wins():
    row = _bad(symbol="Z", session="2024-02-24", open=NAN, volume=-1.0)
    assert list(_check(row).quarantined["reason"]) == ["unknown_symbol"]
    assert REASONS[0] == "unknown_symbol"


def test_float_noise_is_kept_and_a_millionth_more_is_not():
    noise, beyond = _bad(close=11.0 * (1 + 5e-7)), _bad(session="2024-02-29", close=11.0 * (1 + 3e-6))
    checked = _check(noise, beyond)
    assert checked.good["close"].tolist() == [noise[5]]
    assert list(checked.quarantined["reason"]) == ["close_outside_range"]


def test_exact_repeats_collapse_to_one():
    checked = _check(GOOD, GOOD, GOOD)
    assert (len(checked.good), len(checked.quarantined), checked.collapsed) == (1, 0, 2)


def test_bars_of_one_key_with_different_values_are_all_quarantined():
    checked = _check(GOOD, _bad(close=10.6), GOOD, _bad(symbol="B"))
    assert checked.good["symbol"].tolist() == ["B"]
    assert checked.quarantined["reason"].tolist() == ["conflicting_duplicate"] * 2
    assert sorted(checked.quarantined["close"]) == [10.5, 10.6]


def test_a_bad_twin_takes_its_good_one_along():
    checked = _check(GOOD, _bad(close=NAN))
    assert len(checked.good) == 0
    assert sorted(checked.quarantined["reason"]) == ["bad_price", "conflicting_duplicate"]


def test_an_empty_frame_is_fine():
    checked = _check()
    assert (len(checked.good), len(checked.quarantined)) == (0, 0)


def test_a_frame_without_a_column_or_a_key_is_the_adapters_fault():
    with pytest.raises(DataError, match="lacks the column"):
        check_bars(bars_frame([GOOD]).drop(columns="volume"), XNYS, NOW, ["A"])
    frame = bars_frame([GOOD])
    frame["session"] = np.array(["NaT"], dtype="datetime64[s]")
    with pytest.raises(DataError, match="no session"):
        check_bars(frame, XNYS, NOW, ["A"])


def test_every_row_of_a_large_frame_is_accounted_for():
    frame = flat_bars(["A", "B"], XNYS.sessions(date(2023, 1, 1), date(2023, 12, 31)))
    frame.loc[frame.index % 7 == 0, "high"] = 1.0
    checked = check_bars(frame, XNYS, NOW, ["A", "B"])
    assert len(checked.good) + len(checked.quarantined) == len(frame)
    assert len(checked.quarantined) == (frame.index % 7 == 0).sum()
