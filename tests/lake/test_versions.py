"""Since when a table is as it is, told without asking where nothing was written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.versions import TableVersions


@pytest.fixture
def lake(location: LakeLocation) -> Iterator[Lake]:
    made = Lake(location)
    write(made, "CREATE TABLE bars (n INTEGER)")
    write(made, "CREATE TABLE plans (n INTEGER)")
    yield made
    made.close()


def write(lake: Lake, *statements: str) -> int:
    """One transaction; the snapshot that it has made."""
    with lake.write() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return lake.snapshot()


def test_a_table_is_as_it_is_since_the_snapshot_that_wrote_to_it_and_no_other(lake: Lake) -> None:
    versions = TableVersions(lake)
    bars = write(lake, "INSERT INTO bars VALUES (1)")
    plans = write(lake, "INSERT INTO plans VALUES (1)")
    assert (versions.newest("bars"), versions.newest("plans"), versions.newest("bars", "plans")) == (bars, plans, plans)
    deleted = write(lake, "DELETE FROM bars")
    assert (versions.newest("bars"), versions.newest("plans")) == (deleted, plans)
    assert TableVersions(lake).newest("bars") == deleted


def test_many_rows_a_new_column_and_both_tables_at_once_are_seen(lake: Lake) -> None:
    versions = TableVersions(lake)
    many = write(lake, "INSERT INTO bars SELECT * FROM range(1000)")
    assert versions.newest("bars") == many
    column = write(lake, "ALTER TABLE bars ADD COLUMN m INTEGER")
    assert versions.newest("bars") == column
    both = write(lake, "INSERT INTO bars VALUES (1, 2)", "INSERT INTO plans VALUES (1)")
    assert (versions.newest("bars"), versions.newest("plans")) == (both, both)


@pytest.mark.parametrize("store", ["sqlite"])
def test_nobody_is_asked_while_the_catalogs_files_are_as_they_were(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = TableVersions(lake)
    found = versions.newest("bars")
    for file in versions._files:
        if file.exists():
            os.utime(file, ns=(0, time.time_ns() - 10**10))
    assert versions.newest("bars") == found
    with monkeypatch.context() as patch:
        patch.setattr(versions, "_look", lambda: pytest.fail("the catalog was asked"))
        assert versions.newest("bars") == found
    assert versions.newest("bars") < write(lake, "INSERT INTO bars VALUES (1)") == versions.newest("bars")


def test_files_that_were_written_a_moment_ago_are_not_trusted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    versions, asked = TableVersions(lake), list[int]()
    look = versions._look
    monkeypatch.setattr(versions, "_look", lambda: (asked.append(1), look()))
    for _ in range(2):
        for file in versions._files:
            if file.exists():
                os.utime(file)
        versions.newest("bars")
    assert len(asked) == 2


def test_what_clean_up_has_taken_may_have_changed_every_table() -> None:
    found = replayed([(1, {"tables_inserted_into": ["7"]}), (2, {"tables_inserted_into": ["8"]})])
    gone = replayed([(1, {"tables_inserted_into": ["7"]}), (4, {"tables_inserted_into": ["8"]})])
    assert (found.newest("bars"), found.newest("plans")) == (1, 2)
    assert (gone.newest("bars"), gone.newest("plans")) == (3, 4)


def test_a_change_of_what_is_not_known_counts_for_every_table_and_a_view_for_none() -> None:
    views = {"views_created": ["main.prices"], "tables_created": ["main.other"]}
    found = replayed([(0, {}), (1, {"tables_inserted_into": ["7"]}), (2, views), (3, {"tables_dropped": ["99"]})])
    assert (found.newest("bars"), found.newest("anything")) == (3, 3)
    assert replayed([(0, {}), (1, {"tables_inserted_into": ["7"]}), (2, views)]).newest("bars") == 1


def replayed(rows: list[tuple[int, dict[str, list[str]]]]) -> TableVersions:
    """Versions of a lake on a server, of which these snapshots are left."""
    lake: Any = SimpleNamespace(location=SimpleNamespace(catalog="postgres:dbname=lake"))
    versions = TableVersions(lake)
    for number, changes in rows:
        versions._note(number, changes, {"7": "bars", "8": "plans"})
    versions._look = lambda: None  # type: ignore[method-assign]
    return versions
