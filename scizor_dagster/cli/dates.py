"""Dates of the command line: the time it is, ISO 8601, and whether a job may be asked about a session.

What belongs here: reading and refusing dates before anything is opened. What does not: the exchange's
calendar (`sessions`), which answers.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scizor_dagster.errors import InputError, SessionNotClosed

if TYPE_CHECKING:
    from scizor_dagster.sessions import TradingCalendar

_ISO_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")


def now() -> datetime:
    """The clock of the command line."""
    return datetime.now(UTC)


def parse_date(text: str, option: str) -> date:
    """Read `YYYY-MM-DD`.

    Raises:
        InputError: anything else.
    """
    try:
        # fromisoformat alone would take 20250729 and 2025-W31-2 as well.
        return date.fromisoformat(text if _ISO_DATE.match(text) else "")
    except ValueError as error:
        raise InputError(f"'{text}' is not a date.", remedy="Write it as YYYY-MM-DD.", where=option) from error


def parse_span(
    first: str | None, last: str | None, options: tuple[str, str] = ("--from", "--to")
) -> tuple[date | None, date | None]:
    """Read the two ends of a span, as far as they are given.

    Raises:
        InputError: one is no date, or the first is after the last.
    """
    begins = None if first is None else parse_date(first, options[0])
    ends = None if last is None else parse_date(last, options[1])
    if begins is not None and ends is not None and begins > ends:
        raise InputError(f"{begins} is after {ends}.", remedy="Swap the two dates.", where=", ".join(options))
    return begins, ends


def parse_instant(text: str, option: str, zone: ZoneInfo | None = None) -> datetime:
    """Read a day with its time, and with its offset, or in `zone` where it has none.

    Raises:
        InputError: it is none, has no offset where there is no zone, or the zone's clocks leave it out or repeat it.
    """
    remedy = "Write it as 2026-11-23T14:30:00+00:00" + (f", or in {zone} as 2026-11-23T14:30." if zone else ".")
    try:
        found = datetime.fromisoformat(text) if len(text) > len("2026-11-23") else None
    except ValueError:
        found = None
    if found is None or (found.tzinfo is None and zone is None):
        raise InputError(f"'{text}' is no time with its zone.", remedy=remedy, where=option)
    if found.tzinfo is not None:
        return found
    local = found.replace(tzinfo=zone)
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise InputError(f"In {zone}, {text} comes twice or not at all.", remedy=remedy, where=option)
    return local


def session_of_job(calendar: TradingCalendar, day: date, first_session: date, at: datetime) -> date:
    """Return `day` where the jobs have a partition for it: a session, from the market's first one to today's.

    Raises:
        NotASession: the exchange does not trade on it; names the nearest sessions.
        InputError: it lies before the market's first session, or after today.
    """
    session = calendar.require(day)
    today = at.astimezone(calendar.timezone).date()
    if session < first_session:
        raise InputError(
            f"{session} is before the market's first session, {first_session}.",
            remedy="Use a later session, or set markets.<name>.first_session back and collect its history.",
            where="--date",
        )
    if session > today:
        raise InputError(
            f"Session {session} is ahead; it is {today} at the exchange.",
            remedy="Ask for it on its day.",
            where="--date",
        )
    return session


def settled_session_of_job(calendar: TradingCalendar, day: date, first_session: date, at: datetime) -> date:
    """Like `session_of_job`, for what needs a closed session's final prices.

    Raises:
        SessionNotClosed: it is today's, and trades still, has yet to, or has only just closed.
    """
    session = session_of_job(calendar, day, first_session, at)
    if not calendar.has_settled(session, at):
        raise SessionNotClosed(calendar.code, session, calendar.settled_at(session))
    return session
