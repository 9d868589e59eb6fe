"""The table of positions: what each portfolio holds now, kept in step with what it follows from.

What belongs here: writing the rows, and the checkpoints that are due, with the transaction that changed them. What
does not: the arithmetic (`account_books`), and prices or values (`analytics`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import Change, deleted, inserted, updated
from scizor_dagster.ledger.checkpoints import brought_up
from scizor_dagster.ledger.holdings import held_by_portfolios
from scizor_dagster.ledger.tables import positions

_STORED = sa.select(positions).where(positions.c.account == sa.bindparam("wanted"))


def store_positions(connection: sa.Connection, account: str, *, now: datetime) -> None:
    """Bring the account's rows up to date, with one event; nothing is written where nothing changed."""
    stored = stored_positions(connection, account)
    books, due = brought_up(connection, account)
    held = held_by_portfolios(books)
    changes: list[Change] = []
    for portfolio, symbol in sorted({*stored, *held}):
        key = {"account": account, "portfolio": portfolio, "symbol": symbol}
        old, new = stored.get((portfolio, symbol)), held.get((portfolio, symbol))
        if new is None:
            changes.append(deleted(positions, key))
        elif old is None:
            changes.append(inserted(positions, {**key, "qty": new, "updated_at": now}))
        elif old != new:
            changes.append(updated(positions, key, {"qty": new, "updated_at": now}))
    if changes or due:
        payload = {"changed": len(changes), "checkpoints": len(due)}
        events.append(connection, now, account, "positions", payload, changes=[*changes, *due])


def stored_positions(connection: sa.Connection, account: str) -> dict[tuple[str, str], Decimal]:
    """Signed quantities by portfolio and symbol, as the table has them."""
    rows = connection.execute(_STORED, {"wanted": account})
    return {(row.portfolio, row.symbol): row.qty for row in rows}
