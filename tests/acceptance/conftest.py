"""One demonstration, run once as a user runs it, for every test that looks at what came of it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

SESSIONS = 6


@dataclass(frozen=True)
class Demo:
    home: Path
    result: dict[str, Any]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Demo:
    """`scizor demo --json` in a process of its own, on an empty home; test processes side by side share one."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    answer = shared / "demo.json"
    with FileLock(shared / "demo.lock"):
        if not answer.exists():
            answer.write_text(run_demo(shared / "demo-home", project_root), encoding="utf-8")
    return Demo(shared / "demo-home", json.loads(answer.read_text(encoding="utf-8")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was injected in the month, what reconciliation has said of it, and in which pass."""
    rows = [
        list(map(str, value))
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "month" and isinstance(value, list | tuple)
    ]
    if rows:
        terminalreporter.write_line("a month on one account: session, what happened, what was said of it, when")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        terminalreporter.write_line("  " + "  ".join(map(str.ljust, row, widths)).rstrip())


def run_demo(home: Path, project_root: Path) -> str:
    environment = {**os.environ, "SCIZOR_HOME": str(home)}
    environment.pop("SCIZOR_CONFIG", None)
    command = [sys.executable, "-m", "scizor_dagster", "demo", "--sessions", str(SESSIONS), "--json"]
    done = subprocess.run(
        command, cwd=project_root, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
