"""History is filled by its gaps, whole or not at all, and asked for again only where something lacks."""

from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from scizor_dagster.config import FilesProvider
from scizor_dagster.errors import DataError
from scizor_dagster.market_data import filling
from scizor_dagster.market_data.collect import collect_actions, collect_history, collect_session
from scizor_dagster.market_data.files import FilesMarket
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

SESSIONS = XNYS.sessions(date(2023, 11, 1), date(2024, 3, 1))
MARKET = market(date(2023, 11, 1))


def _collect(lake, provider, symbols=("A", "B"), years=(2023, 2024), now=NOW, **more):
    return collect_history(lake, "us", MARKET, provider, XNYS, symbols, *years, now, **more)


def test_the_first_run_stores_every_bar_with_its_origin(lake):
    report = _collect(lake, FrameMarket(flat_bars(["A", "B"], SESSIONS)))
    assert (report.inserted, report.gaps, report.quarantined) == (2 * len(SESSIONS), 0, 0)
    assert [(y.year, y.sessions, y.asked, y.inserted) for y in report.years] == [(2023, 41, 2, 82), (2024, 42, 2, 84)]
    assert rows(lake, "SELECT DISTINCT market, adjustment, synthetic, source, fetched_at FROM bars") == [
        ("us", "raw", False, "frame", NOW)
    ]
    assert rows(lake, "SELECT count(*), count(DISTINCT (symbol, session)) FROM bars") == [(166, 166)]


def test_a_second_run_asks_nothing_and_writes_nothing(lake):
    provider = FrameMarket(flat_bars(["A", "B"], SESSIONS))
    _collect(lake, provider)
    asked, snapshot = len(provider.asked), lake.snapshot()
    report = _collect(lake, provider)
    assert (report.inserted, len(provider.asked), lake.snapshot()) == (0, asked, snapshot)


def test_only_symbols_and_ranges_with_gaps_are_asked_for(lake):
    bars = flat_bars(["A", "B"], SESSIONS)
    hole = (bars["symbol"] == "B") & bars["session"].between("2024-01-11", "2024-01-17")
    _collect(lake, FrameMarket(bars[~hole]))
    provider = FrameMarket(bars)
    report = _collect(lake, provider)
    # Five sessions on either side are asked along, and the days without a session before them (New Year's Day).
    assert provider.asked == [(("B",), date(2024, 1, 4), date(2024, 1, 24))]
    assert (report.inserted, report.gaps) == (4, 0)


@pytest.mark.parametrize(
    ("stored", "wanted", "asked"),
    [
        ((), (10, 19), (10, 19)),
        ((), (0, 19), (0, 19)),
        ((0, 9), (10, 19), (5, 19)),
        ((20, 29), (10, 19), (10, 24)),
        ((15, 29), (10, 19), (10, 19)),
        ((0, 3), (10, 19), (10, 19)),
    ],
    ids=["nothing", "from_the_first", "before", "after", "overlapping", "long_before"],
)
def test_sessions_beside_a_gap_are_asked_along_only_where_something_is_stored_in_them(lake, stored, wanted, asked):
    def run(provider, first, last):
        _collect(lake, provider, ["A"], since=SESSIONS[first], through=SESSIONS[last])

    bars = flat_bars(["A"], SESSIONS)
    if stored:
        run(FrameMarket(bars), *stored)
    provider = FrameMarket(bars)
    run(provider, *wanted)
    ((_symbols, first, last),) = provider.asked
    within = [number for number, day in enumerate(SESSIONS) if first <= day <= last]
    assert (within[0], within[-1]) == asked


def test_bars_that_the_provider_does_not_have_are_asked_again_and_nothing_is_written(lake):
    bars = flat_bars(["A", "B"], SESSIONS)
    provider = FrameMarket(bars[~((bars["symbol"] == "B") & (bars["session"] < "2024-02-01"))])
    first = _collect(lake, provider)
    snapshot = lake.snapshot()
    again = _collect(lake, provider)
    assert (first.gaps, again.gaps, again.inserted, lake.snapshot()) == (62, 62, 0, snapshot)
    assert again.years[0].asked == again.years[1].asked == 1


