"""Ticks: in exchange time, on sessions only, with an explicit partition key, and never stale."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from jobs.schedules import schedules
from jobs.times import ticks_of
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.config import load_config
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.trades import SCHEDULED_FOR
from scizor_dagster.ledger.days import record_pass
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.sessions import TradingCalendar
from tests.batches import leave_batch
from tests.jobs.support import two_of_each
from tests.projects import Project, small_project, write_weights

NEW_YORK = ZoneInfo("America/New_York")
SYDNEY = ZoneInfo("Australia/Sydney")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small_project(tmp_path)


def schedules_of(project: Project) -> dict[str, dg.ScheduleDefinition]:
    config = load_config(project.settings.config_path, project.environment)
    return {schedule.name: schedule for schedule in schedules(config)}


def ticked(project: Project, name: str, at: datetime, now: datetime | None = None) -> list[dg.RunRequest] | str:
    """The runs that the tick of `at` asks for, or the reason why it asks for none."""
    clock = SystemClock(fixed_at=(now or at).isoformat())
    desk = TradingDesk(home=str(project.home), config_path=str(project.settings.config_path), clock=clock)
    schedule = schedules_of(project)[name]
    resources = {"desk": desk} if "desk" in schedule.required_resource_keys else None
    with dg.build_schedule_context(scheduled_execution_time=at, resources=resources) as context:
        found = schedule(context)
    if isinstance(found, dg.SkipReason):
        assert found.skip_message
        return found.skip_message
    return [found] if isinstance(found, dg.RunRequest) else list(found)


def tick(project: Project, name: str, at: datetime, now: datetime | None = None) -> dg.RunRequest | str:
    """The one run that the tick of `at` asks for, or the reason why it asks for none."""
    found = ticked(project, name, at, now)
    if isinstance(found, str):
        return found
    assert len(found) == 1
    return found[0]


def store_bar(project: Project, session: date) -> None:
    """Put one bar of market us into the project's lake."""
    lake = Desk(project.settings, lambda: datetime.now(UTC)).lake
    with lake.write() as cursor:
        cursor.execute(
            "INSERT INTO bars BY NAME SELECT 'us' AS market, 'AAPL' AS symbol, ?::DATE AS session, 1.0 AS open, "
            "1.0 AS high, 1.0 AS low, 1.0 AS close, 1.0 AS volume, 'raw' AS adjustment, true AS synthetic, "
            "'test' AS source, now() AS fetched_at", [session],
        )  # fmt: skip
    lake.close()


def new_york(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


def test_ticks_follow_the_regular_hours_of_the_exchange(tmp_path: Path) -> None:
    found = {
        name: (item.cron_schedule, item.execution_timezone, item.job_name)
        for name, item in schedules_of(two_of_each(tmp_path)).items()
    }
    york, sydney = str(NEW_YORK), str(SYDNEY)
    expected = {
        "collect_daily_after_close": ("30 17 * * 1-5", york, "collect_daily"),
        "collect_daily_asx_after_close": ("30 17 * * 1-5", sydney, "collect_daily_asx"),
        "maintain_weekly": ("0 12 * * 6", "UTC", "maintain"),
    }
    for owner in ("", "_bold"):
        expected |= {
            f"close_day{owner}_before_open": ("15 8 * * 1-5", york, f"close_day{owner}"),
            f"rebalance{owner}_before_open": ("0 9 * * 1-5", york, f"rebalance{owner}"),
            f"follow_orders{owner}_after_collection": ("0 18 * * 1-5", york, f"follow_orders{owner}"),
        }
    expected |= {
        "close_day_down_under_before_open": ("45 8 * * 1-5", sydney, "close_day_down_under"),
        "rebalance_down_under_before_open": ("30 9 * * 1-5", sydney, "rebalance_down_under"),
        "follow_orders_down_under_after_collection": ("0 18 * * 1-5", sydney, "follow_orders_down_under"),
    }
    assert found == expected


def test_one_market_and_one_portfolio_carry_the_plain_names(project: Project) -> None:
    assert set(schedules_of(project)) == {
        "collect_daily_after_close", "maintain_weekly", "close_day_before_open", "rebalance_before_open",
        "follow_orders_after_collection",
    }  # fmt: skip


@pytest.mark.parametrize(("code", "before_open"), [("XLON", "30 7 * * 1-5"), ("XTKS", "30 8 * * 1-5")])
def test_an_exchange_of_another_country_is_planned_before_its_own_open(code: str, before_open: str) -> None:
    assert ticks_of(TradingCalendar(code)).before_open == before_open


@pytest.mark.parametrize("code", ["CMES", "24/7"])
def test_a_calendar_without_an_open_and_a_close_on_one_day_is_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="do not open and close on one day"):
        ticks_of(TradingCalendar(code))


