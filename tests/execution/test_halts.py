"""A halt between any two steps of a run: no order is marked for sending after it, so none can follow it.

The one order of things that counts is that of the ledger's commits. A halt that is committed keeps every mark
(`sending`) from being committed after it. What was marked before is on its way: its `submit` may begin after the
halt has returned, since a mark and a send cannot be one. At most as many as the broker takes at once are on their
way, and the report of a halt that cancels names each of them as possibly open.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder, Capabilities, OrderRequest, PositionIntent, Side
from scizor_dagster.errors import AccountBusy
from scizor_dagster.execution.cancelling import awaiting_cancel, left_open
from scizor_dagster.execution.executor import CancelReport, cancel_open
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.rows import intents_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.risk.pre_trade import OPENING
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import START, D, clock, fresh_copy, model, order, plan_of, run, settings
from tests.execution.test_fault_matrix import Filling

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
INTERLEAVINGS = 5_000 if TORTURE else 250
RESUMED_ONE_IN = 5
LANES = 10
"""Tests that share the interleavings, so that they can run side by side."""
HELD = {"AAA": "40", "BBB": "10"}
SHORT = PositionIntent.SELL_TO_OPEN
MAIN = plan_of(
    [
        order("m-sell", "AAA", Side.SELL, "10"),
        order("m-close", "BBB", Side.SELL, "10"),
        order("m-cross", "BBB", Side.SELL, "6", phase=2, intent=SHORT, depends_on=["m-close"], leg=2),
        order("m-buy", "CCC", Side.BUY, "20"),
        order("m-rest", "DDD", Side.BUY, "5"),
    ],
    held=HELD,
)
OTHER = replace(plan_of([order("o-buy", "EEE", Side.BUY, "3", price=D(10))]), portfolio="other")
RESTING = {"m-rest"}
PORTFOLIO_OF = {row.client_order_id: plan.portfolio for plan in (MAIN, OTHER) for row in plan.orders}
INTENT_OF = {row.client_order_id: row.intent for plan in (MAIN, OTHER) for row in plan.orders}
FAULTS = (None, None, None, "lost", "timeout_after", "garbage")


@dataclass(frozen=True)
class Halting:
    """What is set, for whom, and at which point; `amid` is within a transaction, by another thread."""

    state: TradingState
    portfolio: str | None
    cancel: bool
    at: int
    amid: bool
    at_once: int

    def covers(self, name: str) -> bool:
        if self.portfolio not in (None, PORTFOLIO_OF[name]):
            return False
        return self.state is TradingState.HALTED or INTENT_OF[name] in OPENING


@dataclass
class Hall:
    """The points of a run, and the person who halts it at one of them."""

    url: str
    halting: Halting
    broker: ModelBroker
    points: int = 0
    started: bool = False
    returned: bool = False
    began_after: list[str] = field(default_factory=list)
    report: CancelReport | None = None
    under_way: Thread | None = None
    _lock: Lock = field(default_factory=Lock)

    def point(self, *, amid: bool = False) -> None:
        """A step of the run. Within a transaction only another thread can halt, and waits for the transaction's end."""
        with self._lock:
            self.points += 1
            due = not self.started and 0 < self.halting.at <= self.points and amid in (False, self.halting.amid)
            self.started |= due
            if due and amid:
                self.under_way = Thread(target=self.halt)
                self.under_way.start()
        if due and not amid:
            self.halt()

    def halt(self) -> None:
        """Set the state from a ledger of one's own, as `scizor halt` does, and ask for the cancels."""
        ledger = Ledger.open(self.url, synchronous="OFF")
        put(ledger, self.halting.state, self.halting)
        self.returned = True
        if self.halting.cancel:
            self.report = canceled(ledger, self.broker)
        ledger.close()


def put(ledger: Ledger, state: TradingState, halting: Halting) -> None:
    canceling = halting.cancel and state is not TradingState.ACTIVE
    with ledger.transaction() as connection:
        set_state(
            connection, "paper", halting.portfolio, state, reason="t", actor="ann", now=START, cancel_open=canceling
        )


