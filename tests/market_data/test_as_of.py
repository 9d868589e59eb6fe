"""What was known then: after a restated bar, a split, a late action and a delisting, and after clean-up."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from scizor_dagster.errors import DataError, SnapshotGone
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.collect import collect_actions, collect_history, collect_session, rebuild_prices
from scizor_dagster.market_data.reading import close_matrix, coverage, last_closes, prices
from scizor_dagster.market_data.revisions import revisions
from scizor_dagster.market_data.symbol_rows import Carry
from scizor_dagster.market_data.symbol_store import _carry
from tests.market_data.support import NOW, XNYS, FrameMarket, actions_frame, flat_bars, market

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 3, 1))
LAST = SESSIONS[-1]
PRICES = ["open", "high", "low", "close"]
SYMBOLS = ["A", "B"]


def _bars():
    return flat_bars(SYMBOLS, SESSIONS, price=60.0)


def _collect(lake, provider, session=LAST, now=NOW):
    return collect_session(lake, "us", market(), provider, XNYS, SYMBOLS, session, now)


def _prices(lake, **more):
    return prices(lake, "us", SYMBOLS, SESSIONS[0], LAST, **more)


@pytest.fixture(params=["raw", "split"])
def basis(request):
    return request.param


@pytest.fixture
def filled(lake, basis):
    provider = FrameMarket(_bars(), adjustment=basis)
    collect_history(lake, "us", market(), provider, XNYS, SYMBOLS, 2024, 2024, NOW, through=SESSIONS[-2])
    rebuild_prices(lake, "us", NOW)
    return lake


def _news(basis):
    """A corrected bar of B, a split of A (in a split-adjusted source), and dividends of both that came late."""
    bars = _bars()
    bars.loc[(bars["symbol"] == "B") & (bars["session"] == pd.Timestamp(SESSIONS[-2])), "close"] += 0.2
    if basis == "split":
        bars.loc[bars["symbol"] == "A", PRICES] /= 4
        bars.loc[bars["symbol"] == "A", "volume"] *= 4
    paid = [(symbol, SESSIONS[9].isoformat(), "dividend", None, 0.5, "USD", None) for symbol in SYMBOLS]
    return FrameMarket(bars, actions_frame(paid), adjustment=basis)


def test_what_was_known_is_read_by_snapshot_and_instant_after_everything_has_changed(filled, basis):
    known, snapshot, instant = _prices(filled), filled.snapshot(), datetime.now(UTC)
    provider = _news(basis)
    _collect(filled, provider)
    collect_actions(filled, "us", market(), provider, SYMBOLS, SESSIONS[0], LAST, NOW)
    rebuild_prices(filled, "us", NOW)
    changed = _prices(filled)
    assert not changed.equals(known)
    assert len(changed) == len(known) + 2
    for as_of in (snapshot, instant):
        pd.testing.assert_frame_equal(_prices(filled, as_of=as_of), known)


def test_every_reader_reads_an_earlier_state(filled):
    before = last_closes(filled, "us", LAST)
    matrix = close_matrix(filled, "us", SYMBOLS, SESSIONS[0], LAST, "split")
    seen = coverage(filled, "us", SESSIONS[-2])
    snapshot = filled.snapshot()
    bars = _bars()
    bars.loc[bars["session"] == pd.Timestamp(SESSIONS[-2]), "close"] += 0.1
    gone = actions_frame([("B", SESSIONS[-2].isoformat(), "delisting", None, None, None, None)])
    provider = FrameMarket(bars, gone, adjustment=filled_basis(filled))
    _collect(filled, provider)
    collect_actions(filled, "us", market(), provider, SYMBOLS, SESSIONS[0], LAST, NOW)
    with filled.at(snapshot) as then:
        pd.testing.assert_frame_equal(last_closes(then, "us", LAST), before)
        pd.testing.assert_frame_equal(close_matrix(then, "us", SYMBOLS, SESSIONS[0], LAST, "split"), matrix)
        assert coverage(then, "us", SESSIONS[-2]) == seen
    assert not last_closes(filled, "us", LAST).equals(before)


def filled_basis(lake):
    with lake.read() as cursor:
        return cursor.execute("SELECT any_value(adjustment) FROM bars").fetchone()[0]


def test_after_clean_up_the_source_s_own_columns_are_still_told_and_no_factor_is_invented(filled, basis):
    known, snapshot, instant = _prices(filled), filled.snapshot(), datetime.now(UTC)
    _collect(filled, _news(basis), now=NOW + timedelta(days=1))
    with filled.write() as cursor:
        cursor.execute(f"CALL ducklake_expire_snapshots('lake', versions => {list(range(snapshot + 1))})")
    with pytest.raises(SnapshotGone, match="no snapshot number"):
        _prices(filled, as_of=snapshot)
    found = _prices(filled, as_of=instant)
    column = {"raw": "raw_close", "split": "split_close"}[basis]
    pd.testing.assert_series_equal(found[column], known[column])
    assert found["total_return_close"].isna().all()
    assert [belief.reason for belief in revisions(filled, "us", "B", SESSIONS[-2])] == ["restated_bar", ""]
    # Its run had begun long before, and nobody could read it then.
    assert _prices(filled, as_of=NOW + timedelta(hours=1)).empty


def test_a_lake_that_cannot_be_opened_is_an_error_and_not_a_state_that_is_gone(filled, monkeypatch):
    monkeypatch.setattr("scizor_dagster.lake.connection.LOCK_TIMEOUT_SECONDS", 0.05)
    other = Lake(filled.location)
    with filled.write(), pytest.raises(DataError, match="Another process has been writing"):
        _prices(other, as_of=datetime.now(UTC))


def test_a_copied_bar_is_known_under_its_new_ticker_from_the_copy_on(filled):
    before = datetime.now(UTC)
    with filled.write() as cursor:
        _carry(cursor, "us", Carry("A", "Z", LAST))
    snapshot = filled.snapshot()
    with filled.write() as cursor:
        cursor.execute(f"CALL ducklake_expire_snapshots('lake', versions => {list(range(snapshot))})")
    assert len(prices(filled, "us", ["A"], SESSIONS[0], LAST, as_of=before)) == len(SESSIONS) - 1
    assert prices(filled, "us", ["Z"], SESSIONS[0], LAST, as_of=before).empty
    assert len(prices(filled, "us", ["Z"], SESSIONS[0], LAST)) == len(SESSIONS) - 1