def test_sessions_before_the_first_after_through_and_not_closed_are_not_asked_for(lake):
    provider = FrameMarket(flat_bars(["A"], XNYS.sessions(date(2023, 1, 3), date(2024, 3, 28))))
    report = _collect(lake, provider, ["A"], (2022, 2025), through=date(2024, 2, 9))
    assert rows(lake, "SELECT min(session), max(session) FROM bars") == [(date(2023, 11, 1), date(2024, 2, 9))]
    assert [year.sessions for year in report.years] == [0, 41, 28, 0]
    assert _collect(lake, provider, ["A"]).inserted == len(XNYS.sessions(date(2024, 2, 12), date(2024, 3, 1)))


def test_bad_bars_are_quarantined_in_the_same_write_and_released_when_mended(lake):
    good = flat_bars(["A"], SESSIONS)
    bad = good.copy()
    bad.loc[5, "high"] = 1.0
    holiday = bars_frame([("A", "2023-11-23", 1.0, 1.0, 1.0, 1.0, 1.0)])
    report = _collect(lake, FrameMarket(pd.concat([bad, holiday])), ["A"])
    assert (report.quarantined, report.gaps) == (2, 1)
    stored = "SELECT session, reason, source, fetched_at FROM quarantined_bars ORDER BY 1"
    assert rows(lake, stored) == [
        (date(2023, 11, 8), "high_below_low", "frame", NOW),
        (date(2023, 11, 23), "not_a_session", "frame", NOW),
    ]
    assert rows(lake, "SELECT count(*) FROM bars WHERE session IN ('2023-11-08', '2023-11-23')") == [(0,)]
    _collect(lake, FrameMarket(good), ["A"])
    assert [row[1] for row in rows(lake, stored)] == ["not_a_session"]
    assert rows(lake, "SELECT count(*) FROM bars WHERE session = '2023-11-08'") == [(1,)]


def test_sessions_after_a_delisting_are_no_gaps(lake):
    bars = flat_bars(["A"], [day for day in SESSIONS if day < date(2024, 1, 5)])
    provider = FrameMarket(bars, actions_frame([("A", "2024-01-05", "delisting", None, None, None, None)]))
    assert _collect(lake, provider, ["A"]).gaps > 0
    collect_actions(lake, "us", MARKET, provider, ["A"], date(2023, 1, 1), date(2024, 12, 31), NOW)
    asked = len(provider.asked)
    assert (_collect(lake, provider, ["A"]).gaps, len(provider.asked)) == (0, asked)


def test_a_series_that_the_source_restated_is_replaced_whole(lake):
    bars = flat_bars(["A", "B"], SESSIONS, price=60.0)
    known = bars[bars["session"] != "2024-01-10"]
    _collect(lake, FrameMarket(known, adjustment="split"))
    halved = bars.copy()
    halved.loc[halved["symbol"] == "A", ["open", "high", "low", "close"]] /= 2
    # The gap's own year is asked from session to session, so only a wider gap overlaps what is stored.
    with lake.write() as cursor:
        cursor.execute("DELETE FROM bars WHERE symbol = 'A' AND session IN ('2024-01-03', '2024-02-27')")
    report = _collect(lake, FrameMarket(halved, adjustment="split"))
    (split,) = report.suspected_splits
    assert (split.symbol, split.factor, split.refetched) == ("A", 0.5, True)
    assert rows(lake, "SELECT symbol, count(*), max(close) < 40 FROM bars GROUP BY 1 ORDER BY 1") == [
        ("A", len(SESSIONS), True), ("B", len(SESSIONS), False),
    ]  # fmt: skip