@pytest.mark.parametrize(
    ("day", "utc_hour"),
    [(date(2026, 3, 6), 14), (date(2026, 3, 9), 13), (date(2026, 10, 30), 13), (date(2026, 11, 2), 14)],
)
def test_the_rebalance_keeps_its_hour_at_the_exchange_when_clocks_change(
    project: Project, day: date, utc_hour: int
) -> None:
    write_weights(project.folder / "weights.csv", {day: {"AAPL": 0.3}})
    at = datetime(day.year, day.month, day.day, utc_hour, tzinfo=UTC)
    assert at.astimezone(NEW_YORK).hour == 9
    calendar = TradingCalendar("XNYS")
    assert calendar.open_at(day) - at == timedelta(minutes=30)
    found = tick(project, "rebalance_before_open", at)
    assert isinstance(found, dg.RunRequest)
    assert found.partition_key == day.isoformat()


@pytest.mark.parametrize(
    ("day", "utc_day", "utc_hour"),
    [(date(2026, 4, 2), date(2026, 4, 1), 22), (date(2026, 4, 7), date(2026, 4, 6), 23)],
)
def test_a_session_of_sydney_is_that_of_its_own_date(tmp_path: Path, day: date, utc_day: date, utc_hour: int) -> None:
    project = two_of_each(tmp_path)
    write_weights(project.folder / "weights.csv", {day: {"BHP": 0.3}})
    at = datetime(utc_day.year, utc_day.month, utc_day.day, utc_hour, 30, tzinfo=UTC)
    assert (at.astimezone(SYDNEY).hour, at.astimezone(SYDNEY).minute) == (9, 30)
    found = tick(project, "rebalance_down_under_before_open", at)
    assert isinstance(found, dg.RunRequest)
    assert found.partition_key == day.isoformat()


HOLIDAYS = (date(2026, 11, 26), date(2026, 12, 25), date(2026, 7, 3), date(2026, 1, 19))


@pytest.mark.parametrize("day", HOLIDAYS, ids=str)
def test_on_a_holiday_nothing_runs(project: Project, day: date) -> None:
    write_weights(project.folder / "weights.csv", {day: {"AAPL": 0.3}})
    for name, hour in (
        ("collect_daily_after_close", 17),
        ("rebalance_before_open", 9),
        ("follow_orders_after_collection", 18),
    ):
        assert tick(project, name, new_york(day, hour)) == f"{day} is no session of XNYS."


def test_the_day_after_thanksgiving_is_a_session_that_closes_early(project: Project) -> None:
    day = date(2026, 11, 27)
    write_weights(project.folder / "weights.csv", {day: {"AAPL": 0.3}})
    assert isinstance(tick(project, "rebalance_before_open", new_york(day, 9)), dg.RunRequest)
    collected = tick(project, "collect_daily_after_close", new_york(day, 17, 30))
    assert isinstance(collected, dg.RunRequest)
    assert collected.partition_key == day.isoformat()


def test_the_rebalance_names_its_session_and_the_tick_it_was_meant_for(project: Project) -> None:
    day = date(2026, 11, 20)
    write_weights(project.folder / "weights.csv", {day: {"AAPL": 0.3}})
    at = new_york(day, 9)
    found = tick(project, "rebalance_before_open", at, now=at + timedelta(minutes=2))
    assert isinstance(found, dg.RunRequest)
    assert (found.partition_key, found.run_key) == ("2026-11-20", "rebalance:2026-11-20")
    assert found.tags[SCHEDULED_FOR] == at.isoformat()
    again = tick(project, "rebalance_before_open", at, now=at + timedelta(minutes=3))
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == found.run_key


def test_a_tick_that_comes_late_is_refused_with_its_age(project: Project) -> None:
    day = date(2026, 11, 20)
    write_weights(project.folder / "weights.csv", {day: {"AAPL": 0.3}})
    at = new_york(day, 9)
    assert isinstance(tick(project, "rebalance_before_open", at, now=at + timedelta(minutes=15)), dg.RunRequest)
    reason = tick(project, "rebalance_before_open", at, now=at + timedelta(minutes=16))
    assert "is 16 minutes old; 15 are allowed" in str(reason)
    assert "scizor run" in str(reason)
    assert "minutes old" in str(tick(project, "rebalance_before_open", at, now=at + timedelta(days=3)))


def test_a_session_without_weights_is_skipped_where_they_must_be_exact(project: Project) -> None:
    write_weights(project.folder / "weights.csv", {date(2026, 11, 19): {"AAPL": 0.3}})
    reason = tick(project, "rebalance_before_open", new_york(date(2026, 11, 20), 9))
    assert reason == "There are no weights for 2026-11-20 of strategy weekly."


