"""A send without an answer: looked up, adopted, sent again only where that is safe, else frozen."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from scizor_dagster.brokers.protocol import BrokerFill, OrderStatus, Side
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.intents import frozen_symbols, load, request_of
from scizor_dagster.ledger.rows import open_batches
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.events import risk_events_of
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, TUESDAY, D, adopt, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")
SECOND_SLICE = order("b-2", "CCC", Side.BUY, "10", slice_=2)
OTHER = order("d", "DDD", Side.BUY, "10")
SELL = order("s", "AAA", Side.SELL, "5")


def _hide(broker: ModelBroker, name: str) -> None:
    """The order arrives, its answer is lost, and neither look-up nor listing shows it; nor do its fills."""
    broker.submit_faults[name] = ["timeout_after"]
    broker.hidden = {name}
    fills = broker.fills

    def seen(first: date, last: date) -> list[BrokerFill]:
        return [fill for fill in fills(first, last) if fill.client_order_id not in broker.hidden]

    broker.fills = seen  # type: ignore[method-assign]


def _states(result: ExecutionResult) -> dict[str, str]:
    return {row.client_order_id: row.state.value for row in result.orders}


@pytest.mark.parametrize("fault", ["timeout_after", "garbage"])
def test_an_order_whose_reply_was_lost_is_found_and_adopted_at_once(ledger: Ledger, fault: str) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = [fault]
    result = run(ledger, broker, plan_of([BUY]))
    assert result.state is ExecutionState.DONE
    assert broker.book.attempts == ["b"]


def test_an_order_that_is_proven_absent_is_sent_again_once_with_the_same_id(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost"]
    assert run(ledger, broker, plan_of([BUY])).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "b"]
    assert len(broker.sent()) == 1


def test_one_run_sends_again_once_and_the_next_run_once_more(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost", "lost"]
    first = run(ledger, broker, plan_of([BUY]))
    assert (first.state, broker.book.attempts) == (ExecutionState.FROZEN, ["b", "b"])
    (note,) = first.notes
    assert note.startswith("CCC is frozen: order b is unknown (OutcomeUnknown: timeout). Look for that id")
    assert note.endswith("scizor run --portfolio main --date 2026-03-02.")
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "b", "b"]


def test_a_broker_that_takes_an_id_twice_is_never_sent_it_again(ledger: Ledger) -> None:
    broker = model(ledger, unique=False)
    broker.submit_faults["b"] = ["lost"]
    for _ in range(3):
        result = run(ledger, broker, plan_of([BUY, OTHER]))
        assert result.state is ExecutionState.FROZEN
        assert "would take a second one" in result.notes[0]
    assert broker.book.attempts == ["b", "d"]
    with ledger.read() as connection:
        assert frozen_symbols(connection, "paper") == {"CCC": "order b is unknown"}


def test_an_unknown_order_stays_frozen_while_it_cannot_be_looked_up_and_the_next_run_resolves_it(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["timeout_after"]
    broker.hidden = {"b"}
    broker.has_data = set()
    result = run(ledger, broker, plan_of([BUY, SECOND_SLICE, OTHER]))
    assert result.state is ExecutionState.FROZEN
    # The other slice of the frozen instrument waits; the other instrument does not.
    assert _states(result) == {"b": "unknown", "b-2": "ready", "d": "working"}
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    with ledger.read() as connection:
        (event,) = risk_events_of(connection, "paper", MONDAY)
    assert (event.limit, event.verdict, event.client_order_id) == ("instrument_frozen", "waiting", "b-2")
    broker.hidden, broker.has_data = set(), None
    result = resume(ledger, broker)
    assert result.state is ExecutionState.DONE
    assert _states(result) == {"b": "filled", "b-2": "filled", "d": "filled"}
    assert broker.book.attempts == ["b", "d", "b-2"]


def test_a_batch_with_an_unknown_order_is_driven_to_its_end_for_all_other_instruments(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    _hide(broker, "b")
    broker.fill_plan = {"DDD": [D(0), D("0.5"), D("0.5")]}
    result = run(ledger, broker, plan_of([SELL, BUY, SECOND_SLICE, OTHER], held={"AAA": "5"}))
    assert result.state is ExecutionState.FROZEN
    # The session is over: what has waited in it for the unknown order is not sent any more.
    assert _states(result) == {"s": "filled", "b": "unknown", "b-2": "expired", "d": "filled"}
    assert any("b is still unknown, and its session 2026-03-02 is over" in note for note in result.notes)
    assert any("scizor run --portfolio main --date 2026-03-02" in note for note in result.notes)
    assert broker.book.attempts == ["s", "b", "d"]


def test_an_unknown_order_is_looked_up_once_more_before_the_venue_steps_on(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost"]
    broker.find_faults = 1
    result = run(ledger, broker, plan_of([BUY, SECOND_SLICE, OTHER]))
    assert _states(result) == {"b": "filled", "b-2": "filled", "d": "filled"}
    assert broker.book.attempts == ["b", "d", "b", "b-2"]
    # Both traded in the first step, as they would have without the doubt.
    assert {fill.price for fill in broker.book.fills} == {D(20), D(10)}


def test_a_listing_of_orders_is_evidence_where_the_look_up_fails(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["timeout_after"]
    broker.find_faults = 1
    result = run(ledger, broker, plan_of([BUY, SECOND_SLICE]))
    assert result.state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "b-2"]
    with ledger.read() as connection:
        assert load(connection, "b").broker_order_id == "b1"


def test_an_unknown_order_of_an_earlier_session_keeps_only_its_own_instrument_from_being_traded(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    _hide(broker, "b")
    run(ledger, broker, plan_of([BUY, OTHER]))
    again = order("t-c", "CCC", Side.BUY, "1")
    plan = plan_of([order("t-d", "DDD", Side.BUY, "1"), again], session=TUESDAY, held={"DDD": "10"})
    result = run(ledger, broker, plan)
    assert result.state is ExecutionState.FROZEN
    assert _states(result) == {"t-d": "filled", "t-c": "ready"}
    assert broker.book.attempts == ["b", "d", "t-d"]
    wednesday = TUESDAY + timedelta(days=1)
    plan = plan_of([order("w-d", "DDD", Side.BUY, "2")], session=wednesday, held={"DDD": "11"})
    assert run(ledger, broker, plan).state is ExecutionState.DONE
    assert not {"t-c", "b-2"} & set(broker.book.attempts)
    broker.hidden = set()
    assert resume(ledger, broker, wednesday).state is ExecutionState.DONE
    with ledger.read() as connection:
        assert frozen_symbols(connection, "paper") == {}
        assert open_batches(connection, "paper") == []
        assert owned(connection, "paper", "main") == broker.book.positions
    assert broker.book.attempts == ["b", "d", "t-d", "w-d"]


def test_an_unknown_order_beside_one_that_rests_keeps_the_next_session_waiting(ledger: Ledger) -> None:
    broker = model(ledger)
    _hide(broker, "b")
    broker.has_data = {TUESDAY}
    run(ledger, broker, plan_of([BUY, OTHER]))
    result = run(ledger, broker, plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY))
    assert (result.state, result.batch_id) == (ExecutionState.FROZEN, None)
    assert broker.book.attempts == ["b", "d"]


def test_nothing_is_sent_for_a_frozen_instrument_in_any_portfolio(ledger: Ledger) -> None:
    broker = model(ledger)
    _hide(broker, "b")
    run(ledger, broker, plan_of([BUY]))
    other = replace(
        plan_of([order("o-c", "CCC", Side.BUY, "1"), order("o-d", "DDD", Side.BUY, "1")]), portfolio="other"
    )
    result = run(ledger, broker, other, portfolio="other")
    assert _states(result) == {"o-c": "ready", "o-d": "filled"}
    assert broker.book.attempts == ["b", "o-d"]


def test_a_refusal_is_final_and_the_other_orders_go_on(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["reject"]
    result = run(ledger, broker, plan_of([BUY, OTHER]))
    assert result.state is ExecutionState.DONE
    assert _states(result) == {"b": "rejected", "d": "filled"}
    assert result.orders[0].reason == "403: insufficient buying power"
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert broker.book.attempts == ["b", "d"]


def test_a_refusal_of_a_second_send_counts_only_when_the_order_is_absent(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["lost", "reject"]
    result = run(ledger, broker, plan_of([BUY]))
    assert _states(result) == {"b": "rejected"}
    assert broker.book.attempts == ["b", "b"]


def test_a_refusal_of_a_second_send_does_not_hide_the_first_one_that_arrived_after_all(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["timeout_after"]
    find = broker.find
    answers = iter([None])
    broker.find = lambda name: next(answers, None) or find(name) if broker.book.attempts[1:] else None  # type: ignore[method-assign, assignment]
    result = run(ledger, broker, plan_of([BUY]))
    assert result.state is ExecutionState.DONE
    assert _states(result) == {"b": "filled"}
    assert len(broker.sent()) == 1


def test_an_order_of_our_id_with_other_parameters_freezes_the_instrument(ledger: Ledger) -> None:
    broker = model(ledger)
    submit = broker.submit

    def altered(request: object) -> object:
        reply = replace(submit(request), qty=D(999))  # type: ignore[arg-type]
        broker.book.orders[-1] = reply
        return reply

    broker.submit = altered  # type: ignore[assignment, method-assign]
    result = run(ledger, broker, plan_of([BUY]))
    assert result.state is ExecutionState.FROZEN
    assert any("has quantity 999, not 10" in note for note in result.notes)


@pytest.mark.parametrize("filled", [5, 10])
def test_an_order_with_other_parameters_keeps_its_instrument_frozen_until_it_has_ended_whatever_it_fills(
    ledger: Ledger, filled: int
) -> None:
    broker = model(ledger)
    broker.has_data = set()
    broker.submit_faults["b"] = ["timeout_after"]
    find = broker.find

    def altered(name: str) -> object:
        found = find(name)
        if found is not None and found.qty == 10:
            broker.book.orders[0] = replace(found, qty=D(999))
        return find(name)

    broker.find = altered  # type: ignore[assignment, method-assign]
    assert run(ledger, broker, plan_of([BUY, SECOND_SLICE])).state is ExecutionState.FROZEN
    broker.fill("b", D(filled), session=MONDAY)
    for _ in range(2):
        result = resume(ledger, broker)
        assert _states(result) == {"b": "unknown", "b-2": "ready"}
        assert result.orders[0].filled_qty == filled
    assert broker.book.attempts == ["b"]
    broker.cancel("b")
    ended = {5: "canceled", 10: "filled"}[filled]
    assert _states(resume(ledger, broker)) == {"b": ended, "b-2": "working"}


def test_an_order_whose_quantity_somebody_changed_at_the_broker_holds_no_later_session_up_once_it_has_ended(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.book.orders[0] = replace(broker.book.orders[0], qty=D(7))
    broker.cancel("b")
    assert _states(resume(ledger, broker)) == {"b": "canceled"}
    broker.has_data = None
    assert run(ledger, broker, plan_of([OTHER], session=TUESDAY, plan_id="q")).state is ExecutionState.DONE


@pytest.mark.parametrize("end", ["reject", "lost"])
def test_an_order_that_was_given_up_and_shows_in_a_state_nobody_knows_freezes_the_instrument(
    ledger: Ledger, end: str
) -> None:
    broker = model(ledger, unique=False)
    broker.submit_faults["b"] = [end]
    run(ledger, broker, plan_of([BUY]))
    broker.book.steps[MONDAY] = broker.steps
    assert _states(resume(ledger, broker)) == {"b": {"reject": "rejected", "lost": "expired"}[end]}
    broker.committed = None
    with ledger.read() as connection:
        broker.submit(request_of(load(connection, "b")))
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.UNKNOWN, reason="suspended")
    for _ in range(2):
        assert _states(resume(ledger, broker)) == {"b": "unknown"}
    with ledger.read() as connection:
        assert frozen_symbols(connection, "paper") == {"CCC": "order b is unknown"}
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.CANCELED)
    assert _states(resume(ledger, broker)) == {"b": "canceled"}


def test_an_unknown_order_stays_unknown_in_a_look_at_another_session_whatever_had_filled_before(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.fill("b", D(5), session=MONDAY)
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.UNKNOWN, reason="suspended")
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    sale = order("s", "CCC", Side.SELL, "5")
    result = run(ledger, broker, plan_of([sale], session=TUESDAY, held={"CCC": "5"}, plan_id="q"))
    assert _states(result) == {"s": "ready"}
    assert broker.book.attempts == ["b"]
    with ledger.read() as connection:
        assert frozen_symbols(connection, "paper") == {"CCC": "order b is unknown"}


def test_buys_wait_for_a_sell_of_unknown_outcome_until_the_close_and_then_go_without_its_money(
    ledger: Ledger,
) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    _hide(broker, "s")
    broker.has_data = set()
    plan = plan_of([SELL, order("b", "CCC", Side.BUY, "100")], held={"AAA": "5"})
    result = run(ledger, broker, plan)
    assert (result.state, result.factor) == (ExecutionState.FROZEN, None)
    assert broker.book.attempts == ["s"]
    broker.has_data = None
    result = resume(ledger, broker)
    assert result.factor == D("0.5")
    assert _states(result) == {"s": "unknown", "b": "filled"}
    broker.hidden = set()
    assert resume(ledger, broker).state is ExecutionState.DONE
    assert broker.book.attempts == ["s", "b"]


def test_a_rejected_order_that_the_broker_lists_as_alive_is_taken_back(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.submit_faults["b"] = ["reject"]
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY, OTHER]))
    broker.committed = None
    broker.submit(
        __import__("scizor_dagster.brokers.protocol", fromlist=["OrderRequest"]).OrderRequest(
            "b", "CCC", Side.BUY, D(10), BUY.order_type, BUY.time_in_force, MONDAY, BUY.intent
        )
    )
    broker.has_data = None
    assert _states(resume(ledger, broker)) == {"b": "filled", "d": "filled"}


def test_a_live_order_that_is_absent_once_its_session_is_over_has_expired(ledger: Ledger) -> None:
    from tests.execution.scenario import START, arm_until

    broker: ModelBroker = model(ledger, environment="live")
    arm_until(ledger, broker, START + timedelta(hours=1))
    broker.submit_faults["b"] = ["lost"]
    broker.find_faults = 1
    live = {"expected_environment": "live", "live_trading": True}
    assert run(ledger, broker, plan_of([BUY]), live_session=MONDAY, **live).state is ExecutionState.FROZEN
    result = resume(ledger, broker, live_session=TUESDAY, **live)
    assert _states(result) == {"b": "expired"}
    assert broker.book.attempts == ["b"]
