"""A venue in memory, small and exact: what the doors are tested against.

Market orders fill at the price of the session while it is open; limits and stops fill when the price
reaches them; a DAY order ends at the close. `manual` venues fill only what a test fills.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from uuid import NAMESPACE_OID, uuid5

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.venue import (
    AccountView,
    Amendment,
    DailyBar,
    Duration,
    EventKind,
    Execution,
    Fault,
    House,
    Mishap,
    OrderKind,
    OrderQuery,
    PositionView,
    Quote,
    Refused,
    Status,
    Ticket,
    VenueEvent,
    VenueListing,
    VenueOrder,
)
from scizor_dagster.sessions import TradingCalendar

DAY1, DAY2, DAY3 = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
MORNING = datetime(2024, 3, 4, 14, 0, tzinfo=UTC)
NOON = datetime(2024, 3, 4, 17, 0, tzinfo=UTC)
COMMISSION = D(1)


@dataclass
class Books:
    cash: D
    positions: dict[str, tuple[D, D]] = field(default_factory=dict)
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    fills: list[Execution] = field(default_factory=list)
    listeners: list[Callable[[VenueEvent], None]] = field(default_factory=list)


class MemoryVenue:
    """A `Venue`. `price` is what trades now, by symbol."""

    def __init__(
        self,
        instruments: Sequence[Instrument] = (),
        *,
        cash: object = 100_000,
        now: datetime = NOON,
        names: Sequence[str] = ("ib",),
        currency: str = "USD",
        manual: bool = False,
        calendar: str = "XNYS",
    ) -> None:
        self.calendar = TradingCalendar(calendar)
        self.manual = manual
        self.currency = currency
        self.lock = threading.RLock()
        self.price = {row.symbol: D(100) for row in instruments}
        self.history: dict[str, list[DailyBar]] = {}
        self.actions: list[object] = []
        self._listings = {row.symbol: listing(row) for row in instruments}
        self._books = {name: Books(D(str(cash))) for name in names}
        self._now = now
        self._events = 0

    def now(self) -> datetime:
        return self._now

    def run(self) -> datetime | None:
        return None

    def move_to(self, instant: datetime) -> None:
        """Let time pass; sessions open and close on the way."""
        with self.lock:
            for session in self.calendar.sessions(self._now.date() - timedelta(days=1), instant.date()):
                for at, happens in (
                    (self.calendar.open_at(session), self._open),
                    (self.calendar.close_at(session), self._close),
                ):
                    if self._now < at <= instant:
                        self._now = at
                        happens(session)
            self._now = instant

    def trade(self, session: date) -> None:
        """Let the session pass, to its close."""
        self.move_to(self.calendar.close_at(session))

    def is_open(self) -> bool:
        today = self._now.astimezone(self.calendar.timezone).date()
        if not self.calendar.is_session(today):
            return False
        return self.calendar.open_at(today) <= self._now < self.calendar.close_at(today)

    def accounts(self, house: House) -> Sequence[str]:
        return list(self._books) if house is House.IBKR else []

    def account(self, account: str) -> AccountView:
        return self._view(account, self._books[account])

    def change_settings(self, account: str, changes: Mapping[str, object]) -> object:
        raise NotImplementedError

    def listings(self) -> Sequence[VenueListing]:
        return list(self._listings.values())

    def listing(self, symbol: str) -> VenueListing | None:
        return self._listings.get(symbol)

    def quote(self, symbol: str) -> Quote | None:
        price = self.price.get(symbol)
        if price is None:
            return None
        return Quote(symbol, self._now, price - D("0.01"), price + D("0.01"), price, 100, 200, previous_close=price)

    def bars(self, symbols: Sequence[str], first: date, last: date) -> Mapping[str, Sequence[DailyBar]]:
        found = {name: [bar for bar in self.history.get(name, ()) if first <= bar.session <= last] for name in symbols}
        return {name: rows for name, rows in found.items() if rows}

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> Sequence[object]:
        return [row for row in self.actions if row.symbol in symbols and first <= row.session <= last]

    def place(self, account: str, ticket: Ticket, mishap: Mishap | None = None) -> VenueOrder:
        with self.lock:
            self._check(account, ticket)
            order = self._new(account, ticket)
            self._books[account].orders[order.order_id] = order
            self._tell(account, EventKind(order.status.value), order)
            if mishap is not None:
                self.strike(account, order.order_id, mishap)
                return order
            if self.is_open() and order.status is Status.NEW:
                self._try(account, order)
            return self._books[account].orders[order.order_id]

    def preview(self, account: str, ticket: Ticket) -> tuple[AccountView, AccountView]:
        self._check(account, ticket)
        books = self._books[account]
        after = replace(books, positions=dict(books.positions))
        self._book(after, ticket.symbol, ticket.side, ticket.qty or D(0), self.price[ticket.symbol])
        return self._view(account, books), self._view(account, after)

    def amend(self, account: str, order_id: str, changes: Amendment) -> VenueOrder:
        with self.lock:
            order = self._open_order(account, order_id)
            fields = {
                "kind": changes.kind,
                "duration": changes.duration,
                "limit_price": changes.limit_price,
                "stop_price": changes.stop_price,
                "reference": changes.reference,
                "qty": changes.qty,
            }
            ticket = replace(order.ticket, **{name: value for name, value in fields.items() if value is not None})
            order = self._store(account, order, EventKind.RESTATED, ticket=ticket, qty=changes.qty or order.qty)
            if self.is_open() and order.status is Status.NEW:
                self._try(account, order)
            return self._books[account].orders[order_id]

    def replace(
        self, account: str, order_id: str, changes: Amendment, client_order_id: str | None = None
    ) -> VenueOrder:
        raise NotImplementedError

    def cancel(self, account: str, order_id: str) -> VenueOrder:
        with self.lock:
            order = self._open_order(account, order_id)
            self._store(account, order, EventKind.PENDING_CANCEL, status=Status.PENDING_CANCEL)
            order = self._end(account, order, Status.CANCELED)
            for child in self._children(account, order):
                self._end(account, child, Status.CANCELED)
            return order

    def strike(self, account: str, order_id: str, mishap: Mishap) -> VenueOrder:
        order = self._open_order(account, order_id)
        if mishap is Mishap.REJECT:
            self._store(account, order, EventKind.REJECTED, status=Status.REJECTED, reason="by the exchange")
        elif mishap is Mishap.FILL:
            self.fill(account, order_id)
        elif mishap is Mishap.PARTIAL_CANCEL:
            self.fill(account, order_id, qty=order.remaining // 2)
            self._end(account, self._books[account].orders[order_id], Status.CANCELED)
        return self._books[account].orders[order_id]

    def order(self, account: str, order_id: str) -> VenueOrder | None:
        return self._books[account].orders.get(order_id)

    def order_by_client_id(self, account: str, client_order_id: str) -> VenueOrder | None:
        rows = self._books[account].orders.values()
        return next((row for row in rows if row.ticket.client_order_id == client_order_id), None)

    def orders(self, account: str, query: OrderQuery | None = None) -> Sequence[VenueOrder]:
        query = query or OrderQuery()
        rows = [row for row in self._books[account].orders.values() if _wanted(row, query)]
        return rows if query.ascending else rows[::-1]

    def positions(self, account: str) -> Sequence[PositionView]:
        held = self._books[account].positions
        return [
            PositionView(symbol, qty, qty, cost, self.price[symbol], self.price[symbol])
            for symbol, (qty, cost) in sorted(held.items())
        ]

    def executions(self, account: str, first: datetime, last: datetime) -> Sequence[Execution]:
        return [row for row in self._books[account].fills if first <= row.at <= last]

    def activities(self, account: str, first: date, last: date) -> Sequence[object]:
        return []

    def subscribe(self, account: str, listener: Callable[[VenueEvent], None]) -> Callable[[], None]:
        listeners = self._books[account].listeners
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def fill(self, account: str, order_id: str, qty: object | None = None, price: object | None = None) -> Execution:
        """Fill an open order, wholly unless `qty` says how much."""
        with self.lock:
            order = self._open_order(account, order_id)
            shares = order.remaining if qty is None else D(str(qty))
            at = self.price[order.ticket.symbol] if price is None else D(str(price))
            return self._fill(account, order, shares, at)

    def _check(self, account: str, ticket: Ticket) -> None:
        found = self._listings.get(ticket.symbol)
        if self.order_by_client_id(account, ticket.client_order_id):
            raise Refused("duplicate_client_order_id", "client_order_id must be unique")
        if found is None or not found.instrument.tradable:
            raise Refused("asset_not_found", f"asset {ticket.symbol} not found")
        price = ticket.limit_price or ticket.stop_price
        if price is not None and price % found.instrument.price_step(price):
            raise Refused("price_not_on_tick", "the price is off its step")
        if (
            ticket.side is Side.BUY
            and (ticket.qty or D(0)) * self.price[ticket.symbol] > self.account(account).buying_power
        ):
            raise Refused("insufficient_buying_power", "insufficient buying power")

    def _new(self, account: str, ticket: Ticket) -> VenueOrder:
        number = len(self._books[account].orders) + 1
        parent = self.order_by_client_id(account, ticket.parent) if ticket.parent else None
        asleep = parent is not None and parent.status is not Status.FILLED
        status = Status.HELD if asleep else Status.NEW if self.is_open() else Status.ACCEPTED
        return VenueOrder(
            number=number,
            order_id=str(uuid5(NAMESPACE_OID, f"{account}-{number}")),
            ticket=ticket,
            qty=ticket.qty,
            status=status,
            created_at=self._now,
            submitted_at=self._now,
            updated_at=self._now,
            expires_at=None,
            intent=PositionIntent.BUY_TO_OPEN if ticket.side is Side.BUY else PositionIntent.SELL_TO_CLOSE,
            parent_id=parent.order_id if parent else None,
        )

    def _open(self, session: date) -> None:
        for account, books in self._books.items():
            for order in list(books.orders.values()):
                if order.status is Status.ACCEPTED:
                    order = self._store(account, order, EventKind.NEW, status=Status.NEW)
                    self._try(account, order)

    def _close(self, session: date) -> None:
        for account, books in self._books.items():
            for order in list(books.orders.values()):
                if not books.orders[order.order_id].status.terminal and order.ticket.duration is not Duration.GTC:
                    self._end(account, books.orders[order.order_id], Status.EXPIRED)

    def _try(self, account: str, order: VenueOrder) -> None:
        price, ticket = self.price[order.ticket.symbol], order.ticket
        sign = ticket.side.sign
        hit = not self.manual and {
            OrderKind.MARKET: True,
            OrderKind.LIMIT: ticket.limit_price is not None and (ticket.limit_price - price) * sign >= 0,
            OrderKind.STOP: ticket.stop_price is not None and (price - ticket.stop_price) * sign >= 0,
        }.get(ticket.kind, False)
        if hit:
            self._fill(account, order, order.remaining, price)
        elif ticket.duration in (Duration.IOC, Duration.FOK):
            if ticket.duration is Duration.IOC:
                self._store(account, order, EventKind.PENDING_CANCEL, status=Status.PENDING_CANCEL)
            self._end(account, self._books[account].orders[order.order_id], Status.CANCELED)

    def _fill(self, account: str, order: VenueOrder, qty: D, price: D) -> Execution:
        books = self._books[account]
        side, symbol = order.ticket.side, order.ticket.symbol
        self._book(books, symbol, side, qty, price)
        done = order.filled_qty + qty
        average = ((order.average_price or D(0)) * order.filled_qty + price * qty) / done
        fill = Execution(
            execution_id=f"0000e0d5.{len(books.fills) + 1:08x}.01",
            order_id=order.order_id,
            symbol=symbol,
            side=side,
            qty=qty,
            price=price,
            commission=COMMISSION,
            at=self._now,
            session=self.calendar.session_on_or_before(self._now.date()),
            cumulative_qty=done,
            leaves_qty=(order.qty or D(0)) - done,
            position_qty=books.positions.get(symbol, (D(0), D(0)))[0],
        )
        books.fills.append(fill)
        whole = done == order.qty
        kind = EventKind.FILL if whole else EventKind.PARTIAL_FILL
        status = Status.FILLED if whole else Status.PARTIALLY_FILLED
        self._store(account, order, kind, fill, status=status, filled_qty=done, average_price=average)
        if whole:
            self._after(account, order)
        return fill

    def _after(self, account: str, order: VenueOrder) -> None:
        """A parent's fill wakes its children; a child's fill ends its siblings."""
        for child in self._children(account, order):
            if child.status is Status.HELD:
                self._try(account, self._store(account, child, EventKind.NEW, status=Status.NEW))
        if order.ticket.group:
            for other in list(self._books[account].orders.values()):
                same = other.ticket.group == order.ticket.group and other.order_id != order.order_id
                if same and not other.status.terminal:
                    self._end(account, other, Status.CANCELED)

    def _children(self, account: str, order: VenueOrder) -> list[VenueOrder]:
        rows = self._books[account].orders.values()
        return [row for row in rows if row.ticket.parent == order.ticket.client_order_id and not row.status.terminal]

    def _book(self, books: Books, symbol: str, side: Side, qty: D, price: D) -> None:
        held, cost = books.positions.pop(symbol, (D(0), D(0)))
        books.cash -= side.sign * qty * price + COMMISSION
        if held + side.sign * qty:
            books.positions[symbol] = (held + side.sign * qty, price if not held else cost)

    def _end(self, account: str, order: VenueOrder, status: Status) -> VenueOrder:
        return self._store(account, order, EventKind(status.value), status=status)

    def _store(
        self, account: str, order: VenueOrder, kind: EventKind, fill: Execution | None = None, **changes: object
    ) -> VenueOrder:
        order = replace(order, updated_at=self._now, **changes)
        self._books[account].orders[order.order_id] = order
        self._tell(account, kind, order, fill)
        return order

    def _tell(self, account: str, kind: EventKind, order: VenueOrder, fill: Execution | None = None) -> None:
        self._events += 1
        for listener in list(self._books[account].listeners):
            listener(VenueEvent(self._events, account, kind, self._now, order, fill))

    def _open_order(self, account: str, order_id: str) -> VenueOrder:
        order = self._books[account].orders.get(order_id)
        if order is None:
            raise Refused("order_not_found", "order not found")
        if order.status.terminal:
            raise Refused("order_not_open", "order is not open")
        return order

    def _view(self, account: str, books: Books) -> AccountView:
        values = [qty * self.price[symbol] for symbol, (qty, _) in books.positions.items()]
        long, short = sum((v for v in values if v > 0), D(0)), sum((v for v in values if v < 0), D(0))
        equity = books.cash + long + short
        margin = (long - short) / 2
        return AccountView(
            name=account,
            account_id=f"DU{1000000 + list(self._books).index(account)}",
            house=House.IBKR,
            currency=self.currency,
            created_at=MORNING,
            cash=books.cash,
            equity=equity,
            last_equity=equity,
            long_market_value=long,
            short_market_value=short,
            buying_power=(equity - margin) * 2,
            regt_buying_power=(equity - margin) * 2,
            non_marginable_buying_power=equity - margin,
            initial_margin=margin,
            maintenance_margin=margin / 2,
            last_maintenance_margin=margin / 2,
        )


class ScriptedFaults:
    """Faults by call, each striking once, in order; None lets a call pass."""

    def __init__(self) -> None:
        self._by_call: dict[str, list[Fault | None]] = {}

    def add(self, call: str, kind: str, *, after: int = 0, times: int = 1, **detail: object) -> None:
        self._by_call.setdefault(call, []).extend([*[None] * after, *[Fault(kind, detail)] * times])

    def next(self, door: str, call: str) -> Fault | None:
        assert door == "tws"
        waiting = self._by_call.get(call)
        return waiting.pop(0) if waiting else None


def listing(instrument: Instrument) -> VenueListing:
    number = int(uuid5(NAMESPACE_OID, instrument.id).hex[:7], 16)
    return VenueListing(instrument, str(uuid5(NAMESPACE_OID, instrument.id)), number)


def bars(symbol: str, first: date, closes: Sequence[object]) -> list[DailyBar]:
    """Bars of sessions in a row."""
    calendar = TradingCalendar("XNYS")
    rows, session = [], first
    for close in closes:
        price = D(str(close))
        rows.append(DailyBar(symbol, session, price, price + 1, price - 1, price, D(100_000)))
        session = calendar.next_session(session)
    return rows


def _wanted(order: VenueOrder, query: OrderQuery) -> bool:
    return query.state == "all" or (query.state == "closed") == order.status.terminal
