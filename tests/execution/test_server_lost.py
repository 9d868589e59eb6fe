"""The ledger's server goes away while a plan is carried out: nothing is sent twice, lost, or sent unrecorded.

The broker looks into the ledger at every send and refuses what is not committed there (`model_broker`).
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import CommitInDoubt, LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import intents_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from tests.execution.kill_switch import MortalBroker, Point
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import D, adopt, model, order, plan_of, run
from tests.postgres import Server
from tests.wire_cuts import CUTS, Cut, cutting_wire

HELD = {"AAA": "5"}
PLAN = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "3")], held=HELD)
WANTED = [("b", "CCC", "buy", D(3)), ("s", "AAA", "sell", D(5))]


def _broker(ledger: Ledger) -> ModelBroker:
    return model(ledger, positions={symbol: D(qty) for symbol, qty in HELD.items()})


def _check_whole(url: str, broker: ModelBroker) -> None:
    """One more run brings everything to its end, and each order has reached the broker once, in one attempt."""
    ledger = Ledger.open(url)
    assert run(ledger, broker, PLAN).state is ExecutionState.DONE
    assert broker.sent() == WANTED
    assert Counter(broker.book.attempts) == {"b": 1, "s": 1}
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert owned(connection, "paper", "main") == {s: q for s, q in broker.book.positions.items() if q}
    ledger.close()


@pytest.mark.parametrize("cut", CUTS)
def test_a_commit_in_doubt_is_never_followed_by_a_send(
    postgres: Server, new_ledger: Callable[[], str], cut: Cut, record_property: Any
) -> None:
    def attempt(at: int) -> tuple[str, ModelBroker, int, BaseException | None]:
        url = new_ledger()
        with cutting_wire(postgres, at, cut) as wire:
            ledger = Ledger.open(url)
            adopt(ledger, "AAA", "5")
            broker = _broker(ledger)
            ledger.close()
            over_the_wire = Ledger.open(wire.url(url))
            failure = None
            try:
                run(over_the_wire, broker, PLAN)
            except LedgerError as error:
                failure = error
            over_the_wire.close()
            return url, broker, wire.commits, failure

    _, calm, commits, failure = attempt(0)
    assert failure is None
    assert calm.sent() == WANTED
    for at in range(1, commits + 1):
        url, broker, _, failure = attempt(at)
        assert isinstance(failure, CommitInDoubt), at
        _check_whole(url, broker)
    record_property("commits cut, duplicates and losses 0", commits)


def _hashes(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.select(events.c.hash).order_by(events.c.seq)).scalars())


class _Crash:
    """A switch of `MortalBroker`: at one of its points the server stops at once, and nothing of this process does."""

    def __init__(self, server: Server, at: Point, before: Callable[[], None]) -> None:
        self._server = server
        self._at = at
        self._before = before
        self._seen: Counter[str] = Counter()
        self.struck = False

    def point(self, name: str) -> None:
        self._seen[name] += 1
        if self._at == Point(name, self._seen[name]):
            self._before()
            self._server.crash()
            self.struck = True


POINTS = [
    Point("after account", 2),
    Point("before submit", 1),
    Point("after submit", 1),
    Point("before submit", 2),
    Point("after submit", 2),
    Point("after advance", 1),
]


@pytest.mark.parametrize("at", POINTS, ids=lambda point: f"{point.name} {point.nth}".replace(" ", "-"))
def test_a_crash_of_the_server_loses_nothing_that_it_acknowledged_and_sends_nothing_unrecorded(
    postgres: Server, new_ledger: Callable[[], str], at: Point
) -> None:
    url = new_ledger()
    ledger = Ledger.open(url)
    adopt(ledger, "AAA", "5")
    broker = _broker(ledger)
    acknowledged: list[str] = []

    def note() -> None:
        with ledger.read() as connection:
            acknowledged.extend(_hashes(connection))

    crash = _Crash(postgres, at, note)
    with pytest.raises(LedgerError):
        run(ledger, MortalBroker(_Blind(broker, crash), crash), PLAN)
    assert crash.struck
    postgres.start()
    with ledger.read() as connection:
        kept = _hashes(connection)
        known = intents_by_id(connection, [name for name, *_ in broker.sent()])
    assert acknowledged
    assert kept[: len(acknowledged)] == acknowledged
    assert set(known) == {name for name, *_ in broker.sent()}
    assert all(row.state is not IntentState.READY for row in known.values())
    ledger.close()
    _check_whole(url, broker)


class _Blind:
    """The broker, which cannot look into the ledger once its server is down: it looked when the intent was marked."""

    def __init__(self, broker: ModelBroker, crash: _Crash) -> None:
        self._broker = broker
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, request: Any) -> Any:
        look = self._broker.committed
        self._broker.committed = None if self._crash.struck else look
        try:
            return self._broker.submit(request)
        finally:
            self._broker.committed = look