def test_bars_of_another_basis_are_never_put_beside_stored_ones(lake):
    bars = flat_bars(["A"], SESSIONS)
    _collect(lake, FrameMarket(bars), ["A"], (2023, 2023))
    snapshot = lake.snapshot()
    with pytest.raises(DataError, match=r"holds raw bars .* gives split ones"):
        _collect(lake, FrameMarket(bars, adjustment="split"), ["A"])
    assert lake.snapshot() == snapshot


def test_a_source_that_fails_leaves_whole_batches_and_the_next_run_asks_for_the_rest_alone(lake):
    names = [f"S{number}" for number in range(8)]
    provider = CountingMarket(flat_bars(names, SESSIONS))
    provider.broken = frozenset({"S3"})
    with pytest.raises(ConnectionError):
        _collect(lake, provider, names)
    stored = rows(lake, "SELECT symbol, count(*) FROM bars GROUP BY 1 ORDER BY 1")
    done = {symbol for symbol, _count in stored}
    assert {count for _symbol, count in stored} == {len(SESSIONS)}
    assert not done & {"S2", "S3"}
    whole = CountingMarket(provider.bars)
    report = _collect(lake, whole, names)
    assert {symbol for symbols, _, _ in whole.asked for symbol in symbols} == set(names) - done
    assert (report.calls, report.gaps) == (len(names) - len(done), 0)


def test_what_a_counting_source_has_not_is_asked_for_once_unless_it_is_recent_or_forced(lake):
    listed = SESSIONS[30]
    bars = flat_bars(["A", "B"], SESSIONS)
    provider = CountingMarket(bars[(bars["symbol"] == "A") | (bars["session"] >= pd.Timestamp(listed))])
    first, again = _collect(lake, provider), _collect(lake, provider)
    assert (first.calls, again.calls, first.gaps, again.gaps) == (2, None, 30, 30)
    assert rows(lake, "SELECT symbol, first_session, last_session, source FROM absent_bars") == [
        ("B", SESSIONS[0], SESSIONS[29], "frame")
    ]
    snapshot = lake.snapshot()
    assert _collect(lake, provider, force=True).calls == 2
    assert lake.snapshot() == snapshot
    provider.bars = bars
    assert _collect(lake, provider, force=True).gaps == 0


def test_bars_that_the_source_does_not_show_are_reported_and_not_remembered_as_absent(lake):
    class Shy(CountingMarket):
        refused = {"B": "354: not subscribed"}

    bars = flat_bars(["A", "B"], SESSIONS)
    report = _collect(lake, Shy(bars[bars["symbol"] == "A"]))
    assert report.refused == (("B", "354: not subscribed"),)
    assert rows(lake, "SELECT count(*) FROM absent_bars") == [(0,)]
    assert _collect(lake, CountingMarket(bars)).gaps == 0


def _absent(lake):
    return rows(lake, "SELECT first_session, last_session, settled FROM absent_bars ORDER BY 1")


def test_an_answer_without_a_single_bar_rests_a_week_and_is_then_asked_for_again_and_again_rests(lake):
    nothing = CountingMarket(flat_bars([], []))
    at = {days: NOW + timedelta(days=days) for days in (0, 6, 8, 14, 16)}
    calls = {days: _collect(lake, nothing, ["A"], through=SESSIONS[-6], now=now).calls for days, now in at.items()}
    assert calls == {0: 1, 6: None, 8: 1, 14: None, 16: 1}
    assert rows(lake, "SELECT first_session, last_session, fetched_at FROM absent_bars") == [
        (SESSIONS[0], SESSIONS[-6], at[16])
    ]
    known = CountingMarket(flat_bars(["A"], SESSIONS))
    assert _collect(lake, known, ["A"], through=SESSIONS[-6], now=NOW + timedelta(days=24)).gaps == 0
    assert _absent(lake) == []


