"""The exchange's own words: one account's books, and what an operation changes in them.

What belongs here: value objects and `Books`, the working copy that operations write to. What does
not: rules of the venue (`rules`), prices (`matching`), and how books are stored (`store`).

Quantities of orders and fills are unsigned, of positions signed. Money and quantity are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from scizor_dagster.brokers.protocol import OrderStatus, Side
from scizor_dagster.paper_exchange.venue_orders import ZERO

LAST_STEP = 3
"""Steps of a session: 0 before the open, 1 the opening auction, 2 midday, 3 the close."""
PRICE_STEP = Decimal("0.0001")
AVERAGE_STEP = Decimal("0.00000001")
LARGEST = Decimal(10) ** 12
"""The largest quantity, price or amount of an order."""


def average_cost(qty: Decimal, average: Decimal, more: Decimal, price: Decimal) -> Decimal:
    """Average price of a position of `qty` that has grown by `more`, both signed alike."""
    return ((qty * average + more * price) / (qty + more)).quantize(AVERAGE_STEP)


class StepKind(StrEnum):
    """How an order executes in the steps of a session. A triggered stop becomes a market order."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    MARKET_ON_OPEN = "market_on_open"
    MARKET_ON_CLOSE = "market_on_close"

    @property
    def auction(self) -> int | None:
        """The one step that the order trades in; None where it trades in any."""
        return _AUCTIONS.get(self)


_AUCTIONS = {StepKind.MARKET_ON_OPEN: 1, StepKind.MARKET_ON_CLOSE: LAST_STEP}


