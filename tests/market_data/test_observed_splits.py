"""A split that a source shows in its prices and does not list is in the actions, once, and the history on its basis."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.market_data.collect import collect_actions, collect_history, collect_session
from scizor_dagster.market_data.observed_splits import ObservedSplit, store_observed, withdraw_listed
from scizor_dagster.market_data.overlap import compare
from scizor_dagster.market_data.restated_series import Level, ratio_text, restatement_of
from scizor_dagster.market_data.revisions import revisions
from tests.market_data.support import NOW, XNYS, FrameMarket, actions_frame, flat_bars, market, rows

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 3, 1))
LAST = SESSIONS[-1]
PRICES = ["open", "high", "low", "close"]
RATIOS = (2.0, 3.0, 1.5, 4.0, 10.0, 25.0, 0.5, 0.1, 0.05, 0.8511, 1.014506, 1.061)


def _bars(symbols=("A", "B")):
    bars = flat_bars(symbols, SESSIONS, price=60.0)
    bars["volume"] = 10_000.0 + 37 * (np.arange(len(bars)) % 11)
    return bars


def _split(bars, symbol, ratio, before=None):
    """The bars as a source shows them that has adjusted those of `symbol` for a split."""
    bars = bars.copy()
    rows_ = bars["symbol"] == symbol
    if before is not None:
        rows_ &= bars["session"] < pd.Timestamp(before)
    bars.loc[rows_, PRICES] = (bars.loc[rows_, PRICES] / ratio).round(4)
    bars.loc[rows_, "volume"] = (bars.loc[rows_, "volume"] * ratio).round()
    return bars


def _session(lake, provider, session=LAST):
    return collect_session(lake, "us", market(), provider, XNYS, ("A", "B"), session, NOW)


def _actions(lake):
    return rows(lake, "SELECT symbol, ex_session, kind, ratio, source FROM corporate_actions ORDER BY ALL")


@pytest.fixture
def filled(lake):
    collect_history(
        lake, "us", market(), FrameMarket(_bars(), adjustment="split"), XNYS, ["A", "B"], 2024, 2024, NOW,
        through=SESSIONS[-2],
    )  # fmt: skip
    return lake


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_ratio_is_found_on_price_and_volume(ratio):
    found = compare(_bars(), _split(_bars(), "A", ratio)).restated
    assert list(found) == ["A"]
    assert found["A"].kind == ("spin_off" if ratio in (0.8511, 1.014506, 1.061) else "split")
    assert [split.ratio for split in found["A"].splits] == [pytest.approx(ratio, rel=1e-3)]


@pytest.mark.parametrize(("factor", "kind"), [
    (0.993, "dividends"), (100.0, "currency_unit"), (0.01, "currency_unit"), (1.37, "price_factor"),
    (0.5, "price_factor"),
])  # fmt: skip
def test_a_factor_on_the_prices_alone_is_no_split(factor, kind):
    moved = _bars()
    moved.loc[moved["symbol"] == "A", PRICES] *= factor
    found = compare(_bars(), moved).restated
    assert (found["A"].kind, found["A"].splits) == (kind, ())


def test_a_split_is_seen_through_the_dividends_of_an_adjusting_source():
    moved = _split(_bars(), "A", 4.0)
    for day, factor in ((SESSIONS[10], 0.99), (SESSIONS[30], 0.985)):
        earlier = (moved["symbol"] == "A") & (moved["session"] < pd.Timestamp(day))
        moved.loc[earlier, PRICES] *= factor
    found = compare(_bars(), moved).restated["A"]
    assert (found.kind, [split.ratio for split in found.splits]) == ("split", [4.0])


def test_a_split_in_the_middle_has_the_first_session_of_the_newer_basis():
    found = compare(_bars(), _split(_bars(), "A", 3.0, before=SESSIONS[20])).restated["A"]
    assert [(split.ratio, split.ex_session) for split in found.splits] == [(3.0, SESSIONS[20])]


def test_a_corrected_price_beside_a_split_does_not_hide_it():
    moved = _split(_bars(), "A", 2.0)
    moved.loc[len(SESSIONS) - 3, "close"] += 0.2
    found = compare(_bars().tail(len(_bars())).groupby("symbol").tail(5), moved).restated["A"]
    assert (found.kind, found.splits[0].ratio) == ("split", 2.0)


def test_one_corrected_bar_of_one_price_is_no_series():
    bars = _bars()
    for name in PRICES:
        bars[name] = bars["close"]
    moved = bars.copy()
    moved.loc[len(SESSIONS) - 1, PRICES] *= 1.01
    found = compare(bars.groupby("symbol").tail(5), moved)
    assert (found.restated, found.differing, len(found.corrected)) == ({}, ("A",), 1)


def test_an_unseen_split_is_fetched_anew_and_written_to_the_actions(filled):
    report = _session(filled, FrameMarket(_split(_bars(), "A", 4.0), adjustment="split"))
    (split,) = report.suspected_splits
    assert (split.symbol, split.kind, split.ratios, split.refetched) == ("A", "split", (4.0,), True)
    assert _actions(filled) == [("A", LAST, "split", 4.0, "observed:frame")]
    assert rows(filled, "SELECT max(close) < 20 FROM bars WHERE symbol = 'A'") == [(True,)]
    old, new = revisions(filled, "us", "A", SESSIONS[3])
    assert (old.reason, old.close) == ("restated_series", pytest.approx(4 * new.close))


def test_an_observed_split_stays_until_the_provider_lists_it_and_is_never_doubled(filled):
    provider = FrameMarket(_split(_bars(), "A", 4.0), adjustment="split")
    _session(filled, provider)
    everything = (filled, "us", market(), provider, ["A", "B"], SESSIONS[0], LAST + timedelta(days=9), NOW)
    collect_actions(*everything)
    assert _actions(filled) == [("A", LAST, "split", 4.0, "observed:frame")]
    listed = date(2024, 3, 4)
    provider.actions = actions_frame([("A", listed.isoformat(), "split", 4.0, None, None, None)])
    assert collect_actions(*everything).changed
    assert _actions(filled) == [("A", listed, "split", 4.0, "frame")]


def test_a_split_that_the_provider_lists_is_not_observed_besides(filled):
    listed = actions_frame([("A", LAST.isoformat(), "split", 4.0, None, None, None)])
    _session(filled, FrameMarket(_split(_bars(), "A", 4.0), listed, adjustment="split"))
    assert _actions(filled) == []


def test_prices_in_another_unit_are_held_and_named(filled):
    moved = _bars()
    moved.loc[moved["symbol"] == "A", PRICES] *= 100
    report = _session(filled, FrameMarket(moved, adjustment="split"))
    assert [(split.kind, split.refetched) for split in report.suspected_splits] == [("currency_unit", False)]
    assert rows(filled, "SELECT symbol, session, reason FROM quarantined_bars") == [("A", LAST, "unit_error")]
    assert rows(filled, "SELECT max(close) < 100 FROM bars") == [(True,)]


def test_a_raw_source_that_rewrites_its_past_for_a_split_is_held(lake):
    collect_history(lake, "us", market(), FrameMarket(_bars()), XNYS, ["A", "B"], 2024, 2024, NOW, through=SESSIONS[-2])
    report = _session(lake, FrameMarket(_split(_bars(), "A", 2.0)))
    assert [split.refetched for split in report.suspected_splits] == [False]
    assert rows(lake, "SELECT symbol, reason FROM quarantined_bars") == [("A", "restated_source")]


def test_a_share_too_thin_for_its_volumes_has_the_ratio_of_its_prices():
    level = Level(1 / 0.15, 1 / 0.15, SESSIONS[0], 0.1475, 5)
    assert [(found.kind, [split.ratio for split in found.splits]) for found in (restatement_of([level]),)] == [
        ("split", [0.15])
    ]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (2.0, "2:1"), (0.1, "1:10"), (1.5, "3:2"), (2 / 3, "2:3"), (1.25, "5:4"), (4 / 3, "4:3"), (25.0, "25:1"),
        (1 / 23, "1:23"), (1.1, "11:10"), (1.05, "21:20"), (1.0, "1:1"),
        (20 / 19, "1.05263"), (19 / 20, "0.95"), (17 / 13, "1.30769"), (0.9, "0.9"), (0.8511, "0.8511"),
    ],
)  # fmt: skip
def test_a_ratio_is_told_as_people_tell_it(ratio, text):
    assert ratio_text(ratio) == text


CPRT = (date(2022, 11, 4), date(2023, 8, 22))
"""Two splits of one share, both 2:1, within a year."""


def _observed_in(lake, splits, now=NOW):
    with lake.write() as cursor:
        return store_observed(cursor, "us", "frame", splits, actions_frame([]), now)


def _withdraw(lake, listed):
    frame = actions_frame([("CPRT", day.isoformat(), "split", 2.0, None, None, None) for day in listed])
    with lake.write() as cursor:
        withdraw_listed(cursor, "us", frame)
    return [day for _symbol, day, *_rest in _actions(lake)]


@pytest.mark.parametrize("listed", CPRT)
def test_one_of_two_equal_splits_withdraws_its_own_observation_alone(lake, listed):
    _observed_in(lake, [ObservedSplit("CPRT", day, 2.0) for day in CPRT])
    (other,) = set(CPRT) - {listed}
    assert _withdraw(lake, [listed]) == [other]
    assert _withdraw(lake, CPRT) == []


@pytest.mark.parametrize(("listed", "left"), [([CPRT[1]], []), ([date(2022, 9, 1)], [CPRT[0]])])
def test_an_observation_of_an_uncertain_day_is_listed_by_any_day_up_to_its_own_instant(lake, listed, left):
    _observed_in(lake, [ObservedSplit("CPRT", CPRT[0], 2.0, latest=date(2024, 3, 1))])
    assert _withdraw(lake, listed) == left


def test_one_observation_of_both_splits_at_once_is_withdrawn_by_both_together(lake):
    _observed_in(lake, [ObservedSplit("CPRT", CPRT[0], 4.0, latest=date(2024, 3, 1))])
    assert _withdraw(lake, [CPRT[1]]) == [CPRT[0]]
    assert _withdraw(lake, CPRT) == []


def test_one_listed_split_keeps_one_observed_split_out_and_not_a_second_of_its_ratio(lake):
    listed = actions_frame([("CPRT", CPRT[1].isoformat(), "split", 2.0, None, None, None)])
    both = [ObservedSplit("CPRT", day, 2.0) for day in CPRT]
    with lake.write() as cursor:
        assert store_observed(cursor, "us", "frame", both, listed, NOW) == (both[0],)


def test_a_split_after_the_last_stored_bar_is_kept_with_the_latest_day_that_it_can_be_of(filled):
    _session(filled, FrameMarket(_split(_bars(), "A", 4.0), adjustment="split"))
    assert rows(filled, "SELECT ex_session, ex_until FROM corporate_actions") == [(LAST, NOW.date())]
