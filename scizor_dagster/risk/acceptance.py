"""A jump of the equity that a person has looked at: the row that lets the session go on.

What belongs here: writing and asking. What does not: the comparison (`checks`).
"""

from __future__ import annotations

from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.tables import accepted_equities


def accept_equity(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> bool:
    """Accept the equity before `session` as it is; False where that was done before.

    Raises:
        LedgerError: there is no reason.
    """
    if not reason.strip():
        raise LedgerError("Accepting a jump of the equity needs a reason.", remedy="Give one: --reason TEXT.")
    if is_accepted(connection, account, portfolio, session):
        return False
    values = {"portfolio": portfolio, "session": session, "actor": actor, "reason": reason}
    connection.execute(accepted_equities.insert().values(account=account, at=now, **values))
    events.append(connection, now, account, "equity_accepted", values)
    return True


def is_accepted(connection: sa.Connection, account: str, portfolio: str, session: date) -> bool:
    """Whether the equity before `session` has been accepted."""
    table = accepted_equities.c
    statement = sa.select(table.actor).where(
        table.account == account, table.portfolio == portfolio, table.session == session
    )
    return connection.execute(statement).first() is not None
