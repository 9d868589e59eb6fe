"""Clean-up of the lake: fewer files, the same rows, nobody disturbed, and old states only where they are needed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.maintenance import maintain, measure
from scizor_dagster.lake.tables import append_rows, initialise

DAY = date(2024, 1, 2)
COMMITS = 12


@pytest.fixture
def lake(location: LakeLocation):
    lake = Lake(location)
    initialise(lake)
    yield lake
    lake.close()


def commit(lake: Lake, number: int, rows: int = 40) -> None:
    frame = pd.DataFrame({"base": [f"A{row}" for row in range(rows)], "quote": "USD", "rate": float(number)})
    frame = frame.assign(
        session=DAY + timedelta(days=number), source="test", fetched_at=datetime(2024, 1, 2, tzinfo=UTC)
    )
    with lake.write() as cursor:
        append_rows(cursor, "fx_rates", frame)


def rows_of(lake: Lake, at: int | None = None) -> list[tuple]:
    version = "" if at is None else f" AT (VERSION => {at})"
    with lake.read() as cursor:
        return cursor.execute(f"SELECT base, session, rate FROM fx_rates{version} ORDER BY ALL").fetchall()


def files_on_disk(lake: Lake) -> int:
    return len(list(Path(lake.location.data_path).rglob("*.parquet")))


def later(**ahead: int) -> datetime:
    return datetime.now(UTC) + timedelta(**ahead)


def test_many_small_files_become_few_and_every_row_stays(lake: Lake) -> None:
    for number in range(COMMITS):
        commit(lake, number)
    with lake.write() as cursor:
        cursor.execute("DELETE FROM fx_rates WHERE session < ?", [DAY + timedelta(days=3)])
    rows, on_disk = rows_of(lake), files_on_disk(lake)
    # A clock ahead of the files' ages stands for a second clean-up after the grace.
    report = maintain(lake, later(days=2), keep_after=later(days=1), needed=(), grace=timedelta(0))
    assert rows_of(lake) == rows
    assert (report.before.files, report.after.files) == (COMMITS - 3, 1)
    assert files_on_disk(lake) == 1
    assert report.deleted >= on_disk
    assert report.after.snapshots < report.before.snapshots
    assert report.after.bytes > 0
    again = maintain(lake, later(days=2), keep_after=later(days=-1), needed=())
    assert (again.expired, again.merged, again.rewritten, again.deleted) == (0, 0, 0, 0)
    assert measure(lake) == again.after


def test_a_state_that_is_needed_stays_readable_and_others_of_its_age_go(lake: Lake) -> None:
    commit(lake, 1)
    needed, then = lake.snapshot(), rows_of(lake)
    commit(lake, 2)
    other = lake.snapshot()
    with lake.write() as cursor:
        cursor.execute("DELETE FROM fx_rates")
    commit(lake, 3)
    report = maintain(lake, later(days=2), keep_after=later(days=1), needed={needed}, grace=timedelta(0))
    assert report.kept == (needed,)
    assert rows_of(lake, needed) == then
    with pytest.raises(duckdb.Error):
        rows_of(lake, other)


def test_young_states_stay(lake: Lake) -> None:
    commit(lake, 1)
    first, then = lake.snapshot(), rows_of(lake)
    commit(lake, 2)
    report = maintain(lake, later(days=2), keep_after=later(days=-30), needed=(), grace=timedelta(0))
    assert report.expired == 0
    assert rows_of(lake, first) == then


def test_a_reader_keeps_the_state_that_it_began_with(lake: Lake) -> None:
    for number in range(4):
        commit(lake, number)
    expected = rows_of(lake)
    with lake.pinned() as view:
        commit(lake, 9)
        report = maintain(lake, datetime.now(UTC), keep_after=later(days=1), needed=())
        assert report.merged > 0
        assert rows_of(view) == expected


def test_a_writer_between_any_two_turns_of_a_clean_up_is_no_trouble(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        commit(lake, number)
    with lake.write() as cursor:
        cursor.execute("DELETE FROM fx_rates WHERE base >= 'A3'")
    other, before = Lake(lake.location), lake.snapshot()
    then, turn, turns = rows_of(lake), lake.maintenance, []

    @contextmanager
    def disturbed() -> Iterator[duckdb.DuckDBPyConnection]:
        with turn() as cursor:
            yield cursor
        turns.append(1)
        commit(other, 100 + len(turns), rows=1)

    monkeypatch.setattr(lake, "maintenance", disturbed)
    report = maintain(lake, later(), keep_after=later(days=-30), needed=())
    assert report.rewritten > 0
    assert len(rows_of(lake)) == len(then) + len(turns)
    lake.close()
    assert rows_of(lake, before) == then
    other.close()


def test_writers_and_readers_go_on_beside_a_clean_up(lake: Lake, tmp_path: Path) -> None:
    commit(lake, 0)
    problems: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        other = Lake(lake.location)
        try:
            for number in range(1, 6):
                commit(other, number)
        except BaseException as error:
            problems.append(error)
        finally:
            other.close()
            done.set()

    def read() -> None:
        other = Lake(lake.location)
        try:
            while not done.is_set():
                found = rows_of(other)
                assert len(found) % 40 == 0
        except BaseException as error:
            problems.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    cleaned = 0
    while cleaned == 0 or not done.is_set():
        maintain(lake, datetime.now(UTC), keep_after=later(days=1), needed=())
        cleaned += 1
    for thread in threads:
        thread.join()
    assert not problems
    assert len(rows_of(lake)) == 6 * 40
