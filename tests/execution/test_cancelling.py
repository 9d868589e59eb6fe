"""Orders that a halt takes back: which are canceled, and what is said of those that may still be open."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import OrderRequest, OrderStatus, Side
from scizor_dagster.errors import BrokerUnavailable, OrderRejected
from scizor_dagster.execution.cancelling import StillOpen, at_broker, left_open
from scizor_dagster.execution.executor import CancelReport, ExecutionState, cancel_open
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState
from tests.execution.halting import HALTED, REDUCING, put
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, D, adopt, model, order, parts, plan_of, resume, run


def _resting(ledger: Ledger) -> ModelBroker:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    broker.has_data = set()
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "1")], held={"AAA": "5"})
    assert run(ledger, broker, plan).counts == {"held": 1, "working": 1}
    return broker


def _cancel(ledger: Ledger, broker: Any) -> CancelReport:
    return cancel_open(**parts(ledger, broker))


def test_a_halt_that_asks_for_it_cancels_own_open_orders_and_none_of_others(ledger: Ledger) -> None:
    broker = _resting(ledger)
    foreign = OrderRequest(
        **{name: getattr(broker.book.requests[0], name) for name in OrderRequest.__dataclass_fields__}
        | {"client_order_id": "by hand"}
    )
    broker.committed = None
    broker.submit(foreign)
    assert _cancel(ledger, broker) == CancelReport(), "nothing is canceled while no state asks for it"
    put(ledger, HALTED, cancel_open=True)
    assert _cancel(ledger, broker) == CancelReport(("s",))
    assert {row.client_order_id: row.status.value for row in broker.book.orders} == {
        "s": "canceled",
        "by hand": "accepted",
    }
    assert resume(ledger, broker).counts == {"canceled": 1, "ready": 1}
    assert broker.book.attempts == ["s", "by hand"]


def test_reducing_cancels_no_order_that_closes(ledger: Ledger) -> None:
    broker = _resting(ledger)
    put(ledger, REDUCING, cancel_open=True)
    assert _cancel(ledger, broker) == CancelReport()
    broker.has_data = None
    assert resume(ledger, broker).counts == {"expired": 1, "filled": 1}
    assert broker.book.positions["AAA"] == 0


def _doubtful(ledger: Ledger, fault: str, unique: bool = True) -> ModelBroker:
    """A sale that was sent and of which nothing is known."""
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, unique=unique)
    broker.has_data = set()
    broker.submit_faults["s"] = [fault]
    broker.hidden = {"s"}
    result = run(ledger, broker, plan_of([order("s", "AAA", Side.SELL, "5")], held={"AAA": "5"}))
    assert result.counts == {"unknown": 1}
    broker.hidden = set()
    return broker


def test_a_halt_finds_an_order_of_unknown_outcome_and_cancels_it(ledger: Ledger) -> None:
    broker = _doubtful(ledger, "timeout_after")
    put(ledger, HALTED, cancel_open=True)
    assert _cancel(ledger, broker) == CancelReport(("s",))
    assert [row.status.value for row in broker.book.orders] == ["canceled"]
    assert resume(ledger, broker).counts == {"canceled": 1}


def test_a_halt_cancels_an_order_of_a_status_that_nobody_knew_once_the_broker_shows_a_known_one(
    ledger: Ledger,
) -> None:
    broker = _resting(ledger)
    whole = broker.book.orders[0]
    broker.book.orders[0] = replace(whole, status=OrderStatus.UNKNOWN, reason="held for audit")
    assert resume(ledger, broker).counts == {"held": 1, "unknown": 1}
    broker.book.orders[0] = whole
    put(ledger, HALTED, cancel_open=True)
    assert _cancel(ledger, broker) == CancelReport(("s",))


def test_an_order_in_flight_counts_among_those_that_a_halt_leaves_at_the_broker(ledger: Ledger) -> None:
    _doubtful(ledger, "lost")
    with ledger.read() as connection:
        (left,) = at_broker(connection, "paper", None, HALTED)
        assert at_broker(connection, "paper", "main", HALTED) == [left]
        assert at_broker(connection, "paper", "another", HALTED) == []
        assert at_broker(connection, "paper", None, REDUCING) == [], "it closes, which REDUCING lets through"
    assert (left.client_order_id, left.state.value) == ("s", "unknown")


@pytest.mark.parametrize("state", [HALTED, REDUCING])
@pytest.mark.parametrize("unique", [True, False])
def test_an_order_that_stays_unknown_under_a_halt_is_named_and_never_sent_again(
    ledger: Ledger, state: TradingState, unique: bool
) -> None:
    broker = _doubtful(ledger, "lost", unique=unique)
    put(ledger, state, cancel_open=True)
    report = _cancel(ledger, broker)
    assert broker.book.attempts == ["s"]
    if state is REDUCING:
        assert report == CancelReport(), "a sale is not taken back while closing is allowed"
        return
    (left,) = report.left
    assert (left.client_order_id, left.symbol, left.side, left.qty) == ("s", "AAA", Side.SELL, D(5))
    assert "its outcome is unknown: the broker does not list it" in left.why
    broker.find_faults = 9
    (unread,) = _cancel(ledger, broker).left
    assert "it could not be looked up" in unread.why


class StubbornBroker:
    """A model broker that answers a cancel as it is told."""

    def __init__(self, broker: ModelBroker, answer: Exception | None) -> None:
        self._broker, self._answer = broker, answer

    def cancel(self, client_order_id: str) -> None:
        if self._answer is not None:
            raise self._answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OrderRejected("s", "1", "too late"), "the broker refused its cancel: too late"),
        (BrokerUnavailable("No line.", remedy="Wait."), "the broker did not take its cancel: No line."),
        (None, "its cancel was asked for, and the broker has not confirmed it"),
    ],
)
def test_an_order_that_could_not_be_canceled_is_named_with_the_reason(
    ledger: Ledger, answer: Exception | None, why: str
) -> None:
    broker = _resting(ledger)
    put(ledger, HALTED, cancel_open=True)
    report = _cancel(ledger, StubbornBroker(broker, answer))
    assert [(left.client_order_id, left.why) for left in report.left] == [("s", why)]
    assert report.canceled == ()


def test_an_order_that_filled_before_its_cancel_arrived_is_neither_canceled_nor_open(ledger: Ledger) -> None:
    broker = _resting(ledger)
    put(ledger, HALTED, cancel_open=True)
    broker.fill("s", D(5), session=MONDAY)
    taken = StubbornBroker(broker, None)
    assert _cancel(ledger, taken) == CancelReport()
    assert resume(ledger, broker).counts == {"filled": 1, "ready": 1}


def test_a_broker_that_stops_answering_after_the_cancels_leaves_them_unconfirmed(ledger: Ledger) -> None:
    broker = _resting(ledger)
    put(ledger, HALTED, cancel_open=True)
    broker.read_faults = 99
    (left,) = _cancel(ledger, broker).left
    assert left.why == "its cancel was asked for, and the broker has not confirmed it"
    broker.read_faults = 0
    assert resume(ledger, broker).counts == {"canceled": 1, "ready": 1}


@pytest.mark.parametrize("until", [None, START + timedelta(hours=1)], ids=["for good", "for an hour"])
def test_a_run_that_goes_on_cancels_what_a_halt_asks_for_before_the_venue_moves(
    ledger: Ledger, until: datetime | None
) -> None:
    broker = _resting(ledger)
    put(ledger, HALTED, cancel_open=True, until=until)
    broker.has_data = None
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"canceled": 1, "expired": 1})
    assert broker.book.positions == {"AAA": D(5)}


def test_of_an_order_that_has_filled_in_part_the_rest_is_open_with_its_own_reason_or_the_common_one(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([order("a", "CCC", Side.BUY, "10"), order("b", "DDD", Side.BUY, "2")]))
    broker.fill("a", D(4), session=MONDAY)
    resume(ledger, broker)
    with ledger.read() as connection:
        rows = intents_of(connection, batches_of(connection, "paper", "main")[0].batch_id)
    assert left_open(rows, {"a": "it was filling"}, "a run holds the account") == (
        StillOpen("a", "main", "CCC", Side.BUY, D(6), "it was filling"),
        StillOpen("b", "main", "DDD", Side.BUY, D(2), "a run holds the account"),
    )
