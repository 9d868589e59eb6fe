"""Orders that hang together: parents that wake their children, and groups that share one quantity.

What belongs here: what the fill or the end of one order does to its relatives. What does not: when
orders fill (`continuous`), and which families a house takes (`house_*`).

A child waits (held, without a live instant) until its parent has filled entirely. Orders of one group
share a quantity: what one of them fills the others no longer hold, and the last fill ends the others.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from scizor_dagster.paper_exchange.venue import EventKind, House, OrderClass, OrderKind, Status, VenueOrder
from scizor_dagster.paper_exchange.venue_books import VenueBooks


def children(books: VenueBooks, order: VenueOrder) -> list[VenueOrder]:
    """Open orders that hang on `order`."""
    return [row for row in books.orders.values() if row.parent_id == order.order_id]


def siblings(books: VenueBooks, order: VenueOrder) -> list[VenueOrder]:
    """Open orders of the same group."""
    if order.ticket.group is None:
        return []
    return [
        row
        for row in books.orders.values()
        if row.ticket.group == order.ticket.group and row.order_id != order.order_id
    ]


def after_fill(books: VenueBooks, order: VenueOrder, at: datetime) -> None:
    """Shrink or end the group of an order that has just filled, and wake what waited for it."""
    for other in siblings(books, order):
        if order.status is Status.FILLED or other.qty is None:
            cancel_with_children(books, other, at, "another order of its group has filled")
        elif other.live_at is not None:
            books.put(replace(other, qty=other.filled_qty + order.remaining, updated_at=at))
    if order.status is Status.FILLED:
        for child in children(books, order):
            if child.live_at is None:
                _wake(books, child, at)


def _wake(books: VenueBooks, child: VenueOrder, at: datetime) -> None:
    woken = replace(child, live_at=at, updated_at=at)
    if books.house is House.ALPACA and child.ticket.kind is not OrderKind.LIMIT and siblings(books, child):
        # The sleeping one of two legs: it watches its price, and is shown as held until that is touched.
        books.put(woken)
        return
    woken = books.put(replace(woken, status=Status.NEW))
    books.tell(EventKind.NEW, woken, at)


def cancel_with_children(
    books: VenueBooks, order: VenueOrder, at: datetime, reason: str, status: Status = Status.CANCELED
) -> VenueOrder:
    """End an open order and what waits for it."""
    done = books.end(order, status, at, reason)
    for child in children(books, done):
        if child.live_at is None:
            cancel_with_children(books, child, at, "its parent has ended")
    return done


def cancel_family(books: VenueBooks, order: VenueOrder, at: datetime, reason: str) -> VenueOrder:
    """End an open order with its children; at Alpaca with the rest of its bracket, OCO or OTO too.

    At Interactive Brokers only a fill ends the others of a group.
    """
    relatives: list[VenueOrder] = []
    if books.house is House.ALPACA and order.ticket.order_class is not OrderClass.SIMPLE:
        relatives += siblings(books, order)
        relatives += [row for row in books.orders.values() if row.order_id == order.parent_id]
        relatives += children(books, order)
    done = cancel_with_children(books, order, at, reason)
    for other in relatives:
        current = books.orders.get(other.order_id)
        if current is not None:
            cancel_with_children(books, current, at, reason)
    return done
