"""A broker that outlives the process which talks to it: the other side of every test of this package.

It keeps its orders, fills and positions in memory; what is killed is another process or another ledger.
`submit` looks into the ledger by a connection of its own and refuses to go on unless the intent is
committed there as `sending`: the law that everything else rests on is checked at every send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    OrderStatus,
    OrderType,
    VenuePhase,
)
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from scizor_dagster.ledger.tables import orders
from tests.ledgers import onlooker

NOON = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
MORNING = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
"""The broker's clock, unless a test sets another: that of `scenario.clock`."""
ZERO = Decimal(0)
COMMITTED = sa.select(orders.c.state, orders.c.final_qty, orders.c.parameter_hash, orders.c.cleared_hash).where(
    orders.c.client_order_id == sa.bindparam("name")
)
"""What the ledger must say of an order that is sent."""


@dataclass
class Book:
    """What survives the death of a process."""

    cash: Decimal
    positions: dict[str, Decimal]
    orders: list[BrokerOrder] = field(default_factory=list)
    requests: list[OrderRequest] = field(default_factory=list)
    fills: list[BrokerFill] = field(default_factory=list)
    activities: list[BrokerActivity] = field(default_factory=list)
    steps: dict[date, int] = field(default_factory=dict)
    attempts: list[str] = field(default_factory=list)
    shown_from: dict[str, datetime] = field(default_factory=dict)


@cache
def _onlooker(ledger_url: str) -> sa.Engine:
    return onlooker(ledger_url)


def _committed(ledger_url: str, client_order_id: str) -> Any:
    with _onlooker(ledger_url).connect() as connection:
        return connection.execute(COMMITTED, {"name": client_order_id}).one_or_none()


