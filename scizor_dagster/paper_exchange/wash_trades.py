"""Wash trades: an order that could trade with another of the same account.

What belongs here: Alpaca's rule, which its page on user protection states for every kind of account. What
does not: its other rules (`house_alpaca`).
"""

from __future__ import annotations

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.order_entry import Entry
from scizor_dagster.paper_exchange.venue_books import opposite
from scizor_dagster.paper_exchange.venue_orders import OrderClass, OrderKind, Refused, VenueOrder

_MARKET_KINDS = {OrderKind.MARKET, OrderKind.STOP, OrderKind.TRAILING_STOP}


def check_wash_trade(entry: Entry) -> None:
    """Refuse an order that could trade with one's own. Exempt: complex orders, trailing stops, limits apart."""
    if _is_exempt(entry.ticket.order_class, entry.ticket.kind, entry.ticket.group):
        return
    for order in entry.others(opposite(entry.ticket.side)):
        own = order.ticket
        if _is_exempt(own.order_class, own.kind, own.group) or order.live_at is None:
            continue
        if own.kind in _MARKET_KINDS or entry.ticket.kind in _MARKET_KINDS:
            kind = "market/stop" if own.kind in _MARKET_KINDS else "limit"
            advice = "" if own.kind in _MARKET_KINDS else ". use complex/limit/stop_limit orders"
            _refuse_wash_trade(order, f"opposite side {kind} order exists{advice}")
        sides = {own.side: own.limit_price, entry.ticket.side: entry.ticket.limit_price}
        buy, sell = sides[Side.BUY], sides[Side.SELL]
        if buy is not None and sell is not None and buy >= sell:
            _refuse_wash_trade(order, "opposite side limit order exists. use complex/limit/stop_limit orders")


def _refuse_wash_trade(order: VenueOrder, reason: str) -> None:
    raise Refused(
        "wash_trade",
        "potential wash trade detected. use complex orders",
        existing_order_id=order.order_id,
        reject_reason=reason,
    )


def _is_exempt(order_class: OrderClass, kind: OrderKind, group: str | None) -> bool:
    return order_class in (OrderClass.BRACKET, OrderClass.OCO) or kind is OrderKind.TRAILING_STOP or group is not None
