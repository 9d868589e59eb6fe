"""A broker that goes wrong on request: the faults of a script, met by the calls of this process.

What belongs here: what each fault word does to a call of the `Broker` protocol. What does not: when it
strikes (`paper_exchange.faults`), and the same words on a wire (the exchange's doors).

A wire shows a client bytes, and its adapter concludes from them. Here the conclusion itself is what
goes wrong: a send ends as unknown, with the order taken or not; a read fails, or tells of positions as they
were. What only an exchange could do to an order (a bust, a late reject, one that is stuck) cannot be met here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

from scizor_dagster.brokers.protocol import (
    AccountState,
    Broker,
    BrokerActivity,
    BrokerFill,
    BrokerIdentity,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    OrderRequest,
    VenuePhase,
)
from scizor_dagster.errors import BrokerUnavailable, ConfigError, OutcomeUnknown
from scizor_dagster.paper_exchange.faults import FaultKind, FaultScript
from scizor_dagster.paper_exchange.venue import Fault

DOOR = "in_process"
BEFORE = frozenset(
    {
        FaultKind.REPLY_LOST_BEFORE,
        FaultKind.RESET,
        FaultKind.DISCONNECT,
        FaultKind.GATEWAY_TIMEOUT_BEFORE,
        FaultKind.SERVER_ERROR,
        FaultKind.RATE_LIMITED,
        FaultKind.CONNECTION_LOST,
        FaultKind.UNAUTHORIZED,
    }
)
"""Nothing was taken."""
AFTER = frozenset(
    {
        FaultKind.REPLY_LOST_AFTER,
        FaultKind.GATEWAY_TIMEOUT_AFTER,
        FaultKind.HTML_BODY,
        FaultKind.HANG,
        FaultKind.UNKNOWN_ENUM,
        FaultKind.TRUNCATED,
        FaultKind.GARBAGE,
        FaultKind.EMPTY_REPLY,
        FaultKind.DELIVERED_TWICE,
        FaultKind.LATE_REPLY,
    }
)
"""The request was carried out, and its answer says nothing."""
WORDS = (
    BEFORE
    | AFTER
    | {FaultKind.VISIBILITY_LAG, FaultKind.SLOW_CANCEL, FaultKind.STALE_POSITIONS, FaultKind.EMPTY_POSITIONS}
)
_READS = 2
_CANCEL_READS = 3
_Answer = TypeVar("_Answer")


class RehearsalBroker:
    """A `Broker` around another one.

    Calls have the names of the protocol: `submit`, `find`, `orders`, `open_orders`, `positions`, `account`, `fills`,
    `activities`, `cancel`. `identity`, `phase` and `advance` never fail: they are the clock of the rehearsal itself.

    Raises:
        ConfigError: the script has a word for this door that cannot be met in process.
    """

    def __init__(self, inner: Broker, script: FaultScript, account: str) -> None:
        unknown = script.words(DOOR) - WORDS
        if unknown:
            raise ConfigError(
                f"The fault '{min(unknown)}' cannot be met in process.",
                remedy=f"Use one of {', '.join(sorted(WORDS))}, or rehearse at a door (scizor paper serve).",
                where=f"accounts.{account}.exchange.faults",
            )
        self._inner, self._script, self._where = inner, script, f"account {account}"
        self._hidden: dict[str, int] = {}
        self._canceling: dict[str, int] = {}
        self._old_positions: Sequence[BrokerPosition] | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def identity(self) -> BrokerIdentity:
        return self._inner.identity()

    def submit(self, order: OrderRequest) -> BrokerOrder:
        fault = self._script.next(DOOR, "submit")
        if fault is not None and fault.kind in BEFORE:
            raise OutcomeUnknown(order.client_order_id, fault.kind)
        self._old_positions = self._inner.positions()
        taken = self._inner.submit(order)
        if _is(fault, FaultKind.VISIBILITY_LAG):
            self._hidden[order.client_order_id] = _detail(fault, "reads", _READS)
        if fault is not None and fault.kind in AFTER:
            raise OutcomeUnknown(order.client_order_id, fault.kind)
        return taken

    def cancel(self, client_order_id: str) -> None:
        with self._meeting("cancel") as fault:
            if _is(fault, FaultKind.SLOW_CANCEL):
                self._canceling[client_order_id] = _detail(fault, "reads", _CANCEL_READS)
            else:
                self._inner.cancel(client_order_id)

    def find(self, client_order_id: str) -> BrokerOrder | None:
        self._look(client_order_id)
        return self._read("find", lambda: self._inner.find(client_order_id))

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        self._look(*self._hidden)
        return self._read("orders", lambda: self._inner.orders(session))

    def open_orders(self) -> Sequence[BrokerOrder]:
        self._look(*self._hidden)
        return self._read("open_orders", self._inner.open_orders)

    def positions(self) -> Sequence[BrokerPosition]:
        """The positions; under a fault, those before the newest order of this process, or none."""
        with self._meeting("positions") as fault:
            if _is(fault, FaultKind.EMPTY_POSITIONS):
                return ()
            if _is(fault, FaultKind.STALE_POSITIONS) and self._old_positions is not None:
                return self._old_positions
            return self._inner.positions()

    def account(self) -> AccountState:
        return self._read("account", self._inner.account)

    def fills(self, first: date, last: date) -> Sequence[BrokerFill]:
        return self._read("fills", lambda: self._inner.fills(first, last))

    def activities(self, first: date, last: date) -> Sequence[BrokerActivity]:
        return self._read("activities", lambda: self._inner.activities(first, last))

    def phase(self, session: date) -> VenuePhase:
        return self._inner.phase(session)

    def advance(self, session: date) -> bool:
        return self._inner.advance(session)

    def _read(self, call: str, read: Callable[[], _Answer]) -> _Answer:
        with self._meeting(call):
            return read()

    @contextmanager
    def _meeting(self, call: str) -> Iterator[Fault | None]:
        """Fail before or after what is done inside, where the fault that this call meets says so."""
        fault = self._script.next(DOOR, call)
        if fault is not None and fault.kind in BEFORE:
            raise self._unavailable(call, fault.kind)
        yield fault
        if fault is not None and fault.kind in AFTER:
            raise self._unavailable(call, fault.kind)

    def _look(self, *names: str) -> None:
        """Count a look at orders: cancels come nearer to their end, and what is hidden cannot be proven absent."""
        for name, left in list(self._canceling.items()):
            self._canceling[name] = left - 1
            if left <= 1:
                del self._canceling[name]
                self._inner.cancel(name)
        hidden = [name for name in names if name in self._hidden]
        for name in hidden:
            self._hidden[name] -= 1
            if self._hidden[name] <= 0:
                del self._hidden[name]
        if hidden:
            raise self._unavailable("orders", FaultKind.VISIBILITY_LAG)

    def _unavailable(self, call: str, kind: str) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"The rehearsed broker cannot answer ({call}): {kind}.",
            remedy="The fault script asks for this; run again to continue.",
            where=self._where,
        )


def _is(fault: Fault | None, kind: FaultKind) -> bool:
    return fault is not None and fault.kind == kind


def _detail(fault: Fault | None, name: str, default: int) -> int:
    return int(fault.detail.get(name, default)) if fault is not None else default
