"""Orders that hang together: parents that wake their children, and groups that share one quantity.

What belongs here: what the fill or the end of one order does to its relatives. What does not: when
orders fill (`continuous`), and which families a house takes (`house_*`).

A child waits (held, without a live instant) until its parent has filled entirely; one that trades at one
instant only, as in an auction, then waits for that. Orders of one group share a quantity: what one of them
fills the others no longer hold, and the last fill ends the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    Duration,
    EventKind,
    House,
    OrderClass,
    OrderKind,
    Status,
    VenueOrder,
)

AT_ONCE = (Duration.IOC, Duration.FOK, Duration.OPG, Duration.CLS)
"""What does not fill at the instant that it is for ends there."""
LiveFrom = Callable[[VenueOrder, datetime], datetime]
"""From when on an order trades that is woken at an instant."""


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


def family_of(books: VenueBooks, order: VenueOrder) -> frozenset[str]:
    """Ids of an order, of its group and of its children, as far as they are open."""
    return frozenset(row.order_id for row in (order, *siblings(books, order), *children(books, order)))


def after_fill(books: VenueBooks, order: VenueOrder, qty: Decimal, at: datetime, live_from: LiveFrom) -> None:
    """Shrink or end the group of an order of which `qty` has just filled, and wake what waited for it."""
    for other in siblings(books, order):
        rest = ZERO if order.status is Status.FILLED else other.remaining - qty
        if rest <= ZERO:
            cancel_with_children(books, other, at, "another order of its group has filled")
        elif other.live_at is not None:
            books.put(replace(other, qty=other.filled_qty + rest, updated_at=at))
    if order.status is Status.FILLED:
        for child in children(books, order):
            if child.live_at is None:
                _wake(books, child, at, live_from)


def _wake(books: VenueBooks, child: VenueOrder, at: datetime, live_from: LiveFrom) -> None:
    woken = replace(child, live_at=live_from(child, at), updated_at=at)
    if child.ticket.duration in AT_ONCE:
        woken = books.put(replace(woken, status=Status.ACCEPTED))
        books.tell(EventKind.ACCEPTED, woken, at)
        return
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
