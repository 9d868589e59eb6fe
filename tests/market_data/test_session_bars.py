"""One closed session: stored once, compared with what came before, never half-written."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from scizor_dagster.errors import DataError, NotASession, SessionNotClosed
from scizor_dagster.market_data.collect import collect_actions, collect_history, collect_session
from scizor_dagster.market_data.revisions import revisions
from tests.market_data.support import (
    NOW,
    XNYS,
    CountingMarket,
    FrameMarket,
    actions_frame,
    bars_frame,
    flat_bars,
    market,
    rows,
)

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 3, 1))
LAST = SESSIONS[-1]
PRICES = ["open", "high", "low", "close"]


def _collect(lake, provider, session=LAST, symbols=("A", "B"), now=NOW):
    return collect_session(lake, "us", market(), provider, XNYS, symbols, session, now)


@pytest.fixture
def bars():
    return flat_bars(["A", "B"], SESSIONS, price=60.0)


@pytest.fixture
def filled(lake, bars):
    """A lake with everything before the last session, as of its morning."""
    morning = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
    collect_history(lake, "us", market(), FrameMarket(bars, adjustment="split"), XNYS, ["A", "B"], 2024, 2024, morning)
    return lake


def test_a_session_is_stored_once_and_a_repeat_writes_nothing(lake, bars):
    provider = FrameMarket(bars)
    first = _collect(lake, provider)
    snapshot = lake.snapshot()
    again = _collect(lake, provider)
    assert (first.inserted, first.changed, first.unchanged, first.stored) == (2, 0, 0, 2)
    assert (again.inserted, again.changed, again.unchanged, again.stored) == (0, 0, 2, 2)
    assert lake.snapshot() == snapshot
    assert rows(lake, "SELECT symbol, session, source, fetched_at FROM bars ORDER BY 1") == [
        ("A", LAST, "frame", NOW), ("B", LAST, "frame", NOW),
    ]  # fmt: skip


def test_a_corrected_bar_replaces_the_stored_one(lake, bars):
    _collect(lake, FrameMarket(bars))
    mended = bars.copy()
    mended.loc[(mended["symbol"] == "A") & (mended["session"] == pd.Timestamp(LAST)), "volume"] = 7.0
    report = _collect(lake, FrameMarket(mended))
    assert (report.inserted, report.changed, report.unchanged) == (0, 1, 1)
    assert rows(lake, "SELECT symbol, volume FROM bars ORDER BY 1") == [("A", 7.0), ("B", 1000.0)]


def test_an_answer_without_a_stored_bar_does_not_delete_it(lake, bars):
    _collect(lake, FrameMarket(bars))
    report = _collect(lake, FrameMarket(bars[bars["symbol"] == "A"]))
    assert report.missing == ()
    assert rows(lake, "SELECT count(*) FROM bars") == [(2,)]


def test_an_open_session_and_a_day_without_one_are_refused_before_anything_is_asked(lake, bars):
    provider = FrameMarket(bars)
    with pytest.raises(SessionNotClosed):
        _collect(lake, provider, now=datetime(2024, 3, 1, 20, 59, tzinfo=UTC))
    with pytest.raises(NotASession):
        _collect(lake, provider, session=date(2024, 2, 19))
    assert provider.asked == []


def test_a_session_whose_closing_auction_has_not_printed_is_refused_as_one_that_is_open(lake, bars):
    provider = FrameMarket(bars)
    with pytest.raises(SessionNotClosed, match="from 2024-03-01 21:20 UTC on"):
        _collect(lake, provider, now=datetime(2024, 3, 1, 21, 19, tzinfo=UTC))
    assert provider.asked == []
    assert _collect(lake, provider, now=datetime(2024, 3, 1, 21, 20, tzinfo=UTC)).inserted == 2


def _fetched_at_the_close(lake, session):
    with lake.write() as cursor:
        at = XNYS.close_at(session) + timedelta(minutes=1)
        cursor.execute("UPDATE bars SET fetched_at = ?, close = close - 0.03 WHERE session = ?", [at, session])


@pytest.mark.parametrize("made_of", [FrameMarket, CountingMarket], ids=["file", "counting"])
def test_a_bar_that_was_fetched_before_its_closing_auction_is_asked_for_once_more_and_replaced(lake, bars, made_of):
    early, eve = SESSIONS[-8], NOW - timedelta(days=1)
    collect_history(lake, "us", market(), made_of(bars), XNYS, ["A", "B"], 2024, 2024, eve)
    _fetched_at_the_close(lake, early)
    provider = made_of(bars)
    report = _collect(lake, provider)
    assert provider.asked[0][1] <= early
    assert (report.inserted, report.changed, report.restatements) == (2, 2, ())
    before, now = revisions(lake, "us", "A", early)
    assert (before.reason, round(now.close - before.close, 6), now.fetched_at) == ("fetched_early", 0.03, NOW)
    again = made_of(bars)
    _collect(lake, again, now=NOW + timedelta(hours=1))
    assert all(first > early for _symbols, first, _last in again.asked)


def test_a_bar_fetched_early_that_its_source_has_not_any_more_rests_a_week_and_stays(lake, bars):
    early = SESSIONS[-8]
    collect_history(lake, "us", market(), CountingMarket(bars), XNYS, ["A", "B"], 2024, 2024, NOW)
    _fetched_at_the_close(lake, early)
    gone = bars[bars["session"] != pd.Timestamp(early)]

    def asked(days, provider):
        collect_history(
            lake, "us", market(), provider, XNYS, ["A", "B"], 2024, 2024, NOW + timedelta(days=days), through=LAST
        )
        return len(provider.asked)

    assert [asked(days, CountingMarket(gone)) for days in (1, 7, 9, 15)] == [1, 0, 1, 0]
    assert rows(lake, f"SELECT count(*) FROM bars WHERE session = '{early}'") == [(2,)]
    assert asked(17, CountingMarket(bars)) == 1
    assert revisions(lake, "us", "A", early)[-1].fetched_at == NOW + timedelta(days=17)


def test_a_bar_fetched_early_of_which_the_source_says_nothing_is_asked_for_again_at_once(lake, bars):
    class Shy(CountingMarket):
        refused = {"A": "354: not subscribed"}

    collect_history(lake, "us", market(), CountingMarket(bars), XNYS, ["A"], 2024, 2024, NOW)
    _fetched_at_the_close(lake, SESSIONS[-8])
    for hours, provider in enumerate((Shy(bars.iloc[:0]), CountingMarket(bars)), start=1):
        collect_history(lake, "us", market(), provider, XNYS, ["A"], 2024, 2024, NOW + timedelta(hours=hours))
        assert len(provider.asked) == 1


def test_symbols_without_a_bar_are_named_unless_delisted(lake, bars):
    provider = FrameMarket(
        bars[bars["symbol"] == "A"], actions_frame([("D", "2024-02-01", "delisting", None, None, None, None)])
    )
    collect_actions(lake, "us", market(), provider, ["A", "B", "D"], SESSIONS[0], LAST, NOW)
    assert _collect(lake, provider, symbols=("A", "B", "D")).missing == ("B",)


def test_a_bad_bar_and_one_on_the_holiday_before_are_quarantined(lake, bars):
    session = date(2024, 2, 20)
    bars.loc[(bars["symbol"] == "B") & (bars["session"] == pd.Timestamp(session)), "close"] = -1.0
    holiday = bars_frame([("A", "2024-02-19", 1.0, 1.0, 1.0, 1.0, 1.0)])
    report = _collect(lake, FrameMarket(pd.concat([bars, holiday])), session)
    assert (report.inserted, report.quarantined, report.missing) == (1, 2, ("B",))
    assert rows(lake, "SELECT symbol, session, reason FROM quarantined_bars ORDER BY 1") == [
        ("A", date(2024, 2, 19), "not_a_session"), ("B", session, "bad_price"),
    ]  # fmt: skip


def test_a_series_restated_by_a_constant_factor_is_fetched_anew_with_the_session(filled, bars):
    bars.loc[bars["symbol"] == "A", PRICES] /= 4
    report = _collect(filled, FrameMarket(bars, adjustment="split"))
    (split,) = report.suspected_splits
    assert (split.symbol, split.factor, split.overlap, split.refetched) == ("A", 0.25, 5, True)
    assert rows(filled, "SELECT symbol, count(*), max(close) < 20 FROM bars GROUP BY 1 ORDER BY 1") == [
        ("A", len(SESSIONS), True), ("B", len(SESSIONS), False),
    ]  # fmt: skip


def test_a_restated_series_that_cannot_be_had_whole_keeps_its_bars_and_gets_no_new_one(filled, bars):
    bars.loc[bars["symbol"] == "A", PRICES] /= 4
    shortened = bars[~((bars["symbol"] == "A") & (bars["session"] < "2024-02-01"))]
    before = rows(filled, "SELECT count(*), sum(close) FROM bars WHERE symbol = 'A'")
    report = _collect(filled, FrameMarket(shortened, adjustment="split"))
    assert [split.refetched for split in report.suspected_splits] == [False]
    assert report.missing == ("A",)
    assert rows(filled, "SELECT count(*), sum(close) FROM bars WHERE symbol = 'A'") == before
    assert rows(filled, "SELECT symbol, session, reason FROM quarantined_bars") == [("A", LAST, "restated_source")]


def test_a_correction_of_an_earlier_bar_is_taken_and_the_old_one_kept(filled, bars):
    earlier = (bars["symbol"] == "B") & (bars["session"] == pd.Timestamp(SESSIONS[-2]))
    before = float(bars.loc[earlier, "close"].iloc[0])
    bars.loc[earlier, "close"] += 0.2
    later, began = NOW + timedelta(hours=1), datetime.now(UTC)
    report = _collect(filled, FrameMarket(bars, adjustment="split"), now=later)
    assert (report.differing, report.suspected_splits, report.inserted) == (("B",), (), 2)
    (restated,) = report.restatements
    assert (restated.symbol, restated.session, restated.stored) == ("B", SESSIONS[-2], True)
    assert (restated.close_before, restated.close_after) == (before, pytest.approx(before + 0.2))
    assert report.restatement_rate == 1 / report.compared
    old, new = revisions(filled, "us", "B", SESSIONS[-2])
    assert (old.close, old.reason, new.close, new.fetched_at) == (before, "restated_bar", restated.close_after, later)
    assert old.stored_at < began < old.replaced_at == new.stored_at
    assert new.replaced_at is None


def test_a_correction_that_is_not_believed_leaves_the_stored_bar(filled, bars):
    earlier = (bars["symbol"] == "B") & (bars["session"] == pd.Timestamp(SESSIONS[-2]))
    bars.loc[earlier, PRICES] *= 3
    report = _collect(filled, FrameMarket(bars, adjustment="split"))
    assert [bar.stored for bar in report.restatements] == [False]
    assert len(revisions(filled, "us", "B", SESSIONS[-2])) == 1


def test_bars_collected_again_with_other_values_are_kept_as_revisions(filled, bars):
    _collect(filled, FrameMarket(bars, adjustment="split"))
    bars.loc[bars["session"] == pd.Timestamp(LAST), "volume"] += 1
    assert _collect(filled, FrameMarket(bars, adjustment="split")).changed == 2
    assert [belief.volume for belief in revisions(filled, "us", "A", LAST)] == [1000.0, 1001.0]


def test_a_real_split_of_a_raw_source_is_no_restatement(lake, bars):
    split_at = pd.Timestamp(SESSIONS[-2])
    bars.loc[(bars["symbol"] == "A") & (bars["session"] >= split_at), PRICES] /= 2
    provider = FrameMarket(bars)
    for session in SESSIONS[-6:]:
        report = _collect(lake, provider, session)
        assert (report.suspected_splits, report.differing) == ((), ())


def test_a_session_on_another_basis_is_refused(filled, bars):
    with pytest.raises(DataError, match="never mixed"):
        _collect(filled, FrameMarket(bars))
    assert rows(filled, f"SELECT count(*) FROM bars WHERE session = '{LAST}'") == [(0,)]


def test_neither_a_part_of_the_universe_nor_a_refusal_nor_a_doubted_bar_says_that_nobody_traded(lake, bars):
    class Shy(CountingMarket):
        refused = {"B": "354: not subscribed"}

    none = bars[bars["session"] < pd.Timestamp(LAST)]
    collect_session(lake, "us", market(), FrameMarket(none), XNYS, ["A"], LAST, NOW, part=True)
    _collect(lake, Shy(none))
    _collect(lake, FrameMarket(pd.concat([none, bars_frame([("A", str(LAST), 0.0, 0.0, 0.0, 0.0, 1.0)])])))
    assert rows(lake, "SELECT count(*) FROM empty_sessions") == [(0,)]


def test_a_session_that_its_source_knows_nothing_of_is_kept_as_asked_for_until_it_does(lake, bars):
    none = bars[bars["session"] < pd.Timestamp(LAST)]
    later = NOW + timedelta(hours=1)
    for now in (NOW, later):
        _collect(lake, FrameMarket(none), now=now)
    assert rows(lake, "SELECT market, session, fetched_at FROM empty_sessions") == [("us", LAST, later)]
    _collect(lake, FrameMarket(bars))
    assert rows(lake, "SELECT count(*) FROM empty_sessions") == [(0,)]
