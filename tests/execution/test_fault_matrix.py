"""Every fault x every call, before and after an order is accepted, in process; `Seen` from the broker's own book.

The faults here are what an adapter may conclude from a wire, what a broken one may let through in spite of the
protocol, and answers that are wrong. The wires themselves: `tests/acceptance/test_fault_matrix_over_the_wires`.
"""

import asyncio
import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, OrderType, Side
from scizor_dagster.errors import BrokerUnavailable, OutcomeUnknown
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.fault_matrix import WRITES, Cell, Seen, Stage, Tally, When, play
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import START, fresh_copy, model, order, plan_of, resume, run

NO_ANSWER: dict[str, Callable[[str], BaseException]] = {
    "nothing to conclude": lambda name: OutcomeUnknown(name, "HTTP 504") if name else _unavailable(),
    "connection refused": lambda _: ConnectionRefusedError(111, "Connection refused"),
    "connection reset": lambda _: ConnectionResetError(104, "Connection reset by peer"),
    "broken pipe": lambda _: BrokenPipeError(32, "Broken pipe"),
    "timeout": lambda _: TimeoutError("timed out"),
    "no route": lambda _: OSError(113, "No route to host"),
    "out of file handles": lambda _: OSError(24, "Too many open files"),
    "tls alert": lambda _: ssl.SSLError("sslv3 alert handshake failure"),
    "half a reply": lambda _: http.client.IncompleteRead(b"{", 100),
    "garbage": lambda _: json.JSONDecodeError("Expecting value", "<html>", 0),
    "empty reply": lambda _: EOFError("0 bytes read"),
    "wrong encoding": lambda _: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "missing field": lambda _: KeyError("filled_qty"),
    "field of another type": lambda _: TypeError("'NoneType' object is not iterable"),
    "no number": lambda _: InvalidOperation("NaN"),
    "stale session": lambda _: RuntimeError("Event loop is closed"),
    "library assertion": lambda _: AssertionError("unexpected message 999"),
    "out of memory": lambda _: MemoryError(),
    "task cancelled": lambda _: asyncio.CancelledError(),
    "interrupted": lambda _: KeyboardInterrupt(),
}
"""What a call raises, by the id of the order that is sent, or nothing for a read."""
SENDS_AGAIN = "sent again by the way"
WRONG_ANSWERS = (
    "reply of another order",
    "another quantity",
    "no object",
    "rows twice",
    "rows backwards",
    "stale rows",
)
READS = ("identity", "account", "phase", "positions", "orders", "fills", "activities", "find", "open_orders")
ONCE_A_BATCH = ("positions",)
"""Asked before the batch is admitted, and never again."""
OF_ONE_ORDER = {"reply of another order": ("submit", "find"), "another quantity": ("submit", "find")}
OF_LISTS = ("orders", "fills", "activities", "positions")
PLAN = plan_of(
    [
        order("first", "AAA", Side.BUY, "2", phase=1),
        order("second", "BBB", Side.BUY, "3"),
        order("third", "CCC", Side.BUY, "4", order_type=OrderType.LIMIT),
    ]
)


def _unavailable() -> BrokerUnavailable:
    return BrokerUnavailable("The model does not answer.", remedy="Ask again.")


def cells(call: str) -> Iterator[Cell]:
    whens = [When.BEFORE] if call in ONCE_A_BATCH else [*When]
    for fault in NO_ANSWER:
        yield from (Cell(fault, call, when) for when in whens)
    for fault in WRONG_ANSWERS:
        if call in OF_ONE_ORDER.get(fault, (("submit", "find") if fault == "no object" else OF_LISTS)):
            yield Cell(fault, call, whens[-1])
    if call == "submit":
        yield Cell(SENDS_AGAIN, call, When.AFTER)


