"""History: the gaps of a range of years, filled.

What belongs here: `collect_history`, the range of a history and its report by the year. What does not:
asking and storing (`filling`), what is missing (`missing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from scizor_dagster.config import Market
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import Origin
from scizor_dagster.market_data.collecting_again import set_aside
from scizor_dagster.market_data.feed_faults import merged
from scizor_dagster.market_data.filling import Filled, Task, fill
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.missing import Wanted, missing, recent_from
from scizor_dagster.market_data.plausibility import NOTHING_ACCEPTED, Accepted
from scizor_dagster.market_data.provider import Adjustment, MarketData, Metered
from scizor_dagster.market_data.refetch import Source
from scizor_dagster.market_data.reports import HistoryReport, Progress, YearReport
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd


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
    *,
    since: date | None = None,
    force: bool = False,
    again_as: Adjustment | None = None,
    named: Sequence[str] = (),
) -> HistoryReport:
    """Fill every gap of `symbols` in the sessions of the years from `first_year` to `last_year`.

    Sessions before `market.first_session` and `since`, after `through` and not closed at `now` are none. A
    second run that is answered alike writes nothing. A series that the source has restated by constant factors
    is replaced whole, a bar that it gives otherwise by itself; the old ones are kept. `accepted` are closes that
    a person believes, by symbol and session. With `force` every session is asked for, stored or not.
    With `again_as`, the adjustment of the source, series of another one are first set aside, or those `named` alone.

    Raises:
        DataError: the lake holds bars of this market on another basis (adjustment, synthetic).
        InputError: the source does not give `again_as`, or others than those `named` are on another basis.
    """
    newest = calendar.last_settled(now)
    last = min(newest, through or date.max)
    lower = max(market.first_session, since or date.min, date(first_year, 1, 1))
    upper = min(last, date(last_year, 12, 31))
    sessions = tuple(calendar.sessions(lower, upper)) if lower <= upper else ()
    origin = Origin.of(market_name, provider, now)
    judge = Judge(lake, market_name, provider, market.quality, accepted, calendar)
    taken = set_aside(lake, origin, again_as, named, force=force) if again_as is not None else 0
    filled, left = None, None
    if sessions and symbols:
        closed = tuple(calendar.sessions(market.first_session, newest))
        recent = recent_from(closed) if isinstance(provider, Metered) and not force else None
        wanted = Wanted(tuple(symbols), sessions, sessions[0], force, recent, accepted, calendar.settled_at)
        source = Source(provider, calendar, tuple(symbols), now, judge)
        filled = fill(Task(lake, source, origin, wanted, closed, force, progress))
        with lake.read() as cursor:
            left = missing(cursor, origin, wanted, filled.early)
    years = [
        _year(year, [day for day in sessions if day.year == year], filled, left)
        for year in range(first_year, last_year + 1)
    ]
    return HistoryReport(
        market_name,
        provider.name,
        provider.adjustment,
        provider.synthetic,
        last,
        tuple(years),
        tuple(filled.suspected) if filled else (),
        filled.calls if filled else None,
        tuple(filled.restatements) if filled else (),
        filled.compared if filled else 0,
        merged(filled.faults) if filled else (),
        tuple(sorted(filled.refused.items())) if filled else (),
        filled.preferred if filled else 0,
        filled.failures if filled else (),
        filled.changed if filled else 0,
        taken,
    )


def _year(year: int, sessions: Sequence[date], filled: Filled | None, left: pd.DataFrame | None) -> YearReport:
    if filled is None or left is None:
        return YearReport(year, len(sessions), 0, 0, 0, 0)
    before = filled.missing[filled.missing["year"] == year]
    gaps, remaining = int(before["gaps"].sum()), int(left.loc[left["year"] == year, "gaps"].sum())
    asked = int((before["asked"] > 0).sum())
    return YearReport(year, len(sessions), asked, gaps, gaps - remaining, filled.quarantined.get(year, 0))
