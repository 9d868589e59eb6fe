"""Orders of a decided row: legs, slices, types and prices.

What belongs here: how a change of quantity is written as orders that the broker takes. What does
not: whether there is a change (`decisions`, `fit`).

Order types: a fraction is always a market order. Whole quantities follow `mode_on_buy` and
`mode_on_sell` where the broker has the type. A bracket only opens (a broker refuses it as an exit)
and only where its prices are valid; otherwise the order is a market order. A limit price is rounded
to the tick on the cautious side (a buy down, a sale up), so that neither ever gives more than the
stated offset; a bracket's take-profit is rounded down and its stop up, so that it never risks more.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.planning.client_order_ids import ClientOrderIds
from scizor_dagster.planning.decisions import Venue
from scizor_dagster.planning.model import PlannedOrder
from scizor_dagster.planning.quantities import ZERO, tick_at, tick_down, tick_up
from scizor_dagster.planning.rows import Row

SMALLEST_STOP_DISTANCE = Decimal("0.01")
"""Alpaca refuses a stop nearer to the base price than this."""

Prices = tuple[OrderType, Decimal | None, Decimal | None, Decimal | None]
"""Order type, limit price, take-profit and stop-loss."""
_MARKET: Prices = (OrderType.MARKET, None, None, None)


def orders_of(row: Row, venue: Venue, ids: ClientOrderIds) -> list[PlannedOrder]:
    """Every order of a row: leg by leg, slice by slice."""
    orders: list[PlannedOrder] = []
    depends_on: tuple[str, ...] = ()
    side = Side.BUY if row.delta > 0 else Side.SELL
    for leg, quantity in enumerate(venue.leg_quantities(row), start=1):
        made = _leg(row, venue, ids, side, leg, quantity, depends_on)
        depends_on = tuple(order.client_order_id for order in made)
        orders += made
    return orders


def _leg(
    row: Row,
    venue: Venue,
    ids: ClientOrderIds,
    side: Side,
    leg: int,
    quantity: Decimal,
    depends_on: tuple[str, ...],
) -> list[PlannedOrder]:
    price, pieces = row.usable_price, venue.pieces(row, quantity)
    assert price is not None, row.symbol
    assert pieces is not None, row.symbol
    intent = _intent(row, side, leg)
    phase = 1 if intent is PositionIntent.SELL_TO_CLOSE else 2
    made = []
    for number, piece in enumerate(pieces, start=1):
        kind, limit, take_profit, stop_loss = price_order(row, venue, side, intent, piece, price)
        made.append(
            PlannedOrder(
                ids.make(row.symbol, side, leg, number),
                row.symbol,
                row.instrument_id,
                side,
                piece,
                kind,
                TimeInForce.DAY,
                intent,
                price,
                leg,
                number,
                phase,
                row.reason,
                depends_on,
                limit,
                take_profit,
                stop_loss,
            )
        )
    return made


def _intent(row: Row, side: Side, leg: int) -> PositionIntent:
    closes = leg == 1 and (row.current > 0 if side is Side.SELL else row.current < 0)
    if side is Side.BUY:
        return PositionIntent.BUY_TO_CLOSE if closes else PositionIntent.BUY_TO_OPEN
    return PositionIntent.SELL_TO_CLOSE if closes else PositionIntent.SELL_TO_OPEN


def price_order(
    row: Row, venue: Venue, side: Side, intent: PositionIntent, quantity: Decimal, price: Decimal
) -> Prices:
    """Order type of one slice, with its limit, take-profit and stop-loss prices."""
    mode = venue.rules.mode_on_buy if side is Side.BUY else venue.rules.mode_on_sell
    if mode == "market" or quantity % 1 != 0:
        return _MARKET
    assert row.instrument is not None, row.symbol
    tick = row.instrument.tick
    kinds = venue.capabilities.order_types
    if mode == "limit" and OrderType.LIMIT in kinds:
        offset = venue.rules.limit_offset_pct
        limit = tick_down(price * (1 + offset), tick) if side is Side.BUY else tick_up(price * (1 - offset), tick)
        return (OrderType.LIMIT, limit, None, None)
    if mode == "bracket" and intent is PositionIntent.BUY_TO_OPEN and OrderType.BRACKET in kinds:
        take_profit = tick_down(price * (1 + venue.rules.tp_pct), tick)
        stop_loss = tick_up(price * (1 - venue.rules.sl_pct), tick)
        distance = max(SMALLEST_STOP_DISTANCE, tick_at(price, tick))
        if take_profit > price and ZERO < stop_loss <= price - distance:
            return (OrderType.BRACKET, None, take_profit, stop_loss)
    return _MARKET


def sort_key(order: PlannedOrder) -> tuple[int, str, int, int]:
    """Sales of what is held first, then by symbol: the order in which a plan lists its orders."""
    return (order.phase, order.symbol, order.leg, order.slice)
