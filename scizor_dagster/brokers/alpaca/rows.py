"""From the API's JSON to the broker's words, and an order to the API's JSON.

What belongs here: fields, exact numbers, states, and what cannot be read. What does not: which rows
are asked for (`history`), and what is done with them.

A row is taken whole or refused: a field that is missing or unreadable never becomes a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from scizor_dagster.brokers.protocol import (
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from scizor_dagster.sessions import TradingCalendar

T = TypeVar("T")
Row = Mapping[str, Any]
_ENDED = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    "replaced": OrderStatus.CANCELED,
}
_OPEN = frozenset(
    {
        "new",
        "accepted",
        "pending_new",
        "accepted_for_bidding",
        "partially_filled",
        "held",
        "done_for_day",
        "pending_cancel",
        "pending_replace",
        "pending_review",
        "stopped",
        "suspended",
        "calculated",
    }
)
"""States in which an order may still fill, or end otherwise than it looks."""
_EXECUTED = frozenset({"fill", "partial_fill"})
_RESTATED = frozenset({"trade_correct", "trade_bust"})
"""Types of a FILL activity: an execution, and what takes the place of one."""


class Unreadable(Exception):
    """A row that is not what the API promises; the message names the field and its value."""


def order(row: Row, parent: str | None = None, *, strict: bool = False) -> BrokerOrder:
    """An order. One in a state that is not known is `UNKNOWN`, and says so; `strict` refuses it.

    Raises:
        Unreadable: a field is missing or is not what it should be.
    """
    word = text(row, "status")
    filled = decimal(row, "filled_qty")
    status = _ENDED.get(word)
    reason = f"replaced by {row.get('replaced_by')}" if word == "replaced" else ""
    if status is None:
        if word not in _OPEN:
            if strict:
                raise Unreadable(f"status '{word}' of order {row.get('client_order_id')} is not known")
            reason = f"its status at the broker is '{word}', which is not known"
            status = OrderStatus.UNKNOWN
        else:
            status = OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED
    elif status is OrderStatus.REJECTED:
        reason = "rejected by the broker after it was taken"
    return BrokerOrder(
        broker_order_id=text(row, "id"),
        client_order_id=text(row, "client_order_id"),
        symbol=text(row, "symbol"),
        side=_side(row),
        # An order by value has no quantity before it has filled: what it has filled is what it is.
        qty=decimal(row, "qty") if row.get("qty") is not None else filled,
        filled_qty=filled,
        average_price=decimal(row, "filled_avg_price") if row.get("filled_avg_price") is not None else None,
        status=status,
        submitted_at=submitted_at(row),
        updated_at=instant(row, "updated_at"),
        reason=reason,
        parent_client_order_id=parent,
        raw={name: value for name, value in row.items() if name != "legs"},
    )


def submitted_at(row: Row) -> datetime:
    return instant(row, "submitted_at" if row.get("submitted_at") else "created_at")


def position(row: Row) -> BrokerPosition:
    """A position. Raises `Unreadable`."""
    qty = decimal(row, "qty")
    side = row.get("side")
    if (side == "short") != (qty < 0):
        raise Unreadable(f"position {row.get('symbol')} is {side} with the quantity {qty}")
    price = decimal(row, "current_price") if row.get("current_price") is not None else None
    return BrokerPosition(text(row, "symbol"), qty, price, decimal(row, "avg_entry_price"))


def newest(listed: Sequence[Row]) -> list[Row]:
    """FILL activities, of each execution as it was stated last, under the id and with the number of its statement.

    The list shows a corrected execution in its place. Where a `trade_correct` or a `trade_bust` comes as a row of its
    own, it names the execution before it.

    Raises:
        Unreadable: a row is of a type that is not known, or names an execution that is not in the list.
    """
    by_execution = {_execution(row): row for row in listed}
    superseded = {_before(row): row for row in listed if row.get("type") in _RESTATED}
    found: list[Row] = []
    for row in listed:
        if _before(row) is None:
            number, last = 1, row
            while (after := superseded.get(_execution(last))) is not None and number <= len(listed):
                number, last = number + 1, after
            busted = {"qty": "0"} if last.get("type") == "trade_bust" else {}
            found.append({**last, **busted, "id": row.get("id"), "revision": number})
        elif _before(row) not in by_execution:
            raise Unreadable(
                f"{row.get('type')} {row.get('id')} is about execution {_before(row)}, which is not listed"
            )
    return found


def _before(row: Row) -> str | None:
    """The execution that a restatement takes the place of; None for an execution itself."""
    if row.get("type") in _RESTATED:
        return text(row, "previous_execution_id")
    if row.get("type") not in _EXECUTED:
        raise Unreadable(f"the type of activity {row.get('id')} is {row.get('type')!r}")
    return None


def _execution(row: Row) -> str:
    """The id of an activity is its time and that of its execution."""
    return text(row, "id").rpartition("::")[2]


def fill(row: Row, client_order_id: str, calendar: TradingCalendar) -> BrokerFill:
    """A FILL activity. The API charges nothing for a trade; fees are activities of their own. Raises `Unreadable`."""
    at = instant(row, "transaction_time")
    return BrokerFill(
        fill_id=text(row, "id"),
        client_order_id=client_order_id,
        symbol=text(row, "symbol"),
        side=_side(row),
        qty=decimal(row, "qty"),
        price=decimal(row, "price"),
        fee=Decimal(0),
        session=trade_session(at, calendar),
        executed_at=at,
        revision=row.get("revision", 1),
    )


def trade_session(at: datetime, calendar: TradingCalendar) -> date:
    """The session that a trade belongs to: its day at the exchange, also where it printed after the close."""
    return calendar.session_on_or_after(at.astimezone(calendar.timezone).date())


def order_body(request: OrderRequest) -> dict[str, Any]:
    """What is posted: figures as text, exactly as they are; a fraction always for the day."""
    whole = request.qty == request.qty.to_integral_value()
    bracket = request.order_type is OrderType.BRACKET
    body: dict[str, Any] = {
        "symbol": request.symbol,
        "qty": exact(request.qty),
        "side": request.side.value,
        "type": OrderType.LIMIT.value if request.order_type is OrderType.LIMIT else OrderType.MARKET.value,
        "time_in_force": (request.time_in_force if whole else TimeInForce.DAY).value,
        "client_order_id": request.client_order_id,
        "position_intent": request.intent.value,
    }
    if request.limit_price is not None:
        body["limit_price"] = exact(request.limit_price)
    if bracket:
        body["order_class"] = "bracket"
        if request.take_profit is not None:
            body["take_profit"] = {"limit_price": exact(request.take_profit)}
        if request.stop_loss is not None:
            body["stop_loss"] = {"stop_price": exact(request.stop_loss)}
    return body


def difference(request: OrderRequest, row: Row) -> str | None:
    """What the broker's order has otherwise than what was sent; None where it is the same order."""
    body = order_body(request)
    for name in ("symbol", "side", "type", "time_in_force", "position_intent"):
        if row.get(name) is not None and row[name] != body[name]:
            return f"its {name} is {row[name]}, not {body[name]}"
    figures = [("qty", row, "qty", request.qty), ("limit_price", row, "limit_price", request.limit_price)]
    classes = ("bracket",) if "order_class" in body else ("", "simple")
    if (row.get("order_class") or "") not in classes:
        return f"its order_class is {row.get('order_class')!r}, not {classes[-1]}"
    for leg in row.get("legs") or ():
        if leg.get("type") == "limit":
            figures.append(("take_profit", leg, "limit_price", request.take_profit))
        elif leg.get("type") == "stop":
            figures.append(("stop_loss", leg, "stop_price", request.stop_loss))
    for shown, source, name, wanted in figures:
        found = decimal(source, name) if source.get(name) is not None else None
        if found != wanted:
            return f"its {shown} is {found}, not {wanted}"
    return None