class ModelBroker:
    """See the module. Faults are set by tests, by client order id or by symbol.

    Attributes:
        submit_faults: id -> list of faults, one per attempt: `lost` (never arrives), `timeout_after`
            (arrives, reply lost), `garbage` (arrives, reply unreadable), `reject`, `no_power` (refused before
            anybody looks whether the id is known), or None.
        find_faults: how many of the next look-ups raise `BrokerUnavailable`.
        hidden: ids whose look-up cannot tell yet (`BrokerUnavailable`).
        fill_plan: symbol -> share of the order that fills at each step; all at the first by default.
        has_data: sessions that the venue can step through; None for every session.
        fills_from: first session whose fills are shown; None for all.
        committed: reads the columns of `COMMITTED` of an order, by a connection that is not the caller's; None where
            nothing is checked.
        lags: id -> how long after it arrived no read shows the order, nor what has filled of it.
        visible_after, absent_looks: what `capabilities` says of that.
    """

    def __init__(
        self,
        *,
        cash: Decimal = Decimal(10_000),
        prices: dict[str, Decimal],
        positions: dict[str, Decimal] | None = None,
        ledger_url: str | None = None,
        unique: bool = True,
        environment: str = "paper",
        steps: int = 3,
        buying_power: Decimal | None = None,
    ) -> None:
        self.book = Book(cash, dict(positions or {}))
        self.prices = prices
        self.committed: Callable[[str], Any] | None = None
        if ledger_url is not None:
            self.watch(ledger_url)
        self.unique = unique
        self.environment = environment
        self.steps = steps
        self.fixed_buying_power = buying_power
        self.submit_faults: dict[str, list[str | None]] = {}
        self.find_faults = 0
        self.read_faults = 0
        self.hidden: set[str] = set()
        self.fill_plan: dict[str, list[Decimal]] = {}
        self.has_data: set[date] | None = None
        self.withheld_fills: set[str] = set()
        self.sends_at_once = 1
        self.fills_from: date | None = None
        self.asked_fills: list[tuple[date, date]] = []
        self.lags: dict[str, timedelta] = {}
        self.visible_after = timedelta(0)
        self.absent_looks = 1
        self.time = MORNING

    def watch(self, ledger_url: str) -> None:
        """Look into this ledger at every send."""
        self.committed = partial(_committed, ledger_url)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            fractional=True,
            quantity_decimals=4,
            short=True,
            order_types=frozenset(OrderType),
            min_notional=Decimal(1),
            full_exit_below_minimum=True,
            unique_client_ids=self.unique,
            max_client_id_length=48,
            fills_from=self.fills_from,
            sends_at_once=self.sends_at_once,
            visible_after=self.visible_after,
            absent_looks=self.absent_looks,
        )

    def identity(self) -> BrokerIdentity:
        return BrokerIdentity("model", self.environment, "M1")

    def account(self) -> AccountState:
        self._read()
        value = sum((qty * self.prices[symbol] for symbol, qty in self.book.positions.items()), ZERO)
        power = self.fixed_buying_power if self.fixed_buying_power is not None else 2 * (self.book.cash + value)
        return AccountState(self.book.cash, self.book.cash + value, power, "USD", self.time)

    def positions(self) -> list[BrokerPosition]:
        self._read()
        held = dict(self.book.positions)
        for fill in self.book.fills:
            if not self._shown(fill.client_order_id):
                held[fill.symbol] -= fill.qty * fill.side.sign
        return [BrokerPosition(symbol, qty, self.prices[symbol]) for symbol, qty in sorted(held.items())]

    def submit(self, order: OrderRequest) -> BrokerOrder:
        if self.committed is not None:
            self._assert_committed(order, self.committed(order.client_order_id))
        self.book.attempts.append(order.client_order_id)
        faults = self.submit_faults.get(order.client_order_id, [])
        fault = faults.pop(0) if faults else None
        if fault == "lost":
            raise OutcomeUnknown(order.client_order_id, "timeout")
        if fault == "no_power":
            raise OrderRejected(order.client_order_id, "403", "insufficient buying power")
        if self.unique and any(known.client_order_id == order.client_order_id for known in self.book.orders):
            raise OutcomeUnknown(order.client_order_id, "422 client_order_id must be unique")
        if fault == "reject":
            raise OrderRejected(order.client_order_id, "403", "insufficient buying power")
        accepted = BrokerOrder(
            broker_order_id=f"b{len(self.book.orders) + 1}",
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            qty=order.qty,
            filled_qty=ZERO,
            average_price=None,
            status=OrderStatus.ACCEPTED,
            submitted_at=NOON,
            updated_at=NOON,
            raw={"id": len(self.book.orders) + 1},
        )
        self.book.orders.append(accepted)
        self.book.requests.append(order)
        self.book.shown_from[order.client_order_id] = self.time + self.lags.get(order.client_order_id, timedelta(0))
        if fault == "timeout_after":
            raise OutcomeUnknown(order.client_order_id, "504 after accept")
        if fault == "garbage":
            raise ValueError("reply is not JSON")
        return accepted

    def find(self, client_order_id: str) -> BrokerOrder | None:
        if self.find_faults > 0 or client_order_id in self.hidden:
            self.find_faults = max(self.find_faults - 1, 0)
            raise BrokerUnavailable("The model does not answer.", remedy="Ask again.")
        orders = [order for order in self.book.orders if order.client_order_id == client_order_id]
        return orders[0] if orders and self._shown(client_order_id) else None

    def orders(self, session: date) -> list[BrokerOrder]:
        self._read()
        return [
            order
            for order, request in zip(self.book.orders, self.book.requests, strict=True)
            if request.session == session
            and order.client_order_id not in self.hidden
            and self._shown(order.client_order_id)
        ]

    def open_orders(self) -> list[BrokerOrder]:
        self._read()
        shown = [order for order in self.book.orders if self._shown(order.client_order_id)]
        return [order for order in shown if not order.status.terminal]

    def fills(self, first: date, last: date) -> list[BrokerFill]:
        self._read()
        self.asked_fills.append((first, last))
        return [
            fill
            for fill in self.book.fills
            if first <= fill.session <= last
            and fill.fill_id not in self.withheld_fills
            and self._shown(fill.client_order_id)
        ]

    def activities(self, first: date, last: date) -> list[BrokerActivity]:
        self._read()
        return [activity for activity in self.book.activities if first <= activity.session <= last]

    def cancel(self, client_order_id: str) -> None:
        index = self._index(client_order_id)
        self.book.orders[index] = replace(self.book.orders[index], status=OrderStatus.CANCELED)

    def phase(self, session: date) -> VenuePhase:
        step = self.book.steps.get(session, 0)
        if step >= self.steps:
            return VenuePhase.OVER
        if step == 0:
            return VenuePhase.AHEAD
        return VenuePhase.CLOSING if step == self.steps - 1 else VenuePhase.OPEN

    def advance(self, session: date) -> bool:
        step = self.book.steps.get(session, 0)
        if step >= self.steps or (self.has_data is not None and session not in self.has_data):
            return False
        for index, order in enumerate(self.book.orders):
            if self.book.requests[index].session == session and not order.status.terminal:
                self._step_order(index, step, session)
        self.book.steps[session] = step + 1
        return step + 1 < self.steps

    def fill(self, client_order_id: str, qty: Decimal, *, session: date, step: int = 9) -> None:
        """Fill without a step of the venue: a fill that arrives late."""
        self._fill(self._index(client_order_id), qty, step, session)

    def restate(self, fill_id: str, *, qty: Decimal, price: Decimal | None = None, numbered: bool = True) -> None:
        """Correct an execution with its money, position and order; a quantity of zero busts it.

        Where corrections are not `numbered`, a bust drops it from the list, as some brokers do.
        """
        index = next(i for i, fill in enumerate(self.book.fills) if fill.fill_id == fill_id)
        old = self.book.fills[index]
        new = replace(old, qty=qty, price=price or old.price, revision=old.revision + numbered)
        self.book.cash += old.side.sign * (old.qty * old.price - new.qty * new.price)
        self.book.positions[old.symbol] += old.side.sign * (new.qty - old.qty)
        at = self._index(old.client_order_id)
        order = self.book.orders[at]
        self.book.orders[at] = replace(order, filled_qty=order.filled_qty - old.qty + qty)
        if numbered or qty:
            self.book.fills[index] = new
        else:
            self.book.cash += old.fee
            del self.book.fills[index]

    def sent(self) -> list[tuple[str, str, str, Decimal]]:
        """Every order that arrived, sorted: id, symbol, side, quantity."""
        return sorted((order.client_order_id, order.symbol, order.side.value, order.qty) for order in self.book.orders)

    def _step_order(self, index: int, step: int, session: date) -> None:
        order = self.book.orders[index]
        plan = self.fill_plan.get(order.symbol, [Decimal(1)])
        share = plan[step] if step < len(plan) else ZERO
        qty = min((order.qty * share).quantize(Decimal("0.0001")), order.qty - order.filled_qty)
        if step >= len(plan) and order.symbol not in self.fill_plan:
            qty = order.qty - order.filled_qty
        if qty > 0:
            self._fill(index, qty, step, session)
        order = self.book.orders[index]
        if step + 1 >= self.steps and not order.status.terminal:
            self.book.orders[index] = replace(order, status=OrderStatus.EXPIRED, reason="day order expired")

    def _fill(self, index: int, qty: Decimal, step: int, session: date) -> None:
        order = self.book.orders[index]
        price = self.prices[order.symbol] + Decimal(step) / 100
        fill_id = f"f{len(self.book.fills) + 1}"
        self.book.fills.append(
            BrokerFill(
                fill_id=fill_id,
                client_order_id=order.client_order_id,
                symbol=order.symbol,
                side=order.side,
                qty=qty,
                price=price,
                fee=Decimal("0.10"),
                session=session,
                executed_at=NOON,
            )
        )
        held = self.book.positions.get(order.symbol, ZERO) + qty * order.side.sign
        self.book.positions[order.symbol] = held
        self.book.cash -= qty * order.side.sign * price + Decimal("0.10")
        filled = order.filled_qty + qty
        status = order.status
        if not status.terminal:
            status = OrderStatus.FILLED if filled >= order.qty else OrderStatus.PARTIALLY_FILLED
        self.book.orders[index] = replace(order, filled_qty=filled, average_price=price, status=status)

    def _index(self, client_order_id: str) -> int:
        return next(i for i, order in enumerate(self.book.orders) if order.client_order_id == client_order_id)

    def _shown(self, client_order_id: str) -> bool:
        # What a test has put into the book by itself has no instant from which it is shown.
        return self.time >= self.book.shown_from.get(client_order_id, self.time)

    def _read(self) -> None:
        if self.read_faults > 0:
            self.read_faults -= 1
            raise BrokerUnavailable("The model does not answer.", remedy="Ask again.")

    def _assert_committed(self, order: OrderRequest, row: Any) -> None:
        assert row is not None, f"{order.client_order_id} was sent before it was committed"
        assert row.state == "sending", f"{order.client_order_id} was sent in state {row.state}"
        assert row.final_qty == order.qty, f"{order.client_order_id} was sent with another quantity"
        assert row.parameter_hash == row.cleared_hash, f"{order.client_order_id} was sent without a verdict"
