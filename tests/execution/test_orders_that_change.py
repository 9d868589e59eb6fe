"""Orders that somebody else has a hand in: an end that the broker takes back, terms that a person changes there."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerOrder, OrderStatus, OrderType, PositionIntent, Side
from scizor_dagster.execution.evidence import changed_terms
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.intents import RETURNED, load, marked
from scizor_dagster.ledger.rows import open_batches
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.fills import fill_breaks
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.orders import order_breaks
from tests.execution.model_broker import NOON, ModelBroker
from tests.execution.scenario import MONDAY, TUESDAY, D, adopt, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")
ALIVE = pytest.mark.parametrize("status", [OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED])


def at_broker(broker: ModelBroker, name: str = "b", **changes: Any) -> None:
    index = broker._index(name)
    broker.book.orders[index] = replace(broker.book.orders[index], **changes)


def resting(ledger: Ledger) -> ModelBroker:
    """`b` rests at the broker, whose venue does not move."""
    broker = model(ledger)
    broker.has_data = set()
    assert run(ledger, broker, plan_of([BUY])).counts == {"working": 1}
    return broker


def canceled(ledger: Ledger) -> ModelBroker:
    """`b` was shown as canceled, and its batch is done."""
    broker = resting(ledger)
    broker.cancel("b")
    assert resume(ledger, broker).state is ExecutionState.DONE
    return broker


def holdings(ledger: Ledger) -> dict[str, Decimal]:
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        return owned(connection, "paper", "main")


def findings(ledger: Ledger, broker: ModelBroker, *, over: bool = False) -> list[tuple[str, str]]:
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=MONDAY)
    found = [*fill_breaks(ours, theirs, "main"), *order_breaks(ours, theirs, over)]
    return [(row.kind.value, row.severity.value) for row in found]


@ALIVE
def test_an_order_that_is_alive_after_it_was_shown_as_canceled_is_taken_back_and_followed(
    ledger: Ledger, status: OrderStatus
) -> None:
    broker = canceled(ledger)
    at_broker(broker, status=status)
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.WORKING, {"working": 1})
    words = f"the broker had shown it as canceled, and shows it as {status} again"
    assert result.orders[0].reason == words
    assert result.notes == (f"CCC: order b is taken back: {words}.",)
    assert findings(ledger, broker) == [("open_order", "working"), ("order_returned", "working")]
    with ledger.read() as connection:
        assert [batch.portfolio for batch in open_batches(connection, "paper")] == ["main"]
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert holdings(ledger) == {"CCC": 10}
    assert findings(ledger, broker, over=True) == [("order_returned", "info")]


def test_an_order_that_is_filled_after_it_was_shown_as_canceled_waits_for_its_fills_and_is_whole(
    ledger: Ledger,
) -> None:
    broker = canceled(ledger)
    at_broker(broker, status=OrderStatus.ACCEPTED)
    broker.fill("b", D(10), session=MONDAY)
    broker.withheld_fills = {"f1"}
    assert resume(ledger, broker).counts == {"working": 1}, "it is called filled, and its executions are not there yet"
    broker.withheld_fills = set()
    assert resume(ledger, broker).counts == {"filled": 1}
    assert holdings(ledger) == {"CCC": 10}
    assert findings(ledger, broker) == [("order_returned", "info")]


def test_an_end_that_is_taken_back_and_comes_again_ends_the_order_with_what_it_filled(ledger: Ledger) -> None:
    broker = canceled(ledger)
    for qty in (3, 4):
        at_broker(broker, status=OrderStatus.PARTIALLY_FILLED)
        broker.fill("b", D(qty), session=MONDAY)
        assert resume(ledger, broker).counts == {"partially_filled": 1}
        broker.cancel("b")
        assert resume(ledger, broker).counts == {"canceled": 1}
    assert holdings(ledger) == {"CCC": 7}
    assert findings(ledger, broker, over=True) == [("order_returned", "info")]


def test_one_list_that_is_older_than_the_cancel_takes_nothing_back(ledger: Ledger) -> None:
    broker = canceled(ledger)
    orders = broker.orders
    stale = [replace(broker.book.orders[0], status=OrderStatus.ACCEPTED)]
    answers = [stale]
    broker.orders = lambda session: answers.pop() if answers else orders(session)  # type: ignore[method-assign]
    result = resume(ledger, broker)
    assert (result.counts, result.notes, answers) == ({"canceled": 1}, (), [])
    assert findings(ledger, broker) == []


def test_an_order_in_a_state_that_nobody_knows_after_its_end_freezes_its_instrument(ledger: Ledger) -> None:
    broker = canceled(ledger)
    at_broker(broker, status=OrderStatus.UNKNOWN, reason="its status is 'held_for_audit'")
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    assert ("outcome_unknown", "error") in findings(ledger, broker)
    at_broker(broker, status=OrderStatus.CANCELED, reason="")
    assert resume(ledger, broker).counts == {"canceled": 1}


def test_an_order_of_yesterday_that_is_back_is_ended_before_the_next_session_trades(ledger: Ledger) -> None:
    broker = canceled(ledger)
    at_broker(broker, status=OrderStatus.ACCEPTED)
    broker.has_data = None
    broker.fill_plan = {"CCC": []}
    assert resume(ledger, broker).counts == {"expired": 1}
    at_broker(broker, status=OrderStatus.ACCEPTED)
    assert resume(ledger, broker).counts == {"working": 1}, "taken back once more, after the session"
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY, plan_id="t")
    assert run(ledger, broker, tuesday).counts == {"filled": 1}
    assert broker.book.orders[0].status is OrderStatus.CANCELED, "its cancel was asked for, and seen"


@pytest.mark.parametrize(("qty", "filled"), [("5", "5"), ("15", "15"), ("15", "12"), ("5", "3"), ("5", "0")])
def test_an_order_whose_quantity_a_person_has_changed_ends_with_what_it_filled_and_says_so(
    ledger: Ledger, qty: str, filled: str
) -> None:
    broker = resting(ledger)
    at_broker(broker, qty=D(qty))
    note = f"CCC: the broker's order b has quantity {qty}, not 10: somebody has changed it at the broker."
    looked = resume(ledger, broker)
    assert (looked.counts, looked.notes[0].startswith(note)) == ({"working": 1}, True), looked.notes
    assert findings(ledger, broker) == [("order_differs", "error"), ("open_order", "working")]
    if D(filled):
        broker.fill("b", D(filled), session=MONDAY)
    if filled != qty:
        if D(filled):
            assert resume(ledger, broker).counts == {"partially_filled": 1}, "what is left can still fill"
        broker.cancel("b")
    ended = resume(ledger, broker)
    assert ended.state is ExecutionState.DONE
    (row,) = ended.orders
    assert row.state.value == ("filled" if D(filled) >= 10 else "canceled")
    assert row.filled_qty == D(filled)
    assert f"{filled} of 10 filled" in row.reason or row.reason.startswith(
        f"{filled} filled where 10 was meant: its quantity was changed to {qty} at the broker"
    )
    assert holdings(ledger) == ({"CCC": D(filled)} if D(filled) else {})
    assert [severity for _, severity in findings(ledger, broker, over=True)] in ([], ["info"])
    tuesday = plan_of([order("t", "DDD", Side.BUY, "1")], session=TUESDAY, plan_id="t")
    broker.has_data = None
    assert run(ledger, broker, tuesday).counts == {"filled": 1}, "nothing of it holds the next session up"


def test_an_order_that_is_made_larger_after_it_had_filled_is_followed_on(ledger: Ledger) -> None:
    broker = resting(ledger)
    broker.fill("b", D(10), session=MONDAY)
    assert resume(ledger, broker).counts == {"filled": 1}
    at_broker(broker, qty=D(15), status=OrderStatus.PARTIALLY_FILLED)
    assert resume(ledger, broker).counts == {"partially_filled": 1}
    broker.fill("b", D(5), session=MONDAY)
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"filled": 1})
    assert holdings(ledger) == {"CCC": 15}


def test_a_first_leg_that_a_person_made_smaller_does_not_release_the_second(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "10")
    broker = model(ledger, positions={"AAA": D(10)})
    broker.has_data = set()
    short = PositionIntent.SELL_TO_OPEN
    second = order("x", "AAA", Side.SELL, "5", phase=2, intent=short, depends_on=["s"], leg=2)
    run(ledger, broker, plan_of([order("s", "AAA", Side.SELL, "10"), second], held={"AAA": "10"}))
    at_broker(broker, "s", qty=D(4))
    broker.fill("s", D(4), session=MONDAY)
    result = resume(ledger, broker)
    assert result.counts == {"canceled": 1, "dropped": 1}
    assert broker.book.attempts == ["s"]
    assert holdings(ledger) == {"AAA": 6}


def test_a_word_of_the_brokers_is_no_mark_of_ours(ledger: Ledger) -> None:
    broker = resting(ledger)
    at_broker(broker, status=OrderStatus.CANCELED, reason=f"{RETURNED} to sender")
    assert resume(ledger, broker).counts == {"canceled": 1}
    with ledger.read() as connection:
        assert marked(connection, ["b"], RETURNED) == {}
    assert findings(ledger, broker, over=True) == []


def test_an_order_under_our_id_that_the_broker_never_acknowledged_as_ours_is_not_followed(ledger: Ledger) -> None:
    broker = resting(ledger)
    at_broker(broker, qty=D(5), broker_order_id="b-other", status=OrderStatus.CANCELED)
    result = resume(ledger, broker)
    assert (result.counts, result.notes) == ({"working": 1}, ("CCC: the broker's order b has quantity 5, not 10.",))


def test_a_limit_that_a_person_has_changed_is_named_and_stops_nothing_once_the_order_has_ended(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.has_data = set()
    limited = order("b", "CCC", Side.BUY, "10", order_type=OrderType.LIMIT)._replace(limit_price=D(20))
    run(ledger, broker, plan_of([limited]))
    at_broker(broker, raw={"limit_price": "20.0"})
    assert findings(ledger, broker) == [("open_order", "working")]
    at_broker(broker, raw={"limit_price": "21.5"})
    assert findings(ledger, broker) == [("order_differs", "error"), ("open_order", "working")]
    broker.fill("b", D(10), session=MONDAY)
    assert resume(ledger, broker).counts == {"filled": 1}
    assert findings(ledger, broker, over=True) == [("order_differs", "info")]
    at_broker(broker, raw={"limit_price": "20"})
    assert findings(ledger, broker, over=True) == []


def test_terms_are_compared_with_those_of_the_very_order_that_the_broker_has_acknowledged(ledger: Ledger) -> None:
    resting(ledger)
    with ledger.read() as connection:
        intent = load(connection, "b")
    shown = BrokerOrder("b1", "b", "CCC", Side.BUY, D(9), D(0), None, OrderStatus.ACCEPTED, NOON, NOON)
    limited = replace(shown, raw={"limit_price": "19.5"})
    assert changed_terms(intent, limited) == "quantity 9, limit 19.5"
    assert changed_terms(intent, replace(limited, broker_order_id="b7")) == ""
    assert changed_terms(replace(intent, broker_order_id=None), limited) == ""


@pytest.mark.parametrize("filled", [D(0), D(4)], ids=["unfilled", "filled in part"])
def test_an_order_whose_instrument_was_renamed_at_the_broker_ends_as_it_ends_there(
    ledger: Ledger, filled: Decimal
) -> None:
    """Its own id says that it is ours: the new name would keep it, and all later sessions, open for good."""
    broker = resting(ledger)
    broker.prices = broker.prices | {"NEW": D(20)}
    at_broker(broker, symbol="NEW")
    if filled:
        broker.fill("b", filled, session=MONDAY)
    assert resume(ledger, broker).state is ExecutionState.WORKING
    at_broker(broker, status=OrderStatus.EXPIRED)
    ended = resume(ledger, broker)
    assert (ended.state, ended.counts) == (ExecutionState.DONE, {"expired": 1})
    assert any("has symbol NEW, not CCC" in note for note in ended.notes)
    assert holdings(ledger) == ({"NEW": filled} if filled else {})
    broker.has_data = None
    later = order("d", "DDD", Side.BUY, "10")
    assert run(ledger, broker, plan_of([later], session=TUESDAY, plan_id="q")).state is ExecutionState.DONE
