"""Polls: every fill once, an end only when the executions agree with it."""

import json
from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder, OrderStatus, OrderType, Side
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.holdings import cash_flow, fills_of, owned
from scizor_dagster.ledger.intents import frozen_symbols
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from tests.execution.model_broker import NOON, ModelBroker
from tests.execution.scenario import MONDAY, TUESDAY, D, adopt, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")


def _owned(ledger: Ledger) -> dict[str, Decimal]:
    with ledger.read() as connection:
        return owned(connection, "paper", "main")


def test_an_order_that_fills_in_part_and_expires_keeps_its_part(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.fill_plan = {"CCC": [D("0.25"), D("0.25")]}
    result = run(ledger, broker, plan_of([BUY]))
    (row,) = result.orders
    assert result.state is ExecutionState.DONE
    assert (row.state.value, row.filled_qty, row.average_price) == ("expired", 5, D("20.005"))
    assert row.reason == "day order expired"
    assert _owned(ledger) == {"CCC": 5}


def test_a_fill_that_arrives_after_the_end_is_taken_in_by_the_next_look(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.fill_plan = {"CCC": [D("0.5")]}
    run(ledger, broker, plan_of([BUY]))
    broker.fill("b", D(3), session=MONDAY)
    result = resume(ledger, broker)
    assert (result.orders[0].state.value, result.orders[0].filled_qty) == ("expired", 8)
    broker.fill("b", D(2), session=MONDAY)
    assert resume(ledger, broker, TUESDAY).state is ExecutionState.NO_PLAN
    assert resume(ledger, broker).orders[0].state.value == "filled"
    assert _owned(ledger) == {"CCC": 10}


def test_a_late_fill_of_the_accounts_very_first_order_is_taken_in_by_a_look_in_the_next_session(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.fill_plan = {"CCC": []}
    assert run(ledger, broker, plan_of([BUY])).counts == {"expired": 1}
    broker.fill("b", D(10), session=MONDAY)
    assert resume(ledger, broker, TUESDAY).state is ExecutionState.NO_PLAN
    assert _owned(ledger) == {"CCC": 10}


def test_a_fill_is_recorded_once_however_often_it_is_read(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.fills = lambda first, last: [fill for fill in broker.book.fills for _ in range(3)]  # type: ignore[method-assign, assignment, misc]
    run(ledger, broker, plan_of([BUY]))
    for _ in range(3):
        resume(ledger, broker)
    with ledger.read() as connection:
        assert [fill.qty for fill in fills_of(connection, "paper")] == [D(10)]
        assert cash_flow(connection, "paper", "main") == D("-200.10")


def test_an_order_called_filled_is_not_done_before_its_fills_have_arrived(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.withheld_fills = {"f1"}
    result = run(ledger, broker, plan_of([BUY]))
    assert (result.state, result.counts) == (ExecutionState.WORKING, {"working": 1})
    broker.withheld_fills = set()
    assert resume(ledger, broker).state is ExecutionState.DONE


def test_buys_are_not_released_on_the_money_of_a_sale_whose_fill_has_not_arrived(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(1000))
    broker.withheld_fills = {"f1"}
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), BUY], held={"AAA": "5"})
    result = run(ledger, broker, plan, starting_cash=D(0))
    # At the close the buys go with what the ledger can prove: nothing.
    assert (result.state, result.factor) == (ExecutionState.WORKING, D(0))
    assert broker.book.attempts == ["s"]


def test_an_order_canceled_at_the_broker_ends_as_canceled(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.cancel("b")
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"canceled": 1})


def test_more_filled_than_ordered_is_accepted_as_the_truth_and_said(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    broker.fill("b", D(1), session=MONDAY)
    result = resume(ledger, broker)
    assert result.notes == ("CCC: order b filled 11 of 10.",)
    assert _owned(ledger) == {"CCC": 11}


def test_a_fill_of_somebody_elses_order_belongs_to_no_portfolio(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.book.fills.append(BrokerFill("x1", "by-hand", "AAA", Side.BUY, D(3), D(100), D(0), MONDAY, NOON))
    run(ledger, broker, plan_of([BUY]))
    with ledger.read() as connection:
        foreign = [fill for fill in fills_of(connection, "paper") if fill.portfolio is None]
    assert [fill.client_order_id for fill in foreign] == ["by-hand"]
    assert _owned(ledger) == {"CCC": 10}


def _exit_of(broker: ModelBroker, status: OrderStatus, filled: str) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b9",
        client_order_id="b.tp",
        symbol="CCC",
        side=Side.SELL,
        qty=D(10),
        filled_qty=D(filled),
        average_price=None,
        status=status,
        submitted_at=NOON,
        updated_at=NOON,
        parent_client_order_id="b",
    )


def test_a_bracket_is_working_until_its_exits_have_ended_and_their_fills_are_ours(ledger: Ledger) -> None:
    broker = model(ledger)
    orders = broker.orders
    exits = [_exit_of(broker, OrderStatus.ACCEPTED, "0")]
    broker.orders = lambda session: [*orders(session), *exits]  # type: ignore[method-assign, assignment]
    bracket = order("b", "CCC", Side.BUY, "10", order_type=OrderType.BRACKET)
    result = run(ledger, broker, plan_of([bracket]))
    assert (result.state, result.counts) == (ExecutionState.WORKING, {"filled": 1})
    exits[0] = _exit_of(broker, OrderStatus.FILLED, "10")
    assert resume(ledger, broker).state is ExecutionState.WORKING
    broker.book.fills.append(BrokerFill("x1", "b.tp", "CCC", Side.SELL, D(10), D(21), D(0), MONDAY, NOON))
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert _owned(ledger) == {}


def test_a_fill_with_the_id_of_an_order_that_was_never_sent_is_recorded_and_said(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["d"] = ["timeout_after"]
    broker.hidden = {"d"}
    waiting = order("d-2", "DDD", Side.BUY, "1", slice_=2)
    run(ledger, broker, plan_of([order("d", "DDD", Side.BUY, "1"), waiting]))
    broker.book.fills.append(BrokerFill("x1", "d-2", "DDD", Side.BUY, D(1), D(10), D(0), MONDAY, NOON))
    result = resume(ledger, broker)
    assert "DDD: the broker filled d-2, which is ready here." in result.notes
    assert _owned(ledger) == {"DDD": 1}


def test_a_listed_order_with_other_parameters_changes_nothing_but_a_note(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.book.orders[0] = replace(broker.book.orders[0], side=Side.SELL, status=OrderStatus.CANCELED)
    result = resume(ledger, broker)
    assert result.counts == {"working": 1}
    assert result.notes == ("CCC: the broker's order b has side sell, not buy.",)


def test_a_poll_is_one_message_of_each_kind_whatever_the_number_of_orders(ledger: Ledger) -> None:
    broker = model(ledger)
    calls: list[str] = []
    for name in ("orders", "fills", "activities", "find", "positions"):
        call = getattr(broker, name)
        setattr(broker, name, lambda *args, _name=name, _call=call: calls.append(_name) or _call(*args))
    orders = [order(f"b{number}", "DDD", Side.BUY, "1") for number in range(20)]
    run(ledger, broker, plan_of(orders))
    assert 1 <= calls.count("fills") <= calls.count("orders") <= 4
    assert "find" not in calls


def test_a_fill_of_an_earlier_session_that_is_listed_although_nobody_asked_counts_once(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    broker.fills = lambda *_: list(broker.book.fills)  # type: ignore[method-assign]
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY, plan_id="q")
    assert run(ledger, broker, tuesday).notes == ()
    assert _owned(ledger) == {"CCC": 10, "DDD": 1}
    with ledger.read() as connection:
        assert [(row.fill_id, row.version) for row in fills_of(connection, "paper")] == [("f1", 1), ("f2", 1)]


def test_fills_that_the_broker_shows_no_more_are_not_asked_for_where_no_order_waits(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY]))
    broker.asked_fills.clear()
    broker.fills_from = TUESDAY
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert resume(ledger, broker, TUESDAY).state is ExecutionState.NO_PLAN
    assert {first for first, _ in broker.asked_fills} == {TUESDAY}


def test_fills_of_an_order_that_still_waits_are_asked_for_although_the_broker_may_not_show_them(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.withheld_fills = {"f1"}
    assert run(ledger, broker, plan_of([BUY])).state is ExecutionState.WORKING
    broker.asked_fills.clear()
    broker.fills_from = TUESDAY
    resume(ledger, broker, TUESDAY)
    assert broker.asked_fills
    assert all(first <= MONDAY for first, _ in broker.asked_fills)


def test_a_status_that_nobody_knows_freezes_the_instrument_keeps_what_was_said_and_is_followed(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    whole = broker.book.orders[0]
    said = "its status is 'held_for_audit'"
    broker.book.orders[0] = replace(whole, status=OrderStatus.UNKNOWN, reason=said, raw={"status": "held_for_audit"})
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.FROZEN, {"unknown": 1})
    (note,) = result.notes
    assert note.startswith(f"CCC is frozen: order b is unknown ({said}). Look for that id at the broker")
    assert f"scizor run --portfolio main --date {MONDAY}" in note
    with ledger.read() as connection:
        assert frozen_symbols(connection, "paper") == {"CCC": "order b is unknown"}
        payloads = connection.execute(sa.select(events.c.payload).where(events.c.kind == "intent_unknown")).scalars()
        found = json.loads(payloads.one())["seen"]
    assert found == {
        "broker_order_id": "b1",
        "status": "unknown",
        "filled": "0",
        "message": said,
        "raw": {"status": "held_for_audit"},
    }
    assert resume(ledger, broker).counts == {"unknown": 1}
    broker.book.orders[0] = whole
    assert resume(ledger, broker).counts == {"working": 1}
    broker.has_data = None
    assert (resume(ledger, broker).counts, broker.book.attempts) == ({"filled": 1}, ["b"])


def test_an_order_that_the_broker_has_taken_is_not_sent_again_where_it_is_shown_no_more(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.UNKNOWN, reason="odd")
    resume(ledger, broker)
    broker.book.orders.clear()
    broker.book.requests.clear()
    result = resume(ledger, broker)
    assert (result.counts, broker.book.attempts) == ({"unknown": 1}, ["b"])
    assert result.orders[0].reason == "the broker had taken it as b1, and shows it no more"
