"""A small project with six weeks of prices and one session that has been traded: made once for all test processes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

from scizor_dagster.settings import Settings
from tests.projects import Project, project_at, small_project, write_weights

TRADED = date(2025, 2, 3)
"""A Monday that the project's weights name, and that has been run."""
NEXT = date(2025, 2, 10)
"""The other session that the weights name; it has prices and has not been run."""
LAST_COLLECTED = date(2025, 2, 14)
RUN = "5b6e2c9a-6f0e-4d0c-9f6f-0d5a2f1c7e10"
"""Id of the run of `TRADED`."""
WEIGHTS = {TRADED: {"AAPL": 0.3, "MSFT": 0.3}, NEXT: {"MSFT": 0.4, "NVDA": 0.3}}


def filled_in(shared: Path) -> Project:
    """The project below `shared`, made by whichever process comes first. Nobody writes to it: work on a copy."""
    folder = shared / "filled"
    with FileLock(shared / "filled.lock"):
        if not (shared / "filled.done").exists():
            folder.mkdir()
            fill(folder)
            (shared / "filled.done").touch()
    return project_at(folder)


def enter(patch: pytest.MonkeyPatch, project: Project) -> None:
    """Make the project the environment's."""
    for name in ("DATABASE_URL", "LOG_LEVEL", "DAGSTER_HOME"):
        patch.setenv(name, "")
        patch.delenv(name)
    for name, value in project.environment.items():
        patch.setenv(name, value)


def fill(folder: Path, **environment: str) -> Project:
    """Make the project in `folder`, and trade its first session; `environment` is added to the project's own."""
    from scizor_dagster.cli.instance import JobRunner

    project = small_project(folder)
    project = Project(Settings.from_environment(project.environment | environment), project.environment | environment)
    write_weights(folder / "weights.csv", WEIGHTS)
    config = {"ops": {"us__historical_chunks": {"config": {"through": LAST_COLLECTED.isoformat()}}}}
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        with JobRunner.open(project.settings) as runner:
            runner.run("collect_history", partition_range=("2025", "2025"), config=config)
            tags = {"scizor/kind": "rebalance", "scizor/portfolio": "main"}
            runner.run("rebalance", partition=TRADED.isoformat(), tags=tags, run_id=RUN)
    return project
