"""ACTIVE, REDUCING, HALTED: which row is in force, and which orders it kept from going out."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import trading_states
from scizor_dagster.risk import events
from scizor_dagster.risk.context import Decision, Verdict
from scizor_dagster.risk.events import RiskEvent, event_of, record
from scizor_dagster.risk.held_back import held_back
from scizor_dagster.risk.trading_state import FREE, TradingState, standing, states_of
from tests.execution.halting import ACTIVE, HALTED, REDUCING, put
from tests.execution.scenario import (
    MONDAY,
    START,
    D,
    adopt,
    model,
    order,
    plan_of,
    resume,
    run,
)


def _state(ledger: Ledger, portfolio: str = "main", now: datetime = START) -> TradingState:
    with ledger.read() as connection:
        return standing(connection, "paper", portfolio, now).state


def test_without_a_row_everything_is_active(ledger: Ledger) -> None:
    with ledger.read() as connection:
        found = standing(connection, "paper", "main", START)
    assert (found, found.sentence) == (FREE, "active")


def test_the_newest_row_counts_and_the_stricter_of_account_and_portfolio_wins(ledger: Ledger) -> None:
    put(ledger, HALTED)
    put(ledger, REDUCING)
    assert (_state(ledger), _state(ledger, "other")) == (REDUCING, ACTIVE)
    put(ledger, HALTED, portfolio=None)
    assert (_state(ledger), _state(ledger, "other")) == (HALTED, HALTED)
    put(ledger, ACTIVE)
    assert _state(ledger) == HALTED
    put(ledger, REDUCING)
    put(ledger, ACTIVE, portfolio=None)
    assert (_state(ledger), _state(ledger, "other")) == (REDUCING, ACTIVE)


def test_a_state_ends_at_its_expiry_and_not_before(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    put(ledger, HALTED, until=until)
    assert _state(ledger, now=until - timedelta(seconds=1)) == HALTED
    assert _state(ledger, now=until) == ACTIVE


def test_a_state_that_expires_uncovers_the_one_beneath_it(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    put(ledger, HALTED)
    put(ledger, REDUCING, until=until)
    assert (_state(ledger), _state(ledger, now=until)) == (REDUCING, HALTED)


def test_what_a_person_sets_for_a_while_neither_lifts_nor_hides_a_loss_stop(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    put(ledger, REDUCING, cause="max_day_loss")
    put(ledger, HALTED, until=until)
    assert (_state(ledger), _state(ledger, now=until)) == (HALTED, REDUCING)
    put(ledger, REDUCING, cause="max_drawdown")
    assert _state(ledger) == HALTED, "what the machine sets loosens nothing"
    put(ledger, ACTIVE)
    assert _state(ledger) == ACTIVE


def test_open_orders_are_canceled_where_any_state_in_force_asks_for_it(ledger: Ledger) -> None:
    put(ledger, HALTED, portfolio=None, cancel_open=True)
    put(ledger, HALTED)
    with ledger.read() as connection:
        assert standing(connection, "paper", "main", START).cancel_open


def test_a_state_without_a_reason_or_with_a_past_expiry_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    for wrong in ({"reason": " "}, {"until": START}):
        with pytest.raises(LedgerError) as refused:
            put(ledger, HALTED, **wrong)
        assert refused.value.where == "paper"
    with ledger.read() as connection:
        assert states_of(connection, "paper") == []


def test_rows_are_only_added_and_stand_in_the_chain_of_events(ledger: Ledger) -> None:
    assert put(ledger, HALTED, cause="c")
    assert not put(ledger, HALTED, cause="c"), "the same finding is one row"
    assert put(ledger, ACTIVE)
    assert not put(ledger, HALTED, cause="c"), "and does not undo what a person has resumed since"
    with ledger.read() as connection:
        assert [row.state for row in states_of(connection, "paper")] == [HALTED, ACTIVE]
        stored = connection.execute(sa.select(trading_states.c.number, trading_states.c.state)).tuples()
        assert dict(stored.all()) == {1: "halted", 2: "active"}
        assert verify_chain(connection) == []


def _held(ledger: Ledger) -> list[tuple[str, str, Decimal, bool]]:
    with ledger.read() as connection:
        rows = held_back(connection, "paper", "main", MONDAY)
    assert all(row.why and row.sentence == f"{row.side} {row.qty:f} {row.symbol}: {row.why}" for row in rows)
    return [(row.symbol, row.side.value, row.qty, row.lost) for row in rows]


@pytest.mark.parametrize("cash", ["0", "1000"])
def test_orders_that_a_halt_kept_from_going_out_are_named_while_they_wait_and_when_they_are_lost(
    ledger: Ledger, cash: str
) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(cash))
    broker.has_data = set()
    put(ledger, HALTED)
    orders = [order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "7")]
    values: dict[str, Any] = {"starting_cash": D(cash)}
    run(ledger, broker, plan_of(orders, held={"AAA": "5"}), **values)
    assert _held(ledger) == [("AAA", "sell", D(5), False)]
    broker.has_data = None
    result = resume(ledger, broker, **values)
    assert (result.state, broker.book.attempts) == (ExecutionState.DONE, [])
    assert _held(ledger) == [("AAA", "sell", D(5), True), ("CCC", "buy", D(7), True)]


def test_an_order_that_waited_and_then_went_out_was_not_held_back(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    put(ledger, HALTED)
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    put(ledger, ACTIVE)
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert _held(ledger) == []


def test_an_order_that_waited_and_then_rested_to_the_end_of_its_session_was_not_held_back(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    broker.fill_plan = {"CCC": []}
    put(ledger, HALTED)
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    put(ledger, ACTIVE)
    broker.has_data = None
    assert resume(ledger, broker).counts == {"expired": 1}
    assert (broker.book.attempts, _held(ledger)) == (["b"], [])


def test_an_order_that_was_lost_and_never_waited_was_not_held_back(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(0))
    broker.submit_faults["s"] = ["reject"]
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "7")], held={"AAA": "5"})
    result = run(ledger, broker, plan, starting_cash=D(0))
    assert {row.client_order_id: row.state.value for row in result.orders} == {"s": "rejected", "b": "dropped"}
    assert _held(ledger) == []


def test_what_other_portfolios_of_the_account_wait_for_is_not_read_at_all(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict(Decision.WAIT, "trading_state", "halted", "active")
    read: list[str] = []

    def counted(row: Any) -> RiskEvent:
        read.append(row["portfolio"])
        return event_of(row)

    monkeypatch.setattr(events, "event_of", counted)
    with ledger.transaction() as connection:
        for number in range(20):
            key = {"account": "paper", "session": MONDAY, "client_order_id": f"o{number}"}
            record(connection, verdict, at=START, portfolio=f"p{number:02}", **key)
    assert _held(ledger) == []
    assert read == []
    with ledger.read() as connection:
        held_back(connection, "paper", "p07", MONDAY)
    assert read == ["p07"]
