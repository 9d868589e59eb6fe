"""What the ledger knows of: accounts, portfolios, and the sessions in which they did something.

What belongs here: that there are rows. What does not: the rows (`rows`), and what they add up to (`holdings`).
"""

from __future__ import annotations

from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger.permission_tables import arming
from scizor_dagster.ledger.tables import account_clocks, adoptions, batches, orders, trades, trading_states
from scizor_dagster.planning.model import MANUAL

# Built once: asked with every poll.
_FIRSTS = [
    sa.select(sa.func.min(table.c.session)).where(table.c.account == sa.bindparam("wanted"))
    for table in (batches, trades, adoptions)
]


def known_portfolios(connection: sa.Connection) -> dict[str, set[str]]:
    """Every account that the ledger knows, with the portfolios that traded, were stopped or were armed on it."""
    known: dict[str, set[str]] = {}
    for table in (batches, trading_states, arming):
        for account, portfolio in connection.execute(sa.select(table.c.account, table.c.portfolio).distinct()):
            known.setdefault(account, set()).update([portfolio] if portfolio is not None else [])
    for account in connection.execute(sa.select(account_clocks.c.account)).scalars():
        known.setdefault(account, set())
    return known


def admitted_sessions(
    connection: sa.Connection, account: str, portfolio: str, *, by_hand: bool = False
) -> frozenset[date]:
    """Sessions of which the portfolio has a batch; manual orders count where `by_hand` says so."""
    mine = sa.select(batches.c.session).where(batches.c.account == account, batches.c.portfolio == portfolio)
    chosen = mine if by_hand else mine.where(batches.c.origin != MANUAL)
    return frozenset(connection.execute(chosen.distinct()).scalars())


def last_ordered_session(connection: sa.Connection, account: str, portfolio: str, through: date) -> date | None:
    """The latest session up to `through` of which the portfolio has an order, or None."""
    mine = sa.select(batches.c.session).where(
        batches.c.account == account,
        batches.c.portfolio == portfolio,
        batches.c.session <= through,
        sa.exists().where(orders.c.batch_id == batches.c.batch_id),
    )
    return connection.execute(mine.order_by(batches.c.session.desc()).limit(1)).scalar()


def earliest_session(connection: sa.Connection, account: str) -> date | None:
    """First session in which anything of the account was planned, filled or adopted."""
    # Batches count, for an order that ended without a fill may still be filled late.
    firsts = [connection.execute(first, {"wanted": account}).scalar() for first in _FIRSTS]
    return min((first for first in firsts if first is not None), default=None)


def restated_sessions(connection: sa.Connection, account: str, portfolio: str, since: datetime) -> set[date]:
    """Sessions of the portfolio's executions that were corrected or taken back after they had been recorded."""
    statement = sa.select(trades.c.session).where(
        trades.c.version > 1,
        trades.c.account == account,
        trades.c.portfolio == portfolio,
        trades.c.recorded_at >= since,
    )
    return set(connection.execute(statement).scalars())
