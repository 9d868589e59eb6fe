"""Homes of the data farmer's tests: prices without Dagster, and two markets that share a ticker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_prices
from scizor_dagster.flow.symbols import refresh_symbols
from tests.api.client import Client
from tests.api.conftest import NOW, client_of, enter
from tests.projects import CONFIG, Project, small_project, write_universe

LAST = date(2025, 1, 17)
ASX = {
    **CONFIG["markets"]["us"],
    "calendar": "XASX",
    "currency": "AUD",
    "universes": ["asx.csv"],
}


@pytest.fixture(scope="session")
def _priced(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two weeks of prices of market `us`, and a market `asx` of which nothing is stored."""
    folder = tmp_path_factory.mktemp("priced")
    project = small_project(folder, markets={"asx": ASX})
    write_universe(folder / "asx.csv", ["AAPL", "BHP"], "XASX", "AUD")
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        desk = Desk(project.settings, lambda: NOW)
        refresh_symbols(desk, "us")
        fill_history(desk, "us", (2025, 2025), LAST)
        refresh_prices(desk, "us")
        desk.lake.close()
    return project


@pytest.fixture
def priced(_priced: Project, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it."""
    import shutil

    from tests.projects import project_at

    folder = tmp_path / "project"  # type: ignore[operator]
    shutil.copytree(_priced.folder, folder)
    found = project_at(folder)
    enter(monkeypatch, found)
    return found


@pytest.fixture
def farm(priced: Project) -> Iterator[Client]:
    """The application on it, asked with a key that may do everything."""
    yield from client_of(priced)
