"""The wire between one process and the model exchange, as a `Broker`: it drops, delays and garbles.

What belongs here: what a client gets to see, and when. What does not: what is true (`model_exchange`). Every send
is looked at the moment it arrives here, before the exchange has it: `on_send` is where laws of sending are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    OrderType,
    VenuePhase,
)
from scizor_dagster.errors import BrokerUnavailable, OrderRejected, OutcomeUnknown
from tests.execution.model_exchange import ModelExchange, Placed

SendFault = Literal["lost", "late", "timeout_after", "garbage", "reject"]
SEND_FAULTS: tuple[SendFault, ...] = ("lost", "late", "timeout_after", "garbage", "reject")
Down = Literal["before", "after"]


class ModelLine:
    """See the module.

    Attributes:
        down: None while it is up; `before` and `after` say what becomes of a send or a cancel: lost, or carried out.
        send_faults: What becomes of the next sends, one each; None for nothing. A `late` one arrives after a look.
        hidden_looks: For how many looks a new order is not visible, which proves nothing.
        withheld: Ids of fills that are not shown yet.
        granted: Steps that `advance` may take, each with its appetite; a venue that moves by itself has none.
        cash_shown: Every figure of cash that was answered.
    """

    def __init__(self, exchange: ModelExchange, clock: Callable[[], datetime], environment: str = "paper") -> None:
        self.exchange = exchange
        self.clock = clock
        self.environment = environment
        self.down: Down | None = None
        self.send_faults: list[SendFault | None] = []
        self.hidden_looks = 0
        self.withheld: set[str] = set()
        self.granted: list[int] = []
        self.cash_shown: list[Decimal] = []
        self.on_send: Callable[[OrderRequest], None] = lambda request: None
        self.interrupt: Callable[[str], None] | None = None
        self._outage: tuple[Down, int, int] | None = None
        self._hidden: dict[str, int] = {}
        self._on_its_way: list[OrderRequest] = []

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            fractional=True,
            quantity_decimals=4,
            short=True,
            order_types=frozenset(OrderType),
            min_notional=Decimal(1),
            full_exit_below_minimum=True,
            unique_client_ids=self.exchange.unique,
            max_client_id_length=48,
        )

    def calm(self) -> None:
        """Nothing goes wrong any more; what was under way has arrived."""
        self.down = self._outage = None
        self.hidden_looks = 0
        self.send_faults.clear()
        self.withheld.clear()
        self._hidden.clear()
        self._arrive()

    def goes_down(self, down: Down | None, at: int, calls: int) -> None:
        """Be up, and go down after `at` more calls, for `calls` of them; None stays up."""
        self.down = None
        self._outage = (down, at, calls) if down is not None else None

    def identity(self) -> BrokerIdentity:
        # Asked before the account is leased: the only look at which two runs may be at once.
        self._pass_time()
        self._require_up()
        return BrokerIdentity("model", self.environment, "M1")

    def account(self) -> AccountState:
        self._read()
        exchange = self.exchange
        value = sum((qty * exchange.prices[symbol] for symbol, qty in exchange.positions().items()), Decimal(0))
        self.cash_shown.append(exchange.cash)
        equity = exchange.cash + value
        return AccountState(exchange.cash, equity, 4 * max(equity, Decimal(0)), "USD", self.clock())

    def positions(self) -> list[BrokerPosition]:
        self._read()
        rows = self.exchange.positions().items()
        return [BrokerPosition(symbol, qty, self.exchange.prices[symbol]) for symbol, qty in rows]

    def submit(self, order: OrderRequest) -> BrokerOrder:
        self._pass_time()
        self.on_send(order)
        self._interrupted("before submit")
        fault = self.send_faults.pop(0) if self.send_faults else None
        if self.down is None and self.exchange.phase(order.session) is VenuePhase.OVER:
            raise OrderRejected(order.client_order_id, "session_closed", f"session {order.session} has closed")
        if fault == "lost" or self.down == "before":
            raise OutcomeUnknown(order.client_order_id, "timeout")
        if fault == "late":
            self._on_its_way.append(order)
            raise OutcomeUnknown(order.client_order_id, "timeout; still on its way")
        if fault == "reject" and self.exchange.find(order.client_order_id) is None:
            raise OrderRejected(order.client_order_id, "403", "insufficient buying power")
        placed = self._place(order)
        self._interrupted("after submit")
        if placed is None:
            raise OutcomeUnknown(order.client_order_id, "422 client_order_id must be unique")
        if fault == "garbage":
            raise ValueError("reply is not JSON")
        if fault == "timeout_after" or self.down == "after":
            raise OutcomeUnknown(order.client_order_id, "504 after accept")
        return placed.seen()

    def find(self, client_order_id: str) -> BrokerOrder | None:
        self._read()
        self._look(client_order_id)
        found = self.exchange.find(client_order_id)
        # What was still on its way arrives right after the look that did not find it.
        self._arrive()
        return found.seen() if found is not None else None

    def orders(self, session: date) -> list[BrokerOrder]:
        self._read()
        self._look(*self._hidden)
        return [row.seen() for row in self.exchange.orders if row.session == session]

    def open_orders(self) -> list[BrokerOrder]:
        self._read()
        self._look(*self._hidden)
        return [row.seen() for row in self.exchange.open_orders()]

    def fills(self, first: date, last: date) -> list[BrokerFill]:
        self._read()
        rows = [row for row in self.exchange.fills if first <= row.session <= last]
        return [row for row in rows if row.fill_id not in self.withheld]

    def activities(self, first: date, last: date) -> list[BrokerActivity]:
        self._read()
        return [row for row in self.exchange.activities if first <= row.session <= last]

    def cancel(self, client_order_id: str) -> None:
        if self.down != "after":
            self._read()
        found = self.exchange.find(client_order_id)
        if found is None:
            raise OrderRejected(client_order_id, "404", "order not found")
        self.exchange.cancel(found)
        self._read()

    def phase(self, session: date) -> VenuePhase:
        self._read()
        return self.exchange.phase(session)

    def advance(self, session: date) -> bool:
        self._read()
        if not self.granted or self.exchange.phase(session) is VenuePhase.OVER:
            return False
        self.exchange.step(session, self.granted.pop(0))
        return bool(self.granted) and self.exchange.phase(session) is not VenuePhase.OVER

    def _place(self, order: OrderRequest) -> Placed | None:
        placed = self.exchange.place(order)
        if placed is not None and self.hidden_looks:
            self._hidden[order.client_order_id] = self.hidden_looks
        return placed

    def _pass_time(self) -> None:
        if self._outage is not None:
            kind, at, calls = self._outage
            self.down = kind if at <= 0 else None
            self._outage = (kind, at - 1, calls - (at <= 0))
            if calls <= 0:
                self.down = self._outage = None

    def _read(self) -> None:
        self._pass_time()
        self._interrupted("read")
        self._require_up()

    def _require_up(self) -> None:
        if self.down is not None:
            raise BrokerUnavailable("The line is down.", remedy="Ask again.")

    def _look(self, *names: str) -> None:
        """Count a look at orders; whether a hidden one exists cannot be told yet."""
        hidden = [name for name in names if name in self._hidden]
        for name in hidden:
            self._hidden[name] -= 1
            if self._hidden[name] <= 0:
                del self._hidden[name]
        if hidden:
            raise BrokerUnavailable("New orders are not visible yet.", remedy="Ask again.")

    def _arrive(self) -> None:
        while self._on_its_way:
            order = self._on_its_way.pop(0)
            if self.exchange.phase(order.session) is not VenuePhase.OVER:
                self.exchange.place(order)

    def _interrupted(self, where: str) -> None:
        if self.interrupt is not None:
            self.interrupt(where)
