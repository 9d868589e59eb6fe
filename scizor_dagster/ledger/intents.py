"""The one way to change an intent: a checked transition, with its event, in one transaction.

What belongs here: transitions, the parameter hash, and the fields that are written once. What does
not: when a transition is due (`execution`), and how a batch comes to be (`batches`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderRequest, Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import updated
from scizor_dagster.ledger.rows import IntentRow, intents_by_id, intents_in
from scizor_dagster.ledger.states import AT_BROKER, IntentState, check_transition
from scizor_dagster.ledger.tables import events as history
from scizor_dagster.ledger.tables import orders

_MAY_CHANGE = frozenset({"final_qty", "parameter_hash", "cleared_hash", "broker_order_id", "filled_qty"})
RETURNED = "returned"
"""Mark in the event of an order that had ended and is at work again, or filled: the state in which it had ended."""
CHANGED = "changed_at_broker"
"""Mark in the event of an order that ended with other terms at the broker than it was sent with: those terms."""
_WRITTEN_ONCE = ("final_qty", "parameter_hash")
_CHUNK = 500
_AT_BROKER_ON = (
    sa.select(orders.c.client_order_id)
    .where(
        orders.c.account == sa.bindparam("account"),
        orders.c.state.in_([state.value for state in AT_BROKER]),
        orders.c.symbol == sa.bindparam("symbol"),
        orders.c.side == sa.bindparam("side"),
    )
    .limit(1)
)
_MARKED = (
    sa.select(history.c.client_order_id, history.c.payload)
    .where(
        history.c.client_order_id.in_(sa.bindparam("names", expanding=True)),
        history.c.payload.contains(sa.bindparam("mark")),
    )
    .order_by(history.c.seq)
)

_REPLIES = ("reply", "found", "seen")
"""Names in an event of what the broker had shown of the order."""
_MOVES = (
    sa.select(history.c.client_order_id, history.c.payload)
    .where(
        history.c.client_order_id.in_(sa.bindparam("names", expanding=True)),
        history.c.kind.in_([f"intent_{state.value}" for state in IntentState]),
    )
    .order_by(history.c.seq)
)


def request_of(intent: IntentRow) -> OrderRequest:
    """The order as it goes out.

    Raises:
        LedgerError: its quantity is not final yet.
    """
    if intent.final_qty is None:
        raise LedgerError(
            f"Order {intent.client_order_id} has no final quantity.",
            remedy="It waits for its batch's release.",
        )
    return OrderRequest(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        qty=intent.final_qty,
        order_type=intent.order_type,
        time_in_force=intent.time_in_force,
        session=intent.session,
        intent=intent.intent,
        limit_price=intent.limit_price,
        take_profit=intent.take_profit,
        stop_loss=intent.stop_loss,
    )


def parameter_hash(account: str, portfolio: str, order: OrderRequest) -> str:
    """SHA-256 over everything that is sent, and for whom; hexadecimal."""
    values: list[Any] = [
        account,
        portfolio,
        order.client_order_id,
        order.symbol,
        order.side,
        _text(order.qty),
        order.order_type,
        order.time_in_force,
        order.session.isoformat(),
        order.intent,
        _text(order.limit_price),
        _text(order.take_profit),
        _text(order.stop_loss),
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def load(connection: sa.Connection, client_order_id: str) -> IntentRow:
    """The intent as it stands.

    Raises:
        LedgerError: there is none.
    """
    found = intents_by_id(connection, [client_order_id])
    if client_order_id not in found:
        raise LedgerError(f"Order {client_order_id} is not in the ledger.", remedy="Look at the plan that made it.")
    return found[client_order_id]


def frozen_symbols(connection: sa.Connection, account: str, *, without: str | None = None) -> dict[str, str]:
    """Symbols with an order of unknown outcome, in any portfolio of the account, and which order it is.

    `without` is the id of an order that does not count.
    """
    unknown = intents_in(connection, account, [IntentState.UNKNOWN, IntentState.SENDING])
    return {
        intent.symbol: f"order {intent.client_order_id} is {intent.state}"
        for intent in unknown
        if intent.client_order_id != without
    }


def opposite_order(connection: sa.Connection, account: str, symbol: str, side: Side) -> str | None:
    """Id of an order of any portfolio that is, or may be, at the broker on the other side of `symbol`; None if none."""
    return connection.execute(
        _AT_BROKER_ON, {"account": account, "symbol": symbol, "side": side.opposite.value}
    ).scalar()


def marked(connection: sa.Connection, client_order_ids: Sequence[str], mark: str) -> dict[str, str]:
    """The orders whose events have the mark, `RETURNED` or `CHANGED`, by id, with what the last such event says."""
    found: dict[str, str] = {}
    for start in range(0, len(client_order_ids), _CHUNK):
        names = client_order_ids[start : start + _CHUNK]
        for name, payload in connection.execute(_MARKED, {"names": names, "mark": mark}):
            if (said := json.loads(payload).get(mark)) is not None:
                found[name] = said
    return found


def last_replies(connection: sa.Connection, client_order_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What the broker had shown of each order when it was moved last, by id; absent where no look has moved it."""
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(client_order_ids), _CHUNK):
        names = client_order_ids[start : start + _CHUNK]
        for name, text in connection.execute(_MOVES, {"names": names}):
            payload = json.loads(text)
            said = next((payload[word] for word in _REPLIES if word in payload), None)
            found.pop(name, None)
            if said is not None:
                found[name] = said
    return found