class Role(StrEnum):
    """What an order is within a bracket. Legs rest until the entry has filled entirely."""

    SIMPLE = "simple"
    ENTRY = "entry"
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"

    @property
    def is_leg(self) -> bool:
        return self in (Role.TAKE_PROFIT, Role.STOP_LOSS)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the venue fills and what it demands. Basis points are of the price.

    Multiplier, fee and auctions are those of an account that takes a day in steps; where orders meet prices
    continuously they are the house's (`house_*`).

    Attributes:
        impact_bps: Impact of taking 100 % of a step's volume; grows with the square root of the share.
        max_participation: Share of a step's volume (a third of the bar's) that one account may take.
        margin_multiplier: Buying power per unit of equity.
        fee_bps: Fee per fill, of its value, rounded up to whole cents.
        auction_orders: Whether market orders for the opening and the closing auction are taken.
        opening_share: Share of a session's volume that counts as traded from its open on, so that a small
            order need not wait for volume. Only where orders meet prices continuously.
        partial_fill_share: Share of the fills that are cut in half, drawn from `seed`. Only there, too.
    """

    half_spread_bps: Decimal = Decimal(1)
    impact_bps: Decimal = Decimal(5)
    max_participation: Decimal = Decimal("0.1")
    margin_multiplier: int = 2
    min_order_notional: Decimal = Decimal(1)
    short_selling: bool = True
    fractional: bool = True
    fee_bps: Decimal = ZERO
    auction_orders: bool = False
    opening_share: Decimal = Decimal("0.05")
    partial_fill_share: Decimal = ZERO
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    client_order_id: str
    broker_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    kind: StepKind
    role: Role
    session: date
    status: OrderStatus
    submitted_at: datetime
    updated_at: datetime
    filled_qty: Decimal = ZERO
    average_price: Decimal | None = None
    parent: str | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    reason: str = ""

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.filled_qty

    @property
    def is_open(self) -> bool:
        return not self.status.terminal


@dataclass(frozen=True, slots=True)
class Fill:
    fill_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    session: date
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Position:
    symbol: str
    qty: Decimal
    average_price: Decimal
    last_price: Decimal


@dataclass(frozen=True, slots=True)
class Activity:
    activity_id: str
    kind: str
    session: date
    symbol: str | None
    amount: Decimal
    qty_factor: Decimal | None
    description: str


@dataclass(frozen=True, slots=True)
class State:
    """One account's books: money, positions and the orders that may still fill.

    Attributes:
        session: The session that the exchange's clock is in; None before the first.
        step: Steps of it that have happened; `LAST_STEP` means closed.
        next_number: Next number of an order, fill or activity. Every change takes at least one, so
            that equal numbers mean equal books.
        orders: Open orders by client order id, in the order of their arrival.
    """

    account: str
    currency: str
    cash: Decimal
    session: date | None = None
    step: int = 0
    next_number: int = 1
    positions: Mapping[str, Position] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)

    @property
    def equity(self) -> Decimal:
        return self.cash + sum((row.qty * row.last_price for row in self.positions.values()), ZERO)

    def held(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return position.qty if position else ZERO

    def has_closed(self, session: date) -> bool:
        if self.session is None:
            return False
        return session < self.session or (session == self.session and self.step >= LAST_STEP)


@dataclass(frozen=True, slots=True)
class Transition:
    """What one operation did: the books after it, and the rows to write."""

    before: State
    after: State
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    activities: tuple[Activity, ...]


class Books:
    """A working copy of one account's books. Operations write to it; `transition()` says what changed."""

    def __init__(self, state: State) -> None:
        self.before = state
        self.account = state.account
        self.cash = state.cash
        self.session = state.session
        self.step = state.step
        self.next_number = state.next_number
        self.positions = dict(state.positions)
        self.orders = dict(state.orders)
        self._changed: dict[str, Order] = {}
        self._fills: list[Fill] = []
        self._activities: list[Activity] = []

    def state(self) -> State:
        return State(
            self.account,
            self.before.currency,
            self.cash,
            self.session,
            self.step,
            self.next_number,
            self.positions,
            self.orders,
        )

    def transition(self) -> Transition:
        self.take_number()
        return Transition(
            self.before,
            self.state(),
            tuple(self._changed.values()),
            tuple(self._fills),
            tuple(self._activities),
        )

    def take_number(self) -> int:
        number = self.next_number
        self.next_number += 1
        return number

    def put(self, order: Order) -> Order:
        """Add or replace an order; a terminal one leaves the open orders."""
        self._changed[order.client_order_id] = order
        if order.is_open:
            self.orders[order.client_order_id] = order
        else:
            self.orders.pop(order.client_order_id, None)
        return order

    def current(self, client_order_id: str) -> Order | None:
        """The order as this operation left it, else as it was open before."""
        return self._changed.get(client_order_id) or self.orders.get(client_order_id)

    def end(self, order: Order, status: OrderStatus, reason: str, at: datetime) -> Order:
        return self.put(replace(order, status=status, reason=reason, updated_at=at))

    def fill(self, order: Order, qty: Decimal, price: Decimal, fee: Decimal, at: datetime) -> Order:
        """Execute `qty` of `order`: cash, position, order and fill move together."""
        assert ZERO < qty <= order.remaining, (order.client_order_id, qty)
        assert self.session is not None
        self._fills.append(
            Fill(
                f"{self.account}-F{self.take_number()}",
                order.client_order_id,
                order.symbol,
                order.side,
                qty,
                price,
                fee,
                self.session,
                at,
            )
        )
        self.cash -= order.side.sign * qty * price + fee
        self._move_position(order.symbol, order.side.sign * qty, price)
        filled = order.filled_qty + qty
        cost = (order.average_price or ZERO) * order.filled_qty + price * qty
        status = OrderStatus.FILLED if filled == order.qty else OrderStatus.PARTIALLY_FILLED
        return self.put(
            replace(
                order,
                filled_qty=filled,
                average_price=(cost / filled).quantize(AVERAGE_STEP),
                status=status,
                reason="",
                updated_at=at,
            )
        )

    def record(self, kind: str, session: date, symbol: str, description: str, **amounts: Any) -> Activity:
        """Add an activity; `amounts` are `amount`, which flows to the cash, and `qty_factor`."""
        activity = Activity(
            f"{self.account}-A{self.take_number()}",
            kind,
            session,
            symbol,
            amounts.get("amount", ZERO),
            amounts.get("qty_factor"),
            description,
        )
        self.cash += activity.amount
        self._activities.append(activity)
        return activity

    def mark(self, symbol: str, price: Decimal) -> None:
        position = self.positions.get(symbol)
        if position is not None:
            self.positions[symbol] = replace(position, last_price=price)

    def _move_position(self, symbol: str, signed: Decimal, price: Decimal) -> None:
        old = self.positions.get(symbol)
        if old is None:
            self.positions[symbol] = Position(symbol, signed, price, price)
            return
        qty = old.qty + signed
        assert old.qty * qty >= 0, f"{symbol} would cross zero"
        if qty == 0:
            del self.positions[symbol]
            return
        average = old.average_price
        if abs(qty) > abs(old.qty):
            average = average_cost(old.qty, old.average_price, signed, price)
        self.positions[symbol] = Position(symbol, qty, average, old.last_price)
