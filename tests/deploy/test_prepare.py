"""What containers wait for: a home that webserver and daemon can open at once, or a sentence that says why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.projects import Project, small_project


def prepared(project: Project, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **project.environment, "SCIZOR_KERNEL": "python", **changes}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "scizor_dagster.cli.prepare"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_prepared_home_has_dagsters_settings_and_its_storage(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    done = prepared(project)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (project.home / "dagster" / "dagster.yaml").is_file()
    assert (project.home / "dagster" / "history" / "runs.db").is_file()


def test_a_home_that_cannot_be_is_told_of_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = prepared(small_project(tmp_path), SCIZOR_HOME=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "Set SCIZOR_HOME to a folder that you may write to." in done.stderr
    assert "Traceback" not in done.stderr
