"""The filled home with a second account beside the one that trades, and keys of either."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
import yaml

from scizor_dagster.api.app import create_app
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Client
from tests.api.conftest import NOW, enter, key_for
from tests.api.samples import PATHS
from tests.projects import Project, project_at

PLENTY = {
    "requests_per_minute": 100000,
    "requests_per_minute_per_address": 100000,
    "refusals_per_minute": 100000,
}
OTHER = "other"
"""A portfolio of account `second`, which has traded nothing."""


def edit(project: Project, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the project's configuration."""
    path = project.settings.config_path
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def add_second(config: dict[str, Any]) -> None:
    config["accounts"]["second"] = deepcopy(config["accounts"]["paper"])
    config["portfolios"][OTHER] = deepcopy(config["portfolios"]["main"]) | {"account": "second"}
    config["api"] = PLENTY


def opened(project: Project, now: datetime = NOW) -> Client:
    """The application on the project, asked with a key that has every scope and sees every account."""
    return Client(create_app(project.settings, clock=lambda: now), key_for(project))


def close(client: Client) -> None:
    client.app.state.context.close()
    client.close()


@pytest.fixture(scope="module")
def _home(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Client]]:
    folder = tmp_path_factory.mktemp("two-accounts") / "project"
    shutil.copytree(_filled.folder, folder)
    project = project_at(folder)
    edit(project, add_second)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        client = opened(project)
        yield project, client
        close(client)


@pytest.fixture(scope="module")
def home(_home: tuple[Project, Client]) -> Project:
    """One home for a module, whose tests change nothing in it."""
    return _home[0]


@pytest.fixture(scope="module")
def client(_home: tuple[Project, Client]) -> Client:
    """Sees both accounts."""
    return _home[1]


@pytest.fixture(scope="module")
def stranger(home: Project, client: Client) -> Client:
    """Sees the second account alone, and may do everything with it."""
    return client.holding(key_for(home, accounts={"second"}))


@pytest.fixture
def desk(project: Project) -> Iterator[Client]:
    """A home of the test's own, with both accounts."""
    edit(project, add_second)
    client = opened(project)
    yield client
    close(client)


@pytest.fixture(scope="session")
def order(_filled: Project) -> str:
    """An order of `main`."""
    return PATHS["order"]


@pytest.fixture(scope="session")
def plan(_filled: Project) -> str:
    """The plan that `main` has traded."""
    return PATHS["plan"]


def ledger_of(project: Project) -> Ledger:
    return Ledger.open(project.settings.ledger_url)
