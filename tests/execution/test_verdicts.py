"""What follows from a verdict: a trading state is obeyed between any two orders, and every verdict has its row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import risk_events
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.trading_state import TradingState, states_of
from tests.execution.halting import ACTIVE, HALTED, REDUCING, HaltingBroker, put
from tests.execution.scenario import (
    MONDAY,
    START,
    TUESDAY,
    D,
    fresh_copy,
    full_plan,
    model,
    order,
    plan_of,
    resume,
    run,
    settings,
)


@pytest.mark.parametrize("state", [HALTED, REDUCING])
def test_a_state_that_is_set_after_any_order_keeps_back_all_that_it_forbids(
    holding_ledger: Path, tmp_path: Path, state: TradingState
) -> None:
    plan, held = full_plan()
    positions = {symbol: D(qty) for symbol, qty in held.items()}
    tried = 0
    for at in range(1, len(plan.orders)):
        ledger = Ledger.open(fresh_copy(holding_ledger, tmp_path / f"{state}{at}" / "l.sqlite"), synchronous="OFF")
        broker = HaltingBroker(model(ledger, positions=positions), ledger, at, state)
        result = run(ledger, broker, plan)
        after = broker.submitted[at:]
        assert all(request.intent is PositionIntent.SELL_TO_CLOSE for request in after)
        assert len(after) == 0 or state is REDUCING
        assert result.state is ExecutionState.DONE
        assert set(result.counts) <= {"filled", "expired", "dropped"}
        waited = [row.reason for row in result.orders if row.state.value == "expired"]
        assert all(reason.startswith("never sent: its session is over") for reason in waited)
        assert any("trading_state" in reason for reason in waited)
        assert any("scizor resume --portfolio main" in note for note in result.notes)
        with ledger.read() as connection:
            assert {event.limit for event in risk_events_of(connection, "paper", MONDAY)} == {"trading_state"}
            assert verify_chain(connection) == []
        ledger.close()
        tried += 1
    assert tried == 6


def test_resuming_within_the_session_sends_the_rest_once(holding_ledger: Path, tmp_path: Path) -> None:
    plan, held = full_plan()
    positions = {symbol: D(qty) for symbol, qty in held.items()}
    calm = Ledger.open(fresh_copy(holding_ledger, tmp_path / "calm" / "l.sqlite"), synchronous="OFF")
    expected = model(calm, positions=positions)
    run(calm, expected, plan)
    calm.close()
    for at in (1, 2):
        ledger = Ledger.open(fresh_copy(holding_ledger, tmp_path / str(at) / "l.sqlite"), synchronous="OFF")
        broker = model(ledger, positions=positions)
        broker.has_data = set()
        stopped = run(ledger, HaltingBroker(broker, ledger, at, HALTED), plan)
        assert (stopped.state, len(broker.book.attempts)) == (ExecutionState.WORKING, at)
        assert run(ledger, broker, plan).state is ExecutionState.WORKING
        assert len(broker.book.attempts) == at
        put(ledger, ACTIVE)
        broker.has_data = None
        assert run(ledger, broker, plan).state is ExecutionState.DONE
        assert broker.sent() == expected.sent()
        ledger.close()


def test_a_halt_of_the_account_holds_every_portfolio_and_says_how_to_go_on(ledger: Ledger) -> None:
    put(ledger, HALTED, portfolio=None, reason="the feed is wrong")
    broker = model(ledger)
    result = run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    assert broker.book.attempts == []
    assert result.counts == {"expired": 1}
    assert "halted by ann: the feed is wrong" in result.orders[0].reason
    assert any("scizor resume --account paper --reason" in note for note in result.notes)


def test_an_order_of_unknown_outcome_is_not_sent_again_under_a_halt(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost"]
    broker.find_faults = 1
    broker.has_data = set()
    plan = plan_of([order("b", "CCC", Side.BUY, "1")])
    assert run(ledger, broker, plan).state is ExecutionState.FROZEN
    put(ledger, HALTED)
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    assert broker.book.attempts == ["b"]
    put(ledger, ACTIVE)
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["b", "b"]


def test_the_throttle_halts_the_portfolio_until_a_named_person_resumes(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = {"starting_cash": D(10_000), "max_repeated_orders": D(2)}
    for number in (1, 2, 3):
        broker.book.steps.clear()
        held = {"CCC": str(number - 1)}
        plan = plan_of([order(f"b{number}", "CCC", Side.BUY, "1")], batch=number, plan_id=f"p{number}", held=held)
        broker.has_data = None if number < 3 else set()
        result = run(ledger, broker, plan, **limit)
    assert result.state is ExecutionState.WORKING
    assert broker.book.attempts == ["b1", "b2"]
    with ledger.read() as connection:
        (row,) = states_of(connection, "paper")
    assert (row.state, row.actor, row.portfolio) == (HALTED, "scizor", "main")
    assert row.reason == "max_repeated_orders: 3 against 2 allowed, for buy CCC"
    assert resume(ledger, broker, **limit).counts == {"filled": 2, "ready": 1}
    with ledger.read() as connection:
        assert len(states_of(connection, "paper")) == 1


def test_what_comes_after_the_order_that_set_the_throttle_off_waits_with_it_and_is_never_passed(
    ledger: Ledger,
) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = {"starting_cash": D(10_000), "max_repeated_orders": D(1)}
    run(ledger, broker, plan_of([order("a", "CCC", Side.BUY, "1")]), **limit)
    broker.book.steps.clear()
    broker.has_data = set()
    orders = [order("b", "CCC", Side.BUY, "1"), order("d", "DDD", Side.BUY, "1")]
    again = plan_of(orders, batch=2, plan_id="q", held={"CCC": "1"})
    assert run(ledger, broker, again, **limit).counts == {"filled": 1, "ready": 2}
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY, passed=True)
    found = {(row.client_order_id, row.limit) for row in rows if row.client_order_id != "a"}
    assert found == {("b", "max_repeated_orders"), ("b", "trading_state"), ("d", "trading_state")}


def test_the_throttle_counts_from_the_last_resume(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    limit: dict[str, Any] = {"starting_cash": D(10_000), "max_repeated_orders": D(1)}
    run(ledger, broker, plan_of([order("a", "CCC", Side.BUY, "1")]), **limit)
    broker.book.steps.clear()
    broker.has_data = set()
    again = plan_of([order("b", "CCC", Side.BUY, "1")], batch=2, plan_id="q", held={"CCC": "1"})
    assert run(ledger, broker, again, **limit).counts == {"filled": 1, "ready": 1}
    put(ledger, ACTIVE, now=START + timedelta(minutes=1))
    broker.has_data = None
    assert run(ledger, broker, again, **limit).counts == {"filled": 2}


def test_a_halt_in_one_session_does_not_keep_a_later_one_from_being_traded_once_resumed(ledger: Ledger) -> None:
    broker = model(ledger)
    put(ledger, HALTED)
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    put(ledger, ACTIVE)
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY)
    assert run(ledger, broker, tuesday).counts == {"filled": 1}
    assert broker.book.attempts == ["t"]


def test_every_order_has_one_row_for_its_verdict_however_often_it_is_run(ledger: Ledger) -> None:
    broker = model(ledger, cash=D(10_000))
    plan = plan_of([order("a", "CCC", Side.BUY, "2"), order("b", "DDD", Side.BUY, "300")])
    for _ in range(3):
        run(ledger, broker, plan, starting_cash=D(10_000), max_notional_per_order=D(500))
    with ledger.read() as connection:
        rows = risk_events_of(connection, "paper", MONDAY, passed=True)
        assert connection.execute(sa.select(sa.func.count()).select_from(risk_events)).scalar() == 2
    assert {row.client_order_id: row.verdict for row in rows} == {"a": "passed", "b": "stopped"}
    assert {row.limits_hash for row in rows} == {settings(max_notional_per_order=D(500)).limits.hash}
    found = {row.client_order_id: row.checked["max_notional_per_order"] for row in rows}
    assert found == {"a": ("40", "500"), "b": ("3000", "500")}
