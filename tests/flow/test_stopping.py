"""A state is written with what it comes too late for, and the send that was under way is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from scizor_dagster.flow.stopping import POLL_SECONDS, Scope, after_sends, set_states
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.intents import load, mark_sending, move
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, standing
from tests.execution.scenario import START, D, Side, clock, order, plan_of
from tests.ledgers import sqlite_ledger

MAIN = Scope("paper", "main")


@pytest.fixture
def sending(tmp_path: Path) -> Iterator[Ledger]:
    """One order whose send is under way."""
    ledger = Ledger.open(sqlite_ledger(tmp_path), synchronous="OFF")
    with ledger.transaction() as connection:
        admit(
            connection, plan_of([order("s-1", "AAA", Side.SELL, "1")], held={"AAA": "1"}), starting_cash=D(1), now=START
        )
        row = load(connection, "s-1")
        cleared = move(connection, row, IntentState.READY, now=START, cleared_hash=row.parameter_hash)
        mark_sending(connection, cleared, now=START)
    yield ledger
    ledger.close()


def test_a_halt_names_what_is_at_the_broker_and_is_in_force(sending: Ledger) -> None:
    left = set_states(sending, [MAIN], TradingState.HALTED, reason="look", actor="jo", now=START)
    assert [row.client_order_id for row in left] == ["s-1"]
    with sending.read() as connection:
        assert standing(connection, "paper", "main", START).state is TradingState.HALTED


def test_a_send_that_is_under_way_is_waited_for_to_its_end(sending: Ledger) -> None:
    def answered(_: float) -> None:
        with sending.transaction() as connection:
            move(connection, load(connection, "s-1"), IntentState.WORKING, now=START, broker_order_id="b-1")

    with lease(sending, "paper", "run", clock):
        left = after_sends(sending, [MAIN], TradingState.HALTED, clock=clock, seconds=60, pause=answered)
    assert [row.state for row in left] == [IntentState.WORKING]


def test_a_send_that_is_not_answered_is_waited_for_so_long_and_named(sending: Ledger) -> None:
    waited: list[float] = []
    with lease(sending, "paper", "run", clock):
        left = after_sends(sending, [MAIN], TradingState.HALTED, clock=clock, seconds=0.2, pause=waited.append)
    assert [row.state for row in left] == [IntentState.SENDING]
    assert sum(waited) == pytest.approx(0.2, abs=POLL_SECONDS)


def test_nobody_waits_for_a_process_that_is_gone(sending: Ledger) -> None:
    with lease(sending, "paper", "run", clock):
        late = lambda: START + timedelta(hours=1)  # noqa: E731
        left = after_sends(sending, [MAIN], TradingState.HALTED, clock=late, seconds=60, pause=pytest.fail)
    assert [row.state for row in left] == [IntentState.SENDING]
    assert after_sends(sending, [MAIN], TradingState.HALTED, clock=clock, seconds=60, pause=pytest.fail) == left
