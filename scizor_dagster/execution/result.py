"""What an execution came to, as the ledger holds it.

What belongs here: the value objects and the read that fills them. What does not: whether it is what
the plan meant (`reconciliation`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderType, Side
from scizor_dagster.ledger.rows import (
    FillRow,
    IntentRow,
    batches_of,
    fills_for_orders,
    intents_of,
    release_of,
)
from scizor_dagster.ledger.states import BatchState, IntentState

ZERO = Decimal(0)
_BY_URGENCY = (BatchState.WORKING, BatchState.FROZEN, BatchState.DONE, BatchState.NOTHING_TO_DO)
"""Of the batches of a session together: what can still move comes first."""


class ExecutionState(StrEnum):
    NO_PLAN = "no_plan"
    """No plan of the session was admitted."""
    AWAITING_APPROVAL = "awaiting_approval"
    """The session's plan is stored, and waits for a person; nothing of it was admitted."""
    NOTHING_TO_DO = "nothing_to_do"
    WORKING = "working"
    """Orders rest or wait, of this session or of an earlier one that must end first."""
    DONE = "done"
    FROZEN = "frozen"
    """The outcome of an order is unknown; the notes name it."""


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order of the session. `average_price` is over its recorded fills, None without any."""

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    leg: int
    slice: int
    phase: int
    price_used: Decimal
    planned_qty: Decimal
    final_qty: Decimal | None
    filled_qty: Decimal
    average_price: Decimal | None
    fees: Decimal
    state: IntentState
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The named end of one execution.

    Attributes:
        counts: Number of orders by the state they are in.
        factor: Factor of the release; None where nothing has been released.
        skipped: Earlier sessions that had a plan and were never executed.
        notes: Sentences for a person.
        permitted: Under whose arming and approval the latest batch was admitted; empty where it needed none.
    """

    state: ExecutionState
    account: str
    portfolio: str
    session: date
    batch_id: str | None
    plan_id: str | None
    counts: Mapping[str, int]
    factor: Decimal | None
    orders: tuple[OrderRow, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[date, ...] = ()
    permitted: tuple[str, ...] = ()


def result_of(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    *,
    notes: Sequence[str] = (),
    skipped: Sequence[date] = (),
    waiting_for: BatchState | None = None,
) -> ExecutionResult:
    """The session's result: its latest rebalance, and the orders and the state of all its batches.

    `waiting_for` is the state of an earlier session's batch that had to end first and did not.
    """
    batches = batches_of(connection, account, portfolio, session)
    rows = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
    fills = fills_for_orders(connection, account, [row.client_order_id for row in rows])
    latest = next((batch for batch in reversed(batches) if not batch.by_hand), batches[-1] if batches else None)
    states = {batch.state for batch in batches}
    state = next((ExecutionState(found.value) for found in _BY_URGENCY if found in states), ExecutionState.NO_PLAN)
    if waiting_for is not None:
        state = ExecutionState(waiting_for.value)
    release = release_of(connection, latest.batch_id) if latest else None
    return ExecutionResult(
        state=state,
        account=account,
        portfolio=portfolio,
        session=session,
        batch_id=latest.batch_id if latest else None,
        plan_id=latest.plan_id if latest else None,
        counts=dict(sorted(Counter(row.state.value for row in rows).items())),
        factor=release.factor if release else None,
        orders=tuple(_order_row(row, fills.get(row.client_order_id, [])) for row in rows),
        notes=tuple(notes),
        skipped=tuple(skipped),
        permitted=latest.permitted if latest else (),
    )


def _order_row(row: IntentRow, fills: Sequence[FillRow]) -> OrderRow:
    filled = sum((fill.qty for fill in fills), ZERO)
    value = sum((fill.qty * fill.price for fill in fills), ZERO)
    return OrderRow(
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        side=row.side,
        order_type=row.order_type,
        leg=row.leg,
        slice=row.slice,
        phase=row.phase,
        price_used=row.price_used,
        planned_qty=row.planned_qty,
        final_qty=row.final_qty,
        filled_qty=filled,
        average_price=value / filled if filled else None,
        fees=sum((fill.fee for fill in fills), ZERO),
        state=row.state,
        reason=row.reason,
    )
