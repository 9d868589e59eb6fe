"""The table of transitions, and the one function that makes them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import TRANSITIONS, IntentState, check_transition
from scizor_dagster.ledger.store import Ledger
from tests.execution.scenario import order, plan_of

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


@pytest.fixture
def ready(ledger: Ledger) -> IntentRow:
    with ledger.transaction() as connection:
        admit(connection, plan_of([order("s", "AAA", Side.SELL, "5")]), starting_cash=Decimal(0), now=NOW)
        return intents.load(connection, "s")


def test_every_state_is_in_the_table_and_only_ended_ones_have_no_way_on() -> None:
    assert set(TRANSITIONS) == set(IntentState)
    assert {state for state, after in TRANSITIONS.items() if not after} == {
        IntentState.BLOCKED,
        IntentState.DROPPED,
    }
    for state in IntentState:
        assert not (state.terminal and state.at_broker)


def test_nothing_is_sent_from_a_state_other_than_ready_or_unknown() -> None:
    assert {s for s, after in TRANSITIONS.items() if IntentState.SENDING in after} == {
        IntentState.READY,
        IntentState.UNKNOWN,
    }


def test_an_unknown_order_is_never_made_ready_blocked_or_dropped() -> None:
    for state in (IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED, IntentState.HELD):
        with pytest.raises(LedgerError, match="cannot go from 'unknown'"):
            check_transition("x", IntentState.UNKNOWN, state)


def test_an_illegal_transition_changes_nothing(ledger: Ledger, ready: IntentRow) -> None:
    with (
        pytest.raises(LedgerError, match="cannot go from 'ready' to 'filled'"),
        ledger.transaction() as connection,
    ):
        intents.move(connection, ready, IntentState.FILLED, now=NOW)
    with ledger.read() as connection:
        assert intents.load(connection, "s") == ready


def test_a_row_that_another_run_has_moved_is_not_moved_again(ledger: Ledger, ready: IntentRow) -> None:
    with ledger.transaction() as connection:
        intents.move(connection, ready, IntentState.BLOCKED, now=NOW)
    with pytest.raises(LedgerError, match="no row 's' with state 'ready'"), ledger.transaction() as connection:
        intents.move(connection, ready, IntentState.EXPIRED, now=NOW)


def test_a_final_quantity_is_written_once(ledger: Ledger, ready: IntentRow) -> None:
    with pytest.raises(LedgerError, match="already has its final_qty"), ledger.transaction() as connection:
        intents.move(connection, ready, IntentState.READY, now=NOW, **intents.fix_quantity(ready, Decimal(4)))


def test_what_move_returns_is_what_the_ledger_holds(ledger: Ledger, ready: IntentRow) -> None:
    with ledger.transaction() as connection:
        moved = intents.move(
            connection, ready, IntentState.READY, now=NOW, reason="why", cleared_hash=ready.parameter_hash
        )
        assert intents.load(connection, "s") == moved


def test_no_order_is_marked_for_sending_without_a_committed_verdict(ledger: Ledger, ready: IntentRow) -> None:
    with (
        pytest.raises(LedgerError, match="no committed pre-trade verdict"),
        ledger.transaction() as connection,
    ):
        intents.mark_sending(connection, ready, now=NOW)


def test_a_verdict_for_other_parameters_does_not_count(ledger: Ledger, ready: IntentRow) -> None:
    with ledger.transaction() as connection:
        intents.move(connection, ready, IntentState.READY, now=NOW, cleared_hash=ready.parameter_hash)
        connection.exec_driver_sql("UPDATE orders SET final_qty = '500'")
    with (
        pytest.raises(LedgerError, match="no committed pre-trade verdict"),
        ledger.transaction() as connection,
    ):
        intents.mark_sending(connection, ready, now=NOW)


def test_an_order_is_marked_for_sending_once(ledger: Ledger, ready: IntentRow) -> None:
    with ledger.transaction() as connection:
        cleared = intents.move(connection, ready, IntentState.READY, now=NOW, cleared_hash=ready.parameter_hash)
        intents.mark_sending(connection, cleared, now=NOW)
    with pytest.raises(LedgerError, match="is 'sending', not 'ready'"), ledger.transaction() as connection:
        intents.mark_sending(connection, cleared, now=NOW)


def test_an_order_without_a_final_quantity_cannot_become_a_request(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        admit(connection, plan_of([order("b", "AAA", Side.BUY, "5")]), starting_cash=Decimal(0), now=NOW)
        held = intents.load(connection, "b")
    with pytest.raises(LedgerError, match="no final quantity"):
        intents.request_of(held)


def test_an_order_that_is_not_in_the_ledger_is_named(ledger: Ledger) -> None:
    with ledger.read() as connection, pytest.raises(LedgerError, match="nobody is not in the ledger"):
        intents.load(connection, "nobody")
