"""Whatever is lost, there is a way back, and it ends with positions equal to the broker's and no order sent twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.flow.migrating import migrate_home
from tests.drills.drills import DRILLS, ON_BOTH, Drill, upgraded
from tests.drills.making import earlier_home
from tests.flow.desks import NOW, left_after_the_first
from tests.ledgers import STORES
from tests.projects import project_at


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has traded its first session. Work on a copy."""
    return left_after_the_first(tmp_path_factory.mktemp("traded"))


def _drill(folder: Path, store: str, request: pytest.FixtureRequest) -> Drill:
    settings = project_at(folder).settings
    if store == "sqlite":
        return Drill(settings, None)
    drill = Drill(settings, request.getfixturevalue("postgres"))
    drill.move_to_new_database()
    migrate_home(drill.settings, now=NOW, prepare_dagster=None)
    return drill


QUICK = [(name, store) for name in DRILLS for store in STORES if store == "sqlite" or name in ON_BOTH]


@pytest.mark.parametrize(("name", "store"), QUICK)
def test_a_drill_ends_with_the_broker_s_positions_and_no_order_sent_twice(
    traded: Path, tmp_path: Path, store: str, name: str, request: pytest.FixtureRequest, record_property: Any
) -> None:
    shutil.copytree(traded, tmp_path / "project")
    drill = _drill(tmp_path / "project", store, request)
    DRILLS[name](drill, tmp_path / "kept")
    assert drill.seconds
    record_property("seconds", drill.seconds)


@pytest.mark.parametrize("store", STORES)
def test_a_home_of_an_earlier_version_is_upgraded_verified_and_trades_on(
    tmp_path: Path, store: str, request: pytest.FixtureRequest, record_property: Any
) -> None:
    drill = _drill(earlier_home(tmp_path / "project"), store, request)
    upgraded(drill)
    record_property("seconds", drill.seconds)
