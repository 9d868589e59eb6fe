"""Manual orders at the choke point: one for each key, beside a rebalance, and taken back by id."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import OrderStatus, Side
from scizor_dagster.errors import AccountBusy, KeyReused, LedgerError, RiskLimitBreached
from scizor_dagster.execution.executor import CancelReport, ExecutionResult, ExecutionState, cancel_open, execute
from scizor_dagster.execution.preview import preview
from scizor_dagster.ledger.intents import load
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.manual_orders import Ask, ask_cancel, manual_order
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import MANUAL
from scizor_dagster.risk.pre_trade import Decision
from tests.execution.halting import HALTED, put
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    START,
    TUESDAY,
    D,
    adopt,
    arm_until,
    clock,
    model,
    order,
    parts,
    plan_of,
    resume,
    run,
)

ASK = Ask("k-1", "main", '{"quantity":"3"}', "jo", "a tip", "absorb")


def by_hand(name: str = "m-1", batch: int = 1, *, side: Side = Side.BUY, symbol: str = "CCC", **changes: Any) -> Any:
    return replace(plan_of([order(name, symbol, side, "3")], batch=batch, plan_id=name, **changes), origin=MANUAL)


def place(ledger: Ledger, broker: Any, plan: Any, ask: Ask = ASK, **changes: Any) -> ExecutionResult:
    return execute(plan, **parts(ledger, broker, **changes), ask=ask)


def cancel(ledger: Ledger, broker: Any, name: str) -> CancelReport:
    with ledger.transaction() as connection:
        ask_cancel(connection, load(connection, name), actor="jo", reason="no more", now=START)
    return cancel_open(**parts(ledger, broker))


def test_a_manual_order_goes_out_once_however_often_it_is_asked_for(ledger: Ledger) -> None:
    broker = model(ledger)
    first = place(ledger, broker, by_hand())
    # Asked for again, it is planned anew: what was admitted counts.
    again = place(ledger, broker, by_hand("m-2", batch=2))
    assert (first.state, first.orders) == (ExecutionState.DONE, again.orders)
    assert broker.book.attempts == ["m-1"]
    with ledger.read() as connection:
        assert getattr(manual_order(connection, "paper", "k-1"), "plan_id", None) == by_hand().plan_id


def test_a_key_with_another_request_sends_nothing(ledger: Ledger) -> None:
    broker = model(ledger)
    place(ledger, broker, by_hand())
    with pytest.raises(KeyReused, match="quantity is 4 and was 3"):
        place(ledger, broker, by_hand("m-2", batch=2), replace(ASK, request='{"quantity":"4"}'))
    assert broker.book.attempts == ["m-1"]


def test_a_request_is_continued_in_the_session_that_it_was_placed_in(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    assert place(ledger, broker, by_hand()).counts == {"working": 1}
    broker.has_data = None
    place(ledger, broker, by_hand("m-2", session=TUESDAY))
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["m-1"]


def test_a_rebalance_and_a_manual_order_rest_beside_each_other_and_both_are_followed(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([order("r-1", "AAA", Side.BUY, "1")]))
    result = place(ledger, broker, by_hand(batch=2))
    assert (result.state, result.counts) == (ExecutionState.WORKING, {"working": 2})
    # The session's plan is that of the rebalance.
    assert result.plan_id == plan_of([]).plan_id
    broker.has_data = None
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 2})


def test_a_rebalance_that_is_left_open_behind_a_manual_order_that_has_ended_is_followed(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([order("r-1", "AAA", Side.BUY, "1")]))
    place(ledger, broker, by_hand(batch=2))
    assert cancel(ledger, broker, "m-1").canceled == ("m-1",)
    with ledger.read() as connection:
        assert [row.state.open for row in batches_of(connection, "paper", "main")] == [True, False]
    broker.has_data = None
    assert resume(ledger, broker).counts == {"canceled": 1, "filled": 1}


def test_a_session_with_a_manual_order_alone_has_its_state(ledger: Ledger) -> None:
    broker = model(ledger)
    assert place(ledger, broker, by_hand()).plan_id == by_hand().plan_id
    nothing = replace(by_hand("m-2", batch=2), orders=())
    result = place(ledger, broker, nothing, replace(ASK, key="k-2"))
    assert result.state is ExecutionState.DONE
    assert resume(ledger, broker).state is ExecutionState.DONE


def test_a_manual_order_counts_on_what_is_held_of_it_and_set_apart(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    plan = plan_of([order("s", "AAA", Side.SELL, "2")], held={"AAA": "2"})
    with pytest.raises(LedgerError, match="The plan counts on 2 AAA, and the portfolio owns 5"):
        run(ledger, broker, plan)
    lines = tuple(line._replace(kept_qty=D(3)) for line in plan.lines)
    assert run(ledger, broker, replace(plan, lines=lines)).counts == {"filled": 1}


@pytest.mark.parametrize("named", ["", "another plan"])
def test_where_a_person_approves_each_plan_they_name_the_one_that_they_have_looked_at(
    ledger: Ledger, named: str
) -> None:
    broker = model(ledger)
    asked = replace(ASK, approves=named)
    with pytest.raises(RiskLimitBreached, match="carries out only what a person has looked at") as refused:
        place(ledger, broker, by_hand(), asked, needs_approval=True)
    with pytest.raises(RiskLimitBreached, match="carries out only what a person has looked at"):
        preview(by_hand(), **parts(ledger, broker, needs_approval=True), ask=asked)
    assert f"--approve {by_hand().plan_id}" in str(refused.value)
    assert broker.book.attempts == []
    meant = replace(ASK, approves=by_hand().plan_id)
    assert place(ledger, broker, by_hand(), meant, needs_approval=True).permitted == (
        "approved by jo at 2026-03-02T14:00:00+00:00",
    )


def _live(broker: ModelBroker) -> dict[str, Any]:
    broker.environment = "live"
    return {"expected_environment": "live", "live_trading": True, "live_session": MONDAY}


def test_a_live_account_needs_its_arming_for_a_manual_order_as_for_any(ledger: Ledger) -> None:
    broker = model(ledger)
    live = _live(broker)
    for ask in (place, preview_of):
        with pytest.raises(RiskLimitBreached, match="is not armed"):
            ask(ledger, broker, by_hand(), **live)
    arm_until(ledger, broker, START.replace(hour=20), "10")
    for ask in (place, preview_of):
        with pytest.raises(RiskLimitBreached, match=r"are worth 60\.00 USD"):
            ask(ledger, broker, by_hand(), **live)
    arm_until(ledger, broker, START.replace(hour=20), "100")
    assert [verdict.decision for verdict in preview_of(ledger, broker, by_hand(), **live)] == [Decision.PASS]
    assert place(ledger, broker, by_hand(), **live).counts == {"filled": 1}


def preview_of(ledger: Ledger, broker: Any, plan: Any, **changes: Any) -> Any:
    return preview(plan, **parts(ledger, broker, **changes))


def test_a_preview_says_what_the_choke_point_would_and_writes_nothing(ledger: Ledger) -> None:
    broker = model(ledger)
    plan = plan_of([order("a", "CCC", Side.BUY, "3"), order("b", "DDD", Side.BUY, "30")])
    passed, stopped = preview_of(ledger, broker, plan, max_notional_per_order=D(100))
    assert passed.decision is Decision.PASS
    assert (stopped.decision, stopped.limit) == (Decision.STOP, "max_notional_per_order")
    put(ledger, HALTED)
    assert [verdict.decision for verdict in preview_of(ledger, broker, plan)] == [Decision.WAIT, Decision.WAIT]
    with ledger.read() as connection:
        assert batches_of(connection, "paper", "main") == []
    assert broker.book.attempts == []


def test_a_preview_of_a_plan_that_would_not_be_admitted_is_refused(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    plan = plan_of([order("s", "AAA", Side.SELL, "2")], held={"AAA": "2"})
    with pytest.raises(LedgerError, match="the portfolio owns 5"):
        preview_of(ledger, model(ledger), plan)


def _resting(ledger: Ledger) -> ModelBroker:
    broker = model(ledger)
    broker.has_data = set()
    place(ledger, broker, by_hand())
    return broker


def test_an_order_is_taken_back_by_its_id_and_asking_again_changes_nothing(ledger: Ledger) -> None:
    broker = _resting(ledger)
    assert cancel(ledger, broker, "m-1") == CancelReport(("m-1",))
    assert cancel(ledger, broker, "m-1") == CancelReport()
    assert [row.status for row in broker.book.orders] == [OrderStatus.CANCELED]


def test_an_order_that_was_not_sent_yet_and_is_taken_back_never_goes_out(ledger: Ledger) -> None:
    put(ledger, HALTED)
    broker = model(ledger)
    broker.has_data = set()
    assert place(ledger, broker, by_hand()).counts == {"ready": 1}
    assert cancel(ledger, broker, "m-1") == CancelReport(("m-1",))
    result = resume(ledger, broker)
    assert result.counts == {"dropped": 1}
    assert result.orders[0].reason == "taken back by jo before it was sent: no more"
    assert broker.book.attempts == []


def test_a_run_that_has_the_account_takes_the_order_back_when_it_looks_next(ledger: Ledger) -> None:
    broker = _resting(ledger)
    with lease(ledger, "paper", "another", clock), pytest.raises(AccountBusy):
        cancel(ledger, broker, "m-1")
    assert resume(ledger, broker).counts == {"canceled": 1}
    assert resume(ledger, broker).orders[0].state is IntentState.CANCELED


def test_the_buys_of_a_rebalance_leave_the_cash_that_a_manual_order_still_takes(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    broker.has_data = set()
    broker.fill_plan = {"DDD": [D(0)]}
    sale, buy = order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "80")
    assert run(ledger, broker, plan_of([sale, buy], held={"AAA": "5"})).counts == {"held": 1, "working": 1}
    by_hand_too = replace(plan_of([order("m-1", "DDD", Side.BUY, "10")], batch=2), origin=MANUAL)
    place(ledger, broker, by_hand_too)
    broker.has_data = None
    result = resume(ledger, broker)
    bought = next(row for row in result.orders if row.client_order_id == "b")
    # 1,000 and 500 of the sale with its fee, less the 100 that the manual order may still cost, at 20 a share.
    assert (bought.final_qty, bought.planned_qty) == (69, 80)
