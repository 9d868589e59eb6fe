"""What a broker's reads prove about an intent.

What belongs here: pure functions from orders and fills to the state that follows. What does not:
reading the broker and writing the ledger (`tracking`, `recovery`, `submission`).

An end is believed only when the executions agree with it: an order that the broker calls filled,
canceled or expired keeps its open state until the recorded fills add up to its filled quantity.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import BrokerOrder, OrderStatus
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import IntentState

_ENDS = {
    OrderStatus.CANCELED: IntentState.CANCELED,
    OrderStatus.EXPIRED: IntentState.EXPIRED,
    OrderStatus.REJECTED: IntentState.REJECTED,
}


def state_from(intent: IntentRow, order: BrokerOrder | None, filled: Decimal) -> IntentState | None:
    """The state that the evidence shows, or None where it shows nothing.

    `order` is the broker's own view, if it gave one; `filled` is the sum of the recorded fills.
    """
    if filled > 0 and filled >= intent.qty and not outgrown(intent, order):
        return IntentState.FILLED
    if order is not None and order.status is OrderStatus.UNKNOWN:
        return IntentState.UNKNOWN
    if order is not None and order.status in _ENDS and order.filled_qty == filled:
        return _ENDS[order.status]
    if filled > 0:
        return IntentState.PARTIALLY_FILLED
    return None if order is None else IntentState.WORKING


def ended_short(order: BrokerOrder | None, intent: IntentRow, filled: Decimal) -> bool:
    """Whether the broker calls the order filled, and it and its executions both say that it is not.

    That is what is left of an order whose executions were taken back or corrected to less.
    """
    return (
        order is not None and order.status is OrderStatus.FILLED and order.filled_qty == filled and filled < intent.qty
    )


def is_resized(intent: IntentRow, order: BrokerOrder) -> bool:
    """Whether it is our own order, as the broker has acknowledged it, and for another quantity now.

    Somebody has changed it there: what Scizor sends it never changes.
    """
    same = intent.broker_order_id is not None and intent.broker_order_id == order.broker_order_id
    known = (intent.client_order_id, intent.symbol, intent.side)
    return same and known == (order.client_order_id, order.symbol, order.side) and intent.qty != order.qty


def changed_terms(intent: IntentRow, order: BrokerOrder) -> str:
    """What stands of our own order at the broker otherwise than it was sent: its quantity, its limit; else nothing."""
    if intent.broker_order_id is None or intent.broker_order_id != order.broker_order_id:
        return ""
    stated = order.raw.get("limit_price")
    found = [f"quantity {order.qty.normalize():f}"] if is_resized(intent, order) else []
    if stated is not None and Decimal(str(stated)) != intent.limit_price:
        found.append(f"limit {stated}")
    return ", ".join(found)


def outgrown(intent: IntentRow, order: BrokerOrder | None) -> bool:
    """Whether the order was made larger at the broker and is open still: it can fill more than was meant."""
    if order is None or order.status.terminal:
        return False
    return order.qty > intent.qty and order.filled_qty < order.qty


def is_back(order: BrokerOrder, intent: IntentRow) -> bool:
    """Whether the broker shows an order that has ended here at work again, or filled with more than is recorded."""
    if not intent.state.terminal:
        return False
    if intent.state is IntentState.FILLED:
        return outgrown(intent, order)
    return not order.status.terminal or (order.status is OrderStatus.FILLED and order.filled_qty > intent.filled_qty)


def after_reversal(order: BrokerOrder | None, filled: Decimal) -> IntentState:
    """What becomes of an order that was filled, and is not any more: ended, unless the broker shows it open."""
    if order is None or order.status.terminal:
        return IntentState.CANCELED
    return IntentState.PARTIALLY_FILLED if filled > 0 else IntentState.WORKING


def mismatch(
    intent: IntentRow, order: BrokerOrder, *, but_quantity: bool = False, but_symbol: bool = False
) -> str | None:
    """What the broker's order has otherwise than the intent; None when they are the same order."""
    for name, ours, theirs in (
        ("id", intent.client_order_id, order.client_order_id),
        ("symbol", intent.symbol, order.symbol),
        ("side", intent.side, order.side),
        ("quantity", intent.final_qty, order.qty),
    ):
        less_is_fine = order.shows_no_more_than_filled and order.qty < intent.qty
        if (name == "quantity" and (but_quantity or less_is_fine)) or (name == "symbol" and but_symbol):
            continue
        if ours != theirs:
            return f"the broker's order {order.client_order_id} has {name} {theirs}, not {ours}"
    return None


def seen(order: BrokerOrder) -> dict[str, Any]:
    """The broker's reply as an event keeps it."""
    return {
        "broker_order_id": order.broker_order_id,
        "status": order.status,
        "filled": order.filled_qty,
        "message": order.reason,
        "raw": {str(key): str(value) for key, value in order.raw.items()},
    }


def reason_of(order: BrokerOrder | None, intent: IntentRow, state: IntentState) -> str:
    """The sentence beside the state: the broker's where it gave one, for an end that needs one."""
    if order is not None and state.terminal and is_resized(intent, order):
        said = f" ({order.reason})" if order.reason else ""
        done, meant, now = (f"{qty.normalize():f}" for qty in (order.filled_qty, intent.qty, order.qty))
        return f"{done} filled where {meant} was meant: its quantity was changed to {now} at the broker{said}"
    if order is not None and order.reason:
        return order.reason
    return f"{state} by the broker" if state in _ENDS.values() else intent.reason


def frozen(intent: IntentRow, reason: str) -> str:
    """What a person is told of an order that nobody knows the outcome of."""
    return (
        f"{intent.symbol} is frozen: order {intent.client_order_id} is unknown ({reason}). Look for that id at the "
        f"broker; every run does so too: scizor run --portfolio {intent.portfolio} --date {intent.session}."
    )
