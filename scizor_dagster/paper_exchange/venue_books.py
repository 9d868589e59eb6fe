"""One account's books at the venue, and the working copy that operations write to.

What belongs here: money, positions, open orders, and what a fill or an event does to them. What does
not: who may place what (`house_*`), when an order meets a price (`continuous`), and storage (`venue_store`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.paper_exchange.model import AVERAGE_STEP, average_cost
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    EventKind,
    Execution,
    House,
    Status,
    Ticket,
    VenueEvent,
    VenueOrder,
)
from scizor_dagster.paper_exchange.venue_views import AccountSettings, NonTrade

_PAPER_NUMBER = re.compile(r"^DU\d{4,9}$")
_ENDS = {
    Status.CANCELED: (EventKind.CANCELED, "canceled_at"),
    Status.EXPIRED: (EventKind.EXPIRED, "expired_at"),
    Status.REJECTED: (EventKind.REJECTED, "failed_at"),
    Status.REPLACED: (EventKind.REPLACED, "replaced_at"),
}


@dataclass(frozen=True, slots=True)
class Holding:
    symbol: str
    qty: Decimal
    average_price: Decimal


@dataclass(frozen=True, slots=True)
class VenueState:
    """Books of one account as they are stored.

    Attributes:
        session: The last session that has been entered: its corporate actions are in the books.
        at: Instant up to which orders have met prices.
        version: Grows with every stored change; equal versions are equal books.
        orders: Open orders by order id, in order of their number.
        taken: Shares that the account has traded in `session`, by symbol.
    """

    account: str
    house: House
    currency: str
    deposit: Decimal
    created_at: datetime
    cash: Decimal
    session: date
    at: datetime
    last_equity: Decimal
    last_maintenance_margin: Decimal = ZERO
    settings: AccountSettings = field(default_factory=AccountSettings)
    next_order: int = 1
    next_execution: int = 1
    next_activity: int = 1
    next_event: int = 1
    version: int = 0
    positions: Mapping[str, Holding] = field(default_factory=dict)
    orders: Mapping[str, VenueOrder] = field(default_factory=dict)
    taken: Mapping[str, Decimal] = field(default_factory=dict)


class VenueBooks:
    """A working copy of one account's books; `changes` of it are stored in one transaction."""

    def __init__(self, state: VenueState) -> None:
        self.before = state
        self.is_kept = False
        self.account = state.account
        self.house = state.house
        self.cash = state.cash
        self.session = state.session
        self.at = state.at
        self.last_equity = state.last_equity
        self.last_maintenance_margin = state.last_maintenance_margin
        self.settings = state.settings
        self.positions = dict(state.positions)
        self.orders = dict(state.orders)
        self.taken = dict(state.taken)
        self.changed: dict[str, VenueOrder] = {}
        self.executions: list[Execution] = []
        self.activities: list[NonTrade] = []
        self.events: list[VenueEvent] = []
        self.next_order = state.next_order
        self._next_execution = state.next_execution
        self._next_activity = state.next_activity
        self._next_event = state.next_event
        self._namespace = uuid5(NAMESPACE_URL, f"scizor:account:{state.account}")

    @property
    def is_changed(self) -> bool:
        """Whether anything but the instant has moved: only then there is something to store."""
        state = self.before
        return bool(self.changed or self.activities or self.events or self.is_kept) or (
            (self.session, self.settings, self.last_equity) != (state.session, state.settings, state.last_equity)
        )

    def state(self) -> VenueState:
        return replace(
            self.before,
            cash=self.cash,
            session=self.session,
            at=self.at,
            last_equity=self.last_equity,
            last_maintenance_margin=self.last_maintenance_margin,
            settings=self.settings,
            next_order=self.next_order,
            next_execution=self._next_execution,
            next_activity=self._next_activity,
            next_event=self._next_event,
            version=self.before.version + 1 if self.is_changed else self.before.version,
            positions=self.positions,
            orders=self.orders,
            taken=self.taken,
        )

    def held(self, symbol: str) -> Decimal:
        holding = self.positions.get(symbol)
        return holding.qty if holding else ZERO

    def order(self, order_id: str) -> VenueOrder | None:
        """An order that is open, or that this operation has ended."""
        return self.changed.get(order_id) or self.orders.get(order_id)

    def identifier(self, kind: str, number: int) -> str:
        """A UUID of this account, the same whenever it is asked for."""
        return str(uuid5(self._namespace, f"{kind}:{number}"))

    def open(self, ticket: Ticket, intent: PositionIntent, status: Status, at: datetime, **facts: Any) -> VenueOrder:
        """Take an order into the books, without an event."""
        number = self.next_order
        self.next_order += 1
        order = VenueOrder(
            number=number,
            order_id=self.identifier("order", number),
            ticket=ticket,
            qty=ticket.qty,
            status=status,
            created_at=facts.pop("created_at", at),
            submitted_at=at,
            updated_at=at,
            expires_at=facts.pop("expires_at", None),
            intent=intent,
            **facts,
        )
        return self.put(order)

    def put(self, order: VenueOrder) -> VenueOrder:
        """Add or replace an order; one that has ended leaves the open ones."""
        self.changed[order.order_id] = order
        if order.status.terminal:
            self.orders.pop(order.order_id, None)
        else:
            self.orders[order.order_id] = order
        return order

    @contextmanager
    def without(self, order: VenueOrder) -> Iterator[None]:
        """The books as if an open order were not there; it keeps its place among the others."""
        kept = self.orders
        self.orders = {key: row for key, row in kept.items() if key != order.order_id}
        try:
            yield
        finally:
            self.orders = kept

    def tell(self, kind: EventKind, order: VenueOrder, at: datetime, execution: Execution | None = None) -> None:
        self.events.append(VenueEvent(self._next_event, self.account, kind, at, order, execution))
        self._next_event += 1

    def end(self, order: VenueOrder, status: Status, at: datetime, reason: str = "", **facts: Any) -> VenueOrder:
        """Close an order, and tell so."""
        kind, instant = _ENDS[status]
        facts[instant] = at
        done = self.put(replace(order, status=status, updated_at=at, reason=reason, **facts))
        self.tell(kind, done, at)
        return done

    def fill(self, order: VenueOrder, qty: Decimal, price: Decimal, commission: Decimal, at: datetime) -> VenueOrder:
        """Execute `qty` of `order`: cash, position, order and execution move together."""
        assert ZERO < qty <= order.remaining, (order.order_id, qty, order.remaining)
        ticket = order.ticket
        self.cash -= ticket.side.sign * qty * price + commission
        realized = self._move(ticket.symbol, ticket.side.sign * qty, price) - commission
        self.taken[ticket.symbol] = self.taken.get(ticket.symbol, ZERO) + qty
        filled = order.filled_qty + qty
        cost = (order.average_price or ZERO) * order.filled_qty + price * qty
        is_done = filled == order.qty
        after = self.put(
            replace(
                order,
                filled_qty=filled,
                average_price=(cost / filled).quantize(AVERAGE_STEP),
                status=Status.FILLED if is_done else Status.PARTIALLY_FILLED,
                filled_at=at if is_done else None,
                updated_at=at,
            )
        )
        execution = self._execution(after, qty, price, commission, at, realized)
        self.tell(EventKind.FILL if is_done else EventKind.PARTIAL_FILL, after, at, execution)
        return after

    def correct(self, old: Execution, order: VenueOrder, qty: Decimal, price: Decimal, at: datetime) -> Execution:
        """Put another quantity and price in the place of an execution's; a quantity of zero busts it.

        The commission stays as it was charged, and the order as it ended.
        """
        sign = old.side.sign
        self.cash += sign * (old.qty * old.price - qty * price)
        realized = old.realized_pnl
        if old.qty:
            realized += self._move(old.symbol, -sign * old.qty, old.price)
        if qty:
            realized += self._move(old.symbol, sign * qty, price)
        filled = order.filled_qty - old.qty + qty
        cost = (order.average_price or ZERO) * order.filled_qty - old.qty * old.price + qty * price
        average = (cost / filled).quantize(AVERAGE_STEP) if filled else None
        restated = self.put(replace(order, filled_qty=filled, average_price=average, updated_at=at))
        corrected = replace(
            old,
            qty=qty,
            price=price,
            cumulative_qty=filled,
            position_qty=self.held(old.symbol),
            realized_pnl=realized,
            correction=old.correction + 1,
        )
        self.executions.append(corrected)
        self.tell(EventKind.RESTATED, restated, at, corrected)
        return corrected

    def record(
        self,
        kind: str,
        at: datetime,
        symbol: str | None,
        description: str,
        *,
        amount: Decimal = ZERO,
        qty: Decimal = ZERO,
        per_share: Decimal | None = None,
        session: date | None = None,
    ) -> NonTrade:
        """Write down what moved without a trade; `amount` flows to the cash.

        `session` is the day of a corporate action, which need not be a session; without it, the current one.
        """
        identifier = self.identifier("activity", self._next_activity)
        self._next_activity += 1
        number = self._next_activity - 1
        row = NonTrade(
            identifier, kind, session or self.session, at, symbol, amount, qty, per_share, description, number
        )
        self.cash += amount
        self.activities.append(row)
        return row

    def hold(self, symbol: str, qty: Decimal, average_price: Decimal) -> None:
        """Set a position; zero ends it."""
        if qty == 0:
            self.positions.pop(symbol, None)
        else:
            self.positions[symbol] = Holding(symbol, qty, average_price)

    def _execution(
        self, order: VenueOrder, qty: Decimal, price: Decimal, commission: Decimal, at: datetime, realized: Decimal
    ) -> Execution:
        number = self._next_execution
        self._next_execution += 1
        execution = Execution(
            execution_id=self.identifier("execution", number),
            order_id=order.order_id,
            symbol=order.ticket.symbol,
            side=order.ticket.side,
            qty=qty,
            price=price,
            commission=commission,
            at=at,
            session=self.session,
            cumulative_qty=order.filled_qty,
            leaves_qty=order.remaining,
            position_qty=self.held(order.ticket.symbol),
            realized_pnl=realized,
            number=number,
        )
        self.executions.append(execution)
        return execution

    def _move(self, symbol: str, signed: Decimal, price: Decimal) -> Decimal:
        """Move a position at average cost; the profit that the closed part made, before commission."""
        old = self.positions.get(symbol, Holding(symbol, ZERO, ZERO))
        qty = old.qty + signed
        if old.qty * signed >= 0:
            self.hold(symbol, qty, average_cost(old.qty, old.average_price, signed, price))
            return ZERO
        closed = min(abs(old.qty), abs(signed)) * (1 if old.qty > 0 else -1)
        crosses = old.qty * qty < 0
        self.hold(symbol, qty, price if crosses else old.average_price)
        return closed * (price - old.average_price)


def account_number(account: str, house: House) -> str:
    """The id under which a house shows an account: a UUID, or a paper account's number."""
    if house is House.ALPACA:
        return str(uuid5(NAMESPACE_URL, f"scizor:account:{account}"))
    if _PAPER_NUMBER.match(account):
        return account
    digest = sha256(account.encode()).digest()
    return f"DU{int.from_bytes(digest[:4], 'big') % 9_000_000 + 1_000_000}"


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY
