"""Two ledgers hold the same or do not, whatever kind of store each lies in."""

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.backup import MANIFEST, restore, write_backup
from scizor_dagster.ledger.comparing import contents_of, differences
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from tests.ledger.lived import live_through
from tests.ledgers import sqlite_ledger

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)


def test_every_table_is_counted_and_one_changed_value_makes_another_content(ledger: Ledger) -> None:
    live_through(ledger)
    with ledger.read() as connection:
        before = contents_of(connection)
        counted = {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }
    assert {name: int(content.split()[0]) for name, content in before.items()} == counted
    with ledger.transaction() as connection:
        connection.execute(leases.update().values(token=leases.c.token + 1))
    with ledger.read() as connection:
        after = contents_of(connection)
    assert {name for name in before if before[name] != after[name]} == {"leases"}
    assert differences(before, after) == ["leases has 1 row(s) of other content than the 1 expected"]


def test_a_table_that_is_not_there_is_named() -> None:
    assert differences({"events": "2 0a"}, {}) == ["events has no row(s) of other content than the 2 expected"]
    assert differences({"events": "2 0a"}, {"events": "2 0a", "more": "1 01"}) == []


def _with_contents(path: Path, change: Callable[[dict[str, object]], None]) -> Path:
    target = path.with_name("edited.zip")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            body = json.loads(source.read(name)) if name == MANIFEST else None
            if body is not None:
                change(body)
            archive.writestr(name, source.read(name) if body is None else json.dumps(body))
    return target


def test_what_was_restored_is_compared_with_what_was_backed_up_unless_an_earlier_version_counted_other_columns(
    ledger: Ledger, tmp_path: Path
) -> None:
    live_through(ledger)
    path = tmp_path / "l.zip"
    write_backup(ledger, path, now=NOW)
    empty = Ledger.open(sqlite_ledger(tmp_path / "other"), synchronous="OFF")

    def another_lease(body: dict[str, object]) -> None:
        body["contents"] = {"leases": "7 00"}

    with pytest.raises(LedgerError, match=r"leases has 1 row\(s\) of other content than the 7 expected"):
        restore(empty, _with_contents(path, another_lease), then=lambda _: None)

    def of_an_earlier_version(body: dict[str, object]) -> None:
        body["schema"], body["contents"] = "0001", {"leases": "7 00"}

    restore(empty, _with_contents(path, of_an_earlier_version), then=lambda _: None)
    with ledger.read() as before, empty.read() as after:
        assert differences(contents_of(before), contents_of(after)) == [
            "leases has 1 row(s) of other content than the 1 expected"
        ]
    empty.close()
