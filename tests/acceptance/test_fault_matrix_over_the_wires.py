"""Faults x calls over Alpaca's and TWS's wire: no order is doubled, lost, or taken for another, whatever the wire does.

What must hold is that of `tests/execution/fault_matrix`. `make test` plays a seeded sample; SCIZOR_TORTURE=1 plays all.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.brokers.alpaca import transport
from scizor_dagster.brokers.ibkr.broker import IbkrBroker
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.brokers.protocol import Broker, OrderRequest, OrderStatus, OrderType, Side
from scizor_dagster.errors import BrokerUnavailable, OrderRejected
from scizor_dagster.execution.answers import Answers
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.paper_exchange.alpaca_door.render_account import account_number
from scizor_dagster.paper_exchange.alpaca_door.server import AlpacaServer, serve_alpaca
from scizor_dagster.paper_exchange.tws_door.server import RunningTws, serve_tws
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.paper_exchange.venue_store import VenueAccount
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.alpaca.conftest import Brokers
from tests.execution.conftest import empty_ledger  # noqa: F401 - a fixture
from tests.execution.fault_matrix import WRITES, Cell, Seen, Stage, Tally, When, play
from tests.execution.scenario import MONDAY, START, fresh_copy, order, plan_of, resume, run
from tests.paper_exchange.alpaca.support import SECRET, UNLIMITED
from tests.paper_exchange.market import FakeData, bar
from tests.paper_exchange.venues import Hall, make_venue

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
SAMPLE = {"alpaca": 32, "ibkr": 10}
"""Cells of a seeded sample: as many as a minute has room for. A TWS that does not answer is waited for."""
CELLS_OF_A_VENUE = 40
OPEN = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SYMBOLS = ("AAA", "BBB", "CCC")
ANY = {
    "refused": {},
    "reset": {},
    "reply_lost_before": {},
    "reply_lost_after": {},
    "disconnect": {},
    "gateway_timeout_before": {},
    "gateway_timeout_after": {},
    "hang": {},
    "rate_limited": {},
    "html_body": {},
    "truncated": {},
    "garbage": {},
    "empty_reply": {},
    "duplicate_reply": {},
    "unknown_field": {},
}
"""Faults that any call of either wire can meet, with details; what follows a colon tells two of a kind apart."""
AT_ALPACA = {
    **ANY,
    **{f"server_error:{status}": {"status": status} for status in (500, 502, 503)},
    **{f"unauthorized:{status}": {"status": status} for status in (401, 403)},
    **{f"html_body:{status}": {"status": status} for status in (404, 502)},
    "other_reply": {},
    "delivered_twice": {},
    "unknown_enum": {},
}
AT_TWS = {
    **ANY,
    "server_error": {},
    "late_reply": {},
    "late_reply:2": {"requests": 2},
    "connection_lost:1101": {"requests": 3},
    "connection_lost:1102": {"requests": 3, "kept": True},
    "restart": {},
    "code:2110": {"code": 2110, "text": "Connectivity between Trader Workstation and server is broken."},
    "code:instead": {"code": 4711, "text": "Something new.", "instead": True},
}
OF_AN_ORDER = {"visibility_lag": {}, "reject_later": {}, "partial_then_cancel": {}, "stuck": {}}
OF_TWS_ORDERS = {f"code:{code}": {"code": code, "text": "It says so."} for code in (399, 404, 2109, 10349)}
OF_A_CANCEL = {"slow_cancel": {}, "fill_during_cancel": {}}
OF_POSITIONS = {"stale_positions": {}, "empty_positions": {}}
FAULTS = {"alpaca": AT_ALPACA, "ibkr": AT_TWS}
CALLS = ("identity", "account", "phase", "positions", "orders", "fills", "activities", "find", "open_orders", *WRITES)
NOT_ASKED = {"alpaca": {("positions", When.AFTER)}, "ibkr": {("positions", When.AFTER), ("identity", When.AFTER)}}
"""What comes once: positions with the admission, and the identity with a connection to TWS."""
ONE_WRITE = {"submit_order", "place_order", "cancel_order"}
BY_THEMSELVES = {"order_status", "exec_details", "trade_update"}
"""Messages that no call asks for."""
PLAN = plan_of(
    [
        order("first", "AAA", Side.BUY, "2", phase=1),
        order("second", "BBB", Side.BUY, "3"),
        order("third", "CCC", Side.BUY, "4", order_type=OrderType.LIMIT)._replace(limit_price=D(5)),
    ]
)


def details(wire: str, call: str) -> dict[str, dict[str, Any]]:
    """Faults of a call at a wire."""
    found: dict[str, dict[str, Any]] = dict(FAULTS[wire])
    if call == "submit":
        found |= OF_AN_ORDER | (OF_TWS_ORDERS if wire == "ibkr" else {})
    elif call == "cancel":
        found |= OF_A_CANCEL
    elif call == "positions":
        found |= OF_POSITIONS
    return found


def cells(wire: str) -> list[Cell]:
    found = []
    for call in CALLS:
        if (wire, call) == ("ibkr", "activities"):
            continue
        whens = [When.AFTER] if call in WRITES else [*When]
        found += [
            Cell(fault, call, when)
            for fault in details(wire, call)
            for when in whens
            if (call, when) not in NOT_ASKED[wire]
        ]
    return found


@dataclass
class Trouble:
    """Faults of the doors while a cell is played: what its call asks for on the wire goes wrong."""

    wire: str
    cell: Cell | None = None
    under_way: str = ""
    accepted: bool = False
    doubted: bool = False
    strikes: int = 0

    def begin(self, cell: Cell) -> None:
        self.cell, self.strikes, self.accepted = cell, 0, False
        # A look-up needs an order that is in doubt.
        self.doubted = cell.call != "find"

    def due(self) -> bool:
        """Whether the call that is under way is to be struck."""
        cell = self.cell
        if cell is None or self.under_way != cell.call:
            return False
        if cell.call in WRITES:
            return not self.strikes
        return cell.when is When.BEFORE or self.accepted or cell.call == "find"

    def next(self, door: str, call: str) -> Fault | None:
        if self.cell is not None and self.under_way == "submit" and not self.doubted and call in ONE_WRITE:
            self.doubted = True
            return Fault("reply_lost_after" if self.cell.when is When.AFTER else "reply_lost_before", {})
        if not self.due() or call in BY_THEMSELVES or (self.under_way in WRITES and call not in ONE_WRITE):
            return None
        assert self.cell is not None
        self.strikes += 1
        kind = self.cell.fault.partition(":")[0]
        return Fault(kind, details(self.wire, self.cell.call)[self.cell.fault])


class Marked:
    """A broker that says which of its calls is under way, and whose line is dead where the cell says `refused`."""

    def __init__(self, broker: Any, trouble: Trouble, dead: Callable[[], None]) -> None:
        self._broker, self._trouble, self._dead = broker, trouble, dead

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._broker, name)
        if name == "capabilities" or not callable(found):
            return found

        def called(*arguments: Any) -> Any:
            trouble = self._trouble
            trouble.under_way = name
            if trouble.due() and trouble.cell is not None and trouble.cell.fault == "refused":
                trouble.strikes += 1
                self._dead()
            try:
                return found(*arguments)
            finally:
                trouble.under_way = ""
                trouble.accepted |= name == "submit"

        return called


@dataclass
class Wire:
    """One door over one venue, with accounts that nobody has used."""

    name: str
    hall: Hall
    trouble: Trouble
    free: list[str]
    door: AlpacaServer | RunningTws
    brokers: Brokers = field(default_factory=Brokers)
    port: int = 0

    def die(self) -> None:
        if isinstance(self.door, RunningTws):
            self.door.stop_listening()
        else:
            self.door.close()

    def revive(self) -> None:
        if isinstance(self.door, RunningTws):
            self.door.stop_listening()
            self.door.listen_again()
            self.door.restore_connectivity()
        else:
            self.door.close()
            self.door = _alpaca(self.hall, self.trouble, self.port)

    def connect(self, account: str) -> Broker:
        if isinstance(self.door, RunningTws):
            chosen = IbkrSettings("127.0.0.1", self.port, 7, account, timeout=1.5, execution_days=7)
            instruments = {name: Instrument(name, "XNYS", "USD", fractionable=False) for name in SYMBOLS}
            now = self.hall.venue.now
            return IbkrBroker(chosen, TradingCalendar("XNYS"), instruments, now, IbkrConnection(chosen))
        more = {"key_id": f"PK{account}", "read_timeout": 0.7, "read_attempts": 2, "absence_looks": 2}
        return self.brokers.connect(self.door.url, **more)

    def close(self) -> None:
        self.brokers.close()
        self.door.close()
        self.hall.ledger.close()


class WireStage(Stage):
    """One account at the far end of a wire."""

    wanted = frozenset(row.client_order_id for row in PLAN.orders)

    def __init__(self, wire: Wire, cell: Cell, url: str) -> None:
        self.wire, self.cell = wire, cell
        self.account = wire.free.pop()
        self.ledger = Ledger.open(url, synchronous="OFF")
        self.connected = wire.connect(self.account)
        self.broker = Marked(self.connected, wire.trouble, wire.die)
        ibkr = wire.name == "ibkr"
        number = self.account if ibkr else account_number(wire.hall.venue.account(self.account))
        self.settings = {"expected_broker": wire.name, "expected_account_id": number, "starting_cash": D(50_000)}
        wire.trouble.begin(cell)

    def run(self) -> ExecutionResult:
        return run(self.ledger, self.broker, PLAN, **self.settings)

    def seen(self) -> Sequence[Seen]:
        return [
            Seen(
                row.ticket.reference or row.ticket.client_order_id,
                OrderStatus(row.status.value) if row.status.terminal else OrderStatus.ACCEPTED,
                row.filled_qty,
            )
            for row in self.wire.hall.all_orders(self.account)
        ]

    def held(self) -> dict[str, D]:
        return self.wire.hall.held(self.account)

    def calm(self) -> None:
        if self.cell.call == "cancel":
            self.halt(TradingState.ACTIVE)
        self.wire.trouble.cell = None
        if self.wire.name == "ibkr" or self.cell.fault == "refused":
            self.wire.revive()

    def halt(self, state: TradingState) -> None:
        canceling = state is not TradingState.ACTIVE
        with self.ledger.transaction() as connection:
            set_state(connection, "paper", "main", state, reason="t", actor="t", now=START, cancel_open=canceling)

    def close(self) -> None:
        self.ledger.close()
        if isinstance(self.connected, IbkrBroker):
            self.connected.close()

    def then(self) -> list[str]:
        """What the rebalance does not come to by itself: a halt that cancels, a look at what is open."""
        if self.cell.call == "cancel":
            self.halt(TradingState.HALTED)
            for _ in range(2):
                with suppress(BrokerUnavailable):
                    resume(self.ledger, self.broker, **self.settings)
        elif self.cell.call == "open_orders":
            return self.look()
        return []

    def look(self) -> list[str]:
        live = {row.name for row in self.seen() if not row.status.terminal}
        try:
            shown = {row.client_order_id for row in Answers(self.broker).open_orders()}
        except (BrokerUnavailable, OrderRejected):
            return []
        return [] if shown >= live else [f"open orders {live - shown} were left out without a word"]


def _alpaca(hall: Hall, trouble: Trouble, port: int = 0) -> AlpacaServer:
    keys = {f"PK{name}": (SECRET, name) for name in hall.venue.accounts(House.ALPACA)}
    return serve_alpaca(hall.venue, keys, faults=trouble, rules=UNLIMITED, port=port)


def open_wire(folder: Path, name: str) -> Wire:
    folder.mkdir(parents=True)
    house = House(name)
    names = [f"DU{2_000_000 + n}" if house is House.IBKR else f"a{n}" for n in range(CELLS_OF_A_VENUE)]
    accounts = [VenueAccount(account, house, "USD", D(100_000)) for account in names]
    data = FakeData(sessions={MONDAY: dict.fromkeys(SYMBOLS, bar(20, 20, 20, 20, 10**7))})
    data.prices.update(dict.fromkeys(SYMBOLS, D(20)))
    instruments = {symbol: Instrument(symbol, "XNYS", "USD", fractionable=False) for symbol in SYMBOLS}
    hall = make_venue(folder, start=OPEN, data=data, instruments=instruments, accounts=accounts)
    trouble = Trouble(name)
    door = serve_tws(hall.venue, faults=trouble) if house is House.IBKR else _alpaca(hall, trouble)
    wire = Wire(name, hall, trouble, names, door)
    wire.port = door.port if isinstance(door, RunningTws) else int(door.url.rpartition(":")[2])
    return wire


def chosen(wire: str) -> list[Cell]:
    """The sample: sends and cancels first, then every fault once where there is room."""
    every = cells(wire)
    random.Random(f"{wire}-11").shuffle(every)
    if TORTURE:
        return every
    of_sends = [cell for cell in every if cell.call in WRITES]
    first_of_its_fault = list({cell.fault: cell for cell in every}.values())
    return list(dict.fromkeys([*of_sends[: SAMPLE[wire] // 3], *first_of_its_fault, *every]))[: SAMPLE[wire]]


def played(wire: str, folder: Path, template: Path) -> Iterator[tuple[Cell, WireStage]]:
    todo = chosen(wire)
    for first in range(0, len(todo), CELLS_OF_A_VENUE):
        line = open_wire(folder / f"venue{first}", wire)
        try:
            for number, cell in enumerate(todo[first : first + CELLS_OF_A_VENUE], start=first):
                stage = WireStage(line, cell, fresh_copy(template, folder / str(number) / "l.sqlite"))
                try:
                    yield cell, stage
                finally:
                    stage.close()
        finally:
            line.close()


@pytest.mark.timeout(7_200 if TORTURE else 300)
@pytest.mark.parametrize("wire", FAULTS)
def test_whatever_goes_wrong_on_a_wire_no_order_is_doubled_lost_or_taken_for_another(
    empty_ledger: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wire: str,
    record_property: Any,
) -> None:
    monkeypatch.setattr(transport, "_BACKOFF", (0.0,))
    tally, missed = Tally(), 0
    for cell, stage in played(wire, tmp_path, empty_ledger):
        play(cell, stage, tally, then=stage.then)
        tally.strikes += stage.wire.trouble.strikes
        missed += not stage.wire.trouble.strikes
    assert tally.problems == []
    # A machine that is so slow that a run ends before its fault says nothing about the product.
    assert missed <= tally.cells // 4
    record_property(f"faults x calls at {wire}", tally.table())


def test_an_answer_of_tws_of_which_a_message_cannot_be_read_is_not_complete(tmp_path: Path) -> None:
    """The library leaves an execution out that has a field too many, and ends the answer as if all were well."""
    wire = open_wire(tmp_path / "venue", "ibkr")
    broker = wire.connect(wire.free.pop())
    (bought,) = [row for row in PLAN.orders if row.client_order_id == "first"]
    asked = {name: getattr(bought, name) for name in ("client_order_id", "symbol", "side", "qty", "order_type")}
    broker.submit(OrderRequest(**asked, time_in_force=bought.time_in_force, session=MONDAY, intent=bought.intent))
    wire.trouble.cell, wire.trouble.under_way = Cell("unknown_field", "fills", When.BEFORE), "fills"
    for read in (lambda: broker.fills(MONDAY, MONDAY), lambda: broker.orders(MONDAY), lambda: broker.find("other")):
        with pytest.raises(BrokerUnavailable, match="could not be read"):
            read()
    wire.trouble.cell = None
    assert [row.qty for row in broker.fills(MONDAY, MONDAY)] == [D(2)]
    broker.close()  # type: ignore[attr-defined]
    wire.close()


@pytest.mark.parametrize("wire", FAULTS)
def test_every_call_of_a_wire_meets_at_least_twenty_faults(wire: str) -> None:
    for call in {cell.call for cell in cells(wire)}:
        assert len({cell.fault for cell in cells(wire) if cell.call == call}) >= 20, call
    assert len(cells(wire)) >= 300
