"""When a strategy decides anew: `daily`, or in the first session of each week, month, quarter or year.

What belongs here: which sessions those are, by the exchange's own calendar. What does not: what is decided
(`deciding`).

The session is that in which the weights trade; they are made on the close before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.signals.manifest import Rebalance

__all__ = ["Rebalance", "is_rebalance", "period_of", "rebalance_rows", "rebalance_sessions"]


def period_of(session: date, every: Rebalance) -> tuple[int, ...]:
    """What is the same for all sessions of one period."""
    if every == "weekly":
        return session.isocalendar()[:2]
    parts = {"daily": session.timetuple()[:3], "monthly": (session.year, session.month), "yearly": (session.year,)}
    return parts.get(every) or (session.year, (session.month - 1) // 3)


def is_rebalance(session: date, before: date, every: Rebalance) -> bool:
    """Whether a period begins with `session`, the one after `before`."""
    return period_of(session, every) != period_of(before, every)


def rebalance_rows(sessions: Sequence[date], every: Rebalance) -> list[int]:
    """Indices of the sessions that weights trade in; never the first, which has no close before it."""
    return [row for row in range(1, len(sessions)) if is_rebalance(sessions[row], sessions[row - 1], every)]


def rebalance_sessions(calendar: TradingCalendar, first: date, last: date, every: Rebalance) -> list[date]:
    """Sessions from `first` to `last` that weights trade in."""
    found = calendar.sessions(first, last)
    if not found or found[0] <= calendar.first:
        return [found[row] for row in rebalance_rows(found, every)]
    days = [calendar.previous_session(found[0]), *found]
    return [days[row] for row in rebalance_rows(days, every)]
