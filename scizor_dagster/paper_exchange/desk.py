"""Taking, changing and ending orders in one account's books.

What belongs here: what each request does, once the books stand at the instant of it. What does not: the
rules of a house (`house_*`), later fills (`continuous`), transactions and listeners (`paper_venue`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.paper_exchange.continuous import NOT_ARRIVED, Engine
from scizor_dagster.paper_exchange.families import AT_ONCE, cancel_family, cancel_with_children, children, family_of
from scizor_dagster.paper_exchange.meeting import first_mark
from scizor_dagster.paper_exchange.order_entry import (
    Entry,
    HouseRules,
    changed,
    held_for_orders,
    listed,
    stop_loss,
    take_profit,
)
from scizor_dagster.paper_exchange.venue_books import VenueBooks, opposite
from scizor_dagster.paper_exchange.venue_margin import Marks, account_view, equity, price_of
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    Amendment,
    Duration,
    EventKind,
    House,
    Leg,
    Mishap,
    OrderClass,
    OrderKind,
    Refused,
    Status,
    Ticket,
    VenueOrder,
)
from scizor_dagster.paper_exchange.venue_views import AccountView, PositionView

GTC_LIFE = timedelta(days=90)
GTC_ENDS_AT = time(16, 15)

Lookup = Callable[[str], VenueOrder | None]
"""An order of the account by its client order id, open or ended."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Requests of one account, at the instant to which its books have been brought."""

    engine: Engine

    def place(
        self, books: VenueBooks, ticket: Ticket, now: datetime, lookup: Lookup, mishap: Mishap | None = None
    ) -> VenueOrder:
        """Take a ticket with its legs; the order as it was taken. Raises `Refused`."""
        _check_new(lookup(ticket.client_order_id))
        parent = self._parent(ticket, lookup)
        ticket = _without_profit_leg(ticket)
        entry = self._entry(books, ticket, now)
        intent = self._house(books).check(entry)
        waits = parent is not None and parent.status is not Status.FILLED
        status = Status.HELD if waits else Status.PENDING_NEW if self._is_matched(entry) else Status.ACCEPTED
        order = books.open(
            ticket,
            intent,
            status,
            now,
            expires_at=self._expiry(books, ticket, entry.session, now),
            live_at=None if waits else self._live_at(ticket, entry.session, now),
            parent_id=parent.order_id if parent is not None else None,
            high_water_mark=self._first_mark(entry, status),
        )
        if ticket.order_class is OrderClass.OCO:
            order = books.put(replace(order, ticket=replace(order.ticket, group=order.order_id)))
        books.tell(EventKind(status.value), order, now)
        for leg in ticket.legs:
            self._place_leg(books, order, leg, now)
        if mishap is not None:
            self.strike(books, order, mishap, now)
        elif status is Status.PENDING_NEW:
            self.engine.arrive(books, order, now)
        return order

    def preview(self, books: VenueBooks, ticket: Ticket, now: datetime, lookup: Lookup) -> AccountView:
        """The account as if the order had filled at its limit, or at the touch. Raises `Refused`."""
        self._parent(ticket, lookup)
        entry = self._entry(books, _without_profit_leg(ticket), now)
        intent = self._house(books).check(entry)
        price = ticket.limit_price
        if price is None and entry.price is not None:
            price = self._far_side(ticket, entry.price)
        if price is not None:
            qty = ticket.qty if ticket.qty is not None else (ticket.notional or Decimal(0)) / price
            commission = self._house(books).commission(entry.instrument, qty, qty * price)
            order = books.open(replace(ticket, qty=qty), intent, Status.NEW, now, live_at=now)
            books.fill(order, qty, price, commission, now)
        return self.view(books, now)

    def view(self, books: VenueBooks, now: datetime) -> AccountView:
        house, marks = self._house(books), self._marks(books, now)
        return account_view(books, marks, house.rates, house.multiplier(books, equity(books, marks)))

    def positions(self, books: VenueBooks, now: datetime) -> list[PositionView]:
        """Positions at their prices, by symbol."""
        marks = self._marks(books, now)
        previous = self.engine.market.previous_closes(books.session, now)
        views: list[PositionView] = []
        for symbol, holding in sorted(books.positions.items()):
            side = Side.SELL if holding.qty > 0 else Side.BUY
            free = max(ZERO, abs(holding.qty) - held_for_orders(books, symbol, side)[0])
            price = price_of(books, symbol, marks)
            last_day = previous.get(symbol, price)
            views.append(PositionView(symbol, holding.qty, -side.sign * free, holding.average_price, price, last_day))
        return views

    def cancel(self, books: VenueBooks, order: VenueOrder, now: datetime, reason: str) -> VenueOrder:
        """End an open order with its family. Raises `Refused` where it has ended."""
        if order.status.terminal:
            raise Refused("order_not_open", f'order is already in "{order.status}" state', status=order.status.value)
        if order.is_stuck:
            pending = books.put(replace(order, status=Status.PENDING_CANCEL, updated_at=now))
            books.tell(EventKind.PENDING_CANCEL, pending, now)
            return pending
        return cancel_family(books, order, now, reason)

    def cancel_many(self, books: VenueBooks, order_ids: Sequence[str], now: datetime) -> list[VenueOrder]:
        """End these orders with their families, each that is still open when its turn comes."""
        rows = (books.orders.get(order_id) for order_id in order_ids)
        return [self.cancel(books, row, now, "canceled on request") for row in rows if row is not None]

    def strike(self, books: VenueBooks, order: VenueOrder, mishap: Mishap, now: datetime) -> VenueOrder:
        """Let a mishap befall an open order. Raises `Refused` where it has ended, or has no price to fill at."""
        if order.status.terminal:
            raise Refused("order_not_open", f'order is already in "{order.status}" state', status=order.status.value)
        if mishap is Mishap.REJECT:
            return cancel_with_children(books, order, now, "rejected by the exchange", Status.REJECTED)
        if mishap is Mishap.STICK:
            return books.put(replace(order, is_stuck=True, updated_at=now))
        filled = self._filled_at_quote(books, order, now, is_whole=mishap is Mishap.FILL)
        if filled.status.terminal:
            return filled
        return cancel_with_children(books, filled, now, "canceled by the exchange")

    def _filled_at_quote(self, books: VenueBooks, order: VenueOrder, now: datetime, *, is_whole: bool) -> VenueOrder:
        ticket, market = order.ticket, self.engine.market
        middle = market.mark(ticket.symbol, books.session, now)
        if middle is None:
            raise Refused("no_price", f"no price of {ticket.symbol} is known")
        price = self._far_side(ticket, middle)
        order = self.engine.sized(books, order, price)
        lot = Decimal(market.instruments[ticket.symbol].lot)
        qty = order.remaining if is_whole else min(order.remaining, max(order.remaining // 2, lot))
        return self.engine.execute(books, order, qty, price, now)

    def _far_side(self, ticket: Ticket, middle: Decimal) -> Decimal:
        bid, ask = self.engine.market.touch(ticket.symbol, middle)
        return ask if ticket.side is Side.BUY else bid

    def amend(self, books: VenueBooks, order: VenueOrder, changes: Amendment, now: datetime) -> VenueOrder:
        """Change an open order in place. Raises `Refused`."""
        self._house(books).check_change(order, changes, self.engine.market)
        ticket = changed(order.ticket, changes)
        qty = changes.qty if changes.qty is not None else order.qty
        rest = replace(ticket, qty=(qty or Decimal(0)) - order.filled_qty)
        # The order does not stand in its own way: it is looked at as a new one for what is left of it.
        with books.without(order):
            self._house(books).check(self._entry(books, rest, now, family=family_of(books, order)))
        amended = replace(order, ticket=replace(ticket, qty=qty), qty=qty, updated_at=now)
        live_at, status = order.live_at and max(order.live_at, now), order.status
        if ticket.duration is not order.ticket.duration or changes.good_till is not None:
            session = ticket.session or self._session(ticket, now)
            if ticket.duration is not order.ticket.duration:
                live_at = live_at and self._live_at(ticket, session, now)
                status = Status.ACCEPTED if live_at and ticket.duration in AT_ONCE else status
            amended = replace(amended, expires_at=self._expiry(books, ticket, session, now))
        if changes.stop_price is not None and ticket.kind is OrderKind.TRAILING_STOP:
            amended = replace(amended, high_water_mark=first_mark(ticket))
        amended = replace(amended, live_at=live_at, status=status)
        amended = books.put(amended)
        books.tell(EventKind.RESTATED, amended, now)
        if amended.live_at == now and self._is_open(books.session, now):
            if amended.status in NOT_ARRIVED:
                self.engine.arrive(books, amended, now)
            else:
                self.engine.work(books, amended, now, now)
        return amended

    def replace(
        self,
        books: VenueBooks,
        order: VenueOrder,
        changes: Amendment,
        client_order_id: str,
        now: datetime,
        lookup: Lookup,
    ) -> VenueOrder:
        """End an open order as replaced and open its successor; the successor as it was taken. Raises `Refused`."""
        self._house(books).check_change(order, changes, self.engine.market)
        _check_new(lookup(client_order_id))
        total = changes.qty if changes.qty is not None else order.qty or Decimal(0)
        ticket = replace(changed(order.ticket, changes), client_order_id=client_order_id, qty=total, legs=())
        relatives = children(books, order)
        family = family_of(books, order)
        old = books.end(order, Status.REPLACED, now, "replaced by its owner")
        intent = order.intent
        # A leg closes what its entry opens, and there may be nothing to close yet.
        if order.parent_id is None:
            rest = replace(ticket, qty=total - order.filled_qty)
            entry = replace(self._entry(books, rest, now, family=family), is_successor=True)
            intent = self._house(books).check(entry)
        new = self._successor(books, old, ticket, intent, changes, now, is_held=order.status is Status.HELD)
        books.put(replace(old, replaced_by=new.order_id))
        for child in relatives:
            books.put(replace(child, parent_id=new.order_id))
        if new.status is Status.PENDING_NEW:
            self.engine.arrive(books, new, now)
        return new

    def _successor(
        self,
        books: VenueBooks,
        old: VenueOrder,
        ticket: Ticket,
        intent: PositionIntent,
        changes: Amendment,
        now: datetime,
        *,
        is_held: bool,
    ) -> VenueOrder:
        session = ticket.session or self._session(ticket, now)
        status = Status.ACCEPTED
        live_at: datetime | None = self._live_at(ticket, session, now)
        if is_held:
            status, live_at = Status.HELD, old.live_at and max(old.live_at, now)
        elif live_at == now and self._is_open(session, now):
            status = Status.PENDING_NEW
        expires_at = old.expires_at
        if changes.duration is not None:
            expires_at = self._expiry(books, ticket, session, now)
        new = books.open(
            ticket,
            intent,
            status,
            now,
            created_at=old.created_at,
            expires_at=expires_at,
            live_at=live_at,
            parent_id=old.parent_id,
            replaces=old.order_id,
            filled_qty=old.filled_qty,
            average_price=old.average_price,
            high_water_mark=old.high_water_mark,
        )
        books.tell(EventKind(status.value), new, now)
        return new

    def _marks(self, books: VenueBooks, now: datetime) -> Marks:
        """Prices at one instant; each is made once, however many orders and positions ask for it."""
        market, session = self.engine.market, books.session
        return cache(lambda symbol: market.mark(symbol, session, now))

    def _house(self, books: VenueBooks) -> HouseRules:
        return self.engine.houses[books.house]

    def _entry(self, books: VenueBooks, ticket: Ticket, now: datetime, family: frozenset[str] = frozenset()) -> Entry:
        market = self.engine.market
        instrument = listed(market, ticket.symbol)
        session = ticket.session or self._session(ticket, now)
        if ticket.session is not None and market.hours(market.calendar.require(session)).close <= now:
            raise Refused("session_closed", f"session {session} has closed")
        is_open = self._is_open(session, now)
        marks = self._marks(books, now)
        price = marks(ticket.symbol)
        ask = price
        if price is not None and is_open:
            ask = market.touch(ticket.symbol, price)[1]
        return Entry(
            books, ticket, instrument, market, self.engine.rules, now, session, is_open, price, ask, marks, family
        )

    def _is_open(self, session: date, now: datetime) -> bool:
        hours = self.engine.market.hours(session)
        return hours.open <= now < hours.close and self.engine.market.bars(session) is not None

    def _is_matched(self, entry: Entry) -> bool:
        """Whether the order meets prices now; else it rests for the open, its auction, or the session's bars."""
        return entry.is_open and self._live_at(entry.ticket, entry.session, entry.now) == entry.now

    def _session(self, ticket: Ticket, now: datetime) -> date:
        market = self.engine.market
        session = market.calendar.current_session(max(now, ticket.good_after or now))
        if ticket.duration is Duration.OPG and market.hours(session).open <= now:
            return market.calendar.next_session(session)
        return session

    def _first_mark(self, entry: Entry, status: Status) -> Decimal | None:
        """Best price of a trailing stop to begin with: what it says, or the price now; None where it has to wait."""
        ticket = entry.ticket
        if ticket.kind is not OrderKind.TRAILING_STOP or status is not Status.PENDING_NEW:
            return first_mark(ticket)
        return first_mark(ticket) or entry.price

    def _live_at(self, ticket: Ticket, session: date, now: datetime) -> datetime:
        hours = self.engine.market.hours(session)
        return hours.close if ticket.duration is Duration.CLS else max(now, hours.open, ticket.good_after or now)

    def _expiry(self, books: VenueBooks, ticket: Ticket, session: date, now: datetime) -> datetime | None:
        """Close of the session; of a good-till-cancelled order its own end, at Alpaca 90 days on, elsewhere none."""
        if ticket.duration is Duration.GTC and ticket.good_till is not None:
            return ticket.good_till
        if ticket.duration is not Duration.GTC:
            return self.engine.market.hours(session).close
        if books.house is not House.ALPACA:
            return None
        zone = self.engine.market.calendar.timezone
        last = (now + GTC_LIFE).astimezone(zone).date()
        return datetime.combine(last, GTC_ENDS_AT, zone).astimezone(now.tzinfo)

    def _parent(self, ticket: Ticket, lookup: Lookup) -> VenueOrder | None:
        if ticket.parent is None:
            return None
        parent = lookup(ticket.parent)
        if parent is None or (parent.status.terminal and parent.status is not Status.FILLED):
            raise Refused("parent_not_found", f"the parent order {ticket.parent} does not exist or has ended")
        return parent

    def _place_leg(self, books: VenueBooks, parent: VenueOrder, leg: Leg, now: datetime) -> None:
        own = parent.ticket
        is_oco = own.order_class is OrderClass.OCO
        ticket = Ticket(
            client_order_id=books.identifier("leg", books.next_order),
            symbol=own.symbol,
            side=own.side if is_oco else opposite(own.side),
            kind=leg.kind,
            duration=own.duration,
            qty=own.qty,
            limit_price=leg.limit_price,
            stop_price=leg.stop_price,
            order_class=own.order_class,
            parent=own.client_order_id,
            group=parent.order_id if own.order_class is not OrderClass.OTO else None,
            session=own.session,
        )
        intent = parent.intent if is_oco else _closing(parent.intent)
        order = books.open(
            ticket,
            intent,
            Status.HELD,
            now,
            expires_at=parent.expires_at,
            live_at=parent.live_at if is_oco else None,
            parent_id=parent.order_id,
        )
        books.tell(EventKind.HELD, order, now)


def _closing(intent: PositionIntent) -> PositionIntent:
    return {
        PositionIntent.BUY_TO_OPEN: PositionIntent.SELL_TO_CLOSE,
        PositionIntent.SELL_TO_OPEN: PositionIntent.BUY_TO_CLOSE,
    }.get(intent, intent)


def _check_new(existing: VenueOrder | None) -> None:
    if existing is None:
        return
    raise Refused(
        "duplicate_client_order_id",
        "client_order_id must be unique",
        is_open=not existing.status.terminal,
        existing_order_id=existing.order_id,
    )


def _without_profit_leg(ticket: Ticket) -> Ticket:
    """The parent of an OCO is its take-profit; what is left is its stop."""
    if ticket.order_class is not OrderClass.OCO:
        return ticket
    profit, loss = take_profit(ticket), stop_loss(ticket)
    price = ticket.limit_price if profit is None else profit.limit_price
    return replace(ticket, limit_price=price, legs=(loss,) if loss is not None else ())
