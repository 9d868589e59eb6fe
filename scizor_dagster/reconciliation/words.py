"""Orders, fills and numbers as a person reads them in a break.

What belongs here: texts, the same for the same terms whoever states them. What does not: comparing.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, BrokerOrder
from scizor_dagster.ledger.rows import ActivityRow, FillRow, IntentRow
from scizor_dagster.planning.model import PlannedOrder

ZERO = Decimal(0)


def planned_text(order: PlannedOrder) -> str:
    """Everything that the plan says of an order."""
    return _whole(order, order.qty)


def intent_text(intent: IntentRow) -> str:
    """The same of the order that the ledger has admitted."""
    return _whole(intent, intent.planned_qty)


def sent_text(intent: IntentRow) -> str:
    """What the broker was asked for."""
    return _text(intent.side, intent.qty, intent.symbol, None, intent.limit_price)


def terms_text(intent: IntentRow, order: BrokerOrder) -> str:
    """The broker's terms; its limit where it states one, else it is taken as sent."""
    qty = intent.qty if order.shows_no_more_than_filled and order.qty < intent.qty else order.qty
    return _text(order.side, qty, order.symbol, None, limit_of(intent, order))


def limit_of(intent: IntentRow, order: BrokerOrder) -> Decimal | None:
    stated = order.raw.get("limit_price", intent.limit_price)
    return None if stated is None else Decimal(str(stated))


def order_text(order: BrokerOrder) -> str:
    return f"{_text(order.side, order.qty, order.symbol)}, {order.status}, {number(order.filled_qty)} filled"


def fill_text(fill: FillRow | BrokerFill) -> str:
    return f"{_text(fill.side, fill.qty, fill.symbol)} at {number(fill.price)}, fee {number(fill.fee)}"


def activity_text(activity: ActivityRow | BrokerActivity) -> str:
    return f"{activity.kind} {activity.amount:f} {activity.description}".strip()


def number(value: Decimal) -> str:
    """Without trailing zeros, so that 10 and 10.00 are the same text."""
    return f"{value.normalize() + ZERO:f}"


def _whole(order: PlannedOrder | IntentRow, qty: Decimal) -> str:
    prices = (order.limit_price, order.take_profit, order.stop_loss)
    return f"{_text(order.side, qty, order.symbol, order.order_type, *prices)} sized at {number(order.price_used)}"


def _text(
    side: str,
    qty: Decimal,
    symbol: str,
    order_type: str | None = None,
    limit: Decimal | None = None,
    profit: Decimal | None = None,
    stop: Decimal | None = None,
) -> str:
    words = [str(side), number(qty), symbol, *([str(order_type)] if order_type else [])]
    for name, price in (("limit", limit), ("take-profit", profit), ("stop", stop)):
        if price is not None:
            words.append(f"{name} {number(price)}")
    return " ".join(words)
