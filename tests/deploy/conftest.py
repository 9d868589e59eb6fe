"""One proxy with everything behind it, for all tests of this folder that one process runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scizor_dagster.api.keys import new_key
from scizor_dagster.ledger.api_keys import Scope, add_key
from scizor_dagster.ledger.store import Ledger
from tests.deploy.proxied import API_HOST, Site, running
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
