"""Runs and ticks are counted from Dagster's databases as an instance of the installed version writes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.test_utils import create_run_for_test
from dagster_shared.error import SerializableErrorInfo

from scizor_dagster.cli.dagster_runs import ENDED, UNDER_WAY, RunCounts, count_runs
from scizor_dagster.cli.instance import opened_instance, prepare_home
from scizor_dagster.errors import DataError
from scizor_dagster.settings import Settings
from tests.ledgers import STORES
from tests.projects import small_project

Status = dg.DagsterRunStatus


@pytest.fixture(params=STORES)
def empty(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home without an instance, on each kind of store."""
    for name in ("DAGSTER_HOME", "SCIZOR_HOME", "SCIZOR_CONFIG"):
        monkeypatch.setenv(name, "")
    project = small_project(tmp_path)
    if request.param == "sqlite":
        yield project.settings
        return
    server = request.getfixturevalue("postgres")
    name = server.new_database()
    url = server.url(name)
    monkeypatch.setenv("DATABASE_URL", url)
    yield Settings.from_environment({**project.environment, "DATABASE_URL": url})
    server.drop(name)


@pytest.fixture
def settings(empty: Settings) -> Settings:
    prepare_home(empty)
    return empty


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with opened_instance(settings) as opened:
        yield opened


def test_a_home_without_an_instance_has_no_counts(empty: Settings) -> None:
    assert count_runs(empty, datetime.now(UTC)) is None


def test_every_status_of_a_run_is_counted_once_or_left_out_on_purpose() -> None:
    left_out = {Status.MANAGED.value}
    assert {*UNDER_WAY, *ENDED} == {status.value for status in Status} - left_out


def test_runs_are_counted_by_status_and_those_that_ended_for_a_day(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    for status in (Status.STARTING, Status.STARTING, Status.STARTED):
        create_run_for_test(instance, status=status)
    failed = create_run_for_test(instance, status=Status.STARTED)
    instance.report_run_failed(failed)
    now = datetime.now(UTC)
    found = count_runs(settings, now)
    assert found == RunCounts(
        dict.fromkeys(UNDER_WAY, 0) | {"STARTING": 2, "STARTED": 1},
        {"SUCCESS": 0, "FAILURE": 1, "CANCELED": 0},
        0,
    )
    later = count_runs(settings, now + timedelta(hours=25))
    assert later is not None
    assert (later.under_way, later.ended["FAILURE"]) == (found.under_way, 0)


def test_ticks_that_failed_are_counted_for_a_day(settings: Settings, instance: dg.DagsterInstance) -> None:
    now = datetime.now(UTC)
    for status, age in (
        (TickStatus.FAILURE, timedelta(hours=1)),
        (TickStatus.FAILURE, timedelta(hours=25)),
        (TickStatus.SKIPPED, timedelta(hours=1)),
    ):
        at = (now - age).timestamp()
        error = SerializableErrorInfo("it broke", [], "ValueError") if status is TickStatus.FAILURE else None
        tick = TickData("o", "sensor", InstigatorType.SENSOR, status, at, selector_id="s", error=error)
        instance.create_tick(tick)
    found = count_runs(settings, now)
    assert found is not None
    assert found.failed_ticks == 1


@pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
def test_a_damaged_database_is_named_and_no_count(settings: Settings) -> None:
    (settings.dagster_home / "history" / "runs.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"record of runs cannot be read .*not a database"):
        count_runs(settings, datetime.now(UTC))
