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
from tests.projects import Project, small_project

Status = dg.DagsterRunStatus


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("DAGSTER_HOME", "SCIZOR_HOME", "SCIZOR_CONFIG"):
        monkeypatch.setenv(name, "")
    found = small_project(tmp_path)
    prepare_home(found.settings)
    return found


@pytest.fixture
def instance(project: Project) -> Iterator[dg.DagsterInstance]:
    with opened_instance(project.settings) as opened:
        yield opened


def test_a_home_without_an_instance_has_no_counts(tmp_path: Path) -> None:
    assert count_runs(tmp_path, datetime.now(UTC)) is None


def test_every_status_of_a_run_is_counted_once_or_left_out_on_purpose() -> None:
    left_out = {Status.MANAGED.value}
    assert {*UNDER_WAY, *ENDED} == {status.value for status in Status} - left_out


def test_runs_are_counted_by_status_and_those_that_ended_for_a_day(
    project: Project, instance: dg.DagsterInstance
) -> None:
    for status in (Status.STARTING, Status.STARTING, Status.STARTED):
        create_run_for_test(instance, status=status)
    failed = create_run_for_test(instance, status=Status.STARTED)
    instance.report_run_failed(failed)
    now = datetime.now(UTC)
    found = count_runs(project.settings.dagster_home, now)
    assert found == RunCounts(
        dict.fromkeys(UNDER_WAY, 0) | {"STARTING": 2, "STARTED": 1},
        {"SUCCESS": 0, "FAILURE": 1, "CANCELED": 0},
        0,
    )
    later = count_runs(project.settings.dagster_home, now + timedelta(hours=25))
    assert later is not None
    assert (later.under_way, later.ended["FAILURE"]) == (found.under_way, 0)


def test_ticks_that_failed_are_counted_for_a_day(project: Project, instance: dg.DagsterInstance) -> None:
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
    found = count_runs(project.settings.dagster_home, now)
    assert found is not None
    assert found.failed_ticks == 1


def test_a_damaged_database_is_named_and_no_count(project: Project) -> None:
    (project.settings.dagster_home / "history" / "runs.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"record of runs cannot be read .*not a database"):
        count_runs(project.settings.dagster_home, datetime.now(UTC))
