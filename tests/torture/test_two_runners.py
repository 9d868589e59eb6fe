"""Several processes on one account: one trades, the others say why they do not, and no order goes out twice.

Started together they have the account for the taking. Asleep (SIGSTOP) at any line while the lease runs out, one is
overtaken, and finds out when it wakes. `SCIZOR_SEED` draws other rounds; one that fails says how to run it alone.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.torture.test_deaths import SEED, said_by

ROUNDS = 2_000 if os.environ.get("SCIZOR_TORTURE") else 200
pytestmark = pytest.mark.timeout(7200 if os.environ.get("SCIZOR_TORTURE") else 1200)


@pytest.fixture(scope="module")
def found(project_root: Path) -> dict[str, dict[str, int]]:
    """How the processes of each pairing ended; that every round held its laws is what makes it end at all."""
    ended = said_by(project_root, "-m", "tests.torture.runners", str(ROUNDS), str(SEED))
    assert ended.returncode == 0, ended.stderr
    rounds: dict[str, dict[str, int]] = json.loads(ended.stdout)
    return rounds


def test_every_pairing_of_processes_leaves_the_orders_of_the_plans_once_each(
    found: dict[str, dict[str, int]], record_property: Any
) -> None:
    for pairing, ends in found.items():
        record_property(pairing, ends)
    assert sum(ends["rounds"] for ends in found.values()) == ROUNDS


@pytest.mark.parametrize("pairing", ["same plan", "same key", "two portfolios", "run, follow and cancel"])
def test_of_processes_that_start_together_the_losers_name_the_holder(
    found: dict[str, dict[str, int]], pairing: str
) -> None:
    assert found[pairing]["busy"] > 0


@pytest.mark.parametrize("pairing", ["sleeper", "sleeper of two portfolios"])
def test_a_sleeper_that_was_overtaken_finds_out_when_it_wakes(found: dict[str, dict[str, int]], pairing: str) -> None:
    assert found[pairing]["woken: was lost"] > 0


def test_an_overtaken_sleeper_sends_at_most_what_it_was_about_to_send(found: dict[str, dict[str, int]]) -> None:
    sleepers = [found[pairing] for pairing in ("sleeper", "sleeper of two portfolios")]
    woken = sum(ends["woken: was lost"] for ends in sleepers)
    assert sum(ends.get("sent when woken", 0) for ends in sleepers) < woken
