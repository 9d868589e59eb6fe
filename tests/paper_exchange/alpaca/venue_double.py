"""A small honest exchange in memory, for the tests of the doors: one price per symbol, and a clock that tests move.

What belongs here: enough of the protocol `Venue` that a door can be asked everything. What does not: fill
models, corporate actions on books, margin. What one price reaches fills whole, at that price.
"""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal as D
from functools import cache
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.venue import (
    AccountSettings,
    AccountView,
    Amendment,
    DailyBar,
    Duration,
    EventKind,
    Execution,
    House,
    Leg,
    Mishap,
    NonTrade,
    OrderClass,
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
from tests.paper_exchange.alpaca.venue_double_rules import check_change, check_ticket, remaining_power

CALENDAR = TradingCalendar("XNYS")
SPACE = uuid.UUID("00000000-0000-0000-0000-00000000da7a")
INSTRUMENTS = {
    "AAA": Instrument("AAA", "XNYS", "USD", name="Triple A Corporation"),
    "BBB": Instrument("BBB", "XNAS", "USD"),
    "WHOLE": Instrument("WHOLE", "XNYS", "USD", fractionable=False),
    "HARD": Instrument("HARD", "ARCX", "USD", shortable=False),
}
TERMINAL_TIME = {
    Status.FILLED: "filled_at",
    Status.CANCELED: "canceled_at",
    Status.EXPIRED: "expired_at",
    Status.REJECTED: "failed_at",
    Status.REPLACED: "replaced_at",
}


@cache
def opening(session: date) -> datetime:
    return CALENDAR.open_at(session)


@cache
def closing(session: date) -> datetime:
    return CALENDAR.close_at(session)


@cache
def session_at(at: datetime) -> date:
    return CALENDAR.current_session(at)


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


class VenueDouble:
    """Accounts of the house ALPACA, each flat with `cash` at first.

    Attributes:
        at: The clock; tests move it forward by `move_to`.
        prices: Price of each symbol now.
        history: Daily bars by symbol.
        step: How far the clock's stamps are apart within one instant.
    """

    def __init__(
        self,
        at: datetime,
        *,
        cash: D = D(100_000),
        accounts: Sequence[str] = ("main",),
        instruments: Mapping[str, Instrument] = INSTRUMENTS,
    ) -> None:
        self.instruments = dict(instruments)
        self.calendar = CALENDAR
        self.at = at
        self.step = timedelta(microseconds=7)
        self.prices = {name: D(100) for name in self.instruments}
        self.history: dict[str, list[DailyBar]] = {}
        self.actions: list[SessionAction] = []
        self.non_trades: list[NonTrade] = []
        self.borrow = dict.fromkeys(self.instruments, True)
        self.books = {name: {"cash": cash, "positions": {}, "start": cash} for name in accounts}
        self.settings = {name: AccountSettings() for name in accounts}
        self.rows: dict[str, list[VenueOrder]] = {name: [] for name in accounts}
        self.done: dict[str, list[Execution]] = {name: [] for name in accounts}
        self.stuck: set[str] = set()
        self.listeners: dict[str, list[Callable[[VenueEvent], None]]] = {name: [] for name in accounts}
        self._created, self._last, self._events = at, at, 0
        self._lock = threading.RLock()

    # The clock.

    def now(self) -> datetime:
        return self.at

    def _stamp(self) -> datetime:
        self._last = max(self.at, self._last + self.step)
        return self._last

    def move_to(self, at: datetime) -> None:
        """Move the clock forward, past every open and close in between."""
        with self._lock:
            for session in self.calendar.sessions(self.at.date(), at.date()):
                for edge in (self.calendar.open_at(session), self.calendar.close_at(session)):
                    if self.at < edge <= at:
                        self.at = edge
                        self.run()
            self.at = at
            self.run()

    def run(self) -> datetime | None:
        with self._lock:
            for account in self.rows:
                self._run(account)
        return None

    # Reading.

    def accounts(self, house: House) -> Sequence[str]:
        return list(self.books) if house is House.ALPACA else []

    def account(self, account: str) -> AccountView:
        with self._lock:
            self.run()
            book, settings = self.books[account], self.settings[account]
            values = [row.qty * row.price for row in self.positions(account)]
            long, short = sum((v for v in values if v > 0), D(0)), sum((v for v in values if v < 0), D(0))
            equity = book["cash"] + long + short
            margin = (long - short) / 2
            power = remaining_power(self, account, equity, long - short)
            return AccountView(
                name=account,
                account_id=str(uuid.uuid5(SPACE, account)),
                house=House.ALPACA,
                currency="USD",
                created_at=self._created,
                cash=book["cash"],
                equity=equity,
                last_equity=book["start"],
                long_market_value=long,
                short_market_value=short,
                buying_power=power,
                regt_buying_power=2 * (equity - margin),
                non_marginable_buying_power=book["cash"],
                initial_margin=margin,
                maintenance_margin=(long - short) * D("0.3"),
                last_maintenance_margin=D(0),
                settings=settings,
            )

    def change_settings(self, account: str, changes: Mapping[str, Any]) -> AccountSettings:
        self.settings[account] = replace(self.settings[account], **changes)
        return self.settings[account]

    def listings(self) -> Sequence[VenueListing]:
        return [self.listing(name) for name in self.instruments]

    def listing(self, symbol: str) -> VenueListing | None:
        found = self.instruments.get(symbol)
        if found is None:
            return None
        asset_id = str(uuid.uuid5(SPACE, symbol))
        return VenueListing(found, asset_id, abs(hash(symbol)) % 10**6, easy_to_borrow=self.borrow[symbol])

    def quote(self, symbol: str) -> Quote | None:
        price = self.prices.get(symbol)
        if price is None:
            return None
        return Quote(symbol, self.at, price - D("0.01"), price + D("0.01"), price, 100, 200)

    def bars(self, symbols: Sequence[str], first: date, last: date) -> Mapping[str, Sequence[DailyBar]]:
        chosen = {name: [row for row in self.history.get(name, []) if first <= row.session <= last] for name in symbols}
        return {name: rows for name, rows in chosen.items() if rows}

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> Sequence[Any]:
        return [row for row in self.actions if row.symbol in symbols and first <= row.session <= last]

    def order(self, account: str, order_id: str) -> VenueOrder | None:
        with self._lock:
            self.run()
            return next((row for row in self.rows[account] if row.order_id == order_id), None)

    def order_by_client_id(self, account: str, client_order_id: str) -> VenueOrder | None:
        with self._lock:
            self.run()
            return next((row for row in self.rows[account] if row.ticket.client_order_id == client_order_id), None)

    def orders(self, account: str, query: OrderQuery = OrderQuery()) -> Sequence[VenueOrder]:  # noqa: B008
        with self._lock:
            self.run()
            found = [
                row
                for row in self.rows[account]
                if (query.state == "all" or (query.state == "closed") == row.status.terminal)
                and (query.after is None or row.submitted_at > query.after)
                and (query.until is None or row.submitted_at < query.until)
                and (not query.symbols or row.ticket.symbol in query.symbols)
                and query.side in (None, row.ticket.side)
            ]
        found.sort(key=lambda row: (row.submitted_at, row.number), reverse=not query.ascending)
        return found[: query.limit]

    def positions(self, account: str) -> Sequence[PositionView]:
        with self._lock:
            self.run()
            return [
                PositionView(name, qty, self.available(account, name), average, self.prices[name], self.prices[name])
                for name, (qty, average) in self.books[account]["positions"].items()
            ]

    def executions(self, account: str, first: datetime, last: datetime) -> Sequence[Execution]:
        with self._lock:
            self.run()
            return [row for row in self.done[account] if first <= row.at <= last]

    def activities(self, account: str, first: date, last: date) -> Sequence[NonTrade]:
        return [row for row in self.non_trades if first <= row.session <= last]

    def subscribe(self, account: str, listener: Callable[[VenueEvent], None]) -> Callable[[], None]:
        self.listeners[account].append(listener)
        return lambda: self.listeners[account].remove(listener)

    def held(self, account: str, symbol: str) -> D:
        return self.books[account]["positions"].get(symbol, (D(0), D(0)))[0]

    def available(self, account: str, symbol: str) -> D:
        """Held less what open orders of the other side hold; the legs of a bracket hold one quantity."""
        qty = self.held(account, symbol)
        closing = Side.SELL if qty > 0 else Side.BUY
        reserved = sum(
            (
                row.remaining
                for row in self.open_rows(account)
                if row.ticket.symbol == symbol and row.ticket.side is closing and row.status is not Status.HELD
            ),
            D(0),
        )
        return qty - closing.sign * -reserved

    def open_rows(self, account: str) -> list[VenueOrder]:
        return [row for row in self.rows[account] if not row.status.terminal]

    # Changing.

    def place(self, account: str, ticket: Ticket, mishap: Mishap | None = None) -> VenueOrder:
        with self._lock:
            self.run()
            intent = check_ticket(self, account, ticket)
            row = self._new(account, ticket, intent)
            for leg in ticket.legs:
                self._new_leg(account, row, leg)
            self._tell(account, row, EventKind(row.status.value))
            if mishap is not None:
                self._befall(account, row, mishap)
            return row

    def preview(self, account: str, ticket: Ticket) -> tuple[AccountView, AccountView]:
        check_ticket(self, account, ticket)
        return self.account(account), self.account(account)

    def amend(self, account: str, order_id: str, changes: Amendment) -> VenueOrder:
        raise Refused("order_not_open", "this house replaces")

    def replace(
        self, account: str, order_id: str, changes: Amendment, client_order_id: str | None = None
    ) -> VenueOrder:
        with self._lock:
            old = self._open_row(account, order_id)
            check_change(old, changes)
            wanted = {name: getattr(changes, name) for name in ("qty", "duration", "limit_price", "stop_price")}
            known = {name: value for name, value in wanted.items() if value is not None}
            ticket = replace(old.ticket, client_order_id=client_order_id or str(uuid.uuid4()), legs=(), **known)
            row = self._new(account, ticket, old.intent, parent=old.parent_id)
            row = self._put(
                account, replace(row, replaces=old.order_id, created_at=old.created_at, filled_qty=old.filled_qty)
            )
            self._end(account, replace(old, replaced_by=row.order_id), Status.REPLACED)
            return row

    def cancel(self, account: str, order_id: str) -> VenueOrder:
        with self._lock:
            row = self._open_row(account, order_id)
            if order_id in self.stuck:
                return self._put(account, replace(row, status=Status.PENDING_CANCEL))
            family = row.parent_id or row.order_id
            for other in self.open_rows(account):
                if other.order_id != order_id and family in (other.order_id, other.parent_id):
                    self._end(account, other, Status.CANCELED)
            return self._end(account, row, Status.CANCELED)

    def strike(self, account: str, order_id: str, mishap: Mishap) -> VenueOrder:
        with self._lock:
            return self._befall(account, self._open_row(account, order_id), mishap)

    def _befall(self, account: str, row: VenueOrder, mishap: Mishap) -> VenueOrder:
        if mishap is Mishap.REJECT:
            return self._end(account, row, Status.REJECTED)
        if mishap is Mishap.STICK:
            self.stuck.add(row.order_id)
            return row
        if mishap is Mishap.FILL:
            return self._fill(account, row, row.remaining)
        return self._end(account, self._fill(account, row, max(row.remaining // 2, D(1))), Status.CANCELED)

    # How it works.

    def _open_row(self, account: str, order_id: str) -> VenueOrder:
        self.run()
        row = next((row for row in self.rows[account] if row.order_id == order_id), None)
        if row is None:
            raise Refused("order_not_found", f"order not found for {order_id}")
        if row.status is Status.REPLACED:
            raise Refused("already_replaced", "order already replaced")
        if row.status.terminal:
            raise Refused("order_not_open", "unable to replace order, order is not open", status=row.status.value)
        return row

    def _new(
        self, account: str, ticket: Ticket, intent: PositionIntent, *, parent: str | None = None, held: bool = False
    ) -> VenueOrder:
        at = self._stamp()
        session = session_at(self.at)
        is_open = opening(session) <= self.at
        status = Status.HELD if held else Status.PENDING_NEW if is_open else Status.ACCEPTED
        ends = closing(session) if ticket.duration is Duration.DAY else at + timedelta(days=90)
        number = len(self.rows[account]) + 1
        row = VenueOrder(
            number=number,
            order_id=str(uuid.uuid5(SPACE, f"{account}/{number}")),
            ticket=replace(ticket, session=session),
            qty=ticket.qty,
            status=status,
            created_at=at,
            submitted_at=at,
            updated_at=at,
            expires_at=ends,
            intent=intent,
            parent_id=parent,
            high_water_mark=self.prices[ticket.symbol] if ticket.kind is OrderKind.TRAILING_STOP else None,
        )
        self.rows[account].append(row)
        return row

    def _new_leg(self, account: str, parent: VenueOrder, leg: Leg) -> None:
        up, oco = parent.ticket, parent.ticket.order_class is OrderClass.OCO
        side = up.side if oco else opposite(up.side)
        ticket = Ticket(
            str(uuid.uuid4()),
            up.symbol,
            side,
            leg.kind,
            up.duration,
            qty=up.qty,
            limit_price=leg.limit_price,
            stop_price=leg.stop_price,
            order_class=up.order_class,
        )
        intent = PositionIntent.SELL_TO_CLOSE if side is Side.SELL else PositionIntent.BUY_TO_CLOSE
        self._new(account, ticket, intent, parent=parent.order_id, held=True)

    def _put(self, account: str, row: VenueOrder) -> VenueOrder:
        row = replace(row, updated_at=self._stamp())
        self.rows[account][row.number - 1] = row
        return row

    def _tell(self, account: str, row: VenueOrder, kind: EventKind, fill: Execution | None = None) -> None:
        self._events += 1
        event = VenueEvent(self._events, account, kind, row.updated_at, row, fill)
        for listener in list(self.listeners[account]):
            listener(event)

    def _end(self, account: str, row: VenueOrder, status: Status) -> VenueOrder:
        row = self._put(account, replace(row, status=status, **{TERMINAL_TIME[status]: self._stamp()}))
        self._tell(account, row, EventKind(status.value))
        return row

    def _run(self, account: str) -> None:
        for row in self.open_rows(account):
            if row.order_id in self.stuck or row.status is Status.HELD:
                continue
            session = row.ticket.session
            assert session is not None
            if self.at < opening(session):
                continue
            if row.status in (Status.PENDING_NEW, Status.ACCEPTED):
                row = self._put(account, replace(row, status=Status.NEW))
                self._tell(account, row, EventKind.NEW)
            if self._reaches(row):
                row = self._fill(account, row, self._wanted(row) - row.filled_qty)
            if not row.status.terminal and row.expires_at is not None and row.expires_at <= self.at:
                for other in self.open_rows(account):
                    if other.parent_id == row.order_id:
                        self._end(account, other, Status.CANCELED)
                self._end(account, row, Status.EXPIRED)

    def _wanted(self, row: VenueOrder) -> D:
        if row.qty is not None:
            return row.qty
        assert row.ticket.notional is not None
        return (row.ticket.notional / self.prices[row.ticket.symbol]).quantize(D("0.000000001"))

    def _reaches(self, row: VenueOrder) -> bool:
        price, ticket = self.prices[row.ticket.symbol], row.ticket
        buy, limit, stop = ticket.side is Side.BUY, ticket.limit_price, ticket.stop_price
        if ticket.kind is OrderKind.TRAILING_STOP:
            return False
        if stop is not None and not (price >= stop if buy else price <= stop):
            return False
        return limit is None or (price <= limit if buy else price >= limit)

    def _fill(self, account: str, row: VenueOrder, qty: D) -> VenueOrder:
        price, sign, symbol = self.prices[row.ticket.symbol], row.ticket.side.sign, row.ticket.symbol
        total, filled = self._wanted(row), row.filled_qty + qty
        complete = filled == total
        book = self.books[account]
        old, average = book["positions"].get(symbol, (D(0), D(0)))
        new = old + sign * qty
        grows = abs(new) > abs(old)
        book["positions"][symbol] = (new, (abs(old) * average + qty * price) / abs(new) if grows else average)
        if new == 0:
            del book["positions"][symbol]
        book["cash"] -= sign * qty * price
        cost = (row.average_price or D(0)) * row.filled_qty + price * qty
        row = self._put(
            account,
            replace(
                row,
                qty=total,
                filled_qty=filled,
                average_price=cost / filled,
                filled_at=self._stamp() if complete else None,
                status=Status.FILLED if complete else Status.PARTIALLY_FILLED,
            ),
        )
        fill = Execution(
            f"{account}/{len(self.done[account])}",
            row.order_id,
            symbol,
            row.ticket.side,
            qty,
            price,
            D(0),
            row.updated_at,
            row.ticket.session or self.calendar.current_session(self.at),
            filled,
            total - filled,
            new,
        )
        self.done[account].append(fill)
        self._tell(account, row, EventKind.FILL if complete else EventKind.PARTIAL_FILL, fill)
        if complete:
            self._wake_legs(account, row)
        return row

    def _wake_legs(self, account: str, row: VenueOrder) -> None:
        """A filled entry wakes its take-profit; a filled leg, or the first order of an OCO, ends the rest."""
        family = row.parent_id or row.order_id
        ends = row.parent_id is not None or row.ticket.order_class is OrderClass.OCO
        for other in self.open_rows(account):
            if other.order_id == row.order_id or family not in (other.order_id, other.parent_id):
                continue
            if ends:
                self._end(account, other, Status.CANCELED)
            elif other.ticket.kind is OrderKind.LIMIT or row.ticket.order_class is OrderClass.OTO:
                self._put(account, replace(other, status=Status.NEW))
