from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.reconciliation import storage
from scizor_dagster.reconciliation.storage import store_reconciliation
from tests.reconciliation.world import DAY, World, order, plan_of

NOW = datetime(2024, 3, 5, 1, 0, tzinfo=UTC)
TABLES = ("reconciliations", "breaks", "order_results", "end_of_day_positions")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    opened = Lake(LakeLocation.embedded(tmp_path_factory.mktemp("lake")))
    initialise(opened)
    yield opened
    opened.close()


@pytest.fixture
def lake(shared: Lake) -> Lake:
    with shared.write() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
    return shared


def rows(lake: Lake, query: str) -> list[tuple]:
    with lake.read() as cursor:
        return cursor.execute(query).fetchall()


def counts(lake: Lake) -> list[int]:
    return [rows(lake, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]


def test_a_report_is_stored_as_it_was_made(lake):
    store_reconciliation(lake, World(orders=[order(qty=D(11))]).report(), NOW)
    assert rows(
        lake, "SELECT portfolio, account, session, state, orders, filled, working, breaks FROM reconciliations"
    ) == [("main", "paper", DAY, "breaks", 1, 1, 0, 1)]
    assert rows(lake, "SELECT account, kind, expected, found, severity FROM breaks") == [
        ("paper", "order_differs", "buy 10 AAA", "buy 11 AAA", "error")
    ]
    assert rows(lake, "SELECT client_order_id, side, filled_qty, average_price, slippage_bps FROM order_results") == [
        ("buy-aaa", "buy", "10", "100.50000000", pytest.approx(50.0))
    ]
    assert rows(
        lake, "SELECT symbol, qty, target_qty, price, price_session, market_value FROM end_of_day_positions"
    ) == [("AAA", "10", "10", 101.0, DAY, 1010.0)]


def test_storing_again_replaces_the_session_whole(lake):
    store_reconciliation(lake, World(orders=[]).report(), NOW)
    store_reconciliation(lake, World().report(), NOW)
    store_reconciliation(lake, World().report(), NOW)
    assert counts(lake) == [1, 0, 1, 1]


def test_a_session_without_anything_is_one_row(lake):
    empty = World(
        plan=None, batches=[], intents=[], fills=[], broker_fills=[], owned={}, positions=[], orders=[], cash=None
    )
    store_reconciliation(lake, empty.report(), NOW)
    assert counts(lake) == [1, 0, 0, 0]
    assert rows(lake, "SELECT state FROM reconciliations") == [("no_plan",)]


def test_a_holding_without_a_price_is_stored_without_a_value(lake):
    world = World(owned={"AAA": D(10), "BBB": D(1)}, closes={"BBB": Close(D("7.5"), DAY)}, plan=plan_of())
    store_reconciliation(lake, world.report(), NOW)
    assert rows(
        lake, "SELECT symbol, price, price_session, market_value FROM end_of_day_positions ORDER BY symbol"
    ) == [
        ("AAA", None, None, None),
        ("BBB", 7.5, DAY, 7.5),
    ]


def test_a_write_that_fails_leaves_the_earlier_report(lake, monkeypatch):
    store_reconciliation(lake, World().report(), NOW)

    def fail(positions):
        raise RuntimeError("no room")

    monkeypatch.setattr(storage, "_numbers", fail)
    with pytest.raises(RuntimeError):
        store_reconciliation(lake, World(orders=[]).report(), NOW)
    assert rows(lake, "SELECT state FROM reconciliations") == [("reconciled",)]
