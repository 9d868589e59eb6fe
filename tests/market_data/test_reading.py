"""What others read: dates as dates, nothing older than allowed, nothing that is not known."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.market_data import reading
from scizor_dagster.market_data.collect import collect_actions, collect_history, collect_symbols, rebuild_prices
from scizor_dagster.market_data.reading import (
    close_matrix,
    coverage,
    instruments,
    last_closes,
    last_closes_of_each,
    pending_actions,
    session_bars,
)
from tests.market_data.support import NOW, XNYS, FrameMarket, actions_frame, entry, flat_bars, market, new_lake

SESSIONS = XNYS.sessions(date(2023, 10, 2), date(2024, 3, 1))
FIRST, LAST = SESSIONS[0], SESSIONS[-1]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A and B trade throughout, C until 2023-10-31, D until its delisting of 2024-02-01. Only read by the tests."""
    lake = new_lake(tmp_path_factory.mktemp("filled"))
    bars = flat_bars(["A", "B", "C", "D"], SESSIONS)
    gone = (bars["symbol"] == "C") & (bars["session"] > "2023-10-31")
    gone |= (bars["symbol"] == "D") & (bars["session"] >= "2024-02-01")
    actions = actions_frame(
        [
            ("B", "2024-01-03", "split", 2.0, None, None, None),
            ("D", "2024-02-01", "delisting", None, None, None, None),
        ]
    )
    provider = FrameMarket(bars[~gone], actions)
    named = market(FIRST)
    collect_symbols(lake, "us", named, [entry(symbol) for symbol in "ABCD"], provider, NOW)
    collect_actions(lake, "us", named, provider, list("ABCD"), FIRST, LAST, NOW)
    collect_history(lake, "us", named, provider, XNYS, list("ABCD"), 2023, 2024, NOW)
    rebuild_prices(lake, "us", NOW)
    yield lake
    lake.close()


def test_the_bars_of_a_session_come_by_symbol_with_their_labels(filled):
    frame = session_bars(filled, "us", LAST)
    assert frame["symbol"].tolist() == ["A", "B"]
    assert set(frame["session"]) == {LAST}
    assert frame[["adjustment", "synthetic", "source"]].drop_duplicates().values.tolist() == [["raw", False, "frame"]]


def test_a_session_or_market_without_bars_is_an_empty_frame_with_the_columns(filled):
    for frame in (session_bars(filled, "us", date(2024, 3, 4)), session_bars(filled, "asx", LAST)):
        assert (len(frame), "close" in frame.columns) == (0, True)
    assert len(last_closes(filled, "asx", LAST)) == 0


def test_the_last_close_is_the_newest_on_or_before_the_day_with_its_date(filled):
    frame = last_closes(filled, "us", date(2024, 2, 4)).set_index("symbol")
    assert frame["session"].to_dict() == {"A": date(2024, 2, 2), "B": date(2024, 2, 2), "D": date(2024, 1, 31)}
    assert frame.loc["A", "close"] == pytest.approx(10 + 0.01 * SESSIONS.index(date(2024, 2, 2)))
    assert frame.loc["A", ["adjustment", "source"]].tolist() == ["raw", "frame"]
    assert frame["synthetic"].any() == np.False_


def test_a_close_older_than_ninety_days_is_no_close(filled):
    assert "C" in set(last_closes(filled, "us", date(2024, 1, 29))["symbol"])
    assert "C" not in set(last_closes(filled, "us", date(2024, 1, 30))["symbol"])


def test_last_closes_of_many_days_are_those_of_each_day(filled, monkeypatch):
    monkeypatch.setattr(reading, "_DAYS_AT_ONCE", 40)
    found = dict(last_closes_of_each(filled, "us", SESSIONS))
    assert list(found) == list(SESSIONS)
    for day in SESSIONS[::7]:
        expected = last_closes(filled, "us", day)
        pd.testing.assert_frame_equal(found[day][list(expected)], expected)
    assert len(found[LAST]) < len(found[FIRST])


def test_a_matrix_has_a_row_for_each_session_and_a_column_for_each_symbol_asked(filled):
    matrix = close_matrix(filled, "us", ["D", "A", "Z"], date(2024, 1, 30), date(2024, 2, 2))
    assert list(matrix.index) == XNYS.sessions(date(2024, 1, 30), date(2024, 2, 2))
    assert list(matrix.columns) == ["D", "A", "Z"]
    assert matrix["D"].isna().tolist() == [False, False, True, True]
    assert matrix["Z"].isna().all()
    assert matrix.loc[date(2024, 2, 2), "A"] == pytest.approx(10 + 0.01 * SESSIONS.index(date(2024, 2, 2)))


def test_a_session_that_is_stored_twice_is_refused_with_the_way_out(lake):
    collect_history(
        lake, "us", market(FIRST), FrameMarket(flat_bars(["A"], SESSIONS[-3:])), XNYS, ["A"], 2024, 2024, NOW
    )
    with lake.write() as cursor:
        cursor.execute("INSERT INTO bars SELECT * FROM bars WHERE session = ?", [SESSIONS[-2]])
    with pytest.raises(DataError, match=f"2 bars of A in session {SESSIONS[-2]}") as refused:
        close_matrix(lake, "us", ["D", "A"], SESSIONS[-3], LAST)
    assert "scizor collect history A --market us --again-as raw" in str(refused.value.remedy)


