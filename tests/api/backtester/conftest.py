"""One application for all tests that only read what a backtest, a search and a traded session have left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from scizor_dagster.api.app import create_app
from scizor_dagster.backtest.request import read_request
from scizor_dagster.flow.backtests import run_request
from tests.api.client import Answer, Client
from tests.api.conftest import NOW, enter, key_for
from tests.projects import MANIFEST, Project, project_at

QUICK = {"name": "quick", "strategy": "equal_weight", "rebalance": "weekly", "first": "2025-01-06", "capital": 10000.0}
MINE = {"portfolio": "main", "stored": True, "name": "as it was traded"}
SEARCHED = {
    "backtest": {"strategy": "moving_average_cross", "first": "2025-01-13"},
    "space": ["fast=2,3", "slow=5,8"],
}
FORMATS = {"strategies": [
    *MANIFEST["strategies"],
    {"id": "book", "path": "book.xlsx", "format": "xlsx"},
    {"id": "frame", "path": "frame.parquet", "format": "parquet"},
    {"id": "daily", "path": "daily/weights_*.csv", "format": "csv"},
    {"id": "computing", "function": "equal_weight"},
]}  # fmt: skip


@dataclass(frozen=True)
class World:
    """What was asked for, once: the runs, and the backtests that came of them."""

    project: Project
    client: Client
    quick: str
    search: str
    quick_id: str
    mine_id: str

    def bound_elsewhere(self) -> Client:
        """The same application, asked with a key of another account."""
        return self.client.holding(key_for(self.project, accounts={"another"}))


def submitted(client: Client, path: str, body: object) -> str:
    """Ask for long work, and wait until this process has done it; the id of its run."""
    answer = client.post(path, json=body)
    assert answer.status == 202, answer.text
    assert answer.headers["location"] == f"{path}/{answer.json['id']}"
    client.app.state.context.runs.wait(answer.json["id"])
    return str(answer.json["id"])


def kept(answer: Answer) -> str:
    assert answer.json["status"] == "succeeded", answer.text
    return str(answer.json["kept"]["id"])


@pytest.fixture(scope="module")
def world(_filled: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("backtester") / "project"
    shutil.copytree(_filled.folder, folder)
    project = project_at(folder)
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        patch.setenv("SCIZOR_KERNEL", "python")
        patch.setenv("MAX_WORKERS", "1")
        client = Client(create_app(project.settings, clock=lambda: NOW), key_for(project))
        quick = submitted(client, "/api/backtests", QUICK)
        search = submitted(client, "/api/optimizations", SEARCHED)
        mine = run_request(client.app.state.context.desk, read_request(MINE)).head.backtest_id
        yield World(project, client, quick, search, kept(client.get(f"/api/backtests/{quick}")), mine)
        client.app.state.context.close()
        client.close()


@pytest.fixture
def drop(fresh: Project) -> Iterator[Client]:
    """An application on an empty home whose manifest has a strategy of each kind."""
    (fresh.folder / "strategy_manifest.yaml").write_text(yaml.safe_dump(FORMATS), encoding="utf-8")
    client = Client(create_app(fresh.settings, clock=lambda: NOW), key_for(fresh))
    yield client
    client.app.state.context.close()
    client.close()