def move(
    connection: sa.Connection,
    intent: IntentRow,
    to: IntentState,
    *,
    now: datetime,
    reason: str | None = None,
    detail: Mapping[str, Any] | None = None,
    **changes: Any,
) -> IntentRow:
    """Take `intent` to state `to`, append the event, and return the row as it is afterwards.

    `reason` is a sentence that replaces the row's own; `detail` goes into the event beside it, such as
    the broker's raw reply; `changes` are new values of the columns that may change.

    Raises:
        LedgerError: the transition is not allowed, a field that is written once has a value, or
            the row is no longer as the caller read it.
    """
    check_transition(intent.client_order_id, intent.state, to)
    assert set(changes) <= _MAY_CHANGE, changes
    for name in _WRITTEN_ONCE:
        if name in changes and getattr(intent, name) is not None:
            raise LedgerError(
                f"Order {intent.client_order_id} already has its {name}.",
                remedy="Nothing was changed: a release is written once and never recomputed.",
            )
    values: dict[str, Any] = {**changes, "state": to.value, "updated_at": now}
    if reason is not None:
        values["reason"] = reason
    payload = {"from": intent.state, "to": to, "reason": reason, **changes, **(detail or {})}
    key = {"client_order_id": intent.client_order_id}
    change = updated(orders, key, values, expected={"state": intent.state.value})
    events.append(connection, now, intent.account, f"intent_{to.value}", payload, intent.client_order_id, [change])
    kept = intent.reason if reason is None else reason
    return replace(intent, state=to, reason=kept, updated_at=now, **changes)


def fix_quantity(intent: IntentRow, final_qty: Decimal) -> dict[str, Any]:
    """The two fields that make `intent` sendable: its final quantity and its parameter hash."""
    assert final_qty > 0, final_qty
    request = request_of(replace(intent, final_qty=final_qty))
    return {
        "final_qty": final_qty,
        "parameter_hash": parameter_hash(intent.account, intent.portfolio, request),
    }


def mark_sending(connection: sa.Connection, intent: IntentRow, *, now: datetime, resend: bool = False) -> IntentRow:
    """The last commit before a send.

    Raises:
        LedgerError: no passed verdict is committed for exactly these parameters, or they do not
            match their hash.
    """
    current = load(connection, intent.client_order_id)
    expected = parameter_hash(current.account, current.portfolio, request_of(current))
    if current.parameter_hash != expected or current.cleared_hash != expected:
        raise LedgerError(
            f"Order {current.client_order_id} has no committed pre-trade verdict for what would be sent.",
            remedy="Nothing was sent. Run again; if it repeats, verify the ledger.",
        )
    origin = IntentState.UNKNOWN if resend else IntentState.READY
    if current.state is not origin:
        raise LedgerError(
            f"Order {current.client_order_id} is '{current.state}', not '{origin}'.",
            remedy="Nothing was sent.",
        )
    return move(connection, current, IntentState.SENDING, now=now, detail={"resend": resend})


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value.normalize(), "f")
