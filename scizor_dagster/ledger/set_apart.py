"""What manual orders have bought and their portfolio keeps: set apart from what weights decide.

What belongs here: following it through fills, splits, renames and sales. What does not: whether a portfolio sets
anything apart now (its configuration), and what a plan makes of it (`planning.planner`).

It begins with the first manual order that was placed under `keep`. Their fills move it, splits multiply it, and it is
never more than what the portfolio owns, nor of the other sign: a manual sale takes from it first, and what it sells
beyond that was the strategies', which buy it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.instruments import split_quantity
from scizor_dagster.ledger.account_books import OF_UNITS, SessionRows, sessions_between
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.holdings import NOISE
from scizor_dagster.ledger.manual_orders import KEEP
from scizor_dagster.ledger.manual_tables import manual_orders
from scizor_dagster.ledger.tables import orders

ZERO = Decimal(0)
A_DAY = timedelta(days=1)


def set_apart(connection: sa.Connection, account: str, portfolio: str, *, last: date = date.max) -> dict[str, Decimal]:
    """Signed quantities by symbol at the end of session `last`; zeros, and what is no more than `NOISE`, dropped."""
    chosen = (
        sa.select(orders.c.client_order_id, orders.c.session)
        .join(manual_orders, manual_orders.c.batch_id == orders.c.batch_id)
        .where(
            manual_orders.c.account == account,
            manual_orders.c.portfolio == portfolio,
            manual_orders.c.policy == KEEP,
            orders.c.session <= last,
        )
    )
    found = connection.execute(chosen).all()
    if not found:
        return {}
    names, first = frozenset(row.client_order_id for row in found), min(row.session for row in found)
    before = books_at(connection, account, first - A_DAY).quantities
    walk = _Walk(portfolio, names, {symbol: qty for (owner, symbol), qty in before.items() if owner == portfolio})
    for rows in sessions_between(connection, account, first - A_DAY, last).values():
        walk.pass_session(rows)
    return {symbol: qty for symbol, qty in sorted(walk.apart.items()) if abs(qty) > NOISE}


class _Walk:
    """What is owned and what of it is set apart, from session to session."""

    def __init__(self, portfolio: str, names: frozenset[str], owned: dict[str, Decimal]) -> None:
        self.apart: dict[str, Decimal] = {}
        self._portfolio = portfolio
        self._names = names
        self._owned = owned

    def pass_session(self, rows: SessionRows) -> None:
        for row in rows.activities:
            if row.kind in OF_UNITS and row.symbol in self._owned and row.qty_factor is not None:
                for book in (self._owned, self.apart):
                    book[row.symbol] = split_quantity(book.get(row.symbol, ZERO), row.qty_factor)
        for row in rows.trades:
            if row.portfolio == self._portfolio:
                signed = row.qty if row.side == "buy" else -row.qty
                self._move(row.symbol, signed, signed if row.client_order_id in self._names else ZERO)
        mine = [row for row in rows.adoptions if row.portfolio == self._portfolio]
        # Under whatever name: looked up before the old one is handed out, which would end it.
        renamed = [self.apart.get(_name_before(row, mine), ZERO) for row in mine]
        for row, apart in zip(mine, renamed, strict=True):
            self._move(row.symbol, row.qty, apart)

    def _move(self, symbol: str, owned: Decimal, apart: Decimal) -> None:
        now = self._owned.get(symbol, ZERO) + owned
        self._owned[symbol] = now
        wanted = self.apart.get(symbol, ZERO) + apart
        self.apart[symbol] = max(min(ZERO, now), min(max(ZERO, now), wanted))


def _name_before(row: Any, mine: Sequence[Any]) -> str:
    """The name that an adopted holding had before, as `scizor adopt --renamed-from` records it; else none."""
    found = (
        other.symbol
        for other in mine
        if (other.recorded_at, other.price, other.qty) == (row.recorded_at, row.price, -row.qty)
    )
    return next(found, "")
