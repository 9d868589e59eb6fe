"""SIGKILL at every executed line of the order core: whatever dies, whenever, nothing is sent twice and nothing lost.

`SCIZOR_SEED` draws other trials; one that fails says how to run it alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.torture.scenarios import SCENARIOS

SEED = int(os.environ.get("SCIZOR_SEED", "7"))
KILLS = 25_000 if os.environ.get("SCIZOR_TORTURE") else 2_000
"""Processes that are killed, over all scenarios and kinds of brokers."""
pytestmark = pytest.mark.timeout(7200 if os.environ.get("SCIZOR_TORTURE") else 1200)


def said_by(project_root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # A process of its own forks small and has no other thread.
    return subprocess.run([sys.executable, *command], cwd=project_root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_processes_killed_at_any_line_double_nothing_and_lose_nothing_whatever_the_broker_is_like(
    scenario: str, project_root: Path, record_property: Any
) -> None:
    kills = KILLS // len(SCENARIOS)
    ended = said_by(project_root, "-m", "tests.torture.deaths", scenario, str(kills), str(SEED))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    for name, count in found.items():
        record_property(name, count)
    assert found["kills"] >= kills
    # Most lines are executed many times; a sample that is large enough meets each of them.
    assert found["places of death"] >= min(found["places executed"], kills // 4)


def test_the_same_holds_where_the_ledger_lies_on_a_server(
    postgres_binaries: Path, project_root: Path, record_property: Any
) -> None:
    kills = KILLS // 50
    ended = said_by(project_root, "-m", "tests.torture.deaths", "plan", str(kills), str(SEED), "postgres")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["kills"] >= kills
    record_property("kills with the ledger on Postgres", found["kills"])


LYING = """
import tempfile
from dataclasses import replace
from pathlib import Path
from tests.torture import beginning, deaths, parties
class Lying(parties.Venue):
    @property
    def capabilities(self):
        return replace(super().capabilities, unique_client_ids=True)
beginning.Venue = Lying
with tempfile.TemporaryDirectory() as folder:
    deaths.campaign("plan", 400, 7, parties.Files(Path(folder)), ["accepting-twice-late"])
"""


def test_a_broker_that_only_says_that_it_refuses_duplicates_is_found_out(project_root: Path) -> None:
    ended = said_by(project_root, "-c", LYING)
    assert ended.returncode == 1
    assert "AssertionError: at the broker twice" in ended.stderr or "sent twice to a broker" in ended.stderr
    assert "alone: python -m tests.torture.deaths plan accepting-twice-late" in ended.stderr