def canceled(ledger: Ledger, broker: Any) -> CancelReport:
    """The report of a halt that cancels: where a run holds the account, all that may be open is left to it."""
    base = {"account": "paper", "portfolio": "main", "clock": clock, "holder": "ann", "settings": settings()}
    try:
        return cancel_open(ledger=ledger, broker=broker, **base)
    except AccountBusy:
        with ledger.read() as connection:
            return CancelReport(left=left_open(awaiting_cancel(connection, "paper", START), {}, "busy"))


class HaltableLedger(Ledger):
    """A ledger with a point before, within and after every transaction."""

    hall: Hall

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        hall = getattr(self, "hall", None)
        if hall is not None:
            hall.point()
        with super().transaction() as connection:
            yield connection
            if hall is not None:
                hall.point(amid=True)
        if hall is not None:
            hall.point()


class HaltableBroker:
    """A broker with a point before and after every call; it notes the sends that begin after the halt has returned."""

    def __init__(self, broker: ModelBroker, hall: Hall) -> None:
        self._broker, self._hall, self._book = broker, hall, Lock()

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._broker.capabilities, sends_at_once=self._hall.halting.at_once)

    def submit(self, request: OrderRequest) -> BrokerOrder:
        self._hall.point()
        if self._hall.returned:
            self._hall.began_after.append(request.client_order_id)
        with self._book:
            taken = self._broker.submit(request)
        self._hall.point()
        return taken

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._broker, name)

        def pointed(*arguments: Any) -> Any:
            self._hall.point()
            with self._book:
                return call(*arguments)

        return pointed


class Resting(Filling):
    """Fills market orders as it takes them, but for those that are to rest."""

    def fill(self, client_order_id: str, *arguments: Any, **more: Any) -> None:
        if client_order_id not in RESTING:
            super().fill(client_order_id, *arguments, **more)


