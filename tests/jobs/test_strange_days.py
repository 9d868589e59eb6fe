"""Ticks on days with a holiday, a half session, a change of clocks: none outside its session, none twice for a date."""

from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from jobs.schedules import schedules
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.config import load_config
from tests.jobs.support import two_of_each
from tests.projects import Project, small_project, write_weights
from tests.strange_days import DAYS, at

BEFORE_OPEN = {"XNYS": time(9), "XNAS": time(9), "XASX": time(9, 30)}
REBALANCE = {"XNYS": "rebalance_before_open", "XNAS": "rebalance_before_open"}
REBALANCE |= {"XASX": "rebalance_down_under_before_open"}
FOLLOW = {
    "XNYS": "follow_orders_after_collection",
    "XNAS": "follow_orders_after_collection",
    "XASX": "follow_orders_down_under_after_collection",
}
LATE = {timedelta(minutes=15): False, timedelta(minutes=16): True, timedelta(hours=1): True, timedelta(days=3): True}


class Ticks:
    """The schedules of a project on one exchange, each tick evaluated at a time of the test's."""

    def __init__(self, folder: Path, code: str) -> None:
        self.code, self.project = code, _project(folder, code)
        symbol = "BHP" if code == "XASX" else "AAPL"
        write_weights(folder / "weights.csv", {day: {symbol: 0.3} for day in DAYS[code]})
        config = load_config(self.project.settings.config_path, self.project.environment)
        self._by_name = {schedule.name: schedule for schedule in schedules(config)}

    def __call__(self, name: str, scheduled: datetime, now: datetime | None = None) -> dg.RunRequest | str:
        clock = SystemClock(fixed_at=(now or scheduled).isoformat())
        settings = self.project.settings
        desk = TradingDesk(home=str(self.project.home), config_path=str(settings.config_path), clock=clock)
        with dg.build_schedule_context(scheduled_execution_time=scheduled, resources={"desk": desk}) as context:
            found: Any = self._by_name[name](context)
        return str(found.skip_message) if isinstance(found, dg.SkipReason) else found


def _project(folder: Path, code: str) -> Project:
    if code == "XASX":
        return two_of_each(folder)
    return small_project(folder, markets={"us": {"calendar": code, "first_session": "2010-01-04"}})


@pytest.fixture(scope="module", params=DAYS)
def ticks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ticks:
    return Ticks(tmp_path_factory.mktemp(request.param), request.param)


def test_a_rebalance_is_asked_for_half_an_hour_before_the_open_of_its_own_session_and_once(
    ticks: Ticks, record_property: Any
) -> None:
    code, counts = ticks.code, Counter[str]()
    for day, hours in DAYS[code].items():
        scheduled = at(code, day, BEFORE_OPEN[code])
        twice = [ticks(REBALANCE[code], scheduled, scheduled + timedelta(minutes=n)) for n in (0, 1)]
        if hours is None:
            assert twice == [f"{day} is no session of {code}."] * 2
        else:
            assert {(found.partition_key, found.run_key[-10:]) for found in twice} == {(str(day), str(day))}
            assert at(code, day, hours[0]) - scheduled == timedelta(minutes=30)
        counts["closed" if hours is None else "sessions"] += 2
    record_property(f"rebalance ticks of {code}; outside a session 0, second runs of a date 0", dict(counts))


def test_orders_are_followed_after_the_collection_of_sessions_alone(ticks: Ticks, record_property: Any) -> None:
    code, cases = ticks.code, 0
    for day, hours in DAYS[code].items():
        found = ticks(FOLLOW[code], at(code, day, time(18)))
        if hours is None:
            assert "is no session" in str(found), day
        else:
            assert getattr(found, "partition_key", found) == str(day)
        cases += 1
    record_property(f"follow ticks of {code}", cases)


@pytest.mark.parametrize("late", LATE, ids=str)
def test_a_tick_that_comes_late_asks_for_nothing(ticks: Ticks, late: timedelta) -> None:
    code = ticks.code
    for day in [day for day, hours in DAYS[code].items() if hours is not None][:6]:
        scheduled = at(code, day, BEFORE_OPEN[code])
        found = ticks(REBALANCE[code], scheduled, scheduled + late)
        assert ("minutes old" in str(found)) == LATE[late], (day, late)


@pytest.mark.parametrize(
    "behind", [timedelta(minutes=2), timedelta(minutes=16), timedelta(hours=5), timedelta(days=1)], ids=str
)
def test_a_tick_that_lies_ahead_of_the_clock_asks_for_nothing(ticks: Ticks, behind: timedelta) -> None:
    """The clock went back, or it is another machine's tick: what is due by then is not due now."""
    code, day = ticks.code, date(2024, 2, 29)
    scheduled = at(code, day, BEFORE_OPEN[code])
    assert "lies ahead" in str(ticks(REBALANCE[code], scheduled, scheduled - behind))
