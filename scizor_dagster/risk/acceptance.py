"""A jump of the equity that a person has looked at: the row that lets the session go on.

What belongs here: writing and asking. What does not: the comparison (`checks`).

An acceptance is of one figure. It stands before the reason in the row, so that the row says what was accepted,
and it holds for that figure alone.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.tables import accepted_equities

ROUNDING = Decimal("0.01")
"""Up to a cent, two figures are the same."""
_FIGURE = re.compile(r"^equity (-?[0-9]+(?:\.[0-9]+)?): ")


def accept_equity(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    equity: Decimal,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> bool:
    """Accept `equity`, in the portfolio's currency, as what there was before `session`.

    It takes the place of another figure that was accepted for the session; the events keep both.

    Returns:
        False where this figure was accepted before.

    Raises:
        LedgerError: there is no reason, or `equity` is no amount.
    """
    if not equity.is_finite():
        raise LedgerError(f"An equity {equity} is no amount to accept.", remedy="Collect the prices first.")
    if not reason.strip():
        raise LedgerError("Accepting a jump of the equity needs a reason.", remedy="Give one: --reason TEXT.")
    if is_accepted(connection, account, portfolio, session, equity):
        return False
    table = accepted_equities
    key: dict[str, Any] = {"account": account, "portfolio": portfolio, "session": session}
    values: dict[str, Any] = {"actor": actor, "reason": f"equity {equity:f}: {reason}", "at": now}
    known = connection.execute(sa.select(table).where(*(table.c[name] == value for name, value in key.items()))).first()
    change = inserted(table, key | values) if known is None else updated(table, key, values)
    payload = {"portfolio": portfolio, "session": session, "equity": equity, "actor": actor, "reason": reason}
    events.append(connection, now, account, "equity_accepted", payload, changes=[change])
    return True


def is_accepted(connection: sa.Connection, account: str, portfolio: str, session: date, equity: Decimal | None) -> bool:
    """Whether `equity`, up to rounding, has been accepted as the one before `session`."""
    accepted = accepted_equity(connection, account, portfolio, session)
    return accepted is not None and equity is not None and abs(equity - accepted) <= ROUNDING


def accepted_equity(connection: sa.Connection, account: str, portfolio: str, session: date) -> Decimal | None:
    """The figure that was accepted; None where none was, or by a row that names none."""
    table = accepted_equities.c
    statement = sa.select(table.reason).where(
        table.account == account, table.portfolio == portfolio, table.session == session
    )
    found = _FIGURE.match(connection.execute(statement).scalar() or "")
    return Decimal(found[1]) if found else None