def test_what_was_said_before_the_first_bar_came_is_asked_for_again_and_what_was_said_beside_bars_is_not(lake):
    bars = flat_bars(["A", "B"], SESSIONS)
    listed = bars["session"] >= pd.Timestamp(SESSIONS[30])
    _collect(lake, CountingMarket(bars[(bars["symbol"] == "B") & listed]), now=NOW)
    late = bars["session"] >= pd.Timestamp(SESSIONS[-3])
    _collect(lake, CountingMarket(bars[listed & ((bars["symbol"] == "B") | late)]), now=NOW + timedelta(days=1))
    after = CountingMarket(bars[listed])
    assert _collect(lake, after, through=SESSIONS[-1], now=NOW + timedelta(days=9)).calls == 1
    assert {symbol for symbols, _first, _last in after.asked for symbol in symbols} == {"A"}
    assert _collect(lake, after, through=SESSIONS[-1], now=NOW + timedelta(days=30)).calls is None


def test_a_daily_collection_asks_again_for_what_is_doubted_with_the_same_number_of_calls(lake):
    bars = flat_bars(["A", "B"], SESSIONS)
    before = bars["session"] <= pd.Timestamp(date(2024, 2, 21))
    _collect(lake, CountingMarket(bars[(bars["symbol"] == "B") & before]), now=NOW - timedelta(days=9))
    provider = CountingMarket(bars)
    report = collect_session(lake, "us", market(SESSIONS[0]), provider, XNYS, ["A", "B"], SESSIONS[-1], NOW)
    assert (report.calls, report.missing) == (2, ())
    assert rows(lake, "SELECT symbol, count(*) FROM bars GROUP BY 1 ORDER BY 1") == [
        ("A", len(SESSIONS)), ("B", len(SESSIONS)),
    ]  # fmt: skip


def test_a_bar_that_comes_inside_a_remembered_absence_is_taken_out_of_it(lake):
    bars = flat_bars(["A"], SESSIONS)
    days = {number: bars["session"] == pd.Timestamp(SESSIONS[number]) for number in range(4, 11)}
    hole = bars["session"].between(pd.Timestamp(SESSIONS[4]), pd.Timestamp(SESSIONS[10]))
    _collect(lake, CountingMarket(bars[~hole]), ["A"])
    assert _absent(lake) == [(SESSIONS[4], SESSIONS[10], True)]
    _collect(lake, CountingMarket(bars[~hole | days[4] | days[7]]), ["A"], force=True)
    assert _absent(lake) == [(SESSIONS[5], SESSIONS[6], True), (SESSIONS[8], SESSIONS[10], True)]
    _collect(lake, CountingMarket(bars), ["A"], force=True)
    assert _absent(lake) == []


def test_a_recent_session_that_is_late_is_asked_for_again(lake):
    bars = flat_bars(["A"], SESSIONS)
    provider = CountingMarket(bars[bars["session"] < pd.Timestamp(SESSIONS[-3])])
    assert [_collect(lake, provider, ["A"]).calls for _ in range(2)] == [1, 1]
    assert rows(lake, "SELECT first_session, settled FROM absent_bars") == [(SESSIONS[-3], False)]
    provider.bars = bars
    assert _collect(lake, provider, ["A"]).gaps == 0


def test_a_forced_history_leaves_a_late_session_to_be_asked_for_again(lake):
    bars = flat_bars(["A"], SESSIONS)
    provider = CountingMarket(bars[bars["session"] < pd.Timestamp(SESSIONS[-3])])
    _collect(lake, provider, ["A"], force=True)
    assert _absent(lake) == [(SESSIONS[-3], SESSIONS[-1], False)]
    provider.bars = bars
    assert _collect(lake, provider, ["A"], now=NOW + timedelta(days=1), through=SESSIONS[-1]).gaps == 0


def test_an_empty_answer_for_days_that_are_stored_is_not_remembered(lake):
    bars = flat_bars(["A"], SESSIONS)
    hole = bars["session"] == pd.Timestamp(SESSIONS[20])
    _collect(lake, CountingMarket(bars[~hole]), ["A"])
    with lake.write() as cursor:
        cursor.execute("DELETE FROM absent_bars")
    assert _collect(lake, CountingMarket(bars.iloc[:0]), ["A"]).calls == 1
    assert rows(lake, "SELECT count(*) FROM absent_bars") == [(0,)]
    assert _collect(lake, CountingMarket(bars), ["A"]).gaps == 0


