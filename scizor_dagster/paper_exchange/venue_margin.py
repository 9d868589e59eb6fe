"""What an account at the venue is worth and what it can still open.

What belongs here: equity, margins and buying power of `VenueBooks` at given prices. What does not: the
rates of one house (`house_*`) and refusing an order for lack of power.

    buying power = multiplier x equity - gross position value - value of open opening orders

which is the published figure of a flat account (four times its equity by day), of one at multiplier 2
(twice the equity less the initial margin of one half) and of one without margin. A quantity that closes
a position needs none, and gives its own back only when it fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.buying_power import order_value
from scizor_dagster.paper_exchange.venue_books import VenueBooks, account_number
from scizor_dagster.paper_exchange.venue_orders import ZERO, VenueOrder
from scizor_dagster.paper_exchange.venue_views import AccountView

Marks = Callable[[str], Decimal | None]
"""Price of a symbol now, None where none is known."""
REGT_MULTIPLIER = 2
LEAST_MARGIN_EQUITY = Decimal(2000)
"""Below it an account has no margin and may not be short (FINRA rule 4210)."""


@dataclass(frozen=True, slots=True)
class MarginRates:
    """Margins as parts of a position's value.

    Attributes:
        initial: Of every position.
        maintenance_long: By price of a share.
        maintenance_short: By price of a share.
    """

    initial: Decimal
    maintenance_long: Callable[[Decimal], Decimal]
    maintenance_short: Callable[[Decimal], Decimal]


def price_of(books: VenueBooks, symbol: str, marks: Marks) -> Decimal:
    """Price that a position is valued at: the mark, or what was paid where there is none any more."""
    price = marks(symbol)
    return books.positions[symbol].average_price if price is None else price


def equity(books: VenueBooks, marks: Marks) -> Decimal:
    return books.cash + sum((row.qty * price_of(books, row.symbol, marks) for row in books.positions.values()), ZERO)


def market_values(books: VenueBooks, marks: Marks) -> tuple[Decimal, Decimal]:
    """Value of the long positions, and of the short ones, which is negative."""
    values = [row.qty * price_of(books, row.symbol, marks) for row in books.positions.values()]
    return sum((value for value in values if value > 0), ZERO), sum((value for value in values if value < 0), ZERO)


def opening_qty(side: Side, qty: Decimal, held: Decimal) -> Decimal:
    """How much of an order adds to a position, after what it closes."""
    return qty if held * side.sign >= 0 else max(ZERO, qty - abs(held))


def reserved_value(books: VenueBooks, marks: Marks) -> Decimal:
    """Value of the open opening orders; one that waits for its parent holds nothing yet.

    What there is to close goes to the orders of a side in the order of their numbers; orders of one group
    close one quantity together.
    """
    # There may be many orders of few symbols.
    known = cache(marks)
    total = ZERO
    left: dict[tuple[str, Side], Decimal] = {}
    of_groups: dict[tuple[str, str, Side], Decimal] = {}
    for order in sorted(books.orders.values(), key=lambda row: row.number):
        if order.live_at is None:
            continue
        symbol, side, group = order.ticket.symbol, order.ticket.side, order.ticket.group
        held = books.held(symbol)
        free = left.setdefault((symbol, side), abs(held) if held * side.sign < 0 else ZERO)
        if group is not None and (group, symbol, side) in of_groups:
            closed = min(order.remaining, of_groups[group, symbol, side])
        else:
            closed = min(order.remaining, free)
            left[symbol, side] = free - closed
            if group is not None:
                of_groups[group, symbol, side] = closed
        total += _value(order, order.remaining - closed, known)
    return total


def _value(order: VenueOrder, qty: Decimal, marks: Marks) -> Decimal:
    """Value of `qty` shares of an order that opens with them."""
    ticket = order.ticket
    if order.qty is None:
        return ticket.notional or ZERO
    if qty == 0:
        return ZERO
    last = marks(ticket.symbol)
    if last is None and ticket.limit_price is None:
        return ZERO
    return order_value(ticket.side, qty, ticket.limit_price, last if last is not None else ZERO)


def buying_power(books: VenueBooks, marks: Marks, multiplier: int) -> Decimal:
    """See the module's formula; never negative."""
    long, short = market_values(books, marks)
    free = multiplier * equity(books, marks) - (long - short) - reserved_value(books, marks)
    return max(ZERO, free)


def maintenance_margin(books: VenueBooks, marks: Marks, rates: MarginRates) -> Decimal:
    total = ZERO
    for row in books.positions.values():
        price = price_of(books, row.symbol, marks)
        rate = (rates.maintenance_long if row.qty > 0 else rates.maintenance_short)(price)
        total += abs(row.qty) * price * rate
    return total


def account_view(books: VenueBooks, marks: Marks, rates: MarginRates, multiplier: int) -> AccountView:
    """The account's money at these prices."""
    long, short = market_values(books, marks)
    worth = books.cash + long + short
    initial = (long - short) * rates.initial
    reserved = reserved_value(books, marks)
    state = books.before
    return AccountView(
        name=books.account,
        account_id=account_number(books.account, books.house),
        house=books.house,
        currency=state.currency,
        created_at=state.created_at,
        cash=books.cash,
        equity=worth,
        last_equity=books.last_equity,
        long_market_value=long,
        short_market_value=short,
        buying_power=buying_power(books, marks, multiplier),
        regt_buying_power=buying_power(books, marks, min(multiplier, REGT_MULTIPLIER)),
        non_marginable_buying_power=max(ZERO, min(books.cash, worth) - reserved),
        initial_margin=initial,
        maintenance_margin=maintenance_margin(books, marks, rates),
        last_maintenance_margin=books.last_maintenance_margin,
        settings=books.settings,
    )
