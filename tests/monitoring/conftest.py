"""A copy of the filled home, whose portfolio `main` has traded one session."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scizor_dagster.flow.desk import Desk
from tests.filled import enter
from tests.projects import Project, project_at

NOW = datetime(2025, 2, 15, 12, 0, tzinfo=UTC)
"""A Saturday; the home's last session with prices is the day before."""


@pytest.fixture
def project(filled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    shutil.copytree(filled.folder, folder)
    found = project_at(folder)
    enter(monkeypatch, found)
    return found


@pytest.fixture
def desk(project: Project) -> Desk:
    return Desk(project.settings, lambda: NOW)
