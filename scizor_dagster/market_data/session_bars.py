"""The newest closed sessions, all symbols: the daily collection.

What belongs here: `collect_session`, its range, and what it says of its sessions. What does not: asking and
storing (`filling`), years of history (`history`).

A daily collection also fills the gaps of the year before it: a day on which nothing ran heals by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from scizor_dagster.config import Market
from scizor_dagster.errors import SessionNotClosed
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import (
    Origin,
    empty_sessions,
    ended,
    note_empty,
    present,
    quarantined_sessions,
)
from scizor_dagster.market_data.feed_faults import merged
from scizor_dagster.market_data.filling import Task, fill
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.missing import Wanted, recent_from
from scizor_dagster.market_data.plausibility import NOTHING_ACCEPTED, Accepted
from scizor_dagster.market_data.provider import MarketData, Metered
from scizor_dagster.market_data.refetch import Source
from scizor_dagster.market_data.reports import Progress, SessionReport
from scizor_dagster.sessions import TradingCalendar

HEALED = timedelta(days=350)
"""How far back a daily collection fills gaps: with the overlap before them, one request of IBKR in days."""


def collect_session(
    lake: Lake,
    market_name: str,
    market: Market,
    provider: MarketData,
    calendar: TradingCalendar,
    symbols: Sequence[str],
    session: date,
    now: datetime,
    accepted: Accepted = NOTHING_ACCEPTED,
    *,
    first: date | None = None,
    progress: Progress | None = None,
    force: bool = False,
    part: bool = False,
) -> SessionReport:
    """Collect the bars of the sessions from `first`, by default `session` alone, to `session`, in one go.

    Gaps of the year before are filled along, for every symbol that has an older bar. Sources that do not count
    their calls are asked for the named sessions whether they are stored or not, as all are with `force`: a bar
    that the source has corrected is replaced. Stored bars that the answer does not have stay. A series that the
    source has restated by constant factors is fetched anew, an earlier bar that it gives otherwise is replaced if
    the new one is believed; the old ones are kept. `accepted` are closes that a person believes.
    Only the answers for a whole universe, of which `symbols` are no `part`, say that nobody traded in a session.

    Raises:
        NotASession: `session` is not one.
        SessionNotClosed: it has not closed at `now`, or its prices are not final.
        DataError: the lake holds bars of this market on another basis (adjustment, synthetic).
    """
    if not calendar.has_settled(session, now):
        raise SessionNotClosed(calendar.code, session, calendar.settled_at(session))
    named = tuple(calendar.sessions(first or session, session))
    begin = min(market.first_session, named[0])
    healed = max(begin, named[0] - HEALED, calendar.first)
    closed = tuple(calendar.sessions(begin, calendar.last_settled(now)))
    again = force or not isinstance(provider, Metered)
    recent = None if again else min(recent_from(closed), session)
    asked = tuple(calendar.sessions(healed, session))
    wanted = Wanted(tuple(symbols), asked, named[0], again, recent, accepted, calendar.settled_at)
    origin = Origin.of(market_name, provider, now)
    judge = Judge(lake, market_name, provider, market.quality, accepted, calendar)
    source = Source(provider, calendar, tuple(symbols), now, judge)
    with lake.read() as cursor:
        before = present(cursor, market_name, symbols, named)
    filled = fill(Task(lake, source, origin, wanted, closed, again, progress))
    with lake.read() as cursor:
        after = present(cursor, market_name, symbols, named)
        gone = ended(cursor, market_name, session)
    _note_empty(lake, origin, after, asked_all=bool(symbols) and not (part or filled.refused or filled.failed))
    lacking = {day: _lacking(day, symbols, names, gone) for day, names in after.items()}
    return SessionReport(
        market=market_name,
        first=named[0],
        session=session,
        source=provider.name,
        adjustment=provider.adjustment,
        synthetic=provider.synthetic,
        asked=len(symbols),
        inserted=filled.inserted,
        changed=filled.changed,
        unchanged=sum(len(names) - filled.rewritten[day] for day, names in before.items()),
        quarantined=filled.rows_quarantined,
        missing=lacking[session],
        most_missing=max(len(names) for names in lacking.values()),
        suspected_splits=tuple(filled.suspected),
        differing=tuple(sorted(filled.differing)),
        calls=filled.calls,
        restatements=tuple(filled.restatements),
        compared=filled.compared,
        faults=merged(filled.faults),
        refused=tuple(sorted(filled.refused.items())),
        preferred=filled.preferred,
        failed=filled.failures,
    )


def _lacking(session: date, symbols: Sequence[str], present: set[str], gone: Mapping[str, date]) -> tuple[str, ...]:
    """Symbols without a bar of the session that are not delisted by then."""
    return tuple(sorted(name for name in set(symbols) - present if gone.get(name, date.max) > session))


def _note_empty(lake: Lake, origin: Origin, present: Mapping[date, set[str]], *, asked_all: bool) -> None:
    """Keep which sessions the source was asked for and knows nothing of at all; forget those that it now knows.

    What one symbol lacks says nothing about a session, nor does a source that would not show some or failed for
    them, nor a bar that is not believed.
    """
    with lake.read() as cursor:
        noted = empty_sessions(cursor, origin.market)
        doubted = quarantined_sessions(cursor, origin.market, list(present))
    known = {session for session, names in present.items() if names or session in doubted}
    empty = set(present) - known if asked_all else set()
    if empty or known & noted:
        with lake.write() as cursor:
            for session in sorted(empty | known & noted):
                note_empty(cursor, session, origin, empty=session in empty)
