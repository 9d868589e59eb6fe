"""A model exchange for random histories: the broker's own truth, which no crash of a client touches.

What belongs here: its books, and everything that a venue or a person does to them. What does not: the wire between
a client and it (`model_line`), and what must hold (`protocol_laws`).

It knows by itself who owns what: an order belongs to the portfolio whose plan has its id, every other one to nobody,
and splits and dividends follow the owners. So the ledger's sums are compared with sums that were made without it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from scizor_dagster.brokers.protocol import (
    BrokerActivity,
    BrokerFill,
    BrokerOrder,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    VenuePhase,
)
from scizor_dagster.instruments import split_quantity

ZERO = Decimal(0)
FEE = Decimal("0.10")
STEPS = 4
"""Steps of a session; after the last one it is over."""
AT = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
Owner = str | None
"""A portfolio, or None for a person who trades beside Scizor."""


@dataclass
class Placed:
    """An order on the books. `exits` are the two orders of a bracket that wait for its fill."""

    number: int
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    session: date
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    status: OrderStatus = OrderStatus.ACCEPTED
    reason: str = ""
    parent: Placed | None = None
    exits: list[Placed] = field(default_factory=list)

    @property
    def left(self) -> Decimal:
        return self.qty - self.filled

    @property
    def open(self) -> bool:
        return not self.status.terminal

    @property
    def may_fill(self) -> bool:
        return self.open and (self.parent is None or self.parent.status is OrderStatus.FILLED)

    def seen(self) -> BrokerOrder:
        return BrokerOrder(
            broker_order_id=f"b{self.number}",
            client_order_id=self.client_order_id,
            symbol=self.symbol,
            side=self.side,
            qty=self.qty,
            filled_qty=self.filled,
            average_price=self.cost / self.filled if self.filled else None,
            status=self.status,
            submitted_at=AT,
            updated_at=AT,
            reason=self.reason,
            parent_client_order_id=self.parent.client_order_id if self.parent else None,
        )


class ModelExchange:
    """The books. `owner_of` names the portfolio of a client order id, None for an id of nobody's plan."""

    def __init__(
        self, *, cash: Decimal, prices: dict[str, Decimal], unique: bool, owner_of: Callable[[str], Owner]
    ) -> None:
        self.deposit = self.cash = cash
        self.prices = dict(prices)
        self.unique = unique
        self.owner_of = owner_of
        self.orders: list[Placed] = []
        self.fills: list[BrokerFill] = []
        self.activities: list[BrokerActivity] = []
        self.book: dict[tuple[Owner, str], Decimal] = {}
        self.flows: dict[Owner, Decimal] = {}
        self.steps: dict[date, int] = {}
        self.people = 0

    def position(self, symbol: str) -> Decimal:
        return sum((qty for (_, name), qty in self.book.items() if name == symbol), ZERO)

    def positions(self) -> dict[str, Decimal]:
        return {symbol: qty for symbol in sorted({name for _, name in self.book}) if (qty := self.position(symbol))}

    def owned(self, owner: Owner) -> dict[str, Decimal]:
        return {symbol: qty for (name, symbol), qty in sorted(self.book.items(), key=str) if name == owner and qty}

    def find(self, client_order_id: str) -> Placed | None:
        return next((row for row in self.orders if row.client_order_id == client_order_id), None)

    def open_orders(self) -> list[Placed]:
        return [row for row in self.orders if row.open]

    def phase(self, session: date) -> VenuePhase:
        step = self.steps.get(session, 0)
        if step >= STEPS:
            return VenuePhase.OVER
        if step == 0:
            return VenuePhase.AHEAD
        return VenuePhase.CLOSING if step == STEPS - 1 else VenuePhase.OPEN

    def place(self, request: OrderRequest) -> Placed | None:
        """Take the order; None where its id is taken and must be unique."""
        if self.unique and self.find(request.client_order_id) is not None:
            return None
        placed = self._put(request.client_order_id, request.symbol, request.side, request.qty, request.session)
        if request.order_type is OrderType.BRACKET:
            opposite = Side.SELL if request.side is Side.BUY else Side.BUY
            for suffix in (".tp", ".sl"):
                name = request.client_order_id + suffix
                leg = self._put(name, request.symbol, opposite, request.qty, request.session)
                leg.parent = placed
                placed.exits.append(leg)
        return placed

    def fill(self, order: Placed, qty: Decimal) -> None:
        """Fill so much of it, also of one that has ended: an execution that arrives late."""
        assert 0 < qty <= order.left, (order, qty)
        # A price of its own for each fill, near the one that orders are sized at.
        price = self.prices[order.symbol] * (Decimal(1) + Decimal(len(self.fills) % 7 - 3) / 1000)
        self.fills.append(
            BrokerFill(
                fill_id=f"f{len(self.fills) + 1}",
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                side=order.side,
                qty=qty,
                price=price,
                fee=FEE,
                session=order.session,
                executed_at=AT,
            )
        )
        owner = self._owner(order)
        key = (owner, order.symbol)
        self.book[key] = self.book.get(key, ZERO) + qty * order.side.sign
        self._pay(owner, -qty * order.side.sign * price - FEE)
        order.filled += qty
        order.cost += qty * price
        if order.open:
            order.status = OrderStatus.FILLED if order.left == 0 else OrderStatus.PARTIALLY_FILLED
        elif order.left == 0:
            order.status = OrderStatus.FILLED
        if order.parent is not None:
            self._end_other_exits(order)

    def step(self, session: date, appetite: int) -> None:
        """One step: each open order fills nothing, half or all of what is left, as `appetite` and its id have it."""
        step = self.steps.get(session, 0)
        if step >= STEPS:
            return
        for order in [row for row in self.orders if row.session == session and row.may_fill]:
            share = (zlib.crc32(order.client_order_id.encode()) + appetite * (step + 3)) % 4
            if order.parent is not None and share != 3:
                continue
            if order.may_fill and share > 0:
                half = (order.left / 2).quantize(Decimal("0.0001"))
                self.fill(order, order.left if share > 1 or half == 0 else half)
        self.steps[session] = step + 1
        if step + 1 == STEPS:
            for order in self.orders:
                if order.session == session and order.open:
                    self._end(order, OrderStatus.EXPIRED, "day order expired")

    def cancel(self, order: Placed, reason: str = "canceled on request") -> None:
        """End it, with the exits that wait for it."""
        if order.open:
            self._end(order, OrderStatus.CANCELED, reason)

    def replace(self, order: Placed, qty: Decimal) -> Placed:
        """A person replaces it: ours ends, and a new order with an id of its own takes its place."""
        self.cancel(order, "replaced")
        self.people += 1
        return self._put(f"person-{self.people}", order.symbol, order.side, qty, order.session)

    def trade(self, symbol: str, side: Side, qty: Decimal, session: date) -> None:
        """A person trades beside Scizor, and fills at once."""
        self.people += 1
        self.fill(self._put(f"person-{self.people}", symbol, side, qty, session), qty)

    def split(self, symbol: str, factor: Decimal, session: date) -> None:
        """Before the open of `session`; orders that rest in the symbol end, for they are in old shares."""
        assert self.steps.get(session, 0) == 0, session
        for order in self.orders:
            if order.symbol == symbol:
                self.cancel(order, "corporate action")
        for key in [key for key in self.book if key[1] == symbol]:
            self.book[key] = split_quantity(self.book[key], factor)
        self.prices[symbol] /= factor
        self._record("split", session, symbol, ZERO, factor)

    def dividend(self, symbol: str, per_share: Decimal, session: date) -> None:
        """Before the open of `session`, on what is held then; a short pays."""
        assert self.steps.get(session, 0) == 0, session
        paid = self.position(symbol) * per_share
        if paid:
            for owner in {name for name, of in self.book if of == symbol}:
                self.flows[owner] = self.flows.get(owner, ZERO) + self.book[owner, symbol] * per_share
            self.cash += paid
            self._record("dividend", session, symbol, paid, None)

    def _put(self, name: str, symbol: str, side: Side, qty: Decimal, session: date) -> Placed:
        placed = Placed(len(self.orders) + 1, name, symbol, side, qty, session)
        self.orders.append(placed)
        return placed

    def _end(self, order: Placed, status: OrderStatus, reason: str) -> None:
        order.status, order.reason = status, reason
        for leg in order.exits:
            if leg.open and order.filled < order.qty:
                self._end(leg, OrderStatus.CANCELED, "its entry did not fill")

    def _end_other_exits(self, leg: Placed) -> None:
        assert leg.parent is not None
        for other in leg.parent.exits:
            if other is not leg and other.open:
                self._end(other, OrderStatus.CANCELED, "the other exit has filled")

    def _owner(self, order: Placed) -> Owner:
        return self.owner_of((order.parent or order).client_order_id)

    def _pay(self, owner: Owner, amount: Decimal) -> None:
        self.flows[owner] = self.flows.get(owner, ZERO) + amount
        self.cash += amount

    def _record(self, kind: str, session: date, symbol: str, amount: Decimal, factor: Decimal | None) -> None:
        name = f"a{len(self.activities) + 1}"
        self.activities.append(BrokerActivity(name, kind, session, symbol, amount, factor))
