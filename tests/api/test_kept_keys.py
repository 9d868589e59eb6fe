"""Keys that are believed without the ledger, and the moment from which on they are not."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest

from scizor_dagster.api import security
from scizor_dagster.api.kept_keys import KeptKeys
from scizor_dagster.api.keys import new_key
from scizor_dagster.file_marks import sqlite_files
from scizor_dagster.ledger.api_keys import Scope, revoke_key
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Client
from tests.api.conftest import NOW
from tests.projects import Project

PATH = "/api/symbols"


def settled(project: Project) -> None:
    """As if the last write to the ledger were ten seconds ago."""
    for file in sqlite_files(project.settings.ledger_file):
        if file.exists():
            os.utime(file, ns=(0, time.time_ns() - 10**10))


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each look into the ledger from now on."""
    found, row = list[str](), security._row
    monkeypatch.setattr(security, "_row", lambda ledger, text: (found.append(text), row(ledger, text))[1])
    return found


def test_a_key_is_looked_up_once_while_nothing_is_written(
    empty_api: Client, fresh: Project, looked_up: list[str]
) -> None:
    assert empty_api.get(PATH).status == 200
    settled(fresh)
    looked_up.clear()
    assert [empty_api.get(PATH).status for _ in range(3)] == [200, 200, 200]
    assert len(looked_up) == 1
    assert empty_api.holding(f"{empty_api.key}0").get(PATH).status == 401


def test_a_key_that_another_process_revokes_opens_nothing_from_the_very_next_request_on(
    empty_api: Client, fresh: Project, looked_up: list[str]
) -> None:
    empty_api.get(PATH)
    settled(fresh)
    looked_up.clear()
    assert [empty_api.get(PATH).status for _ in range(2)] == [200, 200]
    assert len(looked_up) == 1
    other = Ledger.open(fresh.settings.ledger_url)
    with other.transaction() as connection:
        revoke_key(connection, empty_api.key[4:16], actor="operator", reason="lost", now=NOW)
    assert empty_api.get(PATH).status == 401
    other.close()


def test_a_key_that_expires_opens_nothing_though_it_is_kept(empty_api: Client, fresh: Project) -> None:
    context = empty_api.app.state.context
    empty_api.get(PATH)
    settled(fresh)
    assert [empty_api.get(PATH).status for _ in range(2)] == [200, 200]
    context.clock = lambda: NOW + timedelta(days=365)
    assert empty_api.get(PATH).status == 401


def test_no_key_is_kept_of_a_ledger_on_a_server_or_of_one_that_was_just_written(fresh: Project) -> None:
    kept = KeptKeys()
    text, key = new_key("ada", {Scope.READ}, None, created_by="bob", now=NOW, expires_at=NOW + timedelta(days=1))
    assert kept.looked_up(None, lambda: key) is key
    assert kept.of(text) is None
    file = fresh.settings.ledger_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert kept.looked_up(file, lambda: key) is key
    assert kept.of(text) is None
    settled(fresh)
    assert kept.looked_up(file, lambda: None) is None
    assert kept.looked_up(file, lambda: key) is key
    assert kept.of(text) is key
