"""What every house asks of a ticket, and what a ticket is looked at with.

What belongs here: the facts of one entry, and the rules that no broker differs in. What does not: the
habits of one house (`house_alpaca`, `house_ibkr`), and what happens to an order once it is taken (`desk`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import LARGEST, Rules
from scizor_dagster.paper_exchange.venue_books import VenueBooks
from scizor_dagster.paper_exchange.venue_margin import MarginRates, Marks
from scizor_dagster.paper_exchange.venue_orders import ZERO, Amendment, Leg, OrderKind, Refused, Ticket, VenueOrder

_CHANGES = ("limit_price", "stop_price", "duration", "kind", "reference", "good_till")
PRICES = {
    OrderKind.MARKET: frozenset[str](),
    OrderKind.LIMIT: frozenset({"limit_price"}),
    OrderKind.STOP: frozenset({"stop_price"}),
    OrderKind.STOP_LIMIT: frozenset({"limit_price", "stop_price"}),
    OrderKind.TRAILING_STOP: frozenset[str](),
}
"""The prices that an order of a kind has; a trailing stop has a trail."""
_MISSING = {
    OrderKind.LIMIT: ("limit_price_required", "limit orders require a limit price"),
    OrderKind.STOP: ("stop_price_required", "stop orders require a stop price"),
    OrderKind.STOP_LIMIT: ("stop_limit_prices_required", "stop limit orders require both stop and limit price"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A ticket as it arrives, with everything that it is judged by.

    Attributes:
        session: The session that the order is for.
        is_open: Whether that session trades at `now`.
        price: Last price; None where none is known.
        marks: Last price of any symbol.
        ask: Far side for a buyer while the session trades, else the last price.
        family: Orders that the ticket takes the place of, or belongs to: they do not stand in its way.
        is_successor: Whether it takes the place of an order that is replaced; its legs were taken with that one.
    """

    books: VenueBooks
    ticket: Ticket
    instrument: Instrument
    market: MarketView
    rules: Rules
    now: datetime
    session: date
    is_open: bool
    price: Decimal | None
    ask: Decimal | None
    marks: Marks
    family: frozenset[str] = frozenset()
    is_successor: bool = False

    @property
    def held(self) -> Decimal:
        return self.books.held(self.ticket.symbol)

    def others(self, side: Side) -> Iterator[VenueOrder]:
        """Open orders of the symbol on one side that are not of the ticket's family."""
        for order in self.books.orders.values():
            ticket = order.ticket
            if ticket.symbol == self.ticket.symbol and ticket.side is side and order.order_id not in self.family:
                yield order

    @property
    def is_fractional(self) -> bool:
        qty = self.ticket.qty
        return qty is None or qty % self.instrument.lot != 0


class HouseRules(Protocol):
    """The habits of one broker."""

    @property
    def rates(self) -> MarginRates: ...

    @property
    def may_cross_zero(self) -> bool:
        """Whether one order may close a position and open the opposite one."""
        ...

    def check(self, entry: Entry) -> PositionIntent:
        """What the order would do to the position. Raises `Refused` with the first rule that it breaks."""
        ...

    def check_change(self, order: VenueOrder, changes: Amendment, market: MarketView) -> None:
        """Raise `Refused` where an open order may not be changed so."""
        ...

    def multiplier(self, books: VenueBooks, equity: Decimal) -> int:
        """Buying power per unit of equity."""
        ...

    def commission(self, instrument: Instrument, qty: Decimal, value: Decimal) -> Decimal:
        """What an order of `qty` shares worth `value` costs in all."""
        ...

    def limit_of(self, order: VenueOrder) -> Decimal | None:
        """Limit that a triggered order keeps to."""
        ...


def listed(market: MarketView, symbol: str) -> Instrument:
    instrument = market.instruments.get(symbol)
    if instrument is None:
        raise Refused("asset_not_found", f'asset "{symbol}" not found')
    return instrument


def check_quantity(ticket: Ticket) -> None:
    if ticket.qty is None and ticket.notional is None:
        raise Refused("quantity_required", "qty or notional is required")
    if ticket.qty is not None and ticket.notional is not None:
        raise Refused("quantity_and_notional", "only one of qty or notional is accepted")
    if ticket.qty is not None and not (ticket.qty.is_finite() and 0 < ticket.qty <= LARGEST):
        raise Refused("invalid_qty", "qty must be > 0")


