"""A small project whose home is filled once; tests that change it work on a copy."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.cli.app import main
from tests.filled import LAST_COLLECTED, NEXT, TRADED, WEIGHTS, enter
from tests.projects import Project, project_at, small_project, write_weights

UNNAMED = date(2025, 2, 4)
__all__ = ["LAST_COLLECTED", "NEXT", "TRADED", "UNNAMED", "WEIGHTS"]


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout; anything else there is an error."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """What was said on stderr, on one line."""
        return " ".join(self.err.split())


Scizor = Callable[..., Answer]


@pytest.fixture
def scizor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scizor:
    """Runs the command line in this process, as the entry point does."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["scizor", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Answer(code, said.out, said.err)

    return call


@pytest.fixture
def collected(filled: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the filled project, which the environment names."""
    folder = tmp_path / "project"
    shutil.copytree(filled.folder, folder)
    project = project_at(folder)
    enter(monkeypatch, project)
    return project


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a weight file and no home yet, which the environment names."""
    project = small_project(tmp_path)
    write_weights(project.folder / "weights.csv", WEIGHTS)
    enter(monkeypatch, project)
    return project