def test_a_doubted_bar_of_a_counting_source_rests_a_week_unless_a_person_accepts_it(lake):
    bars = flat_bars(["A"], SESSIONS)
    bars.loc[20, ["open", "high", "low", "close"]] *= 3
    provider = CountingMarket(bars)
    assert _collect(lake, provider, ["A"]).quarantined == 1
    assert _collect(lake, provider, ["A"]).calls is None
    close = float(bars.loc[20, "close"])
    report = _collect(lake, provider, ["A"], accepted={("A", SESSIONS[20]): close})
    assert (report.calls, report.gaps) == (1, 0)


def test_forced_history_replaces_what_the_source_has_corrected(lake):
    bars = flat_bars(["A"], SESSIONS)
    _collect(lake, FrameMarket(bars), ["A"])
    bars.loc[20, "close"] += 0.2
    _collect(lake, FrameMarket(bars), ["A"])
    close = f"SELECT round(close, 6) FROM bars WHERE session = '{SESSIONS[20]}'"
    assert rows(lake, close) == [(10.2,)]
    _collect(lake, FrameMarket(bars), ["A"], force=True)
    assert rows(lake, close) == [(10.4,)]
    assert rows(lake, "SELECT count(*) FROM bars") == [(len(SESSIONS),)]


def test_progress_is_told_with_every_write(lake, monkeypatch):
    monkeypatch.setattr(filling, "SYMBOLS_PER_WRITE", 2)
    heard = []
    names = ["A", "B", "C"]
    _collect(lake, CountingMarket(flat_bars(names, SESSIONS)), names, progress=lambda *step: heard.append(step))
    # The batch of one is written with the other where it is answered first.
    assert [(done, total) for done, total, _ in heard] in ([(2, 3), (3, 3)], [(3, 3)])
    assert heard[-1][2] == f"{3 * len(SESSIONS)} bars, 3 calls"


def test_the_real_sp500_years_fill_once_and_their_holiday_rows_are_quarantined(lake, reference_data):
    settings = FilesProvider(
        type="files", path="sp500_2018_2023/ohlcv.parquet", columns={"session": "date"}, adjustment="split"
    )
    provider = FilesMarket(settings, reference_data, XNYS)
    symbols = pd.read_parquet(reference_data / settings.path, columns=["symbol"])["symbol"].unique().tolist()
    now = datetime(2023, 6, 30, 12, tzinfo=UTC)
    arguments = (lake, "us", market(date(2018, 1, 2)), provider, XNYS, symbols, 2018, 2023, now)
    report = collect_history(*arguments)
    assert (report.inserted, report.quarantined, report.gaps) == (686_582, 1_010, 5_800)
    assert report.suspected_splits == ()
    assert [(fault.kind, fault.first, fault.symbols) for fault in report.faults] == [
        ("copied_holiday", date(2022, 6, 20), 500), ("copied_holiday", date(2023, 6, 19), 501),
    ]  # fmt: skip
    copied = "SELECT session, count(*) FROM quarantined_bars WHERE reason = 'copied_holiday' GROUP BY ALL ORDER BY 1"
    assert rows(lake, copied) == [(date(2022, 6, 20), 500), (date(2023, 6, 19), 501)]
    # Nine sessions in which the source has lost the volume of a large company.
    others = "SELECT DISTINCT reason, count(*) FROM quarantined_bars WHERE reason <> 'copied_holiday' GROUP BY ALL"
    assert rows(lake, others) == [("no_volume", 9)]
    assert rows(lake, "SELECT DISTINCT adjustment, synthetic FROM bars") == [("split", False)]
    snapshot = lake.snapshot()
    again = collect_history(*arguments)
    assert (again.inserted, again.gaps, lake.snapshot()) == (0, 5_800, snapshot)
    assert astuple(again)[:4] == astuple(report)[:4]


