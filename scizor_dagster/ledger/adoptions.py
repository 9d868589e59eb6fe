"""Positions that a person hands to a portfolio: the other way, beside fills, to own something.

What belongs here: writing the row, and when there was one. What does not: whether the account holds what is handed
over, which the caller has asked the broker.
"""

from __future__ import annotations

from collections.abc import Collection
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

    Several of one session stand beside each other, each with a number from the second on: one corrects another. Whoever
    adopts has compared with the broker under the account's lease, so that the same is not handed over twice.

    Raises:
        LedgerError: nothing is handed over.
    """
    if qty == 0:
        raise LedgerError(f"There is nothing to adopt: 0 {symbol}.", remedy="Give a quantity.", where=portfolio)
    adoption_id = _next_id(connection, f"{account}/{portfolio}/{symbol}/{session.isoformat()}")
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
    events.append(connection, now, account, "adopted", row, changes=changes)
    store_positions(connection, account, now=now)
    return adoption_id


def _next_id(connection: sa.Connection, first: str) -> str:
    same = adoptions.c.adoption_id.startswith(first, autoescape=True)
    # Rows of adoptions are never taken back.
    count = connection.execute(sa.select(sa.func.count()).where(same)).scalar_one()
    return f"{first}/{count + 1}" if count else first


def last_adopted(connection: sa.Connection, account: str, symbols: Collection[str]) -> dict[str, datetime]:
    """When anything of these was adopted on the account last, by symbol."""
    columns = (adoptions.c.symbol, adoptions.c.recorded_at)
    of_these = adoptions.c.symbol.in_(sorted(set(symbols)))
    rows = connection.execute(
        sa.select(*columns).where(adoptions.c.account == account, of_these).order_by(adoptions.c.recorded_at)
    )
    return {row.symbol: row.recorded_at for row in rows}
