"""Rows of manual orders: one for each key, whoever asks, and orders that people want taken back."""

from dataclasses import replace

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import KeyReused, LedgerError
from scizor_dagster.ledger.batches import admit, intents_meant
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.intents import load
from scizor_dagster.ledger.manual_orders import (
    Ask,
    ask_cancel,
    batches_by_hand,
    cancel_asks,
    manual_order,
    manual_orders_of,
    require_same,
)
from scizor_dagster.ledger.rows import batch_of, batches_of, intents_of, last_batch_of
from scizor_dagster.ledger.states import BatchState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import MANUAL
from tests.execution.scenario import MONDAY, START, TUESDAY, D, order, plan_of

ASK = Ask("k-1", "main", '{"quantity":"3","symbol":"CCC"}', "jo", "a tip", "keep")


def by_hand(name="m-1", batch=1, session=MONDAY, **changes):
    plan = plan_of([order(name, "CCC", Side.BUY, "3")], batch=batch, session=session, plan_id=name)
    return replace(plan, origin=MANUAL, **changes)


def place(ledger: Ledger, plan, ask=ASK):
    with ledger.transaction() as connection:
        return admit(connection, plan, starting_cash=D(1000), now=START, ask=ask).batch


def test_a_manual_order_is_admitted_with_the_request_that_it_answers(ledger: Ledger) -> None:
    batch = place(ledger, by_hand())
    assert (batch.origin, batch.by_hand, batch.state) == ("manual", True, BatchState.WORKING)
    with ledger.read() as connection:
        found = manual_order(connection, "paper", "k-1")
        assert found is not None
        assert (found.batch_id, found.plan_id, found.session) == (batch.batch_id, batch.plan_id, MONDAY)
        assert (found.actor, found.reason, found.policy, found.request) == ("jo", "a tip", "keep", ASK.request)
        assert found.sentence == "manual order k-1 of jo at 2026-03-02T14:00:00+00:00: a tip"
        assert manual_order(connection, "paper", "other") is None
        assert manual_orders_of(connection, "paper") == manual_orders_of(connection, "paper", "main") == [found]
        assert manual_orders_of(connection, "paper", "other") == manual_orders_of(connection, "x") == []
        assert manual_orders_of(connection, "paper", first=TUESDAY) == []
        assert batches_by_hand(connection, [batch.batch_id, "none"]) == {batch.batch_id: found}
        assert batches_by_hand(connection, []) == {}
        assert verify_chain(connection) == []


def test_what_a_plan_would_write_is_what_it_writes(ledger: Ledger) -> None:
    plan = by_hand()
    batch = place(ledger, plan)
    with ledger.read() as connection:
        assert intents_meant(plan, START) == intents_of(connection, batch.batch_id)


def test_the_ledger_takes_no_second_order_with_a_key(ledger: Ledger) -> None:
    place(ledger, by_hand())
    with pytest.raises(LedgerError, match="or its idempotency key, is already in the ledger"):
        place(ledger, by_hand("m-2", batch=2))
    with ledger.read() as connection:
        assert [row.batch for row in batches_of(connection, "paper", "main")] == [1]
        assert verify_chain(connection) == []


def test_a_manual_order_and_a_rebalance_of_a_session_do_not_wait_for_each_other(ledger: Ledger) -> None:
    place(ledger, by_hand())
    rebalance = plan_of([order("r-1", "AAA", Side.BUY, "1")], batch=2)
    place(ledger, rebalance, None)
    place(ledger, by_hand("m-3", batch=3), replace(ASK, key="k-3"))
    with pytest.raises(LedgerError, match="Batch 2 of 2026-03-02 is still working"):
        place(ledger, plan_of([order("r-2", "AAA", Side.BUY, "1")], batch=4), None)
    with ledger.read() as connection:
        assert [row.by_hand for row in batches_of(connection, "paper", "main")] == [True, False, True]


def test_the_batch_of_a_session_is_its_rebalance(ledger: Ledger) -> None:
    place(ledger, by_hand())
    with ledger.read() as connection:
        assert batch_of(connection, "paper", "main", MONDAY) is None
    place(ledger, plan_of([order("r-1", "AAA", Side.BUY, "1")], batch=2), None)
    place(ledger, by_hand("m-3", session=TUESDAY), replace(ASK, key="k-3"))
    with ledger.read() as connection:
        assert getattr(batch_of(connection, "paper", "main", MONDAY), "batch", None) == 2
        assert getattr(last_batch_of(connection, "paper", "main"), "session", None) == TUESDAY
        assert getattr(last_batch_of(connection, "paper", "main", by_hand=False), "session", None) == MONDAY


def test_a_key_with_another_request_is_refused_with_what_differs(ledger: Ledger) -> None:
    place(ledger, by_hand())
    with ledger.read() as connection:
        found = manual_order(connection, "paper", "k-1")
    assert found is not None
    require_same(found, ASK)
    with pytest.raises(KeyReused) as refused:
        require_same(found, replace(ASK, request='{"quantity":"4","side":"buy","symbol":"CCC"}'))
    assert "quantity is 4 and was 3, side is buy and was not given" in str(refused.value)
    assert "placed by jo" in str(refused.value)


def test_an_order_is_taken_back_once_and_by_whom_asked_first(ledger: Ledger) -> None:
    place(ledger, by_hand())
    with ledger.transaction() as connection:
        intent = load(connection, "m-1")
        first, new = ask_cancel(connection, intent, actor="jo", reason="no more", now=START)
        assert new
        again, new = ask_cancel(connection, intent, actor="al", reason="me too", now=START)
        assert (again, new) == (first, False)
    with ledger.read() as connection:
        assert cancel_asks(connection, ["m-1", "other"]) == {"m-1": first}
        assert cancel_asks(connection, []) == {}
        assert verify_chain(connection) == []
