"""A halt over HTTP while another process sends: after its answer no order goes out.

The run is a forked process whose broker stands here (`tests.torture.wire`), so that the halt can be asked for at every
moment of a send: before the broker has taken the order, and after.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from scizor_dagster.api.app import create_app
from scizor_dagster.execution.executor import execute
from scizor_dagster.ledger.intents import load
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Answer, Client
from tests.api.conftest import key_for
from tests.execution.model_broker import Book
from tests.execution.scenario import START, D, adopt, full_plan, parts
from tests.projects import Project
from tests.torture.parties import KINDS, Venue
from tests.torture.wire import Caller, RemoteBroker, Shared, fork

PLAN, HELD = full_plan()
SENDS = 3
"""Sales that the plan sends one after the other, before anything is released."""


class Halting(Venue):
    """Asks for a halt while the `at`-th order is sent, before or after it was taken, and answers the run meanwhile."""

    client: Client

    def __init__(self, shared: Shared, at: int, *, taken: bool) -> None:
        book = Book(D(1_000), {name: D(qty) for name, qty in HELD.items()})
        super().__init__(KINDS["deduplicating"], book, shared, None)
        self._at, self._taken = at, taken
        self.halted: threading.Thread | None = None
        self.answers: list[Answer] = []
        self.after_answer: list[str] = []

    def submit(self, order):  # type: ignore[no-untyped-def]
        if self.answers:
            self.after_answer.append(order.client_order_id)
        if len(self.book.attempts) + 1 != self._at:
            return super().submit(order)
        if self._taken:
            made = super().submit(order)
            self._halt()
            return made
        self._halt()
        return super().submit(order)

    def _halt(self) -> None:
        """Begin the request, and go on once the state is written: its answer waits for this very send."""
        written = threading.Event()

        def ask() -> None:
            from scizor_dagster.api.algo_trader import stopping

            before = stopping.after_sends

            def told(*arguments: object, **options: object) -> object:
                written.set()
                return before(*arguments, **options)  # type: ignore[arg-type]

            stopping.after_sends = told  # type: ignore[assignment]
            try:
                self.answers.append(self.client.post("/api/halt", json={"portfolio": "main", "reason": "look"}))
            finally:
                stopping.after_sends = before
                written.set()

        self.halted = threading.Thread(target=ask)
        self.halted.start()
        assert written.wait(60)


@pytest.fixture
def ledger(fresh: Project) -> Iterator[Ledger]:
    ledger = Ledger.open(fresh.settings.ledger_url)
    for symbol, qty in HELD.items():
        adopt(ledger, symbol, qty)
    yield ledger
    ledger.close()


def running(ledger: Ledger, shared: Shared, venue: Venue) -> Caller:
    """The run, in a process of its own that is forked before there is a thread here."""
    capabilities = venue.capabilities
    ledger.close()

    def body(wire):  # type: ignore[no-untyped-def]
        broker = RemoteBroker(wire, capabilities)
        return str(execute(PLAN, **parts(ledger, broker, clock=shared.clock)).state)

    return fork(body)


@pytest.mark.parametrize("taken", [False, True], ids=["before the broker has it", "after the broker has it"])
@pytest.mark.parametrize("at", range(1, SENDS + 1))
def test_no_order_goes_out_after_the_answer_to_a_halt(at: int, taken: bool, fresh: Project, ledger: Ledger) -> None:
    shared = Shared()
    key = key_for(fresh, now=START)
    venue = Halting(shared, at, taken=taken)
    caller = running(ledger, shared, venue)
    client = venue.client = Client(create_app(fresh.settings, clock=lambda: START), key)
    ended = caller.serve(venue)
    assert not ended.crash, ended.crash
    assert venue.halted is not None
    venue.halted.join(60)
    (answer,) = venue.answers
    assert answer.status == 200, answer.text
    assert venue.after_answer == []
    sent = {order["client_order_id"]: order["state"] for order in answer.json["left_at_broker"]}
    assert len(venue.book.attempts) == at
    with closing(Ledger.open(fresh.settings.ledger_url)) as reopened, reopened.read() as connection:
        states = {name: load(connection, name).state for name in venue.book.attempts}
    # Where the answer was slower than the broker, the order has ended, and so is left nowhere.
    assert [name for name in states if name not in sent and not states[name].terminal] == []
    assert "sending" not in sent.values()
    client.app.state.context.close()
    client.close()
