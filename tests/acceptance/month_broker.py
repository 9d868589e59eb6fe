"""A paper account at which things happen that nobody here has asked for.

What belongs here: what the account tells late, refuses, and has done to it by hand. What does not: calls that fail,
which the account's own script of faults has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import (
    AccountState,
    Broker,
    BrokerActivity,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from scizor_dagster.errors import OrderRejected
from scizor_dagster.sessions import Clock

ZERO = Decimal(0)
Told = tuple[date, str, datetime]
"""A session, a symbol, and from when on the account tells of it."""


@dataclass
class Troubles:
    """What happens in the month, and what has.

    Attributes:
        fills: Whose fills are told late; until then its order looks canceled.
        dividend: Which one is booked late.
        spares: Symbols of which no order is refused.
        rejected: Client order ids that the account has refused.
    """

    fills: Told
    dividend: Told
    seed: int
    spares: frozenset[str] = frozenset()
    rejected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"rejects {self.seed}")

    def refuses(self, order: OrderRequest) -> bool:
        if (order.session, order.symbol) == self.fills[:2]:
            return False
        return self._chance.random() < 0.05 and order.symbol not in self.spares


class TroubledBroker:
    """A `Broker` around the rehearsed `inner`, which is one around `exchange`."""

    def __init__(self, inner: Broker, exchange: PaperBroker, troubles: Troubles, clock: Clock) -> None:
        self._inner, self.exchange, self._troubles, self._clock = inner, exchange, troubles, clock

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def submit(self, order: OrderRequest) -> BrokerOrder:
        if self._troubles.refuses(order):
            self._troubles.rejected.append(order.client_order_id)
            raise OrderRejected(order.client_order_id, "not_allowed", "the account may not trade this right now")
        return self._inner.submit(order)

    def find(self, client_order_id: str) -> BrokerOrder | None:
        found = self._inner.find(client_order_id)
        return None if found is None else self._shown(found)

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        return [self._shown(row) for row in self._inner.orders(session)]

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        late = {row.fill_id for row in self._late_fills()}
        return [row for row in self._inner.fills(first, last) if row.fill_id not in late]

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        late = {row.activity_id for row in self._late_payments()}
        return [row for row in self._inner.activities(first, last) if row.activity_id not in late]

    def positions(self) -> Sequence[BrokerPosition]:
        rows, less = self._inner.positions(), self._not_told()
        return [replace(row, qty=row.qty - less.get(row.symbol, ZERO)) for row in rows]

    def account(self) -> AccountState:
        prices = {row.symbol: row.market_price or ZERO for row in self.exchange.positions()}
        paid = sum((row.side.sign * row.qty * row.price + row.fee for row in self._late_fills()), ZERO)
        cash = paid - sum((row.amount for row in self._late_payments()), ZERO)
        worth = sum((qty * prices[symbol] for symbol, qty in self._not_told().items()), ZERO)
        state = self._inner.account()
        return replace(state, cash=state.cash + cash, equity=state.equity + cash - worth)

    def trade_by_hand(self, symbol: str, qty: int, session: date) -> str:
        """Somebody buys at the broker's own screen; the id of the order."""
        name = f"by-hand-{symbol}"
        terms = (Side.BUY, Decimal(qty), OrderType.MARKET, TimeInForce.DAY, session, PositionIntent.BUY_TO_OPEN)
        return self.exchange.submit(OrderRequest(name, symbol, *terms)).client_order_id

    def _late_fills(self) -> list[BrokerFill]:
        session, symbol, told = self._troubles.fills
        if self._clock() >= told:
            return []
        return [row for row in self.exchange.fills(session, session) if row.symbol == symbol]

    def _late_payments(self) -> list[BrokerActivity]:
        session, symbol, told = self._troubles.dividend
        if self._clock() >= told:
            return []
        return [row for row in self.exchange.activities(session, session) if row.symbol == symbol]

    def _not_told(self) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for row in self._late_fills():
            found[row.symbol] = found.get(row.symbol, ZERO) + row.side.sign * row.qty
        return found

    def _shown(self, order: BrokerOrder) -> BrokerOrder:
        if not any(row.client_order_id == order.client_order_id for row in self._late_fills()):
            return order
        return replace(order, status=OrderStatus.CANCELED, filled_qty=ZERO, average_price=None)