def test_the_kinds_of_close_differ_where_a_split_lies_between(filled):
    day, first = date(2024, 1, 2), date(2023, 12, 29)
    raw, split, total = (
        close_matrix(filled, "us", ["B"], first, LAST, kind) for kind in ("raw", "split", "total_return")
    )
    assert split.loc[day, "B"] == pytest.approx(raw.loc[day, "B"] / 2)
    assert total.loc[day, "B"] == pytest.approx(split.loc[day, "B"])
    assert split.loc[date(2024, 1, 3), "B"] == raw.loc[date(2024, 1, 3), "B"]


def test_a_split_adjusted_market_has_no_raw_matrix(lake):
    provider = FrameMarket(flat_bars(["A"], SESSIONS[-3:]), adjustment="split")
    collect_history(lake, "us", market(SESSIONS[-3]), provider, XNYS, ["A"], 2024, 2024, NOW)
    rebuild_prices(lake, "us", NOW)
    assert close_matrix(lake, "us", ["A"], FIRST, LAST).isna().all().all()
    assert close_matrix(lake, "us", ["A"], FIRST, LAST, "split").notna().all().all()


def test_a_split_of_the_session_to_trade_is_pending_and_one_that_the_close_knows_is_not(filled):
    frame = pending_actions(filled, "us", date(2024, 1, 2), date(2024, 1, 3))
    assert frame.to_numpy().tolist() == [["B", date(2024, 1, 3), "split"]]
    assert pending_actions(filled, "us", date(2024, 1, 3), date(2024, 1, 4)).empty


def test_a_delisting_after_the_last_close_is_pending(filled):
    frame = pending_actions(filled, "us", date(2024, 2, 2), date(2024, 2, 5))
    assert frame["symbol"].tolist() == ["D"]
    assert frame["kind"].tolist() == ["delisting"]


def test_a_raw_close_from_before_a_split_comes_in_the_units_that_trade_now(tmp_path):
    lake = new_lake(tmp_path)
    sessions = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 5))
    bars = flat_bars(["A", "B"], sessions)
    halted = bars[~((bars["symbol"] == "B") & (bars["session"] > "2024-01-02"))]
    actions = actions_frame([("B", "2024-01-04", "split", 4.0, None, None, None)])
    provider = FrameMarket(halted, actions)
    collect_history(lake, "us", market(), provider, XNYS, ["A", "B"], 2024, 2024, NOW)
    collect_actions(lake, "us", market(), provider, ["A", "B"], sessions[0], sessions[-1], NOW)
    before = last_closes(lake, "us", date(2024, 1, 3)).set_index("symbol")["close"]
    after = last_closes(lake, "us", date(2024, 1, 5)).set_index("symbol")["close"]
    assert after["B"] == before["B"] / 4.0
    assert (before["A"], after["A"]) == (10.01, 10.03)
    assert pending_actions(lake, "us", date(2024, 1, 5), date(2024, 1, 8))["symbol"].tolist() == ["B"]


def test_coverage_counts_the_universe_without_the_delisted(filled):
    assert coverage(filled, "us", date(2023, 10, 31)) == (4, 4, ())
    assert coverage(filled, "us", date(2024, 1, 31)) == (3, 4, ("C",))
    assert coverage(filled, "us", LAST) == (2, 3, ("C",))


def test_instruments_come_back_as_they_went_in_and_the_delisted_is_not_tradable_afterwards(filled):
    assert instruments(filled, "us") == tuple(entry(symbol).instrument for symbol in "ABCD")
    assert instruments(filled, "us")[0].tick == Decimal("0.01")
    tradable = {each.symbol: each.tradable for each in instruments(filled, "us", as_of=date(2024, 2, 1))}
    assert tradable == {"A": True, "B": True, "C": True, "D": False}
    assert all(each.tradable for each in instruments(filled, "us", as_of=date(2024, 1, 31)))


def test_a_later_bar_ends_a_delisting_from_its_session_on(tmp_path):
    lake = new_lake(tmp_path)
    days = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 10))
    bars = flat_bars(["A", "B"], days)
    between = (bars["symbol"] == "A") & bars["session"].between("2024-01-03", "2024-01-05")
    actions = actions_frame([("A", "2024-01-03", "delisting", None, None, None, None)])
    provider = FrameMarket(bars[~between], actions)
    collect_symbols(lake, "us", market(), [entry("A"), entry("B")], provider, NOW)
    collect_history(lake, "us", market(), provider, XNYS, ["A", "B"], 2024, 2024, NOW, through=days[-1])
    collect_actions(lake, "us", market(), provider, ["A", "B"], days[0], days[-1], NOW)
    tradable = {day: {each.symbol: each.tradable for each in instruments(lake, "us", as_of=day)}["A"] for day in days}
    assert [day for day in days if not tradable[day]] == XNYS.sessions(date(2024, 1, 3), date(2024, 1, 5))
    assert [coverage(lake, "us", day)[:2] for day in (days[0], days[2], days[-1])] == [(2, 2), (1, 1), (2, 2)]
    lake.close()
