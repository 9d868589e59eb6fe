"""Ticks in exchange time, from the regular hours of a market's calendar.

What belongs here: cron expressions. What does not: holidays and early closes, which cron does not know
and schedules ask the calendar about.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from scizor_dagster.config.markets import MOST_SETTLE_MINUTES
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.closing import SECOND_PASS_BEFORE_OPEN
from scizor_dagster.sessions import TradingCalendar

BEFORE_OPEN = timedelta(minutes=30)
COLLECTION_AFTER_CLOSE = timedelta(minutes=MOST_SETTLE_MINUTES)
"""By then the prices of the session are final, whatever the market's setting."""
FOLLOWING_AFTER_COLLECTION = timedelta(minutes=30)


@dataclass(frozen=True)
class Ticks:
    """Cron expressions of one market, on Mondays to Fridays, in the time zone of its exchange.

    Attributes:
        second_pass: When the session before is reconciled again, and its day closed.
        before_open: When a session is planned and its orders are sent.
        after_close: When the session's bars are collected.
        after_collection: When orders that waited for those bars are followed.
    """

    second_pass: str
    before_open: str
    after_close: str
    after_collection: str


def ticks_of(calendar: TradingCalendar) -> Ticks:
    """The ticks of a market.

    Raises:
        ConfigError: a tick would fall on another day than its session.
    """
    opens, closes = calendar.regular_hours()
    collection = COLLECTION_AFTER_CLOSE
    return Ticks(
        second_pass=_daily(_shifted(calendar, opens, -SECOND_PASS_BEFORE_OPEN)),
        before_open=_daily(_shifted(calendar, opens, -BEFORE_OPEN)),
        after_close=_daily(_shifted(calendar, closes, collection)),
        after_collection=_daily(_shifted(calendar, closes, collection + FOLLOWING_AFTER_COLLECTION)),
    )


def _shifted(calendar: TradingCalendar, at: time, by: timedelta) -> time:
    # Any day does: only the time of the day and whether it stays on that day matter.
    day = datetime(2000, 1, 3)  # noqa: DTZ001
    moved = datetime.combine(day, at) + by
    if moved.date() != day.date():
        raise ConfigError(
            f"Calendar {calendar.code} opens or closes at {at:%H:%M}, too near to midnight for its schedules.",
            remedy="Use the calendar of a stock exchange, such as XNYS or XASX.",
            where="markets.<name>.calendar",
        )
    return moved.time()


def _daily(at: time) -> str:
    return f"{at.minute} {at.hour} * * 1-5"
