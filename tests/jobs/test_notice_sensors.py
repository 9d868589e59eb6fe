"""The sensors that tell: of runs that failed and of what the stores say, once, and without ever failing themselves."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from jobs import notice_sensors
from jobs.notice_sensors import failed_run
from jobs.notice_sensors import notice_sensors as sensors_of_notices
from resources.desk import SystemClock, TradingDesk
from resources.notifier import NotifierResource
from scizor_dagster.definitions import build_defs
from scizor_dagster.errors import LedgerError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.notifications import notifier as module
from scizor_dagster.notifications.delivery import NotTold
from scizor_dagster.notifications.notice import Notice
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.jobs.test_order_sensors import at, digest
from tests.projects import Project, small_project

PHONE = {"targets": ["${TEST_PHONE}"]}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Notice]:
    found: list[Notice] = []

    def tell(name: str, url: str, notice: Notice, *, timeout: float) -> None:
        found.append(notice)
        if "refuses" in url:
            raise NotTold(name, "it answered with HTTP status 500")

    monkeypatch.setenv("TEST_PHONE", "json://127.0.0.1:9/")
    monkeypatch.setattr(module, "tell_address", tell)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small_project(tmp_path, notifications=PHONE)


def resources(project: Project, now: datetime) -> dict[str, Any]:
    settings, clock = project.settings, SystemClock(fixed_at=now.isoformat())
    desk = TradingDesk(home=str(settings.home), config_path=str(settings.config_path), clock=clock)
    return {"desk": desk, "notifier": NotifierResource(desk=desk)}


def tick(project: Project, now: datetime) -> str:
    sensor = next(item for item in sensors_of_notices() if item.name == "notify")
    with dg.build_sensor_context(resources=resources(project, now)) as context:
        found = sensor(context)
    assert isinstance(found, dg.SkipReason)
    return str(found.skip_message)


def halt(project: Project) -> None:
    desk = Desk(project.settings, lambda: at("09:00"))
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.HALTED, reason="a look", actor="ann", now=at("09:00"))
    desk.ledger.close()


def test_a_tick_tells_once_however_often_it_comes(project: Project, told: list[Notice]) -> None:
    halt(project)
    assert tick(project, at("10:00")) == "TEST_PHONE was told: main is halted."
    before = digest(project)
    for minute in (1, 2):
        assert tick(project, at(f"10:0{minute}")) == "There is nothing to tell that was not told before."
    assert [item.title for item in told] == ["main is halted"]
    assert digest(project) == before


def test_where_nothing_ever_traded_a_tick_creates_nothing(project: Project, told: list[Notice]) -> None:
    assert tick(project, at("10:00")) == "There is nothing to tell that was not told before."
    assert not project.home.exists()


def test_a_target_that_takes_nothing_fails_no_tick_and_is_tried_again(
    project: Project, told: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PHONE", "json://127.0.0.1:9/refuses")
    halt(project)
    for minute, attempts in ((0, 1), (0, 1), (1, 2), (2, 2), (3, 3)):
        tick(project, at(f"10:0{minute}"))
        assert len(told) == attempts


def test_a_configuration_that_cannot_be_used_is_why_nobody_is_told(project: Project, told: list[Notice]) -> None:
    project.settings.config_path.write_text("markets: [", encoding="utf-8")
    assert "not valid YAML" in tick(project, at("10:00"))


def test_what_keeps_a_look_from_being_made_is_said(
    project: Project, told: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notice_sensors, "due_notices", lambda *_: ([], ["main: it is locked."]))
    assert tick(project, at("10:00")).endswith("main: it is locked.")


class TestRunsThatFailed:
    """With runs of the installed Dagster."""

    @pytest.fixture
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.ephemeral() as found:
            yield found

    def run(self, instance: dg.DagsterInstance, error: Exception, **tags: str) -> dg.RunStatusSensorContext:
        @dg.op
        def trades() -> None:
            raise error

        @dg.job(executor_def=dg.in_process_executor)
        def rebalance() -> None:
            trades()

        given = {"scizor/portfolio": "main", "dagster/partition": "2026-11-20", **tags}
        result = rebalance.execute_in_process(instance=instance, raise_on_error=False, tags=given)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        event = next(item for item in result.all_events if item.event_type_value == "PIPELINE_FAILURE")
        return dg.build_run_status_sensor_context("notify_failed_runs", event, instance, run).for_run_failure()

    def tell(self, project: Project, context: dg.RunStatusSensorContext, now: datetime) -> str:
        sensor = next(item for item in sensors_of_notices() if item.name == "notify_failed_runs")
        whole = dg.build_run_status_sensor_context(
            "notify_failed_runs",
            context.dagster_event,
            context.instance,
            context.dagster_run,
            resources=resources(project, now),
        ).for_run_failure()
        with whole as opened:
            found = sensor(opened)
        assert isinstance(found, dg.SkipReason)
        return str(found.skip_message)

    def test_a_failure_of_ours_is_told_with_its_words_and_once_for_all_tries(
        self, project: Project, told: list[Notice], instance: dg.DagsterInstance
    ) -> None:
        halt(project)
        error = dg.Failure("prices.csv:7: AAPL has no price. Deliver one.", allow_retries=False)
        assert "TEST_PHONE was told: rebalance 2026-11-20 failed." in self.tell(
            project, self.run(instance, error), at("10:00")
        )
        self.tell(project, self.run(instance, error), at("10:05"))
        [notice] = told
        assert notice.event == "run_failed"
        assert "prices.csv:7: AAPL has no price. Deliver one." in notice.text
        assert notice.text.endswith("scizor run --portfolio main --date 2026-11-20.")

    def test_of_a_stranger_s_error_only_its_name_is_told(
        self, project: Project, told: list[Notice], instance: dg.DagsterInstance
    ) -> None:
        self.tell(project, self.run(instance, ValueError("key=hidden-4711")), at("10:00"))
        [notice] = told
        assert "It ended with ValueError." in notice.text
        assert "hidden-4711" not in repr(notice)

    def test_weights_that_are_held_wait_for_a_person(self, instance: dg.DagsterInstance) -> None:
        for status, held in (("held", True), ("refused", False)):
            metadata = {"report": dg.MetadataValue.json({"status": status})}
            error = dg.Failure("The weights.", metadata=metadata, allow_retries=False)
            context = self.run(instance, error)
            assert isinstance(context, dg.RunFailureSensorContext)
            assert failed_run(context).held is held

    def test_a_run_that_dagster_tries_again_by_itself_has_not_failed_yet(
        self, project: Project, told: list[Notice], instance: dg.DagsterInstance
    ) -> None:
        context = self.run(instance, dg.Failure("No."), **{"dagster/will_retry": "true"})
        assert self.tell(project, context, at("10:00")) == "Dagster runs it again by itself."
        assert told == []

    def test_nobody_who_cannot_be_told_fails_a_tick(
        self, project: Project, told: list[Notice], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = self.run(instance, dg.Failure("No."))
        monkeypatch.setenv("TEST_PHONE", "json://127.0.0.1:9/refuses")
        assert "TEST_PHONE was not told" in self.tell(project, context, at("10:00"))

        def fails(_: object) -> None:
            raise LedgerError("It is locked.", remedy="Wait.")

        monkeypatch.setattr(notice_sensors, "run_failed", fails)
        assert self.tell(project, context, at("10:00")) == "It is locked. Wait."


def test_the_definitions_hold_the_notifier_and_no_address_of_it(project: Project, told: list[Notice]) -> None:
    definitions = build_defs(project.settings)
    assert "notifier" in (definitions.resources or {})
    sensors = {sensor.name: sensor for sensor in definitions.get_repository_def().sensor_defs}
    for name in ("notify", "notify_failed_runs"):
        assert sensors[name].default_status is dg.DefaultSensorStatus.STOPPED
    resource = (definitions.resources or {})["notifier"]
    assert isinstance(resource, dg.ResourceDefinition)
    assert "json://" not in repr(
        resource.config_schema.default_value if resource.config_schema.default_provided else ""
    )
