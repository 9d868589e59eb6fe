"""How fresh and how whole the prices of each market are.

What belongs here: reading the lake. What does not: what stale prices stop, and how good they are (`flow.quality`).
"""

from __future__ import annotations

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.quality import NOT_DUE
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.market_data.absences import absences, tracked_symbols
from scizor_dagster.monitoring.catalogue import PRICES
from scizor_dagster.monitoring.readings import Readings

_LOOKED_AT = 5
"""Sessions in which a bar that is not there counts as a gap."""


def prices(desk: Desk) -> Readings:
    """Every market of the configuration; of one without prices what can be said of it."""
    found, has_lake = Readings(PRICES), desk.has_lake
    for name in desk.config.markets:
        calendar = desk.calendar(name)
        found.add("scizor_prices_max_age_sessions", desk.market(name).max_price_age_sessions, name)
        newest = newest_stored_session(desk, name) if has_lake else None
        closed = calendar.last_settled(desk.clock())
        found.instant(
            "scizor_prices_newest_close_timestamp_seconds", calendar.close_at(newest) if newest else None, name
        )
        # Where there is nothing, everything since the first session is missing.
        since = newest or calendar.previous_session(calendar.session_on_or_after(desk.market(name).first_session))
        found.add("scizor_prices_sessions_behind", calendar.age_in_sessions(min(since, closed), closed), name)
        if has_lake:
            _symbols(desk, name, found)
    return found


def _symbols(desk: Desk, market: str, found: Readings) -> None:
    calendar = desk.calendar(market)
    sessions = [calendar.last_settled(desk.clock())]
    while len(sessions) < _LOOKED_AT and sessions[0] > desk.market(market).first_session:
        sessions.insert(0, calendar.previous_session(sessions[0]))
    with desk.lake.pinned() as lake:
        missing = absences(lake, market, sessions)
        tracked = tracked_symbols(lake, market)
    due = missing[~missing["reason"].isin(NOT_DUE)]
    found.add("scizor_symbols_tracked", len(tracked), market)
    found.add("scizor_symbols_with_gaps", due["symbol"].nunique(), market)
