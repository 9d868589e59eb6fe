"""From the dates in a file to exchange sessions, and from a session to its rows.

What belongs here: `weights_dated`, weekends and holidays, `as_of`. What does not: reading the date
cells (`cells`) and the calendar itself (`sessions`).

A weight date that is no session belongs to the next one. With `signal_close` the weights were made on
the close of their date, so that they trade in the first session after it: Friday's and Saturday's on
Monday. Two weight dates on one session are refused: nobody can say which of them was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from scizor_dagster.errors import InputError
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.cells import ParsedRows
from scizor_dagster.signals.report import Violation

if TYPE_CHECKING:
    import pandas as pd

    from scizor_dagster.signals.intake import AcceptedSignals

NOTHING_TAKEN: Mapping[str, date] = MappingProxyType({})
WeightsDated = Literal["trade_session", "signal_close"]
AsOf = Literal["exact", "latest"]
_DAILY_AT_LEAST = 10
_DAILY_SHARE = 0.05
"""A file of ten sessions or more with at most one in twenty missing is a daily one with holes."""


def session_of(day: date, calendar: TradingCalendar, weights_dated: WeightsDated) -> date:
    """The session that weights dated `day` trade in.

    Raises:
        InputError: the calendar does not reach that far.
    """
    return calendar.next_session(day) if weights_dated == "signal_close" else calendar.session_on_or_after(day)


def sessions_of(
    rows: ParsedRows, calendar: TradingCalendar, weights_dated: WeightsDated
) -> tuple[dict[date, date], tuple[Violation, ...]]:
    """Map every weight date of a file to its session.

    Returns:
        The session by weight date, and a violation for each date without one (on its first line) and
        for each later date that falls on a session already taken.
    """
    lines = first_lines(rows)
    sessions: dict[date, date] = {}
    taken: dict[date, date] = {}
    violations: list[Violation] = []
    for day in sorted(lines):
        try:
            session = session_of(day, calendar, weights_dated)
        except InputError as error:
            violations.append(_dated(rows, lines[day], day, "date_outside_calendar", error.problem, error.remedy))
            continue
        if session in taken:
            other = taken[session]
            both = f"The weights of {other} (line {lines[other]}) and of {day}"
            problem = f"{both} belong to one session, {session}."
            remedy = "Keep one of the two dates."
            violations.append(_dated(rows, lines[day], day, "two_dates_one_session", problem, remedy))
        taken.setdefault(session, day)
        sessions[day] = session
    return sessions, tuple(violations)


def moved_dates(sessions: Mapping[date, date], rows: ParsedRows, weights_dated: WeightsDated) -> Iterator[Violation]:
    """A warning for each weight date that is no session itself, and so trades in the next one."""
    if weights_dated == "signal_close":
        return
    lines = first_lines(rows)
    for day, session in sessions.items():
        if day != session:
            problem = f"{day} ({day:%A}) is no session; its weights trade in the next one, {session}."
            yield _dated(rows, lines[day], day, "date_moved", problem, "Date the weights on a session.")


def missing_sessions(
    sessions: Mapping[date, date], rows: ParsedRows, calendar: TradingCalendar, *, required: bool
) -> Iterator[Violation]:
    """Sessions without weights between the first and the last one.

    Where every session is `required`, a violation for each; else a warning, in files that are all but daily.
    """
    found = sorted(set(sessions.values()))
    if len(found) < (1 if required else _DAILY_AT_LEAST):
        return
    present = set(found)
    absent = [day for day in calendar.sessions(found[0], found[-1]) if day not in present]
    if not required and len(absent) > _DAILY_SHARE * len(found):
        return
    for day in absent:
        problem = f"The file has no weights for session {day}, between its first and last date."
        remedy = "Deliver all dates" + (", or set every_session: false." if required else ".")
        yield Violation("missing_session", problem, remedy, sheet=rows.sheet, value=day.isoformat())


def first_lines(rows: ParsedRows) -> dict[date, int]:
    """The first line of each weight date."""
    lines: dict[date, int] = {}
    for day, line in zip(rows.dates, rows.lines, strict=True):
        lines.setdefault(day, line)
    return lines


def select_session(
    accepted: AcceptedSignals,
    session: date,
    as_of: AsOf,
    max_age_sessions: int,
    calendar: TradingCalendar,
    taken: Mapping[str, date] = NOTHING_TAKEN,
) -> pd.DataFrame:
    """Rows of the accepted file that trade in `session`.

    Args:
        accepted: The file.
        session: A session of `calendar`.
        as_of: `exact` takes only rows of that session; `latest` the newest at or before it.
        max_age_sessions: How many sessions may have passed since the rows' own; only `latest` takes such rows.
        calendar: The market's.
        taken: Contents taken before, by hash, each with the session it was taken for.

    Returns:
        A copy of the rows, with the columns of `AcceptedSignals.frame`; `session` is the rows' own.

    Raises:
        NotASession: `session` is none.
        SignalRefused: no rows for the session, or they are too old.
    """
    before = taken.get(accepted.file_hash)
    chosen = chosen_session(accepted.sessions, session, as_of, max_age_sessions, calendar, before)
    if isinstance(chosen, Violation):
        raise accepted.refusal(chosen, session=session)
    frame = accepted.frame
    return frame[frame["session"] == chosen].reset_index(drop=True)


def chosen_session(
    found: Sequence[date],
    session: date,
    as_of: AsOf,
    max_age_sessions: int,
    calendar: TradingCalendar,
    taken_for: date | None = None,
) -> date | Violation:
    """The one of a file's sessions that `session` trades on, or why there is none. As `select_session`.

    `taken_for` is the earlier session that this very content was taken for, where it was.

    Raises:
        NotASession: `session` is none of the calendar's.
    """
    calendar.require(session)
    chosen = session if as_of == "exact" else max((day for day in found if day <= session), default=None)
    if chosen is None or chosen not in found:
        newest = max(found)
        if taken_for is not None and newest < session:
            return _same_again(session, taken_for)
        age = calendar.age_in_sessions(newest, session) if newest < session else 0
        return (
            _stale(newest, session, age, max_age_sessions, as_of)
            if age > max_age_sessions
            else _no_rows(session, found)
        )
    age = calendar.age_in_sessions(chosen, session)
    if age > max_age_sessions and as_of == "latest":
        return _stale(chosen, session, age, max_age_sessions, as_of)
    return chosen


def _no_rows(session: date, found: Sequence[date]) -> Violation:
    before = max((day for day in found if day < session), default=None)
    after = min((day for day in found if day > session), default=None)
    nearest = " and ".join(day.isoformat() for day in (before, after) if day)
    problem = f"The file has no rows that trade in session {session}; the nearest are {nearest}."
    remedy = "Deliver the session's weights, use one of these, or set signals.as_of to latest."
    return Violation("no_rows_for_session", problem, remedy, value=session.isoformat())


def _stale(chosen: date, session: date, age: int, limit: int, as_of: AsOf) -> Violation:
    problem = f"The newest weights for {session} are of {chosen}, {age} sessions ago; {limit} are allowed."
    remedy = "Deliver newer weights" + (", or raise signals.max_age_sessions." if as_of == "latest" else ".")
    return Violation("stale", problem, remedy, value=chosen.isoformat())


def _same_again(session: date, taken_for: date) -> Violation:
    problem = f"The file has no rows for session {session}, and the same content as taken for {taken_for}."
    return Violation("stale", problem, "Deliver the session's weights.", value=taken_for.isoformat())


def _dated(rows: ParsedRows, line: int, day: date, rule: str, problem: str, remedy: str) -> Violation:
    return Violation(
        rule,
        problem,
        remedy,
        line=line,
        sheet=rows.sheet,
        column=rows.headers["trade_date"],
        value=day.isoformat(),
    )
