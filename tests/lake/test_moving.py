"""A lake copied with every state of it: from any kind of catalog into a file, and from a file to a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.errors import DataError
from scizor_dagster.lake import catalog_rows, taking
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.moving import contents_of, copy_data, copy_lake, opened_copy
from scizor_dagster.lake.tables import initialise
from tests.lakes import NewLake

ROWS = (
    "INSERT INTO {} SELECT 'us', DATE '2025-01-01' + i::INT, 'test', TIMESTAMPTZ '2025-02-01 09:00:00+00' "
    "FROM range({}) t(i)"
)
SEARCHES = (
    "INSERT INTO backtest_trials SELECT 'p', 's', 'x', 'done', '', [1.5, NULL, i], 1.0, 0.1, 2.0, 'test', "
    "TIMESTAMPTZ '2025-02-01 09:00:00.123+00' FROM range({}) t(i)"
)


@pytest.fixture
def lived(new_lake: NewLake) -> Iterator[Lake]:
    """A lake with rows in files and in the catalog, some of both deleted, in several states."""
    lake = Lake(new_lake("lived"))
    initialise(lake)
    for statement in (
        ROWS.format("empty_sessions", 3),
        SEARCHES.format(2),
        "DELETE FROM empty_sessions WHERE session = DATE '2025-01-02'",
        ROWS.format("empty_sessions", 500),
        SEARCHES.format(300),
        "DELETE FROM empty_sessions WHERE session > DATE '2026-01-01'",
    ):
        with lake.write() as cursor:
            cursor.execute(statement)
    yield lake
    lake.close()


def _states(lake: Lake, numbers: range) -> list[dict[str, tuple[int, str]]]:
    found = []
    for number in numbers:
        with lake.at(number) as then:
            found.append(contents_of(then))
    return found


def test_a_copy_reads_the_same_in_every_state_and_is_written_to_like_the_lake_itself(
    lived: Lake, tmp_path: Path
) -> None:
    before = range(1, lived.snapshot() + 1)
    expected = _states(lived, before)
    folder = tmp_path / "copy"
    folder.mkdir()
    assert dict(copy_lake(lived, folder))
    assert _states(lived, before) == expected, "writing rows into files has changed an earlier state"
    laid = sorted(folder.rglob("*"))
    with opened_copy(folder) as looked_at:
        assert _states(looked_at, before) == expected
        assert contents_of(looked_at) == contents_of(lived)
        assert sorted(folder.rglob("*")) == laid
    copy = Lake(LakeLocation.embedded(folder))
    with copy.write() as cursor:
        cursor.execute(ROWS.format("empty_sessions", 1))
    assert contents_of(copy)["empty_sessions"][0] == contents_of(lived)["empty_sessions"][0] + 1
    copy.close()


def test_a_copy_put_on_a_server_reads_the_same_in_every_state_there_and_is_put_there_once(
    lived: Lake, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    postgres = request.getfixturevalue("postgres")
    folder = tmp_path / "copy"
    folder.mkdir()
    dict(copy_lake(lived, folder))
    with opened_copy(folder) as copy:
        newest = copy.snapshot()
        expected = _states(copy, range(1, newest + 1))
    database = postgres.new_database()
    location = LakeLocation.on_server(postgres.url(database), str(tmp_path / "moved"))
    moved = Lake(location)
    initialise(moved)
    moved.close()
    dict(copy_data(folder / "data", folder / "catalog.sqlite", tmp_path / "moved"))
    engine = catalog_rows.engine_of(location)
    with engine.begin() as connection:
        catalog_rows.fill_server(folder / "catalog.sqlite", connection)
        assert catalog_rows.differences(folder / "catalog.sqlite", connection) == []
    assert _states(moved, range(1, newest + 1)) == expected
    with engine.begin() as connection, pytest.raises(DataError, match="not empty"):
        catalog_rows.fill_server(folder / "catalog.sqlite", connection)
    with moved.write() as cursor:
        cursor.execute(ROWS.format("empty_sessions", 2))
    assert contents_of(moved)["empty_sessions"][0] == expected[-1]["empty_sessions"][0] + 2
    moved.close()
    engine.dispose()
    postgres.drop(database)


def test_a_file_of_the_lake_that_is_gone_or_cut_off_is_named_and_nothing_is_called_a_copy(
    lived: Lake, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    name = next(iter(dict(copy_lake(lived, tmp_path / "first"))))
    file = Path(lived.location.data_path) / name
    file.write_bytes(file.read_bytes()[:-1])
    (tmp_path / "second").mkdir()
    with pytest.raises(DataError, match="missing or cut off") as cut:
        dict(copy_lake(lived, tmp_path / "second"))
    assert name in cut.value.problem


def test_a_catalog_that_cannot_be_copied_is_said_with_its_name_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unable to open database file") as caught:
        taking.take(tmp_path / "gone.sqlite", tmp_path / "copy.sqlite")
    assert caught.value.filename == str(tmp_path / "gone.sqlite")
    assert not (tmp_path / "gone.sqlite").exists()
