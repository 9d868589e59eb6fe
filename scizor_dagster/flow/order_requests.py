"""A request for an order by hand, and what it has become: the two values that commands and services speak in.

What belongs here: their fields, and their plain forms. What does not: placing (`manual_orders`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import OrderRow
from scizor_dagster.planning.inputs import OrderMode
from scizor_dagster.planning.model import PlanLine, PlannedOrder
from scizor_dagster.planning.quantities import plain
from scizor_dagster.risk.pre_trade import Verdict


@dataclass(frozen=True)
class OrderAsked:
    """A request, as a person makes it.

    Attributes:
        instrument: Ticker of the portfolio's market, or `TICKER.MIC`.
        side, quantity, notional, target, mode, limit_price: As in `planning.inputs.ManualInstruction`.
        session: The session to trade in; None for today's at the exchange.
    """

    portfolio: str
    instrument: str
    side: Side | None = None
    quantity: Decimal | None = None
    notional: Decimal | None = None
    target: Decimal | None = None
    mode: OrderMode | None = None
    limit_price: Decimal | None = None
    session: date | None = None

    def text(self, symbol: str, actor: str, reason: str) -> str:
        """Canonical JSON of the request: what makes two of them the same."""
        values = {
            "portfolio": self.portfolio,
            "symbol": symbol,
            "side": self.side,
            "quantity": self.quantity,
            "notional": self.notional,
            "target": self.target,
            "order_type": self.mode,
            "limit_price": self.limit_price,
            "session": self.session,
            "actor": actor,
            "reason": reason,
        }
        given = {name: value for name, value in values.items() if value is not None}
        told = {name: plain(value) if isinstance(value, Decimal) else str(value) for name, value in given.items()}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class PlacedOrder:
    """What a request has become, or would become.

    Attributes:
        batch_id: The batch that it was admitted as; None after a dry run.
        policy: Whether the next rebalance keeps or absorbs what it brings.
        line: The line of its plan; None where the lake does not hold the plan any more.
        orders: As the ledger has them; none after a dry run.
        planned: After a dry run the orders that it would be.
        verdicts: What the choke point says of each of these now.
        notes: Sentences of the plan and of the run.
        created: Whether this very call has admitted it.
    """

    key: str
    portfolio: str
    account: str
    session: date
    plan_id: str
    batch_id: str | None
    actor: str
    reason: str
    policy: str
    line: PlanLine | None
    orders: tuple[OrderRow, ...] = ()
    planned: tuple[PlannedOrder, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    created: bool = False

    @property
    def state(self) -> str:
        """`planned`, or the states of its orders."""
        states = dict.fromkeys(order.state.value for order in self.orders)
        return ", ".join(states) or "planned"

    def to_json(self) -> dict[str, Any]:
        """Plain values; quantities and prices are exact text."""
        return {
            "idempotency_key": self.key,
            "portfolio": self.portfolio,
            "account": self.account,
            "session": self.session.isoformat(),
            "plan_id": self.plan_id,
            "batch_id": self.batch_id,
            "state": self.state,
            "created": self.created,
            "actor": self.actor,
            "reason": self.reason,
            "next_rebalance": self.policy,
            "line": None if self.line is None else _line_values(self.line),
            "orders": [_order_values(row) for row in self.orders],
            "verdicts": [{"decision": item.decision.value, "sentence": item.sentence} for item in self.verdicts],
            "notes": list(self.notes),
        }


def _line_values(line: PlanLine) -> dict[str, Any]:
    return {
        "symbol": line.symbol,
        "current_qty": plain(line.current_qty),
        "delta_qty": plain(line.delta_qty),
        "price": None if line.price is None else plain(line.price),
        "reason": line.reason.value,
        "note": line.note,
    }


def _order_values(row: OrderRow) -> dict[str, Any]:
    return {
        "client_order_id": row.client_order_id,
        "side": row.side.value,
        "qty": plain(row.planned_qty),
        "filled_qty": plain(row.filled_qty),
        "state": row.state.value,
        "reason": row.reason,
    }
