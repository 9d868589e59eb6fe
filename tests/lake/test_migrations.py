"""A lake of an earlier version: upgraded without losing a row, or refused with its columns named."""

import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.inlined import flush
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.migrations import columns_of, existing_columns
from scizor_dagster.lake.tables import TABLES, initialise, tables_due, upgrade_tables
from tests.lakes import NewLake

EARLIER_TARGETS = """
    portfolio VARCHAR NOT NULL, session DATE NOT NULL, symbol VARCHAR NOT NULL, instrument_id VARCHAR NOT NULL,
    target_weight DOUBLE NOT NULL, strategy VARCHAR NOT NULL, asset_id VARCHAR NOT NULL, line INTEGER NOT NULL,
    file_hash VARCHAR NOT NULL, status VARCHAR NOT NULL, note VARCHAR, candidates VARCHAR,
    source VARCHAR NOT NULL, fetched_at TIMESTAMPTZ NOT NULL"""
KEY = "'main', DATE '2025-03-03'"


@pytest.fixture
def lake(location: LakeLocation) -> Lake:
    lake = Lake(location)
    yield lake
    lake.close()


def bring_up(lake: Lake) -> None:
    """As the next command does with a file, and `scizor upgrade` on a server."""
    due, made = tables_due(lake)
    if due and made and lake.location.server:
        with pytest.raises(DataError, match="not of this version") as caught:
            initialise(lake)
        assert "scizor upgrade" in caught.value.remedy
        upgrade_tables(lake)
    initialise(lake)


def shapes(lake: Lake) -> dict[str, frozenset[str]]:
    with lake.read() as cursor:
        return existing_columns(cursor)


def test_targets_of_one_strategy_become_targets_with_their_attribution(lake: Lake) -> None:
    with lake.write() as cursor:
        cursor.execute(f"CREATE TABLE target_weights ({EARLIER_TARGETS})")
        cursor.execute(
            f"INSERT INTO target_weights VALUES "
            f"({KEY}, '', '', -1e-7, 's', '9', 3, 'h', 'unknown_id', 'n', '', 'x', now()), "
            f"({KEY}, 'AAPL', 'AAPL.XNAS', 0.3, 's', '1', 2, 'h', 'ok', '', 'A,B', 'x', now())"
        )
    bring_up(lake)
    with lake.read() as cursor:
        targets = cursor.execute(
            "SELECT target, symbol, target_weight, status, note, candidates FROM target_weights ORDER BY 1"
        ).fetchall()
        parts = cursor.execute(
            "SELECT target, symbol, strategy, asset_id, line, file_hash, weight_stated, contribution "
            "FROM target_attribution ORDER BY 1"
        ).fetchall()
    assert targets == [
        (1, "AAPL", "0.3", "ok", "", "A,B"),
        (2, "", "-1e-07", "unknown_id", "n", ""),
    ]
    assert parts == [
        (1, "AAPL", "s", "1", 2, "h", "0.3", "0.3"),
        (2, "", "s", "9", 3, "h", "-1e-07", "-1e-07"),
    ]


def test_an_upgraded_lake_has_the_tables_of_a_new_one(lake: Lake, new_lake: NewLake) -> None:
    with lake.write() as cursor:
        cursor.execute(f"CREATE TABLE target_weights ({EARLIER_TARGETS})")
        cursor.execute(f"CREATE TABLE fx_rates ({TABLES['fx_rates']})")
        earlier = TABLES["symbols"].replace("sector VARCHAR, ", "").replace("last_verified", "verified_at")
        cursor.execute(f"CREATE TABLE symbols ({earlier})")
    bring_up(lake)
    new = Lake(new_lake("new"))
    initialise(new)
    assert shapes(lake) == shapes(new) == {name: frozenset(columns_of(text)) for name, text in TABLES.items()}
    before = lake.snapshot()
    bring_up(lake)
    assert lake.snapshot() == before
    new.close()


def test_after_an_upgrade_a_flush_takes_nothing_away_from_who_has_the_lake_open(lake: Lake) -> None:
    with lake.write() as cursor:
        cursor.execute(f"CREATE TABLE plan_inputs ({TABLES['plan_inputs']})")
        earlier = TABLES["corporate_actions"].replace(" ex_until DATE,", "")
        cursor.execute(f"CREATE TABLE corporate_actions ({earlier})")
    with lake.write() as cursor:
        cursor.execute(
            "INSERT INTO corporate_actions (market, symbol, ex_session, kind, source, fetched_at) "
            "VALUES ('us', 'AAPL', DATE '2024-01-02', 'split', 'x', now())"
        )
    bring_up(lake)
    others = [Lake(lake.location) for _ in range(2)]
    for number, other in enumerate(others):
        with other.write() as cursor:
            cursor.execute("UPDATE corporate_actions SET ratio = ?", [number])
        flush(lake)
    for other in [*others, lake]:
        with other.read() as cursor:
            assert cursor.execute("SELECT symbol, ratio FROM corporate_actions").fetchall() == [("AAPL", 1.0)]
        other.close()


@pytest.mark.parametrize(
    "definition",
    ["a INTEGER", TABLES["fx_rates"].replace("rate DOUBLE NOT NULL, ", ""), TABLES["fx_rates"] + ", x INT"],
)
def test_a_table_of_an_unknown_version_is_refused_and_nothing_is_changed(lake: Lake, definition: str) -> None:
    with lake.write() as cursor:
        cursor.execute(f"CREATE TABLE target_weights ({EARLIER_TARGETS})")
        cursor.execute(f"CREATE TABLE fx_rates ({definition})")
    before = shapes(lake)
    with pytest.raises(DataError, match=r"The table fx_rates of the lake has the columns .* this version needs base, "):
        bring_up(lake)
    assert shapes(lake) == before
