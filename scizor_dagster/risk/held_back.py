"""Orders that were meant and never went out, because something kept them waiting: a halt, a lock, a jump of equity.

What belongs here: finding them in the ledger. What does not: what makes an order wait (`checks`), and orders that a
limit has stopped or the broker has refused, which have states of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.ledger.rows import IntentRow, batches_of, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk.context import Decision
from scizor_dagster.risk.events import risk_events_of

_LOST = (IntentState.EXPIRED, IntentState.DROPPED)
_UNSENT = (IntentState.HELD, IntentState.READY)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One order that did not go out.

    Attributes:
        qty: Unsigned shares, as planned.
        lost: Whether it ended with its session; else it still waits.
        why: What it waited for.
    """

    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    lost: bool
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.side} {self.qty.normalize():f} {self.symbol}: {self.why}"


def held_back(connection: sa.Connection, account: str, portfolio: str, session: date) -> list[HeldBack]:
    """The session's orders that wait, or have waited to their end, in plan order.

    Where a sale was held back, the orders that ended because its cash or its leg was missing are named too.
    """
    waits = {
        event.client_order_id: event
        for event in risk_events_of(connection, account, session, portfolio=portfolio)
        if event.verdict == Decision.WAIT and event.client_order_id is not None
    }
    if not waits:
        return []
    found: list[HeldBack] = []
    for batch in batches_of(connection, account, portfolio, session):
        rows = [row for row in intents_of(connection, batch.batch_id) if _never_went_out(row)]
        sale = next((row for row in rows if row.client_order_id in waits and row.phase == 1), None)
        for row in rows:
            event = waits.get(row.client_order_id)
            if event is not None:
                found.append(_held_back(row, f"{event.limit}: {event.value}"))
            elif sale is not None and row.state in _LOST:
                found.append(_held_back(row, f"{row.reason}; {sale.side} {sale.symbol} before it was held back"))
    return found


def _never_went_out(row: IntentRow) -> bool:
    return row.state in (*_LOST, *_UNSENT) and row.broker_order_id is None and row.filled_qty == 0


def _held_back(row: IntentRow, why: str) -> HeldBack:
    return HeldBack(row.client_order_id, row.symbol, row.side, row.planned_qty, row.state in _LOST, why)
