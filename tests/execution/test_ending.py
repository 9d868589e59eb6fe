"""An order of which the broker tells no more holds its account up until a person ends it, and never longer."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder, OrderStatus, Side
from scizor_dagster.errors import BrokerUnavailable, LedgerError, OrderRejected
from scizor_dagster.execution.ending import end_order
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.intents import load
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, TUESDAY, D, model, order, parts, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")
OTHER = order("d", "DDD", Side.BUY, "10")


class _Forgetful(ModelBroker):
    """Shows what has ended, and executions, since `since` alone; asked for more it says that it cannot tell."""

    since: date | None = None

    def find(self, client_order_id: str) -> BrokerOrder | None:
        found = super().find(client_order_id)
        if self.since is not None and (found is None or found.status.terminal):
            raise BrokerUnavailable("The order is of an earlier session.", remedy="Look at the statement.")
        return found

    def fills(self, first: date, last: date) -> list[BrokerFill]:
        if self.since is not None and first < self.since:
            raise BrokerUnavailable(f"Executions of {first} are shown no more.", remedy="Look at the statement.")
        return super().fills(first, last)

    def orders(self, session: date) -> list[BrokerOrder]:
        shown: Sequence[BrokerOrder] = super().orders(session)
        return [row for row in shown if self.since is None or session >= self.since]

    def cancel(self, client_order_id: str) -> None:
        if self.since is not None:
            raise OrderRejected(client_order_id, "order_not_found", "order not found")
        super().cancel(client_order_id)

    def forget(self, *, open_still: bool = False) -> None:
        if not open_still:
            self.book.orders = [replace(row, status=OrderStatus.EXPIRED) for row in self.book.orders]
        self.since = self.fills_from = TUESDAY
        self.has_data = None
        self.book.steps[MONDAY] = self.steps


def _left(ledger: Ledger, fault: str | None, *, open_still: bool = False) -> _Forgetful:
    """Monday's order is `unknown`, or `working` with 4 of 10 filled, and the broker has forgotten Monday."""
    like = model(ledger)
    broker = _Forgetful(cash=D(1_000), prices=like.prices, unique=False)
    broker.committed = like.committed
    broker.absent_looks = 9
    broker.submit_faults["b"] = [fault]
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    if fault is None:
        broker.fill("b", D(4), session=MONDAY)
        resume(ledger, broker)
    broker.forget(open_still=open_still)
    return broker


def _tuesday(ledger: Ledger, broker: ModelBroker) -> ExecutionResult:
    return run(ledger, broker, plan_of([OTHER], session=TUESDAY, plan_id="q"))


def _end(ledger: Ledger, broker: ModelBroker, reason: str = "no such trade in the statement") -> IntentRow:
    return end_order("b", actor="jo", reason=reason, **parts(ledger, broker))


@pytest.mark.parametrize(("fault", "filled"), [("lost", {}), (None, {"CCC": 4})], ids=["unknown", "working"])
def test_an_order_that_the_broker_has_forgotten_stops_its_account_until_a_person_ends_it(
    ledger: Ledger, fault: str | None, filled: dict[str, Any]
) -> None:
    broker = _left(ledger, fault)
    held_up = _tuesday(ledger, broker)
    assert (held_up.state is ExecutionState.DONE, broker.book.attempts) == (False, ["b"])
    assert any("scizor end-order ID --reason TEXT" in note for note in held_up.notes)
    ended = _end(ledger, broker)
    assert (ended.state.value, ended.reason) == ("expired", "ended by jo: no such trade in the statement")
    assert _tuesday(ledger, broker).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert owned(connection, "paper", "main") == {**filled, "DDD": 10}
        assert verify(connection) == []


def test_an_order_that_was_ended_and_shows_after_all_is_taken_back(ledger: Ledger) -> None:
    broker = _left(ledger, "timeout_after")
    broker.hidden = {"b"}
    _end(ledger, broker)
    broker.hidden, broker.since, broker.fills_from = set(), None, None
    broker.fill("b", D(10), session=MONDAY)
    assert resume(ledger, broker).counts == {"filled": 1}


def test_an_order_that_the_broker_shows_is_not_ended(ledger: Ledger) -> None:
    broker = _left(ledger, None, open_still=True)
    with pytest.raises(
        LedgerError, match=r"The broker shows order b as 'partially_filled'.*scizor run --portfolio main"
    ):
        _end(ledger, broker)
    broker.hidden = {"b"}
    with pytest.raises(LedgerError, match="The broker shows order b as open"):
        _end(ledger, broker)
    with ledger.read() as connection:
        assert load(connection, "b").state.value == "partially_filled"


def test_an_order_is_not_ended_while_its_session_goes_on_without_a_reason_or_twice(ledger: Ledger) -> None:
    broker = _left(ledger, "lost")
    with pytest.raises(LedgerError, match="needs a reason"):
        _end(ledger, broker, " ")
    broker.book.steps[MONDAY] = 1
    with pytest.raises(LedgerError, match="Session 2026-03-02 of order b is not over"):
        _end(ledger, broker)
    broker.book.steps[MONDAY] = broker.steps
    _end(ledger, broker)
    with pytest.raises(LedgerError, match="Order b is 'expired'"):
        _end(ledger, broker)


def test_nothing_is_ended_while_the_broker_does_not_say_what_is_open(ledger: Ledger) -> None:
    broker = _left(ledger, "lost")
    broker.read_faults = 1
    with pytest.raises(BrokerUnavailable):
        _end(ledger, broker)
    with ledger.read() as connection:
        assert load(connection, "b").state.value == "unknown"


def test_an_order_that_the_broker_shows_as_another_one_is_ended_by_a_person_once_it_has_ended_there(
    ledger: Ledger,
) -> None:
    """Its reply was lost, and its instrument is called otherwise by now: no look can take it for ours."""
    broker = model(ledger, steps=5)
    broker.submit_faults["b"], broker.has_data, broker.hidden = ["timeout_after"], set(), {"b"}
    assert run(ledger, broker, plan_of([BUY])).counts == {"unknown": 1}
    broker.hidden = set()
    broker.book.orders = [replace(row, symbol="NEW") for row in broker.book.orders]
    broker.book.steps[MONDAY] = broker.steps
    assert resume(ledger, broker).counts == {"unknown": 1}
    with pytest.raises(LedgerError, match="The broker shows order b as 'accepted'"):
        _end(ledger, broker)
    broker.book.orders = [replace(row, status=OrderStatus.CANCELED) for row in broker.book.orders]
    assert resume(ledger, broker).counts == {"unknown": 1}
    assert _end(ledger, broker).state.value == "expired"
