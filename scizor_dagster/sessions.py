"""Exchange time: which days trade, when they open and close.

What belongs here: the one wrapper around `exchange_calendars`. What does not: schedules and
partitions (`jobs/`, `assets/partitions.py`), which ask this module. Nothing else in the project
does weekday arithmetic, and nothing here reads a clock: `now` is always handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from scizor_dagster.errors import ConfigError, InputError, NotASession
from scizor_dagster.exchanges import settling_of

if TYPE_CHECKING:
    import pandas as pd

Clock = Callable[[], datetime]
"""A source of aware timestamps. Production hands in `lambda: datetime.now(UTC)`."""

FIRST_SESSION = date(1990, 1, 1)
LONGEST_PROCESS = timedelta(days=366)
LEAST_AHEAD = timedelta(days=365)
"""How far ahead a calendar must reach for plans to be made."""


WELL_KNOWN = frozenset({"XASX", "XFRA", "XHKG", "XLON", "XNAS", "XNYS", "XPAR", "XSWX", "XTKS", "XTSE"})
"""Calendars that are there, which nobody needs to compute, for half a second, to know it."""


def check_calendar(code: str) -> None:
    """Refuse a calendar that there is not.

    Raises:
        ConfigError: the code is unknown, or its calendar cannot be computed.
    """
    if code not in WELL_KNOWN:
        TradingCalendar(code)


@cache
def _exchange_calendar(code: str) -> Any:
    import exchange_calendars

    # The library's own end is a year after the process began, and a process may live for months.
    ahead = (exchange_calendars.exchange_calendar.GLOBAL_DEFAULT_END + LONGEST_PROCESS).date().isoformat()
    # Some exchanges are known from a later year only, and some not so far ahead.
    ranges = [{"start": FIRST_SESSION.isoformat(), "end": ahead}, {"start": FIRST_SESSION.isoformat()}, {"end": ahead}]
    for limits in ranges:
        try:
            return exchange_calendars.get_calendar(code, **limits)
        except exchange_calendars.errors.InvalidCalendarName as error:
            raise ConfigError(
                f"'{code}' is not a calendar of exchange_calendars.",
                remedy="Use a market identifier code such as XNYS or XASX.",
            ) from error
        except ValueError:
            continue
    return _of_its_own_range(code)


def _of_its_own_range(code: str) -> Any:
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(code)
    except ValueError as error:
        raise ConfigError(
            f"Calendar '{code}' cannot be computed ({str(error)[:120]}).",
            remedy="Update exchange_calendars, or use another calendar.",
        ) from error


@cache
def _hours(code: str) -> dict[date, tuple[datetime, datetime]]:  # noqa: ARG001 - one for each code
    """Open and close of the sessions that have been asked for, shared by every calendar of the exchange."""
    return {}


class TradingCalendar:
    """Sessions of one exchange. Sessions are `date`s in exchange time; instants are aware UTC datetimes.

    Args:
        code: Market identifier code (ISO 10383) as known to `exchange_calendars`, e.g. `XNYS`.
        settling: How long after a close its session's prices can still change; None is what the exchange is known for.

    Raises:
        ConfigError: the code is unknown.
    """

    def __init__(self, code: str, settling: timedelta | None = None) -> None:
        self.code = code
        self.settling = settling_of(code) if settling is None else settling
        self._calendar = _exchange_calendar(code)
        self._hours = _hours(code)
        self.timezone = ZoneInfo(str(self._calendar.tz))

    @property
    def first(self) -> date:
        return _date(self._calendar.first_session)

    @property
    def last(self) -> date:
        """Last session that the calendar knows, about two years ahead of today where its exchange is known so far."""
        return _date(self._calendar.last_session)

    def covers_next_year(self, now: datetime) -> bool:
        """Whether the sessions of the year from `now` on are known."""
        # The end itself need not be a session.
        return self.last + timedelta(days=7) > now.astimezone(self.timezone).date() + LEAST_AHEAD

    def is_session(self, day: date) -> bool:
        return self.first <= day <= self.last and bool(self._calendar.is_session(day.isoformat()))

    def require(self, day: date) -> date:
        """Return `day`, or raise `NotASession` naming the sessions on either side of it."""
        if self.is_session(day):
            return day
        nearest = [self.session_on_or_before(day), self.session_on_or_after(day)] if self._covers(day) else []
        raise NotASession(self.code, day, nearest)

    def _covers(self, day: date) -> bool:
        return self.first <= day <= self.last

    def _check_covered(self, day: date) -> None:
        if not self._covers(day):
            raise InputError(
                f"{day.isoformat()} is outside the calendar {self.code}, which covers {self.first} to {self.last}.",
                remedy="Use a date inside it, or update exchange_calendars.",
            )

    def sessions(self, first: date, last: date) -> list[date]:
        """Sessions from `first` to `last`, both included, ascending."""
        lower, upper = max(first, self.first), min(last, self.last)
        if lower > upper:
            return []
        found: list[date] = self._calendar.sessions_in_range(lower.isoformat(), upper.isoformat()).date.tolist()
        return found

    def session_on_or_after(self, day: date) -> date:
        self._check_covered(day)
        return _date(self._calendar.date_to_session(day.isoformat(), direction="next"))

    def session_on_or_before(self, day: date) -> date:
        self._check_covered(day)
        return _date(self._calendar.date_to_session(day.isoformat(), direction="previous"))

    def next_session(self, day: date) -> date:
        """First session strictly after `day`, which need not be a session."""
        return self.session_on_or_after(day + timedelta(days=1))

    def previous_session(self, day: date) -> date:
        """Last session strictly before `day`, which need not be a session."""
        return self.session_on_or_before(day - timedelta(days=1))

    def age_in_sessions(self, older: date, newer: date) -> int:
        """Number of sessions in `(older, newer]`; 0 when nothing has traded since."""
        if newer <= older:
            return 0
        return len(self.sessions(older + timedelta(days=1), newer))

    def open_at(self, session: date) -> datetime:
        return self._hours_of(session)[0]

    def close_at(self, session: date) -> datetime:
        """Closing instant; early closes included."""
        return self._hours_of(session)[1]

    def _hours_of(self, session: date) -> tuple[datetime, datetime]:
        # The calendar takes a fraction of a millisecond for each, and loops over sessions ask for the same again.
        found = self._hours.get(session)
        if found is None:
            label = self.require(session).isoformat()
            found = (
                _instant(self._calendar.session_open(label)),
                _instant(self._calendar.session_close(label)),
            )
            self._hours[session] = found
        return found

    def has_closed(self, session: date, now: datetime) -> bool:
        return self.close_at(session) <= now

    def last_closed(self, now: datetime) -> date:
        """Last session whose close is not after `now`."""
        today = now.astimezone(self.timezone).date()
        candidate = self.session_on_or_before(today)
        return candidate if self.has_closed(candidate, now) else self.previous_session(candidate)

    def settled_at(self, session: date) -> datetime:
        """From when on the session's bar is final: closing auctions have printed, late trades are in."""
        return self.close_at(session) + self.settling

    def has_settled(self, session: date, now: datetime) -> bool:
        return self.settled_at(session) <= now

    def last_settled(self, now: datetime) -> date:
        """Last session whose prices are final at `now`: what prices go by, and orders never."""
        candidate = self.last_closed(now)
        return candidate if self.has_settled(candidate, now) else self.previous_session(candidate)

    def current_session(self, now: datetime) -> date:
        """The session that trades now, or the next one to open."""
        candidate = self.session_on_or_after(now.astimezone(self.timezone).date())
        return self.next_session(candidate) if self.has_closed(candidate, now) else candidate

    def regular_hours(self) -> tuple[time, time]:
        """Regular open and close in exchange time, as they are today; early closes are not regular.

        Raises:
            ConfigError: sessions of this calendar reach beyond one day of its time zone (futures, round the clock).
        """
        if self._calendar.open_offset or self._calendar.close_offset:
            raise ConfigError(
                f"Sessions of calendar {self.code} do not open and close on one day.",
                remedy="Use the calendar of a stock exchange, such as XNYS or XASX.",
                where="markets.<name>.calendar",
            )
        return self._calendar.open_times[-1][1], self._calendar.close_times[-1][1]

    def weekday_holidays(self, first: date, last: date) -> list[date]:
        """Mondays to Fridays without a session: what a weekday cron must exclude."""
        trading = set(self.sessions(first, last))
        days = (first + timedelta(days=offset) for offset in range((last - first).days + 1))
        return [day for day in days if day.weekday() < 5 and day not in trading]


def _date(stamp: pd.Timestamp) -> date:
    return stamp.date()


def _instant(stamp: pd.Timestamp) -> datetime:
    return stamp.to_pydatetime()