def test_the_gaps_of_a_ticker_that_is_used_again_are_filled_again(lake):
    """A was delisted on the second session; another company trades under the name from the fourth on."""
    days = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 10))
    bars = flat_bars(["A"], [days[0], *days[3:]])
    actions = actions_frame([("A", days[1].isoformat(), "delisting", None, None, None, None)])
    provider = FrameMarket(bars[bars["session"] != pd.Timestamp(days[4])], actions)
    collect_actions(lake, "us", market(), provider, ["A"], days[0], days[-1], NOW)
    common = (lake, "us", market(), provider, XNYS, ["A"])
    collect_history(*common, 2024, 2024, NOW, through=days[-1])
    assert rows(lake, "SELECT count(*) FROM bars") == [(1,)]
    collect_session(*common, days[-1], NOW)
    provider.bars = bars
    collect_history(*common, 2024, 2024, NOW, through=days[-1])
    assert [day for (day,) in rows(lake, "SELECT session FROM bars ORDER BY 1")] == [days[0], *days[3:]]


class _AskedTogether(CountingMarket):
    """One call however many symbols: they are asked for each other's gaps along."""

    def calls(self, symbols, sessions):
        return 1

    def symbols_per_batch(self, sessions):
        return 10


def test_what_a_symbol_was_asked_for_along_with_another_is_not_remembered_as_absent(lake):
    days = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 16))
    bars = flat_bars(["A", "B"], days)
    hole = bars[(bars["symbol"] == "A") & (bars["session"] != pd.Timestamp(days[1]))]
    first = market(days[0])
    collect_history(lake, "us", first, FrameMarket(hole), XNYS, ["A"], 2024, 2024, NOW, through=days[-2])
    source = _AskedTogether(bars[(bars["symbol"] != "B") | (bars["session"] != pd.Timestamp(days[2]))])
    collect_session(lake, "us", first, source, XNYS, ["A", "B"], days[-1], NOW)
    assert rows(lake, "SELECT * FROM absent_bars WHERE settled") == []
    collect_history(lake, "us", first, source, XNYS, ["A", "B"], 2024, 2024, NOW, through=days[-1])
    assert rows(lake, "SELECT count(*) FROM bars WHERE symbol = 'B'") == [(len(days) - 1,)]


def test_a_forced_range_before_newer_bars_is_compared_with_them_and_never_stored_on_another_basis(lake):
    bars = flat_bars(["A"], SESSIONS, price=60.0).assign(volume=1000.0)
    _collect(lake, FrameMarket(bars, adjustment="split"), ["A"])
    prices = ["open", "high", "low", "close"]
    halved = bars.assign(**{name: bars[name] / 2 for name in prices}, volume=2000.0)
    report = _collect(lake, FrameMarket(halved, adjustment="split"), ["A"], through=SESSIONS[9], force=True)
    assert [split.refetched for split in report.suspected_splits] == [True]
    assert rows(lake, "SELECT DISTINCT volume FROM bars") == [(2000.0,)]


def test_an_early_bar_is_asked_for_the_next_day_where_the_answer_was_wholly_empty(lake):
    bars = flat_bars(["A", "B"], SESSIONS)
    _collect(lake, CountingMarket(bars))
    early = XNYS.close_at(SESSIONS[-8]) + timedelta(minutes=1)
    with lake.write() as cursor:
        cursor.execute("UPDATE bars SET fetched_at = ?, volume = 3 WHERE session = ?", [early, SESSIONS[-8]])
    _collect(lake, CountingMarket(bars[bars["symbol"] == "B"]), now=NOW + timedelta(days=1))
    _collect(lake, CountingMarket(bars), now=NOW + timedelta(days=2))
    assert rows(lake, "SELECT count(*) FROM bars WHERE volume = 3") == [(0,)]
