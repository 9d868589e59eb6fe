"""What the ledger can tell at a glance, as counts and instants: for whoever watches, and never for a decision.

What belongs here: reads that cost little however long the history is. What does not: the rows themselves (`rows`,
`breaks`, `notices`), and what is made of the figures (`monitoring`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger.notice_tables import notices
from scizor_dagster.ledger.notices import MOST_ATTEMPTS, NoticeState, given_up
from scizor_dagster.ledger.reconciliation_tables import breaks, reconciled_days
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import events, orders

GIVEN_UP = "given_up"
"""What a notice is called that was tried as often as it may be, and whose target has taken nothing since."""
MISSED = "missed"
"""What it is called once its target has taken another one: it was never delivered, and nothing is wrong any more."""
_OPEN = [state.value for state in IntentState if not state.terminal]


@dataclass(frozen=True, slots=True)
class OrderCount:
    """So many orders of a portfolio are in this state."""

    account: str
    portfolio: str
    state: IntentState
    count: int


def orders_of_session(connection: sa.Connection, account: str, portfolio: str, session: date) -> list[OrderCount]:
    """The orders of one session of a portfolio, by their state."""
    return _counted(
        connection, orders.c.account == account, orders.c.portfolio == portfolio, orders.c.session == session
    )


def open_orders(connection: sa.Connection, account: str) -> list[OrderCount]:
    """Every order of the account that has not ended, whenever it was planned, by portfolio and state."""
    return _counted(connection, orders.c.account == account, orders.c.state.in_(_OPEN))


def open_break_counts(connection: sa.Connection, account: str) -> dict[str, int]:
    """How many breaks of the account are open, by what they lock."""
    columns = (breaks.c.locks, sa.func.count())
    mine = sa.select(*columns).where(breaks.c.account == account, breaks.c.cleared_at.is_(None))
    return {str(locks): int(count) for locks, count in connection.execute(mine.group_by(breaks.c.locks))}


def last_reconciled(connection: sa.Connection, account: str, portfolio: str) -> datetime | None:
    """When the portfolio was reconciled last, whichever session it was and whichever pass."""
    days = reconciled_days.c
    newest = sa.select(sa.func.max(days.first_at), sa.func.max(days.second_at))
    first, second = connection.execute(newest.where(days.account == account, days.portfolio == portfolio)).one()
    return max((at for at in (first, second) if at is not None), default=None)


def last_entry_at(connection: sa.Connection, account: str) -> datetime | None:
    """When the history says something of the account last."""
    mine = sa.select(events.c.at).where(events.c.account == account).order_by(events.c.seq.desc()).limit(1)
    return connection.execute(mine).scalar()


def notice_counts(connection: sa.Connection) -> dict[str, int]:
    """How many notices were sent, are under way, have failed and are tried again, were given up, and were missed."""
    ended = sa.and_(notices.c.state != NoticeState.SENT.value, notices.c.attempts >= MOST_ATTEMPTS)
    state = sa.case((ended, MISSED), else_=notices.c.state)
    found = dict.fromkeys((*(state.value for state in NoticeState), MISSED), 0)
    rows = connection.execute(sa.select(state, sa.func.count()).select_from(notices).group_by(state))
    found |= {str(name): int(count) for name, count in rows}
    lost = len(given_up(connection))
    return found | {GIVEN_UP: lost, MISSED: found[MISSED] - lost}


def _counted(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[OrderCount]:
    columns = (orders.c.account, orders.c.portfolio, orders.c.state)
    rows = connection.execute(sa.select(*columns, sa.func.count()).where(*conditions).group_by(*columns))
    found = [OrderCount(account, portfolio, IntentState(state), count) for account, portfolio, state, count in rows]
    return sorted(found, key=lambda row: (row.account, row.portfolio, row.state))
