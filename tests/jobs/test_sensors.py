"""The sensor of weight files: one request per stable change, and a reason for everything else."""

import os
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import yaml

from jobs.sensors import sensors, session_to_take_in
from jobs.trading import trading_jobs
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.config import load_config
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import change_state
from scizor_dagster.flow.trades import PURPOSE, TAKE
from scizor_dagster.sessions import TradingCalendar
from tests.jobs.support import two_of_each
from tests.projects import STRATEGY, Project, small_project, write_weights

NEW_YORK = ZoneInfo("America/New_York")
THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)
NOW = datetime(2026, 11, 20, 8, tzinfo=NEW_YORK)


class Sensor:
    """The sensor `new_weight_file` of one portfolio, with the cursor that Dagster would keep."""

    def __init__(self, project: Project, name: str = "new_weight_file") -> None:
        config = load_config(project.settings.config_path, project.environment)
        self.definition = {sensor.name: sensor for sensor in sensors(config, trading_jobs(config))}[name]
        self.project = project
        self.cursor: str | None = None

    def tick(self, now: datetime = NOW, *, keep: bool = True) -> list[dg.RunRequest] | str:
        """The runs asked for, or the reason why there are none. `keep=False` loses the cursor, as a crash would."""
        clock = SystemClock(fixed_at=now.isoformat())
        settings = self.project.settings
        desk = TradingDesk(home=str(settings.home), config_path=str(settings.config_path), clock=clock)
        with dg.build_sensor_context(cursor=self.cursor, resources={"desk": desk}) as context:
            found = self.definition(context)
        if isinstance(found, dg.SkipReason):
            assert found.skip_message
            return found.skip_message
        assert isinstance(found, dg.SensorResult)
        if keep and found.cursor is not None:
            self.cursor = found.cursor
        if found.skip_reason is not None:
            assert not found.run_requests
            return str(found.skip_reason.skip_message)
        return list(found.run_requests or [])

    def request(self, now: datetime = NOW) -> dg.RunRequest:
        found = self.tick(now)
        assert isinstance(found, list), found
        assert len(found) == 1
        return found[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small_project(tmp_path)


@pytest.fixture
def sensor(project: Project) -> Sensor:
    return Sensor(project)


def deliver(project: Project, day: date, weight: float = 0.3) -> None:
    write_weights(project.folder / "weights.csv", {day: {"AAPL": weight}})


def test_without_a_file_nothing_is_asked_for(sensor: Sensor) -> None:
    assert sensor.tick() == "The weight file of strategy weekly does not exist yet."
    assert sensor.cursor is None


def test_where_every_strategy_rests_no_file_is_looked_for(project: Project, sensor: Sensor) -> None:
    desk = Desk(project.settings, lambda: NOW)
    change_state(desk, ["main"], STRATEGY, "pause", liquidate=False, actor="ann", reason="a look at it")
    assert sensor.tick() == "No strategy of portfolio main runs: no weight file is read."


def test_a_new_file_counts_once_two_ticks_agree(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY)
    assert "is it stable?" in str(sensor.tick())
    request = sensor.request()
    assert request.partition_key == FRIDAY.isoformat()
    assert sensor.tick() == "The weight file has not changed."


def test_a_file_that_is_still_being_written_is_waited_for(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY, 0.1)
    assert "is it stable?" in str(sensor.tick())
    deliver(project, FRIDAY, 0.2)
    assert "is it stable?" in str(sensor.tick())
    assert sensor.request().partition_key == FRIDAY.isoformat()


def test_the_same_tick_twice_asks_for_the_same_run(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY)
    sensor.tick()
    first = sensor.tick(keep=False)
    again = sensor.tick(keep=False)
    assert isinstance(first, list)
    assert isinstance(again, list)
    assert [item.run_key for item in first] == [item.run_key for item in again]


def test_touching_a_file_without_changing_it_asks_for_nothing(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY)
    sensor.tick()
    sensor.request()
    os.utime(project.folder / "weights.csv", (1_700_000_000, 1_700_000_000))
    assert sensor.tick() == "The weight file has not changed."


def test_a_file_that_returns_to_an_earlier_content_is_taken_in_again(project: Project, sensor: Sensor) -> None:
    keys = []
    for weight in (0.1, 0.2, 0.1):
        deliver(project, FRIDAY, weight)
        sensor.tick()
        keys.append(sensor.request().run_key)
    assert len(set(keys)) == 3


def test_a_refused_file_asks_for_a_run_that_shows_the_reasons(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY, float("nan"))
    sensor.tick()
    assert sensor.request().partition_key == THURSDAY.isoformat()  # the last closed session at 08:00 on Friday
    deliver(project, FRIDAY)
    sensor.tick()
    assert sensor.request().partition_key == FRIDAY.isoformat()


def test_weights_of_a_session_ahead_wait_for_its_day(project: Project, sensor: Sensor) -> None:
    deliver(project, MONDAY)
    sensor.tick()
    assert sensor.tick() == "The next weights are for 2026-11-23, which is ahead."
    assert sensor.tick() == "The weight file has not changed."


def test_weights_dated_on_a_saturday_wait_for_monday(project: Project, sensor: Sensor) -> None:
    deliver(project, date(2026, 11, 21))
    sensor.tick()
    assert "2026-11-23, which is ahead" in str(sensor.tick())


def test_a_file_of_the_past_is_taken_in_for_its_last_session(project: Project, sensor: Sensor) -> None:
    deliver(project, date(2026, 10, 1))
    sensor.tick()
    assert sensor.request().partition_key == "2026-10-01"


def test_a_file_from_before_the_market_has_no_partition_and_says_so(project: Project, sensor: Sensor) -> None:
    deliver(project, date(2020, 10, 1))
    sensor.tick()
    assert sensor.tick() == "The newest weights are for 2020-10-01; market us begins on 2025-01-02."


def test_after_the_close_of_friday_the_next_session_is_monday(project: Project, sensor: Sensor) -> None:
    write_weights(project.folder / "weights.csv", {FRIDAY: {"AAPL": 0.3}, MONDAY: {"AAPL": 0.2}})
    sensor.tick()
    assert "2026-11-23, which is ahead" in str(sensor.tick(datetime(2026, 11, 20, 17, tzinfo=NEW_YORK)))


def test_every_portfolio_has_a_sensor_of_its_own_name_and_job(tmp_path: Path) -> None:
    project = two_of_each(tmp_path)
    config = load_config(project.settings.config_path, project.environment)
    found = [item for item in sensors(config, trading_jobs(config)) if item.name.startswith("new_weight_file")]
    assert {(item.name, item.job_name) for item in found} == {
        (f"new_weight_file{owner}", f"take_signals{owner}") for owner in ("", "_bold", "_down_under")
    }
    deliver(project, FRIDAY)
    for owner in ("", "_bold"):
        sensor = Sensor(project, f"new_weight_file{owner}")
        sensor.tick()
        assert sensor.request().run_key.startswith(f"take_signals{owner}:")  # type: ignore[union-attr]


def test_a_file_of_any_of_the_strategies_counts_once_all_are_there(tmp_path: Path) -> None:
    signals = {"mode": "ensemble", "strategy": None, "strategies": ["one", "two"], "combine": "mean"}
    project = small_project(tmp_path, portfolios={"main": {"signals": signals}})
    entries = [{"id": name, "path": f"{name}.csv", "format": "csv"} for name in ("one", "two")]
    (tmp_path / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    sensor = Sensor(project)
    write_weights(tmp_path / "one.csv", {THURSDAY: {"AAPL": 0.3}, FRIDAY: {"AAPL": 0.3}})
    assert sensor.tick() == "The weight file of strategy two does not exist yet."
    write_weights(tmp_path / "two.csv", {THURSDAY: {"MSFT": 0.3}})
    sensor.tick()
    assert sensor.request().partition_key == THURSDAY.isoformat()
    write_weights(tmp_path / "two.csv", {FRIDAY: {"MSFT": 0.3}})
    sensor.tick()
    assert sensor.request().partition_key == FRIDAY.isoformat()
    assert sensor.tick() == "The weight file has not changed."


def test_a_strategy_of_one_file_per_day_is_taken_in_when_a_file_comes_and_when_one_goes(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    entries = [{"id": "weekly", "path": "weights_*.csv", "format": "csv"}]
    (tmp_path / "strategy_manifest.yaml").write_text(yaml.safe_dump({"strategies": entries}))
    sensor = Sensor(project)
    assert sensor.tick() == "The weight file of strategy weekly does not exist yet."
    write_weights(tmp_path / "weights_1.csv", {THURSDAY: {"AAPL": 0.3}})
    sensor.tick()
    first = sensor.request()
    assert first.partition_key == THURSDAY.isoformat()
    second = write_weights(tmp_path / "weights_2.csv", {FRIDAY: {"AAPL": 0.3}})
    assert "is it stable?" in str(sensor.tick())
    lost, again = sensor.tick(keep=False), sensor.tick(keep=False)
    assert isinstance(lost, list)
    assert isinstance(again, list)
    assert lost[0].run_key == again[0].run_key
    assert sensor.request().partition_key == FRIDAY.isoformat()
    second.unlink()
    sensor.tick()
    back = sensor.request()
    assert back.partition_key == THURSDAY.isoformat()
    assert back.run_key != first.run_key
    assert sensor.tick() == "The weight file has not changed."


def test_held_weights_are_asked_for_once_so_that_their_run_shows_why(project: Project, sensor: Sensor) -> None:
    deliver(project, FRIDAY, 0.0)
    sensor.tick()
    assert sensor.request().partition_key == FRIDAY.isoformat()
    assert sensor.tick() == "The weight file has not changed."


def test_a_pipe_is_no_weight_file_and_does_not_stop_the_tick(project: Project, sensor: Sensor) -> None:
    os.mkfifo(project.folder / "weights.csv")
    assert sensor.tick() == "The weight file of strategy weekly does not exist yet."


def test_a_session_in_the_present_is_preferred_to_a_past_one() -> None:
    calendar = TradingCalendar("XNYS")
    assert session_to_take_in([THURSDAY, FRIDAY, MONDAY], calendar, NOW) == FRIDAY
    assert session_to_take_in([THURSDAY], calendar, NOW) == THURSDAY
    assert session_to_take_in([], calendar, NOW) == THURSDAY


def test_the_run_that_takes_weights_in_looks_at_the_file_whatever_stands(tmp_path: Path) -> None:
    project = small_project(tmp_path)
    config = load_config(project.settings.config_path, project.environment)
    tags = {job.name: job.tags or {} for job in trading_jobs(config)}
    assert tags["take_signals"][PURPOSE] == TAKE
    assert PURPOSE not in tags["rebalance"]
