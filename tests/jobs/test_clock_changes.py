"""The weeks in which only one of two countries has changed its clocks, tick by tick."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from assets.partitions import session_partitions
from jobs.times import ticks_of
from scizor_dagster.sessions import TradingCalendar
from tests.jobs.support import two_of_each
from tests.jobs.test_schedules import tick

WEEKS = [
    pytest.param(date(2026, 3, 2), date(2026, 4, 17), id="New York on 8 March, Sydney on 5 April"),
    pytest.param(date(2026, 9, 28), date(2026, 11, 13), id="Sydney on 4 October, New York on 1 November"),
]
CHANGES = [date(2026, 3, 8), date(2026, 4, 5), date(2026, 10, 4), date(2026, 11, 1)]
OFFSETS = {"XNYS": {-4, -5}, "XASX": {10, 11}}
COLLECTIONS = {"XNYS": "collect_daily_after_close", "XASX": "collect_daily_asx_after_close"}


def ticks(cron: str, calendar: TradingCalendar, first: date, last: date) -> Iterator[datetime]:
    """What Dagster makes of a cron expression in the exchange's time zone, from `first` to `last`."""
    start = datetime.combine(first, time(), calendar.timezone).timestamp()
    for at in schedule_execution_time_iterator(start, cron, str(calendar.timezone), ascending=True):
        if at.astimezone(calendar.timezone).date() > last:
            return
        yield at


@pytest.mark.parametrize(("first", "last"), WEEKS)
@pytest.mark.parametrize("code", OFFSETS)
def test_every_tick_keeps_its_distance_from_its_own_exchanges_open_and_close(code: str, first: date, last: date):
    calendar = TradingCalendar(code)
    expected, (opens, closes) = ticks_of(calendar), calendar.regular_hours()
    seen = set()
    for at in ticks(expected.before_open, calendar, first, last):
        day = at.astimezone(calendar.timezone).date()
        if calendar.is_session(day):
            assert calendar.open_at(day) - at == timedelta(minutes=30)
            seen.add(at.astimezone(calendar.timezone).utcoffset())
    assert {offset.total_seconds() / 3600 for offset in seen if offset} == OFFSETS[code]
    collected = []
    for at in ticks(expected.after_close, calendar, first, last):
        day = at.astimezone(calendar.timezone).date()
        if calendar.is_session(day):
            assert at - datetime.combine(day, closes, calendar.timezone) == timedelta(minutes=90)
            assert calendar.last_closed(at.astimezone(UTC)) == day
            collected.append(day)
    assert collected == calendar.sessions(first, last)
    assert opens < closes


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_each_market_collects_its_own_session_whatever_the_other_ones_clock_says(tmp_path: Path, change: date):
    project, around = two_of_each(tmp_path), timedelta(days=2)
    for code, name in COLLECTIONS.items():
        calendar = TradingCalendar(code)
        for at in ticks(ticks_of(calendar).after_close, calendar, change - around, change + around):
            day = at.astimezone(calendar.timezone).date()
            found = tick(project, name, at.astimezone(UTC))
            if calendar.is_session(day):
                assert isinstance(found, dg.RunRequest)
                assert found.partition_key == day.isoformat()
            else:
                assert found == f"{day} is no session of {code}."


@pytest.mark.parametrize(("first", "last"), WEEKS)
@pytest.mark.parametrize("code", OFFSETS)
def test_the_newest_partition_is_the_session_of_the_exchanges_own_day_at_any_hour(code: str, first: date, last: date):
    calendar = TradingCalendar(code)
    partitions = session_partitions(calendar, first)
    instant = datetime.combine(first, time(), UTC) + timedelta(days=1)
    while instant.date() < last:
        today = instant.astimezone(calendar.timezone).date()
        if calendar.is_session(today):
            assert partitions.get_partition_keys(current_time=instant)[-1] == today.isoformat()
        instant += timedelta(hours=7)
