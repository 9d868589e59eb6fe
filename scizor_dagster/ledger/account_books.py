"""The books of an account: what each portfolio holds and what has flowed, taken from session to session.

What belongs here: the arithmetic of one session, and the walk through sessions. What does not: what is asked of the
books (`holdings`), and where a walk begins that need not begin with the first session (`checkpoints`).

A session's payments go to who held the instrument before it. Its splits come before its fills: a split of session S
multiplies what was held before S, and a fill of S is already in new shares. A delisting of S ends what was held
before S, for cash. An adoption of S counts as held from the end of S.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.instruments import split_quantity
from scizor_dagster.ledger.rows import STANDING
from scizor_dagster.ledger.tables import activities, adoptions, trades

ZERO = Decimal(0)

_PER_SHARE = frozenset({"dividend", "delisting"})
"""Kinds of activities whose cash goes to who held the instrument before the session."""
OF_UNITS = frozenset({"split", "delisting"})
"""Kinds of activities that multiply a holding: by new shares for one, or by 0."""

Owner = str | None
"""A portfolio, or None for what the account traded outside of Scizor."""


@dataclass(slots=True)
class SessionRows:
    """What is recorded for one session, each list in an order that does not depend on the store."""

    activities: list[Any] = field(default_factory=list)
    trades: list[Any] = field(default_factory=list)
    adoptions: list[Any] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.activities) + len(self.trades) + len(self.adoptions)


@dataclass(slots=True)
class AccountBooks:
    """The books at the end of a session, in the account's currency; those of no session are empty.

    Attributes:
        quantities: Signed shares by owner and symbol, the adopted ones taken off the foreign owner None; no zeros.
        flows: Signed cash that flowed to each portfolio: its fills with their fees, and its parts of payments on
            what the account is recorded to hold.
        cash: Signed cash of the whole account: of all its fills, whoever they belong to, and all its activities.
    """

    quantities: dict[tuple[Owner, str], Decimal] = field(default_factory=dict)
    flows: dict[str, Decimal] = field(default_factory=dict)
    cash: Decimal = ZERO

    def pass_session(self, rows: SessionRows) -> None:
        """Take the books through one session."""
        for row in rows.activities:
            self.cash += row.amount
            if row.kind in _PER_SHARE and row.symbol is not None:
                self._pay(row.symbol, row.amount)
        for row in rows.activities:
            if row.kind in OF_UNITS and row.symbol is not None and row.qty_factor is not None:
                self._multiply(row.symbol, row.qty_factor)
        for row in rows.trades:
            signed = row.qty if row.side == "buy" else -row.qty
            cash = -signed * row.price - row.fee
            self.cash += cash
            self._add(row.portfolio, row.symbol, signed)
            if row.portfolio is not None:
                self.flows[row.portfolio] = self.flows.get(row.portfolio, ZERO) + cash
        for row in rows.adoptions:
            self._add(row.portfolio, row.symbol, row.qty)
            self._add(None, row.symbol, -row.qty)

    def share(self, portfolio: str, symbol: str) -> Decimal:
        """What part of the account's recorded holding of `symbol` is the portfolio's."""
        return self._shares(symbol).get(portfolio, ZERO)

    def _shares(self, symbol: str) -> dict[str, Decimal]:
        held = {owner: qty for (owner, name), qty in self.quantities.items() if owner is not None and name == symbol}
        total = sum(held.values(), ZERO)
        foreign = self.quantities.get((None, symbol), ZERO)
        # A foreign holding that was adopted is a portfolio's by now.
        total += foreign if foreign * total > 0 else ZERO
        return {owner: qty / total for owner, qty in held.items()} if total != 0 else {}

    def _pay(self, symbol: str, amount: Decimal) -> None:
        for owner, share in self._shares(symbol).items():
            self.flows[owner] = self.flows.get(owner, ZERO) + amount * share

    def _multiply(self, symbol: str, factor: Decimal) -> None:
        for key in [key for key in self.quantities if key[1] == symbol]:
            self._put(key, split_quantity(self.quantities[key], factor))

    def _add(self, owner: Owner, symbol: str, qty: Decimal) -> None:
        self._put((owner, symbol), self.quantities.get((owner, symbol), ZERO) + qty)

    def _put(self, key: tuple[Owner, str], qty: Decimal) -> None:
        # What is no longer held leaves: the books grow with what is held, not with what ever was.
        if qty == 0:
            self.quantities.pop(key, None)
        else:
            self.quantities[key] = qty


def _rows_of(table: sa.Table, *columns: str) -> sa.Select[Any]:
    return sa.select(table.c.session, *(table.c[name] for name in columns)).where(
        table.c.account == sa.bindparam("account"),
        table.c.session > sa.bindparam("after"),
        table.c.session <= sa.bindparam("last"),
    )


# Built once: the books are read several times for every order.
_ACTIVITIES = _rows_of(activities, "activity_id", "kind", "symbol", "amount", "qty_factor")
_OF_A_TRADE = ("executed_at", "fill_id", "portfolio", "client_order_id", "symbol", "side", "qty", "price", "fee")
_TRADES = _rows_of(trades, *_OF_A_TRADE).where(STANDING)
_ADOPTIONS = _rows_of(adoptions, "adoption_id", "portfolio", "symbol", "qty", "price", "recorded_at")


def sessions_between(
    connection: sa.Connection, account: str, after: date = date.min, last: date = date.max
) -> Mapping[date, SessionRows]:
    """What is recorded of the sessions after `after` up to `last`, oldest first; sessions without a row are absent."""
    found: defaultdict[date, SessionRows] = defaultdict(SessionRows)
    between = {"account": account, "after": after, "last": last}
    # Sums of rounded parts depend on their order, and stores sort texts each in their own way.
    for row in sorted(connection.execute(_ACTIVITIES, between), key=lambda row: row.activity_id):
        found[row.session].activities.append(row)
    for row in sorted(connection.execute(_TRADES, between), key=lambda row: (row.executed_at, row.fill_id)):
        found[row.session].trades.append(row)
    for row in sorted(connection.execute(_ADOPTIONS, between), key=lambda row: row.adoption_id):
        found[row.session].adoptions.append(row)
    return {session: found[session] for session in sorted(found)}