def check_prices(ticket: Ticket) -> None:
    """The prices that an order's kind needs, and no others, each above zero."""
    kind = ticket.kind
    given = {"limit_price": ticket.limit_price, "stop_price": ticket.stop_price}
    needed = PRICES[kind]
    if any(given[name] is None for name in needed):
        raise Refused(*_MISSING[kind])
    for name, price in given.items():
        if price is None:
            continue
        if name not in needed:
            raise Refused("unexpected_price", f"{kind.value.replace('_', ' ')} orders require no {_spoken(name)}")
        check_price(name, price)
    _check_trail(ticket)


def check_price(name: str, price: Decimal) -> None:
    if not price.is_finite() or not 0 < price <= LARGEST:
        raise Refused("invalid_price", f"{_spoken(name)} must be > 0")


def _check_trail(ticket: Ticket) -> None:
    trails = [trail for trail in (ticket.trail_price, ticket.trail_percent) if trail is not None]
    if ticket.kind is not OrderKind.TRAILING_STOP:
        if trails:
            raise Refused("unexpected_price", f"{ticket.kind} orders take no trail")
        return
    if len(trails) != 1:
        raise Refused("trail_required", "trailing stop orders must specify one of trail_price or trail_percent")
    if not trails[0].is_finite() or trails[0] <= 0:
        raise Refused("invalid_trail", "trail must be > 0")


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def priced(ticket: Ticket) -> Iterator[tuple[str, Decimal]]:
    """Every price of a ticket and of its legs, with the name that Alpaca gives it."""
    for name, price in (("limit_price", ticket.limit_price), ("stop_price", ticket.stop_price)):
        if price is not None:
            yield name, price
    for leg in ticket.legs:
        place = "take_profit" if leg.kind is OrderKind.LIMIT else "stop_loss"
        for name, price in (("limit_price", leg.limit_price), ("stop_price", leg.stop_price)):
            if price is not None:
                yield f"{place}.{name}", price


def take_profit(ticket: Ticket) -> Leg | None:
    return next((leg for leg in ticket.legs if leg.kind is OrderKind.LIMIT), None)


def stop_loss(ticket: Ticket) -> Leg | None:
    return next((leg for leg in ticket.legs if leg.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT)), None)


def reserved_qty(entry: Entry, side: Side) -> tuple[Decimal, list[str]]:
    """Shares that open orders of `side` hold, and their ids. Orders of one group hold one quantity together."""
    return held_for_orders(entry.books, entry.ticket.symbol, side, entry.family)


def held_for_orders(
    books: VenueBooks, symbol: str, side: Side, apart_from: frozenset[str] = frozenset()
) -> tuple[Decimal, list[str]]:
    """See `reserved_qty`. An order that waits for its parent holds nothing."""
    total = ZERO
    groups: dict[str, Decimal] = {}
    related: list[str] = []
    for order in books.orders.values():
        ticket = order.ticket
        if ticket.symbol != symbol or ticket.side is not side or order.live_at is None:
            continue
        if order.order_id in apart_from:
            continue
        related.append(order.order_id)
        if ticket.group is None:
            total += order.remaining
        else:
            groups[ticket.group] = max(groups.get(ticket.group, ZERO), order.remaining)
    return total + sum(groups.values(), ZERO), related


def changed(ticket: Ticket, changes: Amendment) -> Ticket:
    """The ticket as a change of its order makes it."""
    facts: dict[str, Any] = {}
    if changes.kind is not None and changes.kind is not ticket.kind:
        # The prices of the old kind that the new one does not have go with it.
        gone = {"limit_price", "stop_price", "trail_price", "trail_percent"} - PRICES[changes.kind]
        facts |= dict.fromkeys(gone)
    facts |= {name: getattr(changes, name) for name in _CHANGES if getattr(changes, name) is not None}
    if changes.trail is not None:
        facts["trail_price" if ticket.trail_percent is None else "trail_percent"] = changes.trail
    return replace(ticket, **facts)
