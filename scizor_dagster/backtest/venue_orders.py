"""Orders of one session on their way: held, released, sent, ended; as the ledger has them, in memory.

What belongs here: the states of a batch's orders and what moves them, by the rules of `execution.release`. What does
not: prices, cash and the exchange (`venue`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from scizor_dagster.brokers.protocol import OrderStatus, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.execution.funding import Funding
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.paper_exchange.model import Books
from scizor_dagster.planning.model import PlannedOrder

ZERO = Decimal(0)
_WAITING = (IntentState.HELD, IntentState.READY)
_ENDS = {
    OrderStatus.FILLED: IntentState.FILLED,
    OrderStatus.CANCELED: IntentState.CANCELED,
    OrderStatus.EXPIRED: IntentState.EXPIRED,
}


@dataclass(slots=True)
class VenueOrder:
    """One order as planned, and how far it came. `final_qty` is what was sent; None where it was never released."""

    session: date
    planned: PlannedOrder
    final_qty: Decimal | None
    state: IntentState
    filled_qty: Decimal = ZERO
    note: str = ""

    @property
    def client_order_id(self) -> str:
        return self.planned.client_order_id

    @property
    def symbol(self) -> str:
        return self.planned.symbol

    @property
    def side(self) -> Side:
        return self.planned.side

    @property
    def intent(self) -> PositionIntent:
        return self.planned.intent

    @property
    def planned_qty(self) -> Decimal:
        return self.planned.qty

    @property
    def price_used(self) -> Decimal:
        return self.planned.price_used

    @property
    def limit_price(self) -> Decimal | None:
        return self.planned.limit_price

    @property
    def order_type(self) -> OrderType:
        return self.planned.order_type

    @property
    def time_in_force(self) -> TimeInForce:
        return self.planned.time_in_force

    @property
    def filled_whole(self) -> bool:
        return self.state is IntentState.FILLED and self.filled_qty >= self.planned.qty

    def end(self, state: IntentState, note: str) -> None:
        self.state, self.note = state, note


@dataclass(slots=True)
class Batch:
    """The orders of one plan. `buffer` is the cash that purchases leave alone."""

    orders: list[VenueOrder]
    buffer: Decimal = ZERO
    released: bool = False

    @property
    def at_work(self) -> bool:
        return any(not order.state.terminal for order in self.orders)

    def ready(self) -> list[VenueOrder]:
        return [order for order in self.orders if order.state is IntentState.READY]

    def waiting(self) -> list[VenueOrder]:
        """What a release is about, once orders whose first leg has failed are dropped."""
        self._drop_orphans([order for order in self.orders if _unreleased(order)])
        return [order for order in self.orders if _unreleased(order)]

    def due(self, *, closing: bool) -> bool:
        """Whether purchases are released: all sales have ended, or the last step is next."""
        ended = closing or all(order.state.terminal for order in self.orders if order.planned.phase == 1)
        return ended and not self.released and any(_unreleased(order) for order in self.orders)

    def after_open_legs(self, waiting: Sequence[VenueOrder]) -> frozenset[str]:
        """Short sales whose first leg has not filled whole: they may come too late to pay for anything."""
        return frozenset(
            order.client_order_id
            for order in waiting
            if order.intent is PositionIntent.SELL_TO_OPEN
            and not all(parent.filled_whole for parent in self._parents(order))
        )

    def release(self, waiting: Sequence[VenueOrder], money: Funding, minimum: Decimal) -> None:
        """Give each order its final quantity; what is left with nothing worth sending is dropped."""
        self.released = True
        for order in waiting:
            qty = money.quantities[order.client_order_id]
            small = order.intent is not PositionIntent.BUY_TO_CLOSE and qty * order.price_used < minimum
            if qty <= 0 or small:
                factor = money.short_factor if order.intent is PositionIntent.SELL_TO_OPEN else money.factor
                order.end(IntentState.DROPPED, f"nothing worth sending once scaled by {factor.normalize():f}")
                continue
            order.final_qty = qty
            order.state = IntentState.HELD if order.planned.depends_on else IntentState.READY

    def move_dependents(self) -> None:
        """Orders whose parents have filled whole become ready; those whose parents cannot any more end."""
        moved = True
        while moved:
            moved = False
            for order in self.orders:
                if order.state is not IntentState.HELD or not order.planned.depends_on:
                    continue
                parents = self._parents(order)
                if any(_failed(parent) for parent in parents):
                    self._drop_orphans([order])
                    moved = True
                elif order.final_qty is not None and all(parent.filled_whole for parent in parents):
                    order.state, moved = IntentState.READY, True

    def look(self, books: Books) -> None:
        """Take from the exchange what has become of the orders that are there."""
        for order in self.orders:
            if not order.state.at_broker:
                continue
            seen = books.current(order.client_order_id)
            assert seen is not None, order.client_order_id
            order.filled_qty = seen.filled_qty
            if seen.status in _ENDS:
                order.end(_ENDS[seen.status], seen.reason)
            elif seen.filled_qty:
                order.state = IntentState.PARTIALLY_FILLED

    def end_unsent(self) -> None:
        """The session is over: what was not sent in it never is."""
        self._drop_orphans([order for order in self.orders if order.state is IntentState.HELD])
        for order in self.orders:
            if order.state in _WAITING:
                order.end(IntentState.EXPIRED, "never sent: its session is over")

    def _drop_orphans(self, orders: Sequence[VenueOrder]) -> None:
        for order in orders:
            failed = next((parent for parent in self._parents(order) if _failed(parent)), None)
            if failed is not None:
                order.end(
                    IntentState.DROPPED, f"the leg before it ended {failed.state} with {failed.filled_qty} filled"
                )

    def _parents(self, order: VenueOrder) -> list[VenueOrder]:
        return [other for other in self.orders if other.client_order_id in order.planned.depends_on]


def _unreleased(order: VenueOrder) -> bool:
    return order.state is IntentState.HELD and order.final_qty is None


def _failed(parent: VenueOrder) -> bool:
    return parent.state.terminal and not parent.filled_whole
