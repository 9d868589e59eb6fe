"""History by the year: find the gaps, ask for them in bulk, fill them.

What belongs here: `collect_history`. What does not: one session (`session_bars`), SQL (`bar_store`).

Each year is one transaction, taken only after the provider has answered, so that a slow provider never
blocks other writers and an interrupted run keeps the years it finished. Nothing is remembered about bars
that the provider does not have: the next run asks for them again, one question for each year.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from scizor_dagster.config import Market
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import (
    Origin,
    check_same_basis,
    delete_series,
    gaps,
    insert_missing,
    replace_quarantined,
    stored_bars,
)
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.overlap import compare
from scizor_dagster.market_data.plausibility import LOOK_BACK_DAYS, NOTHING_ACCEPTED, Accepted
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.market_data.refetch import Source, context_of, hold_back, refetch_restated
from scizor_dagster.market_data.reports import HistoryReport, Progress, SuspectedSplit, YearReport
from scizor_dagster.sessions import TradingCalendar

CONTEXT = timedelta(days=LOOK_BACK_DAYS)


def collect_history(
    lake: Lake,
    market_name: str,
    market: Market,
    provider: MarketData,
    calendar: TradingCalendar,
    symbols: Sequence[str],
    first_year: int,
    last_year: int,
    now: datetime,
    progress: Progress | None = None,
    through: date | None = None,
    accepted: Accepted = NOTHING_ACCEPTED,
) -> HistoryReport:
    """Fill every gap of `symbols` in the sessions of the years from `first_year` to `last_year`.

    Sessions before `market.first_session`, after `through` and not closed at `now` are none. A second
    run that is answered alike writes nothing. A series that the source has restated by a constant
    factor is replaced whole. `accepted` are closes that a person believes, by symbol and session.

    Raises:
        DataError: the lake holds bars of this market on another basis (adjustment, synthetic).
    """
    last = min(calendar.last_closed(now), through or date.max)
    judge = Judge(lake, market_name, provider, market.quality, accepted)
    source = Source(provider, calendar, tuple(symbols), now, judge)
    origin = Origin.of(market_name, provider, now)
    with lake.read() as cursor:
        check_same_basis(cursor, origin, date.min, date.max)
    years: list[YearReport] = []
    suspected: list[SuspectedSplit] = []
    wanted = range(first_year, last_year + 1)
    for done, year in enumerate(wanted, start=1):
        report, found = _fill_year(lake, source, origin, year, market.first_session, last)
        years.append(report)
        suspected.extend(found)
        if progress is not None:
            progress(done, len(wanted), f"{year}: {report.inserted} bars")
    return HistoryReport(
        market_name,
        provider.name,
        provider.adjustment,
        provider.synthetic,
        last,
        tuple(years),
        tuple(suspected),
    )


def _fill_year(
    lake: Lake, source: Source, origin: Origin, year: int, begin: date, end: date
) -> tuple[YearReport, tuple[SuspectedSplit, ...]]:
    """Fill the gaps of `year`, in one transaction; `begin` to `end` is the whole history."""
    lower, upper = max(begin, date(year, 1, 1)), min(end, date(year, 12, 31))
    sessions = source.calendar.sessions(lower, upper) if lower <= upper else []
    if not sessions or not source.symbols:
        return YearReport(year, len(sessions), 0, 0, 0, 0), ()
    with lake.read() as cursor:
        found = gaps(cursor, origin.market, source.symbols, sessions)
    if found.empty:
        return YearReport(year, len(sessions), 0, 0, 0, 0), ()
    asked = found["symbol"].tolist()
    first, last = _widened(sessions, found["first"].min().date(), found["last"].max().date(), lower, upper)
    checked = source.fetch(asked, first, last)
    with lake.read() as cursor:
        stored = stored_bars(cursor, origin.market, asked, first - CONTEXT, last + CONTEXT)
        overlap = compare(stored, checked.good)
    anew = refetch_restated(lake, origin.market, source, overlap.restated, begin, end)
    checked = source.judge.part(hold_back(checked, anew.held, overlap.restated), context_of(stored, anew))
    with lake.write() as cursor:
        delete_series(cursor, origin.market, anew.replaced)
        insert_missing(cursor, anew.bars, origin)
        insert_missing(cursor, checked.good, origin)
        replace_quarantined(cursor, checked.quarantined, asked, first, last, origin)
        left = gaps(cursor, origin.market, source.symbols, sessions)["gaps"].sum()
    before = int(found["gaps"].sum())
    report = YearReport(year, len(sessions), len(asked), before, before - int(left), len(checked.quarantined))
    return report, anew.suspected


def _widened(sessions: Sequence[date], first: date, last: date, lower: date, upper: date) -> tuple[date, date]:
    """Widen a range of gaps over the days without a session beside it, so that bars on such days show."""
    before = [day for day in sessions if day < first]
    after = [day for day in sessions if day > last]
    one = timedelta(days=1)
    return before[-1] + one if before else lower, after[0] - one if after else upper
