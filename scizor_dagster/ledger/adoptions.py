"""Positions that a person hands to a portfolio: the other way, beside fills, to own something.

What belongs here: writing the row, and when there was one. What does not: whether the account holds what is handed
over, which the caller has asked the broker.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.checkpoints import taken_back
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.tables import adoptions


def adopt(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    symbol: str,
    qty: Decimal,
    *,
    price: Decimal,
    session: date,
    actor: str,
    now: datetime,
) -> str:
    """Let `portfolio` own `qty` (signed) of `symbol` from the end of `session` on, at `price` a share; its id.

    Raises:
        LedgerError: nothing is handed over, or the same was adopted for the session before.
    """
    if qty == 0:
        raise LedgerError(f"There is nothing to adopt: 0 {symbol}.", remedy="Give a quantity.", where=portfolio)
    adoption_id = f"{account}/{portfolio}/{symbol}/{session.isoformat()}"
    row = {
        "adoption_id": adoption_id,
        "portfolio": portfolio,
        "symbol": symbol,
        "qty": qty,
        "price": price,
        "session": session,
        "actor": actor,
    }
    changes = [inserted(adoptions, {"account": account, "recorded_at": now, **row})]
    changes += taken_back(connection, account, session)
    try:
        events.append(connection, now, account, "adopted", row, changes=changes)
    except sa.exc.IntegrityError as error:
        raise LedgerError(
            f"{symbol} was adopted for {session.isoformat()} before.",
            remedy="Look at what the portfolio owns: scizor reconcile.",
            where=portfolio,
        ) from error
    store_positions(connection, account, now=now)
    return adoption_id


def last_adopted(connection: sa.Connection, account: str) -> dict[str, datetime]:
    """When anything was adopted on the account last, by symbol."""
    columns = (adoptions.c.symbol, adoptions.c.recorded_at)
    rows = connection.execute(
        sa.select(*columns).where(adoptions.c.account == account).order_by(adoptions.c.recorded_at)
    )
    return {row.symbol: row.recorded_at for row in rows}
