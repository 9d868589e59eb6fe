"""From a request's JSON to an order: what has no form is refused here, before the venue sees it.

What belongs here: fields, their types and which of them go together. What does not: rules that need
prices, positions or the clock (the venue's).

Numbers arrive as text or as JSON numbers and are taken exactly as written. The first order of an OCO is
its take-profit, whatever price the ticket itself carries; the stop-loss is its one leg.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar
from uuid import uuid4

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.paper_exchange.alpaca_door.errors import business_rule, malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import read_number
from scizor_dagster.paper_exchange.venue_orders import Amendment, Duration, Leg, OrderClass, OrderKind, Ticket

MAX_CLIENT_ORDER_ID = 128
_CENTS = Decimal("0.01")
_LEAST_TRAIL_PERCENT = Decimal("0.1")
W = TypeVar("W", bound=StrEnum)
Json = Mapping[str, Any]


def ticket(body: Json) -> Ticket:
    """The order that a POST asks for. Raises `WireError`."""
    name = _text(body, "client_order_id") or str(uuid4())
    if len(name) > MAX_CLIENT_ORDER_ID:
        raise malformed("client_order_id must be no more than 128 characters")
    symbol = _text(body, "symbol")
    if not symbol:
        raise malformed("symbol is required")
    qty, notional = _size(body)
    side = _word(Side, body, "side", "invalid side")
    kind = _word(OrderKind, body, "type", "invalid order type")
    duration = _word(Duration, body, "time_in_force", "invalid time_in_force")
    order_class = _order_class(body)
    intent = _word(PositionIntent, body, "position_intent", "invalid position_intent", required=False)
    legs, limit = _legs(body, order_class)
    found = Ticket(
        client_order_id=name,
        symbol=symbol,
        side=side,
        kind=kind,
        duration=duration,
        qty=qty,
        notional=notional,
        limit_price=limit if order_class is OrderClass.OCO else _price(body, "limit_price", "limit price"),
        stop_price=_price(body, "stop_price", "stop price"),
        trail_price=_price(body, "trail_price", "trail_price"),
        trail_percent=_price(body, "trail_percent", "trail_percent"),
        extended_hours=_flag(body.get("extended_hours")),
        order_class=order_class,
        legs=legs,
        intent=intent,
    )
    _check_prices(found)
    return found


def amendment(body: Json) -> tuple[Amendment, str | None]:
    """What a PATCH wants changed, and the successor's own id if it has one. Raises `WireError`."""
    qty = _number(body, "qty")
    if qty is not None and qty <= 0:
        raise malformed("qty must be > 0")
    duration = _word(Duration, body, "time_in_force", "invalid time_in_force", required=False)
    changes = Amendment(
        qty=qty,
        duration=duration,
        limit_price=_price(body, "limit_price", "limit price"),
        stop_price=_price(body, "stop_price", "stop price"),
        trail=_price(body, "trail", "trail"),
    )
    name = _text(body, "client_order_id")
    if name is not None and len(name) > MAX_CLIENT_ORDER_ID:
        raise malformed("client_order_id must be no more than 128 characters")
    return changes, name


def _size(body: Json) -> tuple[Decimal | None, Decimal | None]:
    has_qty, has_notional = body.get("qty") is not None, body.get("notional") is not None
    if not has_qty and not has_notional:
        raise malformed("qty or notional is required")
    if has_qty and has_notional:
        raise malformed("only one of qty or notional is accepted")
    if has_qty:
        qty = read_number(body["qty"])
        if qty is None or qty <= 0:
            raise malformed("qty must be > 0")
        return qty, None
    notional = read_number(body["notional"])
    if notional is None or notional < 1:
        raise malformed("notional must be >= 1.00")
    if notional % _CENTS:
        raise business_rule("notional value must be limited to 2 decimal places")
    return None, notional


def _order_class(body: Json) -> OrderClass:
    word = body.get("order_class")
    try:
        return OrderClass(word) if word else OrderClass.SIMPLE
    except ValueError:
        raise malformed("invalid order_class") from None


def _legs(body: Json, order_class: OrderClass) -> tuple[tuple[Leg, ...], Decimal | None]:
    """Legs of the class, and the price of its take-profit."""
    if order_class is OrderClass.SIMPLE:
        return (), None
    profit, loss = body.get("take_profit"), body.get("stop_loss")
    limit = _price(profit, "limit_price", "take_profit.limit_price") if isinstance(profit, Mapping) else None
    stop = _price(loss, "stop_price", "stop_loss.stop_price") if isinstance(loss, Mapping) else None
    stop_limit = _price(loss, "limit_price", "stop_loss.limit_price") if isinstance(loss, Mapping) else None
    if order_class is OrderClass.OTO:
        if limit is None and stop is None:
            raise business_rule("oto orders require take_profit.limit_price or stop_loss.stop_price")
    elif limit is None:
        raise business_rule(f"{order_class.value} orders require take_profit.limit_price")
    elif stop is None:
        raise business_rule(f"{order_class.value} orders require stop_loss.stop_price")
    legs = []
    if limit is not None and order_class is not OrderClass.OCO:
        legs.append(Leg(OrderKind.LIMIT, limit_price=limit))
    if stop is not None:
        kind = OrderKind.STOP if stop_limit is None else OrderKind.STOP_LIMIT
        legs.append(Leg(kind, limit_price=stop_limit, stop_price=stop))
    return tuple(legs), limit


def _check_prices(found: Ticket) -> None:
    kind, limit, stop = found.kind, found.limit_price, found.stop_price
    if kind is OrderKind.MARKET and (limit is not None or stop is not None):
        raise malformed("market orders require no stop or limit price")
    if kind is OrderKind.LIMIT and limit is None:
        raise malformed("limit orders require a limit price")
    if kind is OrderKind.STOP and stop is None:
        raise malformed("stop orders require a stop price")
    if kind is OrderKind.STOP_LIMIT and (limit is None or stop is None):
        raise malformed("stop limit orders require both stop and limit price")
    if kind is OrderKind.TRAILING_STOP:
        if (found.trail_price is None) == (found.trail_percent is None):
            raise malformed("trailing stop orders must specify one of trail_price or trail_percent")
        if found.trail_percent is not None and found.trail_percent < _LEAST_TRAIL_PERCENT:
            raise malformed("trail_percent must be greater than or equal to 0.1")


def _number(body: Json, name: str) -> Decimal | None:
    if body.get(name) is None:
        return None
    found = read_number(body[name])
    if found is None:
        raise malformed(f"invalid {name}")
    return found


def _price(body: Json, name: str, shown: str) -> Decimal | None:
    found = _number(body, name)
    if found is not None and found <= 0:
        raise malformed(f"{shown} must be > 0")
    return found


def _text(body: Json, name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise malformed(f"{name} must be a string")
    return value or None


def _word(words: type[W], body: Json, name: str, problem: str, *, required: bool = True) -> Any:
    value = body.get(name)
    if value is None and not required:
        return None
    try:
        return words(str(value))
    except ValueError:
        raise malformed(problem) from None


def _flag(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
