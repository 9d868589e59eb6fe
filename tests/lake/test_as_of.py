"""The lake as it was: every reader may be handed an earlier state of it."""

from datetime import UTC, datetime

import pytest

from scizor_dagster.errors import SnapshotGone
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation


@pytest.fixture
def lake(location: LakeLocation):
    lake = Lake(location)
    for statement in (
        "CREATE TABLE t (a INTEGER)",
        "CREATE VIEW v AS SELECT a + 1 AS b FROM t",
        "INSERT INTO t VALUES (1)",
    ):
        with lake.write() as cursor:
            cursor.execute(statement)
    yield lake
    lake.close()


def _values(lake):
    with lake.read() as cursor:
        return cursor.execute("SELECT b FROM v").fetchall()


def test_an_earlier_state_is_read_by_its_number_or_instant_while_the_lake_goes_on(lake):
    number, instant = lake.snapshot(), datetime.now(UTC)
    with lake.write() as cursor:
        cursor.execute("UPDATE t SET a = 5")
    for as_of in (number, instant):
        with lake.at(as_of) as then:
            assert _values(then) == [(2,)]
    assert _values(lake) == [(6,)]


def test_an_earlier_state_is_for_reading(lake):
    with lake.at(lake.snapshot()) as then, pytest.raises(TypeError, match="for reading"), then.write():
        pass


@pytest.mark.parametrize("as_of", [99, datetime(2001, 1, 1, tzinfo=UTC)])
def test_a_state_that_is_not_there_is_an_error_that_says_so(lake, as_of):
    with pytest.raises(SnapshotGone, match="has no snapshot"), lake.at(as_of) as then:
        _values(then)


def test_an_expired_state_is_an_error_that_says_so(lake):
    number, instant = lake.snapshot(), datetime.now(UTC)
    with lake.write() as cursor:
        cursor.execute("UPDATE t SET a = 5")
    with lake.write() as cursor:
        cursor.execute("CALL ducklake_expire_snapshots('lake', versions => [?])", [number])
    with pytest.raises(SnapshotGone, match=f"no snapshot number {number}"), lake.at(number) as then:
        _values(then)
    # An older snapshot is left; it is not what the lake was at that instant.
    with pytest.raises(SnapshotGone, match="has no snapshot of"), lake.at(instant) as then:
        _values(then)


def test_an_earlier_state_is_read_while_a_writer_is_at_work(lake, monkeypatch):
    monkeypatch.setattr("scizor_dagster.lake.connection.LOCK_TIMEOUT_SECONDS", 0.05)
    number = lake.snapshot()
    with lake.write() as cursor:
        cursor.execute("UPDATE t SET a = 5")
        with lake.at(number) as then:
            assert _values(then) == [(2,)]
