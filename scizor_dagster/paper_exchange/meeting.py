"""How one order meets a stretch of a price path: whether it trades, and at which price.

What belongs here: triggers, trailing, limits and the touch, for one order. What does not: how much of it
trades and what that does to the books (`continuous`).

The stretch is monotone, so that its two ends say what it touched. A stop triggers on the middle price
and trades from its stop, or from where the stretch begins when that is worse. An order that waits for
volume trades at the touch of the stretch's end; a limit that is passed on the way trades at its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.price_path import PricePath
from scizor_dagster.paper_exchange.venue_orders import OrderKind, Ticket, VenueOrder

_STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP)
_PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True)
class Meeting:
    """What became of the order: its triggers brought up to date, and the price before impact, if it trades."""

    order: VenueOrder
    price: Decimal | None


def waits_for_trigger(order: VenueOrder) -> bool:
    return order.ticket.kind in _STOPS and not order.triggered


def meet(
    order: VenueOrder, path: PricePath, start: datetime, end: datetime, market: MarketView, limit: Decimal | None
) -> Meeting:
    """Let `order` meet the path from `start` to `end`, both at most one grid step apart."""
    first, last = path.price(start), path.price(end)
    if not waits_for_trigger(order):
        return Meeting(order, _resting_price(order, first, last, market, limit))
    order, base = _triggered(order, first, last)
    if base is None:
        return Meeting(order, None)
    at_trigger = _far_side(order, base, market)
    if _within(order.ticket.side, at_trigger, limit):
        return Meeting(order, at_trigger)
    return Meeting(order, _resting_price(order, base, last, market, limit))


def may_trade(order: VenueOrder, path: PricePath, market: MarketView, limit: Decimal | None) -> bool:
    """Whether anything of the session can touch the order; what cannot happen need not be looked for."""
    ticket = order.ticket
    low, high = path.bar.low, path.bar.high
    if waits_for_trigger(order):
        if ticket.stop_price is None or ticket.kind is OrderKind.TRAILING_STOP:
            return True
        return low <= ticket.stop_price if ticket.side is Side.SELL else high >= ticket.stop_price
    best = low if ticket.side is Side.BUY else high
    return _within(ticket.side, _far_side(order, best, market), limit)


def _far_side(order: VenueOrder, middle: Decimal, market: MarketView) -> Decimal:
    bid, ask = market.touch(order.ticket.symbol, middle)
    return ask if order.ticket.side is Side.BUY else bid


def _within(side: Side, price: Decimal, limit: Decimal | None) -> bool:
    return limit is None or (price <= limit if side is Side.BUY else price >= limit)


def _resting_price(
    order: VenueOrder, first: Decimal, last: Decimal, market: MarketView, limit: Decimal | None
) -> Decimal | None:
    price = _far_side(order, last, market)
    if not _within(order.ticket.side, price, limit):
        return None
    if limit is None:
        return price
    before = _far_side(order, first, market)
    return min(limit, max(before, price)) if order.ticket.side is Side.BUY else max(limit, min(before, price))


def _triggered(order: VenueOrder, first: Decimal, last: Decimal) -> tuple[VenueOrder, Decimal | None]:
    """The order after the stretch, and where it was triggered."""
    sells = order.ticket.side is Side.SELL
    worse = min if sells else max
    for price in (first, last):
        order = _trailed(order, price)
        stop = stop_of(order)
        assert stop is not None
        if price <= stop if sells else price >= stop:
            return replace(order, triggered=True), worse(stop, first)
    return order, None


def _trailed(order: VenueOrder, price: Decimal) -> VenueOrder:
    if order.ticket.kind is not OrderKind.TRAILING_STOP:
        return order
    mark = order.high_water_mark
    best = max if order.ticket.side is Side.SELL else min
    reached = price if mark is None else best(mark, price)
    return order if reached == mark else replace(order, high_water_mark=reached)


def first_mark(ticket: Ticket) -> Decimal | None:
    """The best price from which a trailing stop stands at the price that its ticket names; None where it names none."""
    if ticket.kind is not OrderKind.TRAILING_STOP or ticket.stop_price is None:
        return None
    if ticket.trail_price is not None:
        return ticket.stop_price - ticket.side.sign * ticket.trail_price
    assert ticket.trail_percent is not None
    return ticket.stop_price / (1 + ticket.side.sign * ticket.trail_percent / _PERCENT)


def stop_of(order: VenueOrder) -> Decimal | None:
    """Where a stop triggers now; None of a trailing stop that has not been live yet, and of other kinds."""
    ticket = order.ticket
    if ticket.kind is not OrderKind.TRAILING_STOP:
        return ticket.stop_price
    mark = order.high_water_mark
    if mark is None:
        return None
    trail = ticket.trail_price
    if trail is None:
        assert ticket.trail_percent is not None
        trail = mark * ticket.trail_percent / _PERCENT
    return mark + ticket.side.sign * trail
