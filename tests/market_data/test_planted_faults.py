"""Faults of known kinds, planted into real sound prices: nothing planted is missed, nothing sound is refused.

The limits: a shift is seen where it crosses a weekend or holiday, a copied day where most symbols have it, a unit
where it is near 100 or 1000, a split by what it does to the price (a factor of 1.8) or, in what is fetched again, by
the volumes (half a percent).
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scizor_dagster.config import PriceQuality
from scizor_dagster.market_data.overlap import compare
from scizor_dagster.market_data.plausibility import REASONS, doubt
from scizor_dagster.market_data.quality import check_bars
from scizor_dagster.sessions import TradingCalendar

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]
VALUES = [*PRICES, "volume"]
XNYS = TradingCalendar("XNYS")
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def sound(reference_data: Path) -> pd.DataFrame:
    """Ten large companies for two years."""
    bars = pd.read_parquet(reference_data / "nasdaq100_2018_2026" / "ohlcv.parquet")
    bars.columns = [name.lower() for name in bars.columns]
    bars["session"] = pd.to_datetime(bars["date"]).astype("datetime64[s]")
    names = ["AAPL", "ADBE", "AMD", "AMGN", "CSCO", "COST", "INTC", "MSFT", "PEP", "TXN"]
    chosen = bars["symbol"].isin(names) & bars["session"].between("2021-01-04", "2022-12-30")
    return bars.loc[chosen, ["symbol", "session", *VALUES]].reset_index(drop=True)


def _check(bars: pd.DataFrame):
    return check_bars(bars, XNYS, NOW, set(bars["symbol"]))


def _doubt(bars: pd.DataFrame):
    found = doubt(bars, bars.iloc[:0], PriceQuality(), lambda _symbols: {}, frozenset(), {})
    named = [(int(row), REASONS[index]) for row, index in enumerate(found.reasons) if index >= 0]
    return dict(named), found.faults


def test_nothing_sound_is_refused(sound) -> None:
    checked = _check(sound)
    assert (len(checked.quarantined), checked.faults) == (0, ())
    assert _doubt(sound) == ({}, ())
    again = compare(sound, sound.copy())
    assert (again.restated, again.differing, len(again.corrected)) == ({}, (), 0)


@FEW
@given(
    week=st.integers(2, 60), weeks=st.integers(1, 40), by=st.sampled_from([-1, 1]), share=st.sampled_from([0.6, 1.0])
)
def test_days_that_a_time_zone_has_moved_are_all_found_and_no_others(sound, week, weeks, by, share) -> None:
    """From one weekend to another, as clocks change; of the whole feed or most of it."""
    start = pd.Timestamp("2021-01-03") + timedelta(weeks=week)
    inside = (sound["session"] > start) & (sound["session"] < start + timedelta(weeks=weeks))
    names = sorted(sound["symbol"].unique())
    moved = inside & sound["symbol"].isin(names[: int(share * len(names))])
    bars = sound.copy()
    bars.loc[moved, "session"] += pd.Timedelta(days=by)
    refused = _check(bars).quarantined
    found = set(zip(refused["symbol"], refused["session"], strict=True))
    planted = set(zip(bars.loc[moved, "symbol"], bars.loc[moved, "session"], strict=True))
    assert planted <= found
    if share == 1.0:
        assert found == planted
        assert set(refused["reason"]) == {"shifted_day"}


@FEW
@given(days=st.sets(st.integers(30, 490), min_size=1, max_size=5), session=st.booleans())
def test_copied_days_are_all_found_and_no_others(sound, days, session) -> None:
    sessions = XNYS.sessions(date(2021, 1, 4), date(2022, 12, 30))
    before = [sessions[at] for at in sorted(days) if at + 1 not in days and at - 1 not in days]
    parts, planted = [sound], set()
    for day in before:
        target = XNYS.next_session(day) if session else day + timedelta(days=1)
        if not session and XNYS.is_session(target):
            continue
        copy = sound[sound["session"] == pd.Timestamp(day)].assign(session=pd.Timestamp(target).as_unit("s"))
        parts = [frame[frame["session"] != pd.Timestamp(target)] for frame in parts] + [copy]
        planted.add(target)
    bars = pd.concat(parts, ignore_index=True)
    checked = _check(bars)
    reasons, faults = _doubt(checked.good.reset_index(drop=True))
    assert {fault.first for fault in (*checked.faults, *faults)} == planted
    assert {fault.kind for fault in (*checked.faults, *faults)} <= {"copied_day" if session else "copied_holiday"}
    assert len(checked.quarantined) + len(reasons) == 10 * len(planted)


@pytest.mark.parametrize(("late", "found"), [(3, 0), (8, 8)])
def test_a_quiet_day_of_a_few_is_no_day_taken_before_its_close_where_most_are_stored_whole(sound, late, found) -> None:
    last = sound["session"] == sound["session"].max()
    few = last & sound["symbol"].isin(sorted(sound["symbol"].unique())[:late])
    bars = sound.copy()
    bars.loc[few, "volume"] *= 0.2
    doubts = doubt(bars[few], bars[~few], PriceQuality(), lambda _symbols: {}, frozenset(), {})
    assert [REASONS[index] for index in doubts.reasons if index >= 0] == ["partial_day"] * found
    assert [fault.bars for fault in doubts.faults] == [found] * (found > 0)


def test_quiet_bars_that_are_stored_do_not_speak_against_one_as_large_as_ever(sound) -> None:
    last = sound["session"] == sound["session"].max()
    stored = last & sound["symbol"].isin(sorted(sound["symbol"].unique())[:2])
    one = last & (sound["symbol"] == sorted(sound["symbol"].unique())[2])
    bars = sound.copy()
    bars.loc[stored, "volume"] *= 0.2
    doubts = doubt(bars[one], bars[~last | stored], PriceQuality(), lambda _symbols: {}, frozenset(), {})
    assert (list(doubts.reasons), doubts.faults) == ([-1], ())


@FEW
@given(
    unit=st.sampled_from([100.0, 0.01, 1000.0, 0.001]),
    days=st.sets(st.integers(40, 480), min_size=1, max_size=30),
    name=st.sampled_from(["AAPL", "COST", "TXN"]),
)
def test_days_in_another_unit_are_all_named_so_and_no_others(sound, unit, days, name) -> None:
    bars = sound.copy()
    rows = np.flatnonzero(bars["symbol"] == name)[sorted(days)]
    bars.loc[rows, PRICES] *= unit
    reasons, faults = _doubt(bars)
    assert (set(reasons), set(reasons.values()), faults) == (set(rows.tolist()), {"unit_error"}, ())


@FEW
@given(
    ratio=st.one_of(st.integers(2, 30).map(float), st.integers(2, 30).map(lambda n: 1 / n)),
    at=st.integers(60, 480),
    name=st.sampled_from(["AAPL", "COST", "TXN"]),
)
def test_an_unlisted_split_of_a_raw_source_is_suspected_in_its_first_bar(sound, ratio, at, name) -> None:
    bars = sound.copy()
    own = np.flatnonzero(bars["symbol"] == name)
    bars.loc[own[at:], PRICES] /= ratio
    bars.loc[own[at:], "volume"] *= ratio
    bars = bars[bars["session"] <= bars["session"].iloc[own[at]]].reset_index(drop=True)
    reasons, _faults = _doubt(bars)
    assert list(reasons.values()) == ["suspected_split"]


@FEW
@given(
    ratio=st.sampled_from([2.0, 3.0, 1.5, 1.25, 1.1, 4.0, 7.0, 10.0, 20.0, 30.0, 0.5, 0.1, 0.05, 0.8511, 1.014506]),
    sessions=st.integers(3, 300),
    paid=st.lists(st.floats(0.97, 0.998), max_size=4),
    decimals=st.sampled_from([None, 4]),
)
def test_a_split_is_found_in_what_is_fetched_again_whatever_dividends_do_besides(
    sound, ratio, sessions, paid, decimals
) -> None:
    stored = sound.groupby("symbol").tail(sessions).reset_index(drop=True)
    fetched = stored.copy()
    own = fetched["symbol"] == "MSFT"
    for number, factor in enumerate(paid):
        day = stored["session"].max() - pd.Timedelta(days=30 * (number + 1))
        fetched.loc[own & (fetched["session"] < day), PRICES] *= factor
    fetched.loc[own, PRICES] /= ratio
    if decimals is not None:
        fetched.loc[own, PRICES] = fetched.loc[own, PRICES].round(decimals)
    fetched.loc[own, "volume"] = (fetched.loc[own, "volume"] * ratio).round()
    found = compare(stored, fetched)
    assert (list(found.restated), found.differing) == (["MSFT"], ())
    assert [split.ratio for split in found.restated["MSFT"].splits] == [pytest.approx(ratio, rel=1e-4)]


@FEW
@given(rows=st.sets(st.integers(0, 5029), min_size=1, max_size=40), factor=st.floats(1.001, 1.05))
def test_single_corrections_are_restated_bars_and_never_a_series(sound, rows, factor) -> None:
    chosen = sorted(row for row in rows if row < len(sound))
    fetched = sound.copy()
    fetched.loc[chosen, "close"] *= factor
    found = compare(sound, fetched)
    assert (found.restated, len(found.corrected)) == ({}, len(chosen))
