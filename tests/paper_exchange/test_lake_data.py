from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.lake.connection import Lake, LakeLocation
from scizor_dagster.lake.tables import append_rows, initialise
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.lake_data import LakeSessionData
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


def store_action(lake: Lake, symbol: str, session: date, kind: str, **values: float) -> None:
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


def test_actions_of_a_session_are_its_splits_and_dividends(lake):
    store_bars(lake, ("AAA", DAY1, 100.0))
    store_action(lake, "AAA", DAY2, "split", ratio=0.1)
    store_action(lake, "AAA", DAY2, "dividend", amount=0.24)
    store_action(lake, "AAA", DAY2, "delisting")
    store_action(lake, "AAA", DAY3, "dividend", amount=0.24)
    assert set(LakeSessionData(lake, "us").actions(DAY2)) == {
        SessionAction("AAA", DAY2, "split", ratio=D("0.1")),
        SessionAction("AAA", DAY2, "dividend", amount=D("0.24")),
    }


@pytest.mark.parametrize(("adjustment", "kinds"), [("split", ["dividend"]), ("total_return", [])])
def test_adjusted_prices_know_their_actions_already(lake, adjustment, kinds):
    store_bars(lake, ("AAA", DAY1, 100.0), adjustment=adjustment)
    store_action(lake, "AAA", DAY2, "split", ratio=4.0)
    store_action(lake, "AAA", DAY2, "dividend", amount=0.24)
    data = LakeSessionData(lake, "us")
    assert [row.kind for row in data.actions(DAY2)] == kinds
    assert data.last_prices(DAY2) == {"AAA": D(100)}
