"""What an account can still open: buying power and the value of orders.

What belongs here: the margin model. What does not: refusing an order for lack of it (`rules`).

    buying power = multiplier x equity - gross position value - value of open opening orders

Equity is cash plus positions at their last price; a short position counts with its absolute value.
An opening order is valued at its limit, or at the last price; a short sale at no less than 1.03
times the last price (reference: Alpaca, "Margin and short selling"). Sales of what is held and
covers of what is short need none, and give theirs back only when they fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.model import Order, State
from scizor_dagster.paper_exchange.venue_orders import ZERO

SHORT_COLLAR = Decimal("1.03")


def gross_position_value(state: State) -> Decimal:
    return sum((abs(row.qty) * row.last_price for row in state.positions.values()), ZERO)


def order_value(side: Side, qty: Decimal, limit_price: Decimal | None, last: Decimal) -> Decimal:
    """Value of an opening order, in money."""
    if side is Side.BUY:
        return qty * (last if limit_price is None else limit_price)
    collared = last * SHORT_COLLAR
    return qty * (collared if limit_price is None else max(limit_price, collared))


def is_opening(state: State, order: Order) -> bool:
    """Whether an open order adds to a position. Orders never cross zero, so it is all or nothing."""
    if order.role.is_leg:
        return False
    held = state.held(order.symbol)
    return held >= 0 if order.side is Side.BUY else held <= 0


def reserved_value(state: State, prices: Mapping[str, Decimal]) -> Decimal:
    """Value of the open opening orders. One whose price is gone is valued at its position's last price."""
    total = ZERO
    for order in state.orders.values():
        if not is_opening(state, order):
            continue
        last = _last_price(state, order, prices)
        if last is not None:
            total += order_value(order.side, order.remaining, order.limit_price, last)
    return total


def buying_power(state: State, prices: Mapping[str, Decimal], multiplier: int) -> Decimal:
    """See the module's formula. Negative when positions have lost more than the margin allows."""
    return multiplier * state.equity - gross_position_value(state) - reserved_value(state, prices)


def _last_price(state: State, order: Order, prices: Mapping[str, Decimal]) -> Decimal | None:
    if order.symbol in prices:
        return prices[order.symbol]
    position = state.positions.get(order.symbol)
    if position is not None:
        return position.last_price
    return order.limit_price