class Struck:
    """A broker whose call goes wrong as the cell says, until `calm`."""

    def __init__(self, broker: ModelBroker, cell: Cell) -> None:
        self._broker, self._cell = broker, cell
        self.strikes, self.calm = 0, False
        self._last: dict[str, Any] = {}
        # A look-up needs an order that is in doubt, and happens while it is.
        self._doubted = cell.call == "find"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._broker, name)
        if name == "capabilities" or not callable(found):
            return found

        def called(*arguments: Any) -> Any:
            if name == "submit" and self._doubted:
                self._doubted = False
                if self._cell.when is When.AFTER:
                    found(*arguments)
                raise OutcomeUnknown("first", "no reply")
            if not self._strikes(name):
                self._last[name] = found(*arguments)
                return self._last[name]
            self.strikes += 1
            return self._strike(name, found, arguments)

        return called

    def _strikes(self, name: str) -> bool:
        if self.calm or name != self._cell.call:
            return False
        if name in WRITES:
            return self.strikes == 0
        return name == "find" or self._cell.when is When.BEFORE or bool(self._broker.book.orders)

    def _strike(self, name: str, found: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        fault = self._cell.fault
        if fault in NO_ANSWER:
            if self._cell.when is When.AFTER and name in WRITES:
                found(*arguments)
            raise NO_ANSWER[fault](arguments[0].client_order_id if name == "submit" else "")
        before, answer = self._last.get(name), found(*arguments)
        if fault == SENDS_AGAIN:
            return found(*arguments)
        if fault == "no object":
            return None
        if fault in OF_ONE_ORDER:
            assert isinstance(answer, BrokerOrder) or name == "find"
            return _other(answer, fault)
        rows = list(answer)
        return {"rows twice": rows * 2, "rows backwards": rows[::-1], "stale rows": before or []}[fault]


def _other(answer: BrokerOrder | None, fault: str) -> BrokerOrder | None:
    if answer is None:
        return None
    if fault == "another quantity":
        return replace(answer, qty=answer.qty + 1)
    return replace(answer, client_order_id="somebody-elses", broker_order_id="b99")


class Filling(ModelBroker):
    """A model that fills a market order as it takes it."""

    def submit(self, order: OrderRequest) -> BrokerOrder:
        taken = super().submit(order)
        if order.order_type is OrderType.MARKET:
            self.fill(order.client_order_id, order.qty, session=order.session)
        return taken


class ModelStage(Stage):
    """The model broker, whose session does not go on until the calm."""

    wanted = frozenset(row.client_order_id for row in PLAN.orders)

    def __init__(self, url: str, cell: Cell) -> None:
        self.ledger = Ledger.open(url, synchronous="OFF")
        self.model = model(self.ledger)
        self.model.__class__ = Filling
        self.model.has_data = set()
        self.broker = Struck(self.model, cell)
        self.canceling = cell.call == "cancel"

    def run(self) -> ExecutionResult:
        try:
            return run(self.ledger, self.broker, PLAN)
        except (asyncio.CancelledError, KeyboardInterrupt) as ended:
            # Meant for the process and not for the order: the run ends, and what it left behind is looked at.
            raise _unavailable() from ended

    def seen(self) -> list[Seen]:
        return [Seen(row.client_order_id, row.status, row.filled_qty) for row in self.model.book.orders]

    def held(self) -> dict[str, Decimal]:
        return {symbol: qty for symbol, qty in self.model.book.positions.items() if qty}

    def calm(self) -> None:
        if self.canceling:
            self.halt(TradingState.ACTIVE)
        self.broker.calm, self.model.has_data = True, None

    def halt(self, state: TradingState) -> None:
        with self.ledger.transaction() as connection:
            set_state(
                connection, "paper", "main", state, reason="t", actor="t", now=START, cancel_open=state != "active"
            )


def _then(stage: ModelStage, cell: Cell) -> Callable[[], list[str]]:
    def cancel() -> list[str]:
        stage.halt(TradingState.HALTED)
        for _ in range(2):
            try:
                resume(stage.ledger, stage.broker)
            except (asyncio.CancelledError, KeyboardInterrupt):
                continue
        return [] if stage.broker.strikes else ["no cancel was asked for"]

    def look() -> list[str]:
        meant_for_the_process = (asyncio.CancelledError, KeyboardInterrupt)
        with pytest.raises((BrokerUnavailable, *meant_for_the_process)):
            Answers(stage.broker).open_orders()
        return []

    return {"cancel": cancel, "open_orders": look}.get(cell.call, list)


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_whatever_goes_wrong_with_a_call_no_order_is_doubled_lost_or_taken_for_another(
    empty_ledger: Path, tmp_path: Path, call: str, record_property: Any
) -> None:
    tally = Tally()
    for number, cell in enumerate(cells(call)):
        folder = tmp_path / str(number)
        stage = ModelStage(fresh_copy(empty_ledger, folder / "l.sqlite"), cell)
        play(cell, stage, tally, then=_then(stage, cell))
        tally.strikes += stage.broker.strikes
        if not stage.broker.strikes:
            tally.problems.append(f"{cell.name}: never struck")
        stage.ledger.close()
        for leftover in folder.iterdir():
            leftover.unlink()
    assert tally.problems == []
    record_property(f"faults x {call}", tally.table())


def test_the_matrix_has_more_than_twenty_faults_at_every_call() -> None:
    wrong = {call: len({cell.fault for cell in cells(call)}) for call in (*READS, *WRITES)}
    assert min(wrong.values()) >= 20
    assert sum(len(list(cells(call))) for call in wrong) > 400
