"""One closed session, all symbols.

What belongs here: `collect_session`. What does not: years of history (`history`), SQL (`bar_store`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.config import Market
from scizor_dagster.errors import SessionNotClosed
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import (
    Origin,
    check_same_basis,
    delete_series,
    delisted,
    insert_missing,
    note_empty,
    replace_quarantined,
    store_session,
    stored_bars,
)
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.overlap import compare
from scizor_dagster.market_data.plausibility import LOOK_BACK_DAYS, NOTHING_ACCEPTED, Accepted
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.market_data.refetch import Source, context_of, hold_back, refetch_restated
from scizor_dagster.market_data.reports import SessionReport
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

OVERLAP_SESSIONS = 5
CONTEXT = timedelta(days=LOOK_BACK_DAYS)


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
) -> SessionReport:
    """Collect the bars of `session`, and compare the `OVERLAP_SESSIONS` before it with what is stored.

    Stored bars that the answer does not have stay. A series that the source has restated by a constant
    factor is fetched anew and replaced in the same transaction; earlier bars are otherwise never changed.
    `accepted` are closes that a person believes, by symbol and session.

    Raises:
        NotASession: `session` is not one.
        SessionNotClosed: it has not closed at `now`.
        DataError: the lake holds bars of this market on another basis (adjustment, synthetic).
    """
    if not calendar.has_closed(session, now):
        raise SessionNotClosed(calendar.code, session)
    judge = Judge(lake, market_name, provider, market.quality, accepted)
    source = Source(provider, calendar, tuple(symbols), now, judge)
    origin = Origin.of(market_name, provider, now)
    start = _overlap_start(calendar, session)
    answer = source.fetch(source.symbols, start, session)
    with lake.read() as cursor:
        check_same_basis(cursor, origin, start, session)
        earlier = stored_bars(cursor, market_name, source.symbols, start - CONTEXT, session)
    overlap = compare(_before(earlier, session), _before(answer.good, session))
    last = calendar.last_closed(now)
    anew = refetch_restated(lake, market_name, source, overlap.restated, market.first_session, last)
    # Days without a session since the one before belong to this one: bars on them show here.
    since = calendar.previous_session(session) + timedelta(days=1) if session > calendar.first else session
    judged = judge.part(hold_back(answer, anew.held, overlap.restated), _before(context_of(earlier, anew), since))
    checked = _between(judged, since, session)
    with lake.write() as cursor:
        delete_series(cursor, market_name, anew.replaced)
        insert_missing(cursor, anew.bars, origin)
        stored = store_session(cursor, checked.good, session, origin)
        replace_quarantined(cursor, checked.quarantined, source.symbols, since, session, origin)
        present = set(stored_bars(cursor, market_name, source.symbols, session, session)["symbol"])
        note_empty(cursor, session, origin, empty=not present)
        missing = set(source.symbols) - present - delisted(cursor, market_name, session)
    return SessionReport(
        market=market_name,
        session=session,
        source=provider.name,
        adjustment=provider.adjustment,
        synthetic=provider.synthetic,
        asked=len(source.symbols),
        inserted=stored.inserted,
        changed=stored.changed,
        unchanged=stored.unchanged,
        quarantined=len(checked.quarantined),
        missing=tuple(sorted(missing)),
        suspected_splits=anew.suspected,
        differing=overlap.differing,
    )


def _overlap_start(calendar: TradingCalendar, session: date) -> date:
    start = session
    for _ in range(OVERLAP_SESSIONS):
        if start <= calendar.first:
            break
        start = calendar.previous_session(start)
    return start


def _before(bars: pd.DataFrame, session: date) -> pd.DataFrame:
    return bars[bars["session"] < datetime.combine(session, time())]


def _between(checked: CheckedBars, first: date, last: date) -> CheckedBars:
    """The rows dated from `first` to `last`."""
    lower, upper = datetime.combine(first, time()), datetime.combine(last, time())
    return CheckedBars(
        checked.good[checked.good["session"].between(lower, upper)],
        checked.quarantined[checked.quarantined["session"].between(lower, upper)],
        checked.collapsed,
    )
