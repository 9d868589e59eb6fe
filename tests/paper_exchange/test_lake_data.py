from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import append_rows, initialise, replace_rows
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.lake_data import LakeSessionData, former_names
from tests.paper_exchange.market import DAY1, DAY2, DAY3, bar

AT = datetime(2024, 3, 7, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    opened = Lake(LakeLocation.embedded(tmp_path))
    initialise(opened)
    yield opened
    opened.close()


def store_bars(lake: Lake, *rows: tuple[str, date, float], adjustment: str = "raw", market: str = "us") -> None:
    frame = pd.DataFrame(
        [
            {
                "market": market,
                "symbol": symbol,
                "session": session,
                "open": close,
                "high": close + 1.5,
                "low": close - 0.1,
                "close": close,
                "volume": 1000.0,
                "adjustment": adjustment,
                "synthetic": False,
                "source": "test",
                "fetched_at": AT,
            }
            for symbol, session, close in rows
        ]
    )
    with lake.write() as cursor:
        append_rows(cursor, "bars", frame)


def store_action(lake: Lake, symbol: str, session: date, kind: str, **values: object) -> None:
    row = {
        "market": "us",
        "symbol": symbol,
        "ex_session": session,
        "kind": kind,
        "source": "test",
        "fetched_at": AT,
    }
    with lake.write() as cursor:
        append_rows(cursor, "corporate_actions", pd.DataFrame([row | values]))


def test_bars_are_the_decimals_that_the_source_wrote(lake):
    store_bars(lake, ("AAA", DAY1, 100.1), ("BBB", DAY2, 5.0))
    assert LakeSessionData(lake, "us").bars(DAY1) == {"AAA": bar("100.1", "101.6", "100.0", "100.1", "1000.0")}


def test_a_session_that_is_not_stored_is_none_and_not_empty(lake):
    store_bars(lake, ("AAA", DAY1, 100.0), market="asx")
    assert LakeSessionData(lake, "us").bars(DAY1) is None


def test_the_last_price_is_the_newest_close_before_the_session(lake):
    store_bars(lake, ("AAA", DAY1, 100.0), ("AAA", DAY2, 101.0), ("AAA", DAY3, 102.0), ("BBB", DAY1, 7.5))
    assert LakeSessionData(lake, "us").last_prices(DAY3) == {"AAA": D("101.0"), "BBB": D("7.5")}
    assert LakeSessionData(lake, "us").last_prices(DAY1) == {}


def test_a_price_of_many_months_ago_is_no_last_price(lake):
    store_bars(lake, ("AAA", date(2023, 11, 1), 100.0))
    assert LakeSessionData(lake, "us").last_prices(DAY1) == {}


def test_last_prices_are_in_the_units_that_trade_on_the_session(lake):
    store_bars(lake, ("AAA", DAY1, 100.0), ("BBB", DAY1, 100.0))
    store_action(lake, "AAA", DAY2, "split", ratio=4.0)
    data = LakeSessionData(lake, "us")
    assert data.last_prices(DAY2)["AAA"] == 25
    assert data.last_prices(DAY3) == {"AAA": D(25), "BBB": D(100)}
    store_bars(lake, ("AAA", DAY2, 26.0))
    assert data.last_prices(DAY3)["AAA"] == 26


def test_actions_of_a_session_are_its_splits_dividends_delistings_and_renames(lake):
    store_bars(lake, ("AAA", DAY1, 100.0))
    store_action(lake, "AAA", DAY2, "split", ratio=0.1)
    store_action(lake, "AAA", DAY2, "dividend", amount=0.24)
    store_action(lake, "AAA", DAY2, "delisting")
    store_action(lake, "AAA", DAY3, "dividend", amount=0.24)
    store_action(lake, "OLD", DAY2, "rename", new_symbol="NEW")
    assert set(LakeSessionData(lake, "us").actions(DAY2)) == {
        SessionAction("AAA", DAY2, "split", ratio=D("0.1")),
        SessionAction("AAA", DAY2, "dividend", amount=D("0.24")),
        SessionAction("AAA", DAY2, "delisting", amount=D(1000)),
        SessionAction("OLD", DAY2, "rename", new_symbol="NEW"),
    }


@pytest.mark.parametrize(("adjustment", "kinds"), [("split", ["dividend"]), ("total_return", [])])
def test_adjusted_prices_know_their_actions_already(lake, adjustment, kinds):
    store_bars(lake, ("AAA", DAY1, 100.0), adjustment=adjustment)
    store_action(lake, "AAA", DAY2, "split", ratio=4.0)
    store_action(lake, "AAA", DAY2, "dividend", amount=0.24)
    data = LakeSessionData(lake, "us")
    assert [row.kind for row in data.actions(DAY2)] == kinds
    assert data.last_prices(DAY2) == {"AAA": D(100)}


def store_universe(lake: Lake, *symbols: str) -> None:
    rows = [
        {
            "market": "us",
            "symbol": symbol,
            "instrument_id": f"{symbol}.XNYS",
            "mic": "XNYS",
            "currency": "USD",
            "lot": 1,
            "tick": "0.01",
            "fractionable": True,
            "shortable": True,
            "tradable": True,
            "verified": True,
            "last_verified": AT,
            "source": "test",
            "fetched_at": AT,
        }
        for symbol in symbols
    ]
    with lake.write() as cursor:
        append_rows(cursor, "symbols", pd.DataFrame(rows))


def names(count: int) -> list[str]:
    return [f"S{number:02}" for number in range(count)]


@pytest.mark.parametrize(
    ("tracked", "stored", "enough"),
    [(6, 1, False), (6, 4, True), (40, 35, False), (40, 36, True), (3, 1, True), (2, 1, True), (2, 0, False)],
)
def test_a_session_has_bars_once_a_plan_could_be_made_on_them(lake, tracked, stored, enough):
    store_universe(lake, *names(tracked))
    store_bars(lake, ("OTHER", DAY2, 10.0), *((name, DAY1, 10.0) for name in names(stored)))
    data = LakeSessionData(lake, "us")
    bars = data.bars(DAY1)
    assert (None if bars is None else sorted(bars)) == (names(stored) if enough else None)
    store_bars(lake, *((name, DAY1, 10.0) for name in names(tracked)[stored:]))
    assert len(data.bars(DAY1) if bars is None else names(tracked)) == tracked


def test_a_small_universe_is_not_stopped_by_what_is_delisted(lake):
    store_universe(lake, "AAA", "BBB", "CCC", "DDD")
    for symbol in ("BBB", "CCC", "DDD"):
        store_action(lake, symbol, DAY1, "delisting")
    store_bars(lake, ("AAA", DAY1, 100.0))
    assert list(LakeSessionData(lake, "us").bars(DAY1)) == ["AAA"]


def asked_in_vain(lake, session, at):
    row = {"market": "us", "session": session, "source": "test", "fetched_at": at}
    with lake.write() as cursor:
        replace_rows(cursor, "empty_sessions", pd.DataFrame([row]), "session = ?", [session])


def test_a_session_passed_without_trading_when_its_source_had_no_bar_of_it_but_enough_of_a_later_one(lake):
    store_universe(lake, *names(6))
    data = LakeSessionData(lake, "us")
    asked_in_vain(lake, DAY1, AT)
    assert not data.passed_without_trading(DAY1)
    store_bars(lake, ("S00", DAY2, 10.0))
    assert not data.passed_without_trading(DAY1)
    store_bars(lake, *((name, DAY3, 10.0) for name in names(6)))
    assert data.passed_without_trading(DAY1)
    assert not data.passed_without_trading(DAY2)
    assert not data.passed_without_trading(DAY3)


@pytest.mark.parametrize("asked", [None, AT - timedelta(hours=1)])
def test_a_session_that_was_not_asked_for_since_a_later_one_came_has_not_passed(lake, asked):
    store_universe(lake, *names(6))
    store_bars(lake, *((name, DAY3, 10.0) for name in names(6)))
    if asked is not None:
        asked_in_vain(lake, DAY1, asked)
    assert not LakeSessionData(lake, "us").passed_without_trading(DAY1)


def test_actions_between_are_those_of_the_symbols_asked_for_as_they_are_known_now(lake):
    data = LakeSessionData(lake, "us")
    store_bars(lake, ("AAA", DAY1, 100.0), ("BBB", DAY1, 100.0))
    store_action(lake, "AAA", DAY1, "dividend", amount=0.1)
    assert len(data.actions(DAY1)) == 1
    store_action(lake, "AAA", DAY2, "split", ratio=4.0)
    store_action(lake, "BBB", DAY2, "split", ratio=4.0)
    store_action(lake, "AAA", DAY3, "dividend", amount=0.2)
    assert data.actions_between(DAY1, DAY2, ["AAA"]) == [
        SessionAction("AAA", DAY1, "dividend", amount=D("0.1")),
        SessionAction("AAA", DAY2, "split", ratio=D("4.0")),
    ]
    assert data.actions_between(DAY1, DAY3, []) == ()


def test_a_late_split_is_none_where_the_prices_know_it(lake):
    store_bars(lake, ("AAA", DAY1, 100.0), ("AAA", DAY3, 100.0), adjustment="split")
    store_action(lake, "AAA", DAY2, "split", ratio=4.0)
    store_action(lake, "AAA", DAY2, "delisting")
    found = LakeSessionData(lake, "us").actions_between(DAY1, DAY3, ["AAA"])
    assert [row.kind for row in found] == ["delisting"]


def test_a_delisting_pays_the_last_close_however_old_in_units_of_its_day(lake):
    store_bars(lake, ("AAA", date(2023, 6, 1), 100.0), ("AAA", DAY3, 7.0))
    store_action(lake, "AAA", date(2023, 7, 3), "split", ratio=4.0)
    store_action(lake, "AAA", DAY2, "delisting")
    store_action(lake, "ZZZ", DAY2, "delisting")
    assert LakeSessionData(lake, "us").actions(DAY2) == [
        SessionAction("AAA", DAY2, "delisting", amount=D(25)),
        SessionAction("ZZZ", DAY2, "delisting"),
    ]


def test_a_history_is_of_the_market_the_symbols_and_the_days_asked_for(lake):
    store_bars(lake, ("AAA", DAY2, 11.0), ("AAA", DAY1, 10.0), ("AAA", DAY3, 12.0), ("BBB", DAY1, 20.0))
    store_bars(lake, ("AAA", DAY1, 99.0), market="asx")
    found = LakeSessionData(lake, "us").history(["AAA", "ZZZ"], DAY1, DAY2)
    assert {symbol: list(rows) for symbol, rows in found.items()} == {"AAA": [DAY1, DAY2]}
    assert found["AAA"][DAY1] == bar(10, "11.5", "9.9", 10, 1000)


def test_a_renamed_instrument_is_known_by_its_former_name(lake):
    store_action(lake, "OLD", DAY1, "rename", new_symbol="NEW")
    store_action(lake, "AAA", DAY1, "split", ratio=2.0)
    assert former_names(lake, "us") == {"NEW": "OLD"}
    assert former_names(lake, "asx") == {}
