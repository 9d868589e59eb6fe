"""The orders of the ledger as a person lists them, looks at one, and takes it back.

What belongs here: finding them, with who has asked for those placed by hand, and having one canceled. What does
not: placing one (`manual_orders`), and why it is what it is (`explaining`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import cancel_open_orders
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.ledger.manual_orders import ManualOrder, ask_cancel, batches_by_hand
from scizor_dagster.ledger.manual_tables import manual_orders
from scizor_dagster.ledger.rows import IntentRow, fills_for_orders, intents_by_id
from scizor_dagster.ledger.tables import orders

MOST = 500


@dataclass(frozen=True)
class KnownOrder:
    """One order with the request that it answers; None where weights have caused it."""

    intent: IntentRow
    by_hand: ManualOrder | None

    def to_json(self) -> dict[str, Any]:
        """Plain values; quantities and prices are exact text."""
        row, asked = self.intent, self.by_hand
        return {
            "client_order_id": row.client_order_id,
            "broker_order_id": row.broker_order_id,
            "account": row.account,
            "portfolio": row.portfolio,
            "session": row.session.isoformat(),
            "symbol": row.symbol,
            "instrument": row.instrument_id,
            "side": row.side.value,
            "qty": f"{row.qty:f}",
            "filled_qty": f"{row.filled_qty:f}",
            "order_type": row.order_type.value,
            "time_in_force": row.time_in_force.value,
            "limit_price": None if row.limit_price is None else f"{row.limit_price:f}",
            "state": row.state.value,
            "reason": row.reason,
            "updated_at": row.updated_at.isoformat(),
            "origin": "plan" if asked is None else "manual",
            "idempotency_key": None if asked is None else asked.idempotency_key,
            "actor": None if asked is None else asked.actor,
            "why": None if asked is None else asked.reason,
        }


@dataclass(frozen=True)
class Canceled:
    """What became of a cancel.

    Attributes:
        order: The order as it stands.
        asked_by: Who has asked for it first; empty where the order had ended before anybody did.
        note: Why it may still be open; empty where it has ended.
    """

    order: KnownOrder
    asked_by: str
    note: str


def orders_of(
    desk: Desk,
    portfolio: str | None = None,
    *,
    session: date | None = None,
    by_hand: bool = False,
    most: int = MOST,
) -> list[KnownOrder]:
    """Orders of the ledger, the newest session first; `by_hand` leaves out those of weights."""
    if portfolio is not None:
        desk.portfolio(portfolio)
    if not desk.has_ledger:
        return []
    chosen = sa.select(orders.c.client_order_id).order_by(
        orders.c.session.desc(), orders.c.batch_id.desc(), orders.c.position
    )
    if portfolio is not None:
        chosen = chosen.where(orders.c.portfolio == portfolio)
    if session is not None:
        chosen = chosen.where(orders.c.session == session)
    if by_hand:
        chosen = chosen.where(orders.c.batch_id.in_(sa.select(manual_orders.c.batch_id)))
    with desk.ledger.read() as connection:
        names = list(connection.execute(chosen.limit(most)).scalars())
        return _known(connection, names)


def order_named(desk: Desk, name: str) -> KnownOrder:
    """The order with this client order id, or this id at the broker.

    Raises:
        InputError: the ledger has none, or several.
    """
    found: list[KnownOrder] = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            either = sa.or_(orders.c.client_order_id == name, orders.c.broker_order_id == name)
            found = _known(
                connection, list(connection.execute(sa.select(orders.c.client_order_id).where(either)).scalars())
            )
    if len(found) != 1:
        ids = ", ".join(item.intent.client_order_id for item in found)
        raise InputError(
            f"{len(found)} orders of the ledger are called '{name}': {ids}."
            if found
            else f"There is no order '{name}'.",
            remedy="Give its client order id, as scizor order list shows it.",
            where=name,
        )
    return found[0]


def fills_of_order(desk: Desk, known: KnownOrder) -> list[dict[str, str]]:
    """Its recorded fills, oldest first, as text."""
    row = known.intent
    with desk.ledger.read() as connection:
        fills = fills_for_orders(connection, row.account, [row.client_order_id]).get(row.client_order_id, [])
    return [
        {"fill": fill.fill_id, "at": fill.executed_at.isoformat(), "qty": f"{fill.qty:f}", "price": f"{fill.price:f}",
         "fee": f"{fill.fee:f}"}
        for fill in fills
    ]  # fmt: skip


def cancel_order(desk: Desk, name: str, *, actor: str, reason: str) -> Canceled:
    """Have one order of ours canceled, whoever has caused it; asked again, it is the same cancel.

    What was not sent yet never is. While another run has the account, that one cancels it when it looks next.

    Raises:
        InputError: there is no such order, or no reason.
    """
    if not reason.strip():
        raise InputError("The reason is empty.", remedy="Say why: --reason TEXT.", where="reason")
    known = order_named(desk, name)
    if known.intent.state.terminal:
        return Canceled(known, "", "")
    with orders_logged(desk, known.intent.account):
        with desk.ledger.transaction() as connection:
            asked, _ = ask_cancel(connection, known.intent, actor=actor, reason=reason.strip(), now=desk.clock())
        report = cancel_open_orders(desk, known.intent.account)
    known = order_named(desk, known.intent.client_order_id)
    left = next((row.why for row in report.left if row.client_order_id == known.intent.client_order_id), report.note)
    return Canceled(known, asked.actor, "" if known.intent.state.terminal else left)


def _known(connection: sa.Connection, names: Sequence[str]) -> list[KnownOrder]:
    rows = intents_by_id(connection, names)
    asked = batches_by_hand(connection, [row.batch_id for row in rows.values()])
    return [KnownOrder(rows[name], asked.get(rows[name].batch_id)) for name in names]
