"""One demonstration, run once as a user runs it, for every test that looks at what came of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SESSIONS = 6


@dataclass(frozen=True)
class Demo:
    home: Path
    result: dict[str, Any]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Demo:
    """`scizor demo --json` in a process of its own, on an empty home."""
    home = tmp_path_factory.mktemp("demo") / "home"
    environment = {**os.environ, "SCIZOR_HOME": str(home)}
    environment.pop("SCIZOR_CONFIG", None)
    command = [sys.executable, "-m", "scizor_dagster", "demo", "--sessions", str(SESSIONS), "--json"]
    done = subprocess.run(
        command, cwd=project_root, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Demo(home, json.loads(done.stdout))
