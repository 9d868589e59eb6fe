"""One symbol's series as it was known on a day: of that day's state, or an error, and never of another day's."""

import sqlite3
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from scizor_dagster.errors import InputError
from scizor_dagster.flow.series import symbol_series
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import Origin, store_bars
from tests.market_data.support import NOW, XNYS, flat_bars, new_lake

SESSIONS = XNYS.sessions(date(2024, 1, 2), date(2024, 1, 8))
TODAY = datetime.now(UTC).date()


@pytest.fixture
def lake(tmp_path):
    """Closes of 10, 20 and 30 as they were known three, two and one days ago; the second state is gone."""
    made = new_lake(tmp_path)
    numbers = []
    for price in (10.0, 20.0, 30.0):
        with made.write() as cursor:
            store_bars(cursor, flat_bars(["A"], SESSIONS, price), Origin("us", "raw", False, "x", NOW))
            day = (SESSIONS[2], price / 10)
            cursor.execute("INSERT INTO corporate_actions BY NAME SELECT 'us' AS market, 'A' AS symbol, "
                           "? AS ex_session, 'dividend' AS kind, ? AS amount, 'USD' AS currency, 'x' AS source, "
                           "now() AS fetched_at", day)  # fmt: skip
        numbers.append(made.snapshot())
    with made.write() as cursor:
        cursor.execute("CALL ducklake_expire_snapshots('lake', versions => [?])", [numbers[1]])
    made.close()
    with sqlite3.connect(tmp_path / "lake" / "catalog.sqlite") as catalog:
        moved = "UPDATE ducklake_snapshot SET snapshot_time = ? WHERE snapshot_id <= ? AND snapshot_time > '2025'"
        for age, number in ((3, numbers[0]), (1, numbers[2])):
            then = datetime.now(UTC) - timedelta(days=age)
            statement = moved if age == 3 else f"{moved} AND snapshot_id > {numbers[0]}"
            catalog.execute(statement, [then.strftime("%Y-%m-%d %H:%M:%S.%f+00"), number])
    catalog.close()
    opened = Lake(made.location)
    yield opened
    opened.close()


def _series(lake, days_ago=None, kind="raw"):
    desk = SimpleNamespace(lake=lake, calendar=lambda _market: XNYS)
    as_of = None if days_ago is None else datetime.now(XNYS.timezone).date() - timedelta(days=days_ago)
    return symbol_series(desk, "us", "A", SESSIONS[0], SESSIONS[-1], kind, as_of)


def test_the_state_of_a_day_is_read_with_the_actions_of_that_day(lake):
    series = _series(lake, days_ago=1)
    assert series["price"].iloc[0] == 30.0
    assert series["event"].tolist()[2] == "dividend 1 USD; dividend 2 USD; dividend 3 USD"


def test_a_day_whose_state_is_gone_is_not_answered_with_an_earlier_one(lake):
    with pytest.raises(InputError, match="is gone"):
        _series(lake, days_ago=2)


def test_what_the_revisions_still_know_of_a_day_is_told_without_events(lake):
    with lake.write() as cursor:
        cursor.execute(
            "UPDATE bar_revisions SET stored_at = stored_at - INTERVAL 4 DAY, replaced_at = "
            "CASE WHEN close < 19 THEN now() - INTERVAL 3 DAY ELSE now() - INTERVAL 12 HOUR END"
        )
    series = _series(lake, days_ago=2)
    assert series["price"].iloc[0] == 20.0
    assert set(series["event"]) == {""}
    with pytest.raises(InputError, match="is gone"):
        _series(lake, days_ago=2, kind="total_return")
