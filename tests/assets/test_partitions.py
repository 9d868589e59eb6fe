"""Partition keys are the exchange's sessions."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets import partitions
from assets.partitions import session_partitions, year_partitions
from scizor_dagster.definitions import build_defs
from scizor_dagster.sessions import TradingCalendar
from tests.projects import STRATEGY, small_project


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
    found = session_partitions(TradingCalendar("XNYS"), date(2016, 1, 4))
    newest = datetime.fromisoformat(expected[-1]).replace(hour=18, tzinfo=UTC)
    assert found.get_partition_keys(current_time=newest) == expected


def test_the_session_of_today_is_a_key_before_its_close() -> None:
    found = session_partitions(TradingCalendar("XNYS"), date(2026, 1, 2))
    before_open = datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert found.get_partition_keys(current_time=before_open)[-1] == "2026-11-20"


def test_the_present_year_is_a_key() -> None:
    found = year_partitions(TradingCalendar("XNYS"), date(2021, 1, 4))
    keys = found.get_partition_keys(current_time=datetime(2026, 1, 5, tzinfo=UTC))
    assert keys == ["2021", "2022", "2023", "2024", "2025", "2026"]


def test_on_a_weekday_holiday_no_session_is_missing_and_at_most_the_next_one_is_early() -> None:
    calendar = TradingCalendar("XNYS")
    found = session_partitions(calendar, date(2026, 1, 2))
    thanksgiving = datetime(2026, 11, 26, 15, tzinfo=UTC)
    keys = found.get_partition_keys(current_time=thanksgiving)
    expected = [day.isoformat() for day in calendar.sessions(date(2026, 1, 2), date(2026, 11, 27))]
    assert keys in (expected, expected[:-1])


@pytest.mark.parametrize(
    ("last", "wanted"), [(date(2028, 12, 28), date(2027, 12, 31)), (date(2027, 9, 30), date(2027, 9, 30))]
)
def test_holidays_are_those_of_whole_years_so_that_partitions_are_not_recounted_with_each_new_one(
    last: date, wanted: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(TradingCalendar):
        last = property(lambda _: last)  # type: ignore[assignment]

        def weekday_holidays(self, first: date, until: date) -> list[date]:
            seen.append(until)
            return super().weekday_holidays(first, until)

    seen: list[date] = []
    monkeypatch.setattr(partitions, "TradingCalendar", Asked)
    monkeypatch.setattr(partitions, "datetime", At)
    session_partitions(TradingCalendar("XTSE"), date(2026, 1, 2))
    partitions._session_partitions.cache_clear()
    assert seen == [wanted]


class At(datetime):
    """As on the last day of a year."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> At:
        return cls(2026, 12, 31, 12, tzinfo=tz)


def test_all_portfolios_of_a_market_share_one_definition_so_that_its_holidays_are_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, asked = date(2023, 4, 3), []
    original = TradingCalendar.weekday_holidays

    def counted(calendar: TradingCalendar, *dates: date) -> list[date]:
        asked.append(calendar.code)
        return original(calendar, *dates)

    monkeypatch.setattr(TradingCalendar, "weekday_holidays", counted)
    shared = {"market": "us", "account": "paper", "capital": {"share": 0.1}}
    signals = {"mode": "select", "strategy": STRATEGY, "as_of": "exact"}
    project = small_project(
        tmp_path,
        markets={"us": {"first_session": first}},
        portfolios={"main": {"capital": {"share": 0.1}}}
        | {f"p{number}": {**shared, "signals": signals} for number in range(6)},
    )
    assets = [item for item in build_defs(project.settings).assets or () if isinstance(item, dg.AssetsDefinition)]
    found = [item.partitions_def for item in assets if item.key.path[-1] in ("daily_prices", "planned_orders")]
    assert len(found) == 8
    assert len({id(item) for item in found}) == 1
    assert asked == ["XNYS"]
