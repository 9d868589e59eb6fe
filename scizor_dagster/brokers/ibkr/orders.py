"""From the library's trades and executions to orders and fills of ours.

What belongs here: statuses, references, corrections. What does not: asking for them (`reads`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.ibkr.contracts import to_ours
from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder, OrderStatus, Side
from scizor_dagster.sessions import TradingCalendar

ZERO = Decimal(0)
LEGS = (".tp", ".sl")
"""Ends of the references of a bracket's take-profit and stop-loss."""
FOREIGN = "foreign-"
_UNSET = 1e300
_ENDS = {
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELED,
    "ApiCancelled": OrderStatus.CANCELED,
    "Inactive": OrderStatus.REJECTED,
}
_LIMITED = frozenset({"LMT", "LOC"})
_OPEN = frozenset(
    # The last one is the library's own word, after a message about an order that may be alive.
    {"PendingSubmit", "ApiPending", "PreSubmitted", "Submitted", "PendingCancel", "ApiUpdate", "ValidationError"}
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An order with the broker's own addresses of it."""

    order: BrokerOrder
    client_id: int
    order_id: int
    perm_id: int
    session: date
    trade: Any = None


@dataclass(frozen=True, slots=True)
class Filled:
    """What the executions say of one order, as they stand; `average` is None where all were taken back."""

    qty: Decimal
    average: Decimal | None
    first: datetime
    last: datetime
    session: date
    is_restated: bool


def exact(value: float) -> Decimal:
    """A number of the library as it was written: its shortest text."""
    return Decimal(repr(float(value))).normalize() + 0


def name_of(fill: Any) -> tuple[str, int]:
    """What an execution is called, and the number of its correction: the last part of its id, which alone changes."""
    base, _, number = str(fill.execution.execId).rpartition(".")
    return base, int(number or 0)


def newest(executions: Iterable[Any]) -> list[Any]:
    """Of every execution its last correction; one that was taken back is for no shares."""
    found: dict[str, Any] = {}
    for fill in executions:
        base, number = name_of(fill)
        if base not in found or number > name_of(found[base])[1]:
            found[base] = fill
    return [*found.values()]


def by_order(executions: Sequence[Any], calendar: TradingCalendar) -> dict[int, Filled]:
    """Quantity, price and session by permanent id."""
    groups: dict[int, list[Any]] = {}
    for fill in executions:
        groups.setdefault(fill.execution.permId, []).append(fill)
    return {perm_id: _filled(rows, calendar) for perm_id, rows in groups.items()}


def broker_fills(
    executions: Sequence[Any], commissions: Mapping[str, Any], calendar: TradingCalendar
) -> list[BrokerFill]:
    """Fills in the order in which they happened; the id is the execution's without its correction.

    One that was taken back costs what its own commission report says, and nothing where it has none.
    """
    rows = [
        BrokerFill(
            fill_id=name_of(fill)[0],
            client_order_id=reference(fill.execution.orderRef, fill.execution.permId),
            symbol=to_ours(fill.contract.symbol),
            side=Side.BUY if fill.execution.side == "BOT" else Side.SELL,
            qty=exact(fill.execution.shares),
            price=exact(fill.execution.price),
            fee=_fee(fill, commissions),
            session=session_of(fill.execution.time, calendar),
            executed_at=fill.execution.time,
            revision=name_of(fill)[1],
        )
        for fill in newest(executions)
    ]
    return sorted(rows, key=lambda row: (row.executed_at, row.fill_id))


def seen_open(trade: Any, filled: Filled | None, calendar: TradingCalendar, now: datetime) -> Seen:
    """An order out of the answer of open orders: that it is there says that it may still fill.

    A status of an end that the library has made of an error code is no such end.
    """
    status = trade.orderStatus.status
    done = exact(trade.orderStatus.filled)
    qty = exact(trade.order.totalQuantity)
    if filled is not None:
        # What an order says that it has filled is not restated with its executions.
        done = filled.qty if filled.is_restated else max(done, filled.qty)
    refused = status == "Inactive" and not trade.orderStatus.whyHeld
    ended = _ENDS[status] if status == "Filled" or refused else None
    if done and done >= qty:
        ended = OrderStatus.FILLED
    word = ended or (OrderStatus.PARTIALLY_FILLED if done else OrderStatus.ACCEPTED)
    if ended is None and status not in _OPEN and status not in _ENDS:
        word = OrderStatus.UNKNOWN
    session = filled.session if filled else calendar.current_session(now)
    return _seen(trade, qty, done, word, filled, session, now)


def seen_completed(trade: Any, filled: Filled | None, calendar: TradingCalendar, now: datetime) -> Seen:
    """An order out of the answer of completed orders, which are those of the current day."""
    order = trade.order
    done = _number(getattr(order, "filledQuantity", None)) or (filled.qty if filled else ZERO)
    if filled is not None and filled.is_restated:
        done = filled.qty
    status = _ENDS.get(trade.orderStatus.status, OrderStatus.CANCELED)
    qty = done if status is OrderStatus.FILLED else exact(order.totalQuantity)
    today = now.astimezone(calendar.timezone).date()
    session = filled.session if filled else calendar.session_on_or_after(today)
    return _seen(trade, qty, done, status, filled, session, now)


def seen_in_executions(executions: Sequence[Any], calendar: TradingCalendar) -> list[Seen]:
    """Orders that only their executions tell of: what was bought or sold is all that is known of them."""
    totals = by_order(executions, calendar)
    first = {fill.execution.permId: fill for fill in reversed(newest(executions))}
    rows = []
    for perm_id, filled in totals.items():
        fill = first[perm_id]
        execution = fill.execution
        order = BrokerOrder(
            broker_order_id=str(perm_id),
            client_order_id=reference(execution.orderRef, perm_id),
            symbol=to_ours(fill.contract.symbol),
            side=Side.BUY if execution.side == "BOT" else Side.SELL,
            qty=filled.qty,
            filled_qty=filled.qty,
            average_price=filled.average,
            status=OrderStatus.FILLED,
            submitted_at=filled.first,
            updated_at=filled.last,
            parent_client_order_id=parent_of(execution.orderRef),
            raw={"source": "executions", "permId": perm_id, "clientId": execution.clientId},
        )
        rows.append(Seen(order, execution.clientId, execution.orderId, perm_id, filled.session))
    return rows


def reference(text: str, perm_id: int) -> str:
    """The client order id that an order carries; an order without one is foreign."""
    return text or f"{FOREIGN}{perm_id}"


def parent_of(text: str) -> str | None:
    """The bracket that a leg belongs to, which its reference says."""
    return text[: -len(LEGS[0])] if text.endswith(LEGS) else None


def session_of(at: datetime, calendar: TradingCalendar) -> date:
    """The session of an execution: that of its day in exchange time."""
    return calendar.session_on_or_before(at.astimezone(calendar.timezone).date())


def _fee(fill: Any, commissions: Mapping[str, Any]) -> Decimal:
    report = commissions.get(fill.execution.execId)
    assert report is not None or not fill.execution.shares, fill.execution.execId
    return exact(report.commission) if report is not None else ZERO


def _filled(executions: list[Any], calendar: TradingCalendar) -> Filled:
    rows = newest(executions)
    qty = sum((exact(fill.execution.shares) for fill in rows), ZERO)
    value = sum((exact(fill.execution.shares) * exact(fill.execution.price) for fill in rows), ZERO)
    restated = any(name_of(fill)[1] > 1 for fill in rows)
    times = sorted(fill.execution.time for fill in rows)
    return Filled(qty, value / qty if qty else None, times[0], times[-1], session_of(times[-1], calendar), restated)


def _seen(
    trade: Any,
    qty: Decimal,
    done: Decimal,
    status: OrderStatus,
    filled: Filled | None,
    session: date,
    now: datetime,
) -> Seen:
    order, state = trade.order, trade.orderStatus
    average = filled.average if filled else _number(state.avgFillPrice) if done else None
    mapped = BrokerOrder(
        broker_order_id=str(order.permId),
        client_order_id=reference(order.orderRef, order.permId),
        symbol=to_ours(trade.contract.symbol),
        side=Side(order.action.lower()),
        qty=qty,
        filled_qty=done,
        average_price=average,
        status=status,
        submitted_at=filled.first if filled else now,
        updated_at=filled.last if filled else now,
        reason=_reason(trade, status),
        parent_client_order_id=parent_of(order.orderRef),
        raw=raw_of(trade),
    )
    return Seen(mapped, order.clientId, order.orderId, order.permId, session, trade)


def raw_of(trade: Any) -> dict[str, Any]:
    """What the broker said, in its own words, and the limit that stands there by the name that every adapter has."""
    order, state = trade.order, trade.orderStatus
    limit = _number(order.lmtPrice)
    return {
        "status": state.status,
        "whyHeld": state.whyHeld,
        "permId": order.permId,
        "clientId": order.clientId,
        "orderId": order.orderId,
        "orderType": order.orderType,
        "tif": order.tif,
        "lmtPrice": str(order.lmtPrice),
        **({"limit_price": str(limit)} if limit is not None and order.orderType in _LIMITED else {}),
        "auxPrice": str(order.auxPrice),
    }


def _reason(trade: Any, status: OrderStatus) -> str:
    if status in (OrderStatus.REJECTED, OrderStatus.CANCELED):
        texts = [entry.message for entry in trade.log if entry.message]
        return str(texts[-1] if texts else trade.orderStatus.status)
    word = str(trade.orderStatus.status)
    if word not in _OPEN and word not in _ENDS:
        return f"IBKR's status '{word}' is not known here"
    return str(trade.orderStatus.whyHeld)


def _number(value: Any) -> Decimal | None:
    if value is None or not 0 < float(value) < _UNSET:
        return None
    return exact(value)
