"""Whether the ledger is what its history says: every seal, every row, and what rows say of each other.

What belongs here: finding what was edited, added, removed or cut off. What does not: mending it; a ledger that was
edited is restored from a backup, or built anew from the broker's own books.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.ledger.account_books import AccountBooks, sessions_between
from scizor_dagster.ledger.checkpoints import books_of_all
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import held_by_portfolios
from scizor_dagster.ledger.intents import parameter_hash, request_of
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.positions import stored_positions
from scizor_dagster.ledger.replay import Image, journaled, replayed, stored_rows
from scizor_dagster.ledger.rows import fills_for_orders, intents_by_id
from scizor_dagster.ledger.tables import events, orders


def verify(connection: sa.Connection, *, seq: int | None = None, seal: str | None = None) -> list[str]:
    """One sentence for each thing that is not as the history says; empty when all is well.

    With `seq` and `seal`, the number and hash of the last entry that somebody has kept elsewhere, an end that was
    cut off or written anew shows as well.

    Columns that a later version has added are empty in rows from before it.
    """
    try:
        found = verify_chain(connection)
        history = replayed(connection)
    except (ValueError, ArithmeticError, LookupError, TypeError) as unreadable:
        return [f"The history cannot be read: {unreadable!r}."]
    if seq is not None:
        kept = connection.execute(sa.select(events.c.hash).where(events.c.seq == seq)).scalar()
        if kept is None:
            found.append(f"The history ends before event {seq}, which was its last one once.")
        elif kept != seal:
            found.append(f"Event {seq} is another one than it was once: the history was written anew.")
    differences = list(_differences(connection, history))
    # Rows that are as they were written may be added up.
    return [*found, *(differences or _contradictions(connection))]


def _differences(connection: sa.Connection, history: Image) -> Iterator[str]:
    for table in journaled():
        name, expected = table.name, history[table.name]
        try:
            rows = stored_rows(connection, table)
        except (ValueError, ArithmeticError, TypeError) as unreadable:
            yield f"{name}: a value of it cannot be read: {unreadable!r}."
            continue
        for key in sorted(rows.keys() | expected.keys(), key=str):
            row = f"{name}: row {', '.join(map(str, key))}"
            if key not in rows:
                yield f"{row} is in the history, and was taken out of the table."
            elif key not in expected:
                yield f"{row} is in the table, and nothing in the history has put it there."
            else:
                yield from _changed(row, rows[key], expected[key])


def _changed(row: str, now: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    for column, value in now.items():
        if value != expected.get(column):
            yield f"{row} has {column} {value!r}, and the history says {expected.get(column)!r}."


def _contradictions(connection: sa.Connection) -> Iterator[str]:
    """What rows must say of each other, whoever has written them."""
    for account in sorted(known_portfolios(connection)):
        sent = sa.select(orders.c.client_order_id).where(orders.c.account == account, orders.c.final_qty.is_not(None))
        names = list(connection.execute(sent).scalars())
        fills = fills_for_orders(connection, account, names)
        for name, order in intents_by_id(connection, names).items():
            if order.parameter_hash != parameter_hash(account, order.portfolio, request_of(order)):
                yield f"orders: {name} has other parameters than those it was hashed with."
            filled = sum((fill.qty for fill in fills.get(name, [])), Decimal(0))
            if filled != order.filled_qty:
                yield f"orders: {name} has filled_qty {order.filled_qty}, and its trades sum to {filled}."
        yield from _miscounted(connection, account)


def _miscounted(connection: sa.Connection, account: str) -> Iterator[str]:
    """Positions and checkpoints against the sum of everything since the account's first session."""
    kept, books, right = books_of_all(connection, account), AccountBooks(), set()
    for session, rows in sessions_between(connection, account).items():
        books.pass_session(rows)
        if kept.get(session) == books:
            right.add(session)
    if stored_positions(connection, account) != held_by_portfolios(books):
        yield f"positions: those of account '{account}' are not what its trades and activities add up to."
    for session in sorted(kept.keys() - right):
        yield (
            f"checkpoints: that of account '{account}' on {session.isoformat()} is not what its trades and activities "
            "add up to."
        )
