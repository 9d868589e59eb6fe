"""A sample of the soak (`make soak` is the whole): a day on which the power fails in the middle of the orders.

`SCIZOR_SEED` draws another market, other weights and other calls that fail.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.filled import enter
from tests.soak.days import Soak, is_well
from tests.soak.world import Trouble, World

SEED = int(os.environ.get("SCIZOR_SEED", "7"))


@pytest.fixture
def soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Soak:
    world = World.make(tmp_path, SEED, 1)
    enter(monkeypatch, world.project)
    return Soak(world)


@pytest.mark.timeout(900)
def test_a_day_whose_daemon_and_run_are_killed_at_a_send_is_traded_once_and_closed_and_only_a_day_without_is_missed(
    soak: Soak,
) -> None:
    (day,) = soak.pass_through()
    assert day.trouble is Trouble.POWER
    assert is_well(day), day
    assert {finding.split(":")[0] for finding in soak.silent} >= {"not_admitted", "daemon_silent"}


def test_every_kind_of_trouble_comes_in_thirty_days_and_none_on_the_first(tmp_path: Path) -> None:
    world = World.make(tmp_path, SEED, 30)
    assert set(world.troubles.values()) == set(Trouble)
    assert world.days[0] not in world.troubles
    assert list(world.troubles.values()).count(Trouble.POWER) == 1
