"""The round trips of a portfolio that ended lately, out of the ledger.

What belongs here: reading what moved a portfolio's holdings, from where the trips began. What does not: how a trip
ends and what it brought (`protections.exits_of`), and what follows from it (`protections.due_locks`).

Only trips that ended since a session are asked for, and only what belongs to one of them is read: the rest of a long
history is passed over by the ledger's checkpoints.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.ledger.checkpoints import held_since
from scizor_dagster.ledger.holdings import owned, share_of
from scizor_dagster.ledger.rows import ActivityRow, activities_of, fills_of
from scizor_dagster.ledger.tables import adoptions
from scizor_dagster.risk.protections import Exit, Movement, exits_of

A_DAY = timedelta(days=1)


def exits_since(connection: sa.Connection, account: str, portfolio: str, since: date) -> list[Exit]:
    """The portfolio's round trips that ended in the session `since` or later, in the order of their sessions."""
    moved = _movements(connection, account, portfolio, since)
    held = owned(connection, account, portfolio, before=since)
    # Trips that began before: what they brought begins there too.
    ended = {one.symbol for one in exits_of(moved, held)}
    early = {symbol: qty for symbol, qty in held.items() if symbol in ended}
    exits = exits_of([move for move in moved if move.symbol not in early], held)
    if early:
        begin = held_since(connection, account, portfolio, early, since)
        moved = _movements(connection, account, portfolio, begin + A_DAY, early.keys())
        before = owned(connection, account, portfolio, through=begin)
        exits += [one for one in exits_of(moved, before) if one.session >= since]
    return sorted(exits, key=lambda one: one.session)


def _movements(
    connection: sa.Connection, account: str, portfolio: str, first: date, symbols: Collection[str] | None = None
) -> list[Movement]:
    """Splits and delistings, then fills, then adoptions of each session: the order in which holdings count them."""

    def paid(row: ActivityRow) -> Decimal:
        if row.kind != "delisting" or row.symbol is None or row.amount == 0:
            return Decimal(0)
        return row.amount * share_of(connection, account, portfolio, row.symbol, row.session)

    adopted = sa.select(adoptions).where(
        adoptions.c.account == account, adoptions.c.portfolio == portfolio, adoptions.c.session >= first
    )
    found = [
        (row.session, 0, Movement(row.session, row.symbol, cash=paid(row), factor=row.qty_factor))
        for row in activities_of(connection, account, first=first)
        if row.kind in ("split", "delisting") and row.symbol is not None and row.qty_factor is not None
    ]
    found += [
        (fill.session, 1, Movement(fill.session, fill.symbol, fill.signed_qty, fill.cash))
        for fill in fills_of(connection, account, portfolio=portfolio, first=first, symbols=symbols)
    ]
    found += [
        (row.session, 2, Movement(row.session, row.symbol, row.qty, -row.qty * row.price))
        for row in connection.execute(adopted)
    ]
    moves = [move for _, _, move in sorted(found, key=lambda item: item[:2])]
    return moves if symbols is None else [move for move in moves if move.symbol in symbols]