def test_a_refused_weight_file_still_asks_for_the_run_that_shows_why(project: Project) -> None:
    write_weights(project.folder / "weights.csv", {date(2026, 11, 19): {"AAPL": float("nan")}})
    assert isinstance(tick(project, "rebalance_before_open", new_york(date(2026, 11, 20), 9)), dg.RunRequest)


def test_a_ledger_that_cannot_be_asked_at_the_moment_costs_no_session(project: Project) -> None:
    write_weights(project.folder / "weights.csv", {date(2026, 11, 20): {"AAPL": 0.3}})
    project.home.mkdir()
    (project.home / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    assert isinstance(tick(project, "rebalance_before_open", new_york(date(2026, 11, 20), 9)), dg.RunRequest)


def test_the_latest_weights_rebalance_every_session(tmp_path: Path) -> None:
    project = two_of_each(tmp_path)
    write_weights(project.folder / "weights.csv", {date(2026, 11, 18): {"AAPL": 0.3}})
    at = new_york(date(2026, 11, 20), 9)
    assert isinstance(tick(project, "rebalance_bold_before_open", at), dg.RunRequest)
    assert "no weights" in str(tick(project, "rebalance_before_open", at))


def test_a_late_collection_still_collects_and_twice_is_one_run(project: Project) -> None:
    at = new_york(date(2026, 11, 19), 17, 30)
    first = tick(project, "collect_daily_after_close", at)
    assert isinstance(first, dg.RunRequest)
    assert (first.partition_key, first.run_key) == ("2026-11-19", "collect_daily:2026-11-19")
    assert tick(project, "collect_daily_after_close", at) == first


def test_the_tick_after_a_missed_evening_collects_what_was_missed(project: Project) -> None:
    store_bar(project, date(2026, 11, 17))
    found = ticked(project, "collect_daily_after_close", new_york(date(2026, 11, 19), 17, 30))
    assert isinstance(found, list)
    assert [(item.partition_key, item.run_key) for item in found] == [
        ("2026-11-18", "collect_daily:2026-11-18:2026-11-19"),
        ("2026-11-19", "collect_daily:2026-11-19"),
    ]


def test_nothing_is_caught_up_when_the_session_before_is_stored(project: Project) -> None:
    store_bar(project, date(2026, 11, 18))
    found = ticked(project, "collect_daily_after_close", new_york(date(2026, 11, 19), 17, 30))
    assert isinstance(found, list)
    assert [item.partition_key for item in found] == ["2026-11-19"]


def test_a_late_tick_of_a_session_that_is_stored_collects_it_once_more(project: Project) -> None:
    store_bar(project, date(2026, 11, 20))
    at = new_york(date(2026, 11, 19), 17, 30)
    found = ticked(project, "collect_daily_after_close", at)
    assert isinstance(found, list)
    assert [item.partition_key for item in found] == ["2026-11-19"]


def test_after_a_long_absence_the_newest_ten_sessions_are_collected(project: Project) -> None:
    store_bar(project, date(2026, 10, 1))
    found = ticked(project, "collect_daily_after_close", new_york(date(2026, 11, 20), 17, 30))
    assert isinstance(found, list)
    expected = TradingCalendar("XNYS").sessions(date(2026, 11, 9), date(2026, 11, 20))
    assert [item.partition_key for item in found] == [day.isoformat() for day in expected]
    assert len({item.run_key for item in found}) == 10


def test_orders_are_followed_once_their_prices_are_collected(project: Project) -> None:
    at = new_york(date(2026, 11, 20), 18)
    found = tick(project, "follow_orders_after_collection", at)
    assert isinstance(found, dg.RunRequest)
    assert found.partition_key == "2026-11-20"
    assert found.run_key == f"follow_orders:{at.isoformat()}"


def test_on_the_morning_of_a_session_the_last_traded_day_is_closed_and_not_once_more(project: Project) -> None:
    monday, friday = date(2026, 11, 23), date(2026, 11, 20)
    assert "is closed" in str(tick(project, "close_day_before_open", new_york(monday, 8, 15)))
    desk = Desk(project.settings, lambda: new_york(monday, 8))
    leave_batch(desk, friday, {"AAPL": IntentState.FILLED})
    found = tick(project, "close_day_before_open", new_york(monday, 8, 15))
    assert isinstance(found, dg.RunRequest)
    assert (found.partition_key, found.run_key) == ("2026-11-20", "close_day:2026-11-20:2026-11-23")
    assert "no session" in str(tick(project, "close_day_before_open", new_york(date(2026, 11, 26), 8, 15)))
    with desk.ledger.transaction() as connection:
        record_pass(connection, "paper", "main", friday, second=True, closes=True, now=desk.clock())
    assert "is closed" in str(tick(project, "close_day_before_open", new_york(monday, 8, 15)))
