"""One small home, filled once; each test works on a copy, with an application on it and keys of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.api.app import create_app
from scizor_dagster.api.keys import new_key
from scizor_dagster.ledger.api_keys import Scope, add_key
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Client
from tests.filled import LAST_COLLECTED, NEXT, TRADED, WEIGHTS, enter
from tests.ledgers import sqlite_ledger
from tests.projects import Project, project_at, small_project, write_weights

NOW = datetime(2025, 2, 15, 12, 0, tzinfo=UTC)
"""A Saturday; the home's last session is the day before."""
EVERYTHING = frozenset(Scope)
__all__ = ["LAST_COLLECTED", "NEXT", "TRADED", "WEIGHTS", "enter"]


@pytest.fixture(scope="session")
def _filled(filled: Project) -> Project:
    """Six weeks of prices, and one session that has been traded by portfolio `main`."""
    return filled


@pytest.fixture
def project(_filled: Project, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the filled home."""
    folder = tmp_path / "project"  # type: ignore[operator]
    shutil.copytree(_filled.folder, folder)
    found = project_at(folder)
    enter(monkeypatch, found)
    return found


@pytest.fixture
def fresh(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a weight file and nothing stored: no test of Dagster's pays for the filled one."""
    found = small_project(tmp_path)  # type: ignore[arg-type]
    write_weights(found.folder / "weights.csv", WEIGHTS)
    enter(monkeypatch, found)
    return found


def key_for(
    project: Project,
    scopes: object = EVERYTHING,
    accounts: object = None,
    *,
    actor: str = "ada",
    now: datetime = NOW - timedelta(days=1),
    lasts: timedelta = timedelta(days=30),
) -> str:
    """A key in the project's ledger, as it is shown once."""
    if not project.settings.ledger_file.exists():
        sqlite_ledger(project.home)
    ledger = Ledger.open(project.settings.ledger_url)
    text, key = new_key(actor, scopes, accounts, created_by="operator", now=now, expires_at=now + lasts)  # type: ignore[arg-type]
    with ledger.transaction() as connection:
        add_key(connection, key)
    ledger.close()
    return text


@pytest.fixture
def api(project: Project) -> Iterator[Client]:
    """The whole application on the filled home, asked with a key that has every scope and sees every account."""
    yield from client_of(project)


@pytest.fixture
def empty_api(fresh: Project) -> Iterator[Client]:
    """The whole application on a home with a key and nothing else."""
    yield from client_of(fresh)


def client_of(project: Project) -> Iterator[Client]:
    key = key_for(project)
    client = Client(create_app(project.settings, clock=lambda: NOW), key)
    yield client
    client.app.state.context.close()
    client.close()
