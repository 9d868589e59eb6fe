"""One proxy with everything behind it, for all tests of this folder that one process runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from scizor_dagster.api.keys import new_key
from scizor_dagster.ledger.api_keys import Scope, add_key
from scizor_dagster.ledger.store import Ledger
from tests.deploy.mutations import launch
from tests.deploy.proxied import API_HOST, OPERATOR_HOST, Site, own_page, running, until
from tests.deploy.wire import JSON
from tests.ledgers import sqlite_ledger
from tests.projects import small_project


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "project").mkdir()
    project = small_project(folder / "project", api={"trusted_proxies": ["127.0.0.1"], "hosts": [API_HOST]})
    project.home.mkdir()
    sqlite_ledger(project.home)
    key = _key(project.settings.ledger_url)
    command = [sys.executable, "-m", "scizor_dagster", "serve", "--behind-proxy", f"https://{API_HOST}"]
    with running(folder / "site", project.environment, command) as site:
        yield replace(site, key=key)


def _key(url: str) -> str:
    now = datetime.now(UTC)
    text, key = new_key(
        "looks",
        frozenset({Scope.READ}),
        frozenset({"paper"}),
        created_by="test",
        now=now,
        expires_at=now + timedelta(1),
    )
    ledger = Ledger.open(url)
    with ledger.transaction() as connection:
        add_key(connection, key)
    ledger.close()
    return text


@pytest.fixture(scope="session")
def deploy() -> Path:
    return Path(os.path.abspath(__file__)).parents[2] / "deploy"


@pytest.fixture(scope="session")
def instance(site: Site) -> Iterator[DagsterInstance]:
    """Dagster's storage of both webservers."""
    with DagsterInstance.from_config(str(site.home)) as found:
        yield found


@pytest.fixture(scope="session")
def runs(site: Site, instance: DagsterInstance) -> tuple[str, str]:
    """A run that goes on, and one that has ended: nobody ends the one or deletes the other."""
    return begun(site, instance)


def begun(site: Site, instance: DagsterInstance) -> tuple[str, str]:
    going, ended = _launched(site, "endless"), _launched(site, "make_thing")
    until(lambda: _status(instance, going) is DagsterRunStatus.STARTED, "a run goes on")
    until(lambda: _status(instance, ended) is DagsterRunStatus.SUCCESS, "a run has ended")
    return going, ended


def _at_rest(site: Site, instance: DagsterInstance) -> None:
    """Wait for all runs but those without an end, and for what is written of them."""
    seen: list[dict[str, str]] = [{}]
    going = RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)

    def same() -> bool:
        if any(run.job_name != "endless" for run in instance.get_runs(going)):
            return False
        seen.append(site.stored())
        return seen[-1] == seen[-2]

    until(same, "nothing is written any more")


def _status(instance: DagsterInstance, run: str) -> DagsterRunStatus | None:
    found = instance.get_run_by_id(run)
    return None if found is None else found.status


def _launched(site: Site, job: str) -> str:
    """As an operator does it, in the UI."""
    answer = site.ask("/graphql", [JSON, *own_page(OPERATOR_HOST)], launch(job).body)
    assert answer.status == 200, answer
    assert answer.data["done"]["__typename"] == "LaunchRunSuccess", answer.body
    return str(answer.data["done"]["run"]["runId"])


@pytest.fixture
def unchanged(site: Site, instance: DagsterInstance, runs: tuple[str, str]) -> Iterator[None]:
    """Dagster's storage has not one row more, less or other than before."""
    _at_rest(site, instance)
    before = site.stored()
    yield
    assert site.stored() == before
