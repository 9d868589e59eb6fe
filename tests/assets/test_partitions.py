"""Partition keys are the exchange's sessions."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from assets.partitions import session_partitions, year_partitions
from scizor_dagster.sessions import TradingCalendar


@pytest.mark.parametrize("code", ["XNYS", "XASX"])
def test_session_keys_equal_the_sessions_of_the_exchange(code: str) -> None:
    calendar = TradingCalendar(code)
    first = calendar.session_on_or_after(date(2016, 1, 1))
    today = datetime(2026, 11, 20, 18, tzinfo=UTC)
    keys = session_partitions(calendar, first).get_partition_keys(current_time=today)
    last = today.astimezone(calendar.timezone).date()
    assert keys == [day.isoformat() for day in calendar.sessions(first, last)]


def test_session_keys_equal_an_answer_that_we_did_not_compute(reference_data: Path) -> None:
    answers = pd.read_csv(reference_data / "reference_calendars" / "xnys.csv", index_col=0)
    days = [str(text)[:10] for text in answers.index]
    expected = [day for day in days if day >= "2016-01-01"]
    partitions = session_partitions(TradingCalendar("XNYS"), date(2016, 1, 4))
    newest = datetime.fromisoformat(expected[-1]).replace(hour=18, tzinfo=UTC)
    assert partitions.get_partition_keys(current_time=newest) == expected


def test_the_session_of_today_is_a_key_before_its_close() -> None:
    partitions = session_partitions(TradingCalendar("XNYS"), date(2026, 1, 2))
    before_open = datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert partitions.get_partition_keys(current_time=before_open)[-1] == "2026-11-20"


def test_the_present_year_is_a_key() -> None:
    partitions = year_partitions(TradingCalendar("XNYS"), date(2021, 1, 4))
    keys = partitions.get_partition_keys(current_time=datetime(2026, 1, 5, tzinfo=UTC))
    assert keys == ["2021", "2022", "2023", "2024", "2025", "2026"]


def test_on_a_weekday_holiday_no_session_is_missing_and_at_most_the_next_one_is_early() -> None:
    calendar = TradingCalendar("XNYS")
    partitions = session_partitions(calendar, date(2026, 1, 2))
    thanksgiving = datetime(2026, 11, 26, 15, tzinfo=UTC)
    keys = partitions.get_partition_keys(current_time=thanksgiving)
    expected = [day.isoformat() for day in calendar.sessions(date(2026, 1, 2), date(2026, 11, 27))]
    assert keys in (expected, expected[:-1])