@pytest.fixture(scope="module")
def template(holding_ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`main` owns its positions, and the order of `other` is admitted and not sent."""
    url = fresh_copy(holding_ledger, tmp_path_factory.mktemp("halts") / "l.sqlite")
    ledger = Ledger.open(url)
    with ledger.transaction() as connection:
        admit(connection, OTHER, starting_cash=D(1_000), now=START)
    ledger.close()
    return ledger.path


def play(url: str, halting: Halting, chance: random.Random) -> tuple[Hall, Ledger, ModelBroker]:
    ledger = HaltableLedger.open(url, synchronous="OFF")
    broker = model(ledger, cash=D(5_000), positions={name: D(qty) for name, qty in HELD.items()})
    broker.__class__ = Resting
    broker.prices = {**broker.prices, "EEE": D(10)}
    broker.has_data = set()
    broker.submit_faults = {name: [chance.choice(FAULTS)] for name in PORTFOLIO_OF}
    hall = Hall(url, halting, broker)
    ledger.hall = hall
    trade(ledger, HaltableBroker(broker, hall))
    if hall.under_way is not None:
        hall.under_way.join()
    elif halting.at > 0 and not hall.started:
        hall.halt()
    del ledger.hall
    return hall, ledger, broker


def trade(ledger: Ledger, broker: Any) -> None:
    run(ledger, broker, MAIN, siblings={"other": settings()}, starting_cash=D(5_000))


def marks(ledger: Ledger) -> tuple[int, dict[str, list[int]]]:
    """Where in the history the halt stands, and every mark for sending by id."""
    found: dict[str, list[int]] = {}
    with ledger.read() as connection:
        rows = connection.execute(sa.select(events.c.seq, events.c.kind, events.c.client_order_id)).all()
    for row in rows:
        if row.kind == "intent_sending":
            found.setdefault(row.client_order_id, []).append(row.seq)
    return next(row.seq for row in rows if row.kind == "trading_state"), found


def check_halted(hall: Hall, ledger: Ledger, broker: ModelBroker, seed: int) -> int:
    """What holds once the halt is committed, in this run and in the next; how many sends were on their way."""
    halting = hall.halting
    halt, sent = marks(ledger)
    late = {name: seqs for name, seqs in sent.items() if halting.covers(name) and max(seqs) > halt}
    assert late == {}, (seed, halting)
    on_their_way = [name for name in hall.began_after if halting.covers(name)]
    assert len(on_their_way) <= halting.at_once, (seed, halting)
    if hall.report is not None and not hall.report.canceled:
        with ledger.read() as connection:
            ended = {name for name, row in intents_by_id(connection, on_their_way).items() if row.state.terminal}
        named = {row.client_order_id for row in hall.report.left}
        assert set(on_their_way) - ended <= named, (seed, halting, hall.report)
    trade(ledger, broker)
    assert {name: seqs for name, seqs in marks(ledger)[1].items() if halting.covers(name)} == {
        name: seqs for name, seqs in sent.items() if halting.covers(name)
    }, (seed, halting)
    if halting.cancel:
        report = canceled(ledger, broker)
        live = {row.client_order_id for row in broker.open_orders() if halting.covers(row.client_order_id)}
        left = {row.client_order_id for row in report.left}
        assert live == set(), (seed, halting, report)
        # What is left was lost on its way: nobody can know that it will not arrive.
        assert not left & {name for name, *_ in broker.sent()}, (seed, halting, report)
    return len(on_their_way)


def check_resumed(hall: Hall, ledger: Ledger, broker: ModelBroker, seed: int) -> None:
    """A resumed account gets the rest of its plan once; what was canceled stays so."""
    put(ledger, TradingState.ACTIVE, hall.halting)
    trade(ledger, broker)
    broker.has_data = None
    trade(ledger, broker)
    count = Counter(name for name, *_ in broker.sent())
    assert set(count.values()) == {1}, (seed, count)
    with ledger.read() as connection:
        rows = intents_by_id(connection, list(PORTFOLIO_OF))
    words = {"accepted": "working"}
    at_broker = {row.client_order_id: words.get(row.status, row.status.value) for row in broker.book.orders}
    for name, row in rows.items():
        never_sent = row.state in (IntentState.DROPPED, IntentState.EXPIRED) and name not in at_broker
        assert never_sent or row.state.value == at_broker[name], (seed, name, row)


@pytest.mark.timeout(3_600 if TORTURE else 300)
@pytest.mark.parametrize("lane", range(LANES))
def test_no_order_is_marked_after_a_halt_wherever_between_two_steps_it_comes(
    template: Path, tmp_path: Path, record_property: Any, lane: int
) -> None:
    chance = random.Random(lane)
    at_once = (1, 2, 4, 8)[lane % 4]
    nobody = Halting(TradingState.HALTED, "main", cancel=False, at=-1, amid=False, at_once=at_once)
    calm, ledger, _ = play(fresh_copy(template, tmp_path / "calm" / "l.sqlite"), nobody, random.Random(0))
    ledger.close()
    counts: Counter[str] = Counter()
    for number in range(INTERLEAVINGS // LANES):
        seed = chance.randrange(10**9)
        dice = random.Random(seed)
        halting = Halting(
            state=dice.choice([TradingState.HALTED, TradingState.HALTED, TradingState.REDUCING]),
            portfolio=dice.choice([None, "main"]),
            cancel=dice.random() < 0.5,
            at=dice.randint(1, calm.points),
            amid=dice.random() < 0.3,
            at_once=at_once,
        )
        hall, ledger, broker = play(fresh_copy(template, tmp_path / str(number) / "l.sqlite"), halting, dice)
        on_their_way = check_halted(hall, ledger, broker, seed)
        if number % RESUMED_ONE_IN == 0:
            check_resumed(hall, ledger, broker, seed)
            counts["resumed to the whole plan"] += 1
        ledger.close()
        counts.update({"interleavings": 1, halting.state.value: 1, "orders on their way": on_their_way})
    assert counts["interleavings"] == INTERLEAVINGS // LANES
    record_property(f"halts, at most {at_once} sends at once; orders after a halt 0", dict(counts))
