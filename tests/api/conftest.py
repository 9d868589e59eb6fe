"""One small home, filled once; each test works on a copy, with an application on it and keys of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from scizor_dagster.api.app import create_app
from scizor_dagster.api.keys import new_key
from scizor_dagster.api.runs import KIND_TAG
from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.ledger.api_keys import Scope, add_key
from scizor_dagster.ledger.rows import intents_of, last_batch_of
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Client
from tests.api.samples import PATHS, QUERIES
from tests.ledgers import sqlite_ledger
from tests.projects import Project, project_at, small_project, write_weights

NOW = datetime(2025, 2, 15, 12, 0, tzinfo=UTC)
"""A Saturday; the home's last session is the day before."""
TRADED = date(2025, 2, 3)
NEXT = date(2025, 2, 10)
LAST_COLLECTED = date(2025, 2, 14)
WEIGHTS = {TRADED: {"AAPL": 0.3, "MSFT": 0.3}, NEXT: {"MSFT": 0.4, "NVDA": 0.3}}
EVERYTHING = frozenset(Scope)
Holding = Callable[..., str]


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Six weeks of prices, and one session that has been traded by portfolio `main`."""
    project = small_project(tmp_path_factory.mktemp("filled"))
    write_weights(project.folder / "weights.csv", WEIGHTS)
    config = {"ops": {"us__historical_chunks": {"config": {"through": LAST_COLLECTED.isoformat()}}}}
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        with JobRunner.open(project.settings) as runner:
            runner.run("collect_history", partition_range=("2025", "2025"), config=config)
            tags = {KIND_TAG: "rebalance", "scizor/portfolio": "main"}
            runner.run("rebalance", partition=TRADED.isoformat(), tags=tags, run_id=PATHS["run"])
    PATHS.update(_ids(project))
    QUERIES["/api/risk/check"] = {"plan": PATHS["plan"]}
    return project


def _ids(project: Project) -> dict[str, str]:
    """The ids of the traded session's plan and of one of its orders."""
    ledger = Ledger.open(project.settings.ledger_url)
    with ledger.read() as connection:
        batch = last_batch_of(connection, "paper", "main")
        assert batch is not None
        order = intents_of(connection, batch.batch_id)[0]
    ledger.close()
    return {"plan": batch.plan_id, "order": order.client_order_id}


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


def enter(patch: pytest.MonkeyPatch, project: Project) -> None:
    """Make the project the environment's."""
    for name in ("DATABASE_URL", "LOG_LEVEL", "DAGSTER_HOME"):
        patch.setenv(name, "")
        patch.delenv(name)
    for name, value in project.environment.items():
        patch.setenv(name, value)
