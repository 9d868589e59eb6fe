"""The loop over a session: what keeps the venue from stepping on, and what a run leaves behind where it ends."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.store import Ledger
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import START, D, model, order, plan_of, resume, run, settings

BUY = order("b", "CCC", Side.BUY, "10")
OTHER = order("d", "DDD", Side.BUY, "10")


def looks(broker: ModelBroker) -> list[object]:
    """Every list of orders that the broker is asked for from now on."""
    asked: list[object] = []
    orders = broker.orders

    def counted(session: Any) -> Any:
        asked.append(session)
        return orders(session)

    broker.orders = counted  # type: ignore[method-assign]
    return asked


def test_a_run_that_ends_in_silence_after_a_send_of_unknown_outcome_leaves_its_batch_frozen(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["timeout_after"]
    submit = broker.submit

    def then_silence(request: Any) -> Any:
        broker.read_faults = broker.find_faults = 9
        return submit(request)

    broker.submit = then_silence  # type: ignore[method-assign]
    result = run(ledger, broker, plan_of([BUY]))
    assert (result.state, result.counts) == (ExecutionState.FROZEN, {"unknown": 1})
    assert "stopped answering" in result.notes[-1]


def test_orders_above_the_rate_wait_for_the_next_run_and_the_venue_waits_with_them(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    plan = plan_of([order(name, "CCC", Side.BUY, "1", slice_=n) for n, name in enumerate("abc", start=1)])
    limit: dict[str, Any] = {"starting_cash": D(10_000), "max_orders_per_minute": D(2)}
    first = run(ledger, broker, plan, **limit)
    assert (first.state, broker.book.attempts, broker.book.steps) == (ExecutionState.WORKING, ["a", "b"], {})
    assert any("Run again in a minute: scizor run --portfolio main --date 2026-03-02." in note for note in first.notes)
    result = resume(ledger, broker, clock=lambda: START + timedelta(hours=1), **limit)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 3})


class Late:
    """A model broker whose listings show nothing before a look-up has, or the other way round."""

    def __init__(self, broker: ModelBroker, first: str) -> None:
        self._broker, self._first, self._looks = broker, first, 0

    def find(self, name: str) -> Any:
        self._looks += 1
        return self._broker.find(name) if self._first == "find" and self._looks > 1 else None

    def orders(self, session: Any) -> Any:
        return self._broker.orders(session) if self._first == "orders" or self._looks > 1 else []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


@pytest.mark.parametrize("first", ["find", "orders"])
def test_an_order_that_waited_to_be_sent_again_and_shows_after_all_holds_the_venue_up_no_more(
    ledger: Ledger, first: str
) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["timeout_after"]
    result = run(ledger, Late(broker, first), plan_of([OTHER, BUY]), max_orders_per_minute=D(2))
    assert any("max_orders_per_minute" in note for note in result.notes), "it waited for the next minute"
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 2})
    assert broker.book.attempts == ["d", "b"]


def test_an_order_that_only_a_siblings_run_may_send_again_keeps_the_venue_until_that_has_run(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(2_000))
    broker.submit_faults["d"] = ["lost"]
    broker.find_faults = 1
    broker.has_data = set()
    other = replace(plan_of([OTHER]), portfolio="other")
    assert run(ledger, broker, other, portfolio="other").counts == {"unknown": 1}
    broker.has_data = None
    result = run(ledger, broker, plan_of([BUY]))
    assert (result.state, broker.book.steps) == (ExecutionState.WORKING, {})
    assert resume(ledger, broker, portfolio="other").counts == {"filled": 1}
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["d", "b", "d"]


@pytest.mark.parametrize("first", ["find", "orders"])
def test_an_order_that_was_left_to_a_siblings_run_and_shows_after_all_holds_the_venue_up_no_more(
    ledger: Ledger, first: str
) -> None:
    broker = model(ledger, cash=D(2_000))
    broker.submit_faults["d"] = ["timeout_after"]
    broker.hidden = {"d"}
    broker.has_data = set()
    run(ledger, broker, replace(plan_of([OTHER]), portfolio="other"), portfolio="other")
    broker.hidden, broker.has_data = set(), None
    result = run(ledger, Late(broker, first), plan_of([BUY]))
    assert any("d is not found; it is checked and sent again by" in note for note in result.notes)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 1})


@pytest.mark.parametrize("known", [True, False], ids=["with its settings", "without them"])
def test_a_sibling_with_nothing_to_send_costs_no_look_of_its_own(ledger: Ledger, known: bool) -> None:
    broker = model(ledger, cash=D(2_000))
    broker.has_data = set()
    run(ledger, broker, replace(plan_of([OTHER]), portfolio="other"), portfolio="other")
    run(ledger, broker, plan_of([BUY]))
    asked = looks(broker)
    resume(ledger, broker, siblings={"other": settings()} if known else None)
    assert len(asked) == 2, "one before the venue is asked to move, and one after"


def test_the_loop_over_the_venues_steps_is_bounded(ledger: Ledger) -> None:
    broker = model(ledger, steps=50)
    broker.fill_plan = {"CCC": []}
    result = run(ledger, broker, plan_of([BUY]), max_rounds=4)
    assert result.state is ExecutionState.WORKING
    assert result.notes == ("2026-03-02 was left working after 4 steps of the venue.",)


def test_what_becomes_ready_at_the_end_of_a_bounded_round_is_sent_once_by_the_next_run(ledger: Ledger) -> None:
    broker = model(ledger)
    assert run(ledger, broker, plan_of([BUY]), max_rounds=1).counts == {"ready": 1}
    assert broker.book.attempts == []
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["b"]