def exact(value: Decimal) -> str:
    return f"{value.normalize() + 0:f}"


def text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is {value!r}")
    return value


def decimal(row: Row, name: str) -> Decimal:
    """A finite number, from text or a JSON number, as it is written."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable(f"{name} is {value!r}")
    try:
        found = Decimal(value if isinstance(value, str) else repr(value))
    except InvalidOperation:
        raise Unreadable(f"{name} is {value!r}") from None
    if not found.is_finite():
        raise Unreadable(f"{name} is {value!r}")
    return found


def instant(row: Row, name: str) -> datetime:
    """An aware instant; of nine decimals six are kept."""
    return read(lambda: parse_instant(text(row, name)), f"{name} is {row.get(name)!r}")


def parse_instant(value: str) -> datetime:
    head, point, tail = value.partition(".")
    if point:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        value = f"{head}.{tail[: min(digits, 6)].ljust(6, '0')}{tail[digits:]}"
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError(f"{value} has no offset")
    return found


def read(make: Callable[[], T], problem: str) -> T:
    try:
        return make()
    except ValueError:
        raise Unreadable(problem) from None


def _side(row: Row) -> Side:
    word = row.get("side")
    if word in ("sell", "sell_short"):
        return Side.SELL
    if word != "buy":
        raise Unreadable(f"side is {word!r}")
    return Side.BUY
