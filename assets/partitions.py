"""Partitions: exchange sessions and calendar years.

What belongs here: partition definitions made from an exchange calendar. What does not: schedules.
Start date, time zone and key format are stored with every materialization: changing them orphans
history. Keys equal the exchange's sessions exactly; a test holds that.
"""

from datetime import date, datetime
from functools import cache

import dagster as dg

from scizor_dagster.sessions import LEAST_AHEAD, TradingCalendar

SESSION_FORMAT = "%Y-%m-%d"
YEAR_FORMAT = "%Y"


def session_partitions(calendar: TradingCalendar, first_session: date) -> dg.TimeWindowPartitionsDefinition:
    """One partition per session since `first_session`, today's included (`end_offset=1`).

    On a weekday holiday Dagster counts the next session in, a day early; `flow.trades.not_ahead` and
    `SessionNotClosed` refuse work on it.

    All portfolios of a market share one definition: its holidays are found, and what Dagster keeps of its keys is kept,
    once and not for each of them.
    """
    return _session_partitions(calendar.code, first_session)


@cache
def _session_partitions(code: str, first_session: date) -> dg.TimeWindowPartitionsDefinition:
    calendar = TradingCalendar(code)
    zone = calendar.timezone
    holidays = calendar.weekday_holidays(first_session, _until(calendar))
    return dg.TimeWindowPartitionsDefinition(
        start=datetime(first_session.year, first_session.month, first_session.day, tzinfo=zone),
        fmt=SESSION_FORMAT,
        cron_schedule="0 0 * * 1-5",
        timezone=str(zone),
        end_offset=1,
        exclusions=[datetime(day.year, day.month, day.day, tzinfo=zone) for day in holidays],
    )


def _until(calendar: TradingCalendar) -> date:
    """The end of the last year that the calendar knows whole, its own end where that is less than a year ahead.

    Dagster recounts the partitions of every asset when a definition has other holidays than before: so once a year,
    and not with each holiday that comes into the calendar's sight.
    """
    whole = date(calendar.last.year - 1, 12, 31)
    return whole if whole >= datetime.now(calendar.timezone).date() + LEAST_AHEAD else calendar.last


def year_partitions(calendar: TradingCalendar, first_session: date) -> dg.TimeWindowPartitionsDefinition:
    """One partition per calendar year since that of `first_session`, the present one included."""
    zone = calendar.timezone
    return dg.TimeWindowPartitionsDefinition(
        start=datetime(first_session.year, 1, 1, tzinfo=zone),
        fmt=YEAR_FORMAT,
        cron_schedule="0 0 1 1 *",
        timezone=str(zone),
        end_offset=1,
    )


def session_of(context: dg.AssetExecutionContext) -> date:
    """The session that this step is about."""
    return date.fromisoformat(context.partition_key)


def sessions_of(context: dg.AssetExecutionContext) -> list[date]:
    """Every session of a single-run backfill, ascending."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def years_of(context: dg.AssetExecutionContext) -> tuple[int, int]:
    """First and last year of a single-run backfill."""
    years = sorted(int(key) for key in context.partition_keys)
    return years[0], years[-1]
