"""The ledger's server, its sessions and the wires to them die in the middle of a rebalance, at every moment of it.

Acknowledged rows that were lost: none. Orders that were sent without a committed intent: none. `SCIZOR_SEED` draws
other blows; a trial that fails says how to run it alone.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.torture.blows import MOMENTS, SIGKILLS, Kind
from tests.torture.test_deaths import SEED, said_by

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
BLOWS = 1_000 if TORTURE else 180
pytestmark = pytest.mark.timeout(7200 if TORTURE else 1200)


@pytest.fixture(scope="module")
def found(postgres_binaries: Path, project_root: Path) -> dict[str, int]:
    """What the blows came to; that every one of them held its laws is what makes the campaign end at all."""
    ended = said_by(project_root, "-m", "tests.torture.server_deaths", str(BLOWS), str(SEED))
    assert ended.returncode == 0, ended.stderr
    counts: dict[str, int] = json.loads(ended.stdout)
    return counts


def test_whatever_of_the_server_dies_nothing_acknowledged_is_lost_and_nothing_is_sent_unrecorded_or_twice(
    found: dict[str, int], record_property: Any
) -> None:
    for name, count in sorted(found.items()):
        record_property(name, count)
    assert found["blows"] >= BLOWS
    assert found["acknowledged"] > 10 * found["trials"]
    assert sum(found[f"kind: {kind.value}"] for kind in SIGKILLS) >= (500 if TORTURE else BLOWS // 3)


def test_the_blows_fall_at_every_moment_of_a_rebalance(found: dict[str, int]) -> None:
    assert {name: found.get(f"moment: {name}", 0) for name in MOMENTS if not found.get(f"moment: {name}")} == {}
    assert found["at a commit"] >= BLOWS // 20


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value.replace(" ", "-"))
def test_every_kind_of_blow_has_fallen(found: dict[str, int], kind: Kind) -> None:
    assert found[f"kind: {kind.value}"] >= BLOWS // 20


def test_those_who_were_struck_are_told_what_has_happened(found: dict[str, int]) -> None:
    assert found["said: LedgerError"] > found["said: CommitInDoubt"] > 0
