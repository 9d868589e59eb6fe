"""ACTIVE, REDUCING, HALTED: which row is in force, and that it is obeyed between any two orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder, OrderRequest, OrderStatus, PositionIntent, Side
from scizor_dagster.errors import BrokerUnavailable, LedgerError, OrderRejected
from scizor_dagster.execution.cancelling import at_broker
from scizor_dagster.execution.executor import CancelReport, ExecutionState, cancel_open
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import risk_events, trading_states
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.held_back import held_back
from scizor_dagster.risk.trading_state import FREE, TradingState, set_state, standing, states_of
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    START,
    TUESDAY,
    D,
    adopt,
    clock,
    fresh_copy,
    full_plan,
    model,
    order,
    plan_of,
    resume,
    run,
    settings,
)

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def _set(ledger: Ledger, state: TradingState, portfolio: str | None = "main", **changes: Any) -> bool:
    values: dict[str, Any] = {"reason": "a test", "actor": "ann", "now": START}
    with ledger.transaction() as connection:
        return set_state(connection, "paper", portfolio, state, **(values | changes))


def _state(ledger: Ledger, portfolio: str = "main", now: datetime = START) -> TradingState:
    with ledger.read() as connection:
        return standing(connection, "paper", portfolio, now).state


class HaltingBroker:
    """A model broker during whose submit number `at` (from 1) a person sets a state."""

    def __init__(self, broker: ModelBroker, ledger: Ledger, at: int, state: TradingState) -> None:
        self._broker, self._ledger, self._at, self._state = broker, ledger, at, state
        self.submitted: list[OrderRequest] = []

    def submit(self, request: OrderRequest) -> BrokerOrder:
        self.submitted.append(request)
        answer = self._broker.submit(request)
        if len(self.submitted) == self._at:
            _set(self._ledger, self._state)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def test_without_a_row_everything_is_active(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert standing(connection, "paper", "main", START) == FREE


def test_the_newest_row_counts_and_the_stricter_of_account_and_portfolio_wins(ledger: Ledger) -> None:
    _set(ledger, HALTED)
    _set(ledger, REDUCING)
    assert (_state(ledger), _state(ledger, "other")) == (REDUCING, ACTIVE)
    _set(ledger, HALTED, portfolio=None)
    assert (_state(ledger), _state(ledger, "other")) == (HALTED, HALTED)
    _set(ledger, ACTIVE)
    assert _state(ledger) == HALTED
    _set(ledger, REDUCING)
    _set(ledger, ACTIVE, portfolio=None)
    assert (_state(ledger), _state(ledger, "other")) == (REDUCING, ACTIVE)


def test_a_state_ends_at_its_expiry_and_not_before(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    _set(ledger, HALTED, until=until)
    assert _state(ledger, now=until - timedelta(seconds=1)) == HALTED
    assert _state(ledger, now=until) == ACTIVE


def test_a_state_that_expires_uncovers_the_one_beneath_it(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    _set(ledger, HALTED)
    _set(ledger, REDUCING, until=until)
    assert (_state(ledger), _state(ledger, now=until)) == (REDUCING, HALTED)


def test_what_a_person_sets_for_a_while_neither_lifts_nor_hides_a_loss_stop(ledger: Ledger) -> None:
    until = START + timedelta(hours=1)
    _set(ledger, REDUCING, cause="max_day_loss")
    _set(ledger, HALTED, until=until)
    assert (_state(ledger), _state(ledger, now=until)) == (HALTED, REDUCING)
    _set(ledger, REDUCING, cause="max_drawdown")
    assert _state(ledger) == HALTED, "what the machine sets loosens nothing"
    _set(ledger, ACTIVE)
    assert _state(ledger) == ACTIVE


def test_open_orders_are_canceled_where_any_state_in_force_asks_for_it(ledger: Ledger) -> None:
    _set(ledger, HALTED, portfolio=None, cancel_open=True)
    _set(ledger, HALTED)
    with ledger.read() as connection:
        assert standing(connection, "paper", "main", START).cancel_open


def test_a_state_without_a_reason_or_with_a_past_expiry_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    for wrong in ({"reason": " "}, {"until": START}):
        with pytest.raises(LedgerError):
            _set(ledger, HALTED, **wrong)
    with ledger.read() as connection:
        assert states_of(connection, "paper") == []


def test_rows_are_only_added_and_stand_in_the_chain_of_events(ledger: Ledger) -> None:
    assert _set(ledger, HALTED, cause="c")
    assert not _set(ledger, HALTED, cause="c"), "the same finding is one row"
    assert _set(ledger, ACTIVE)
    assert not _set(ledger, HALTED, cause="c"), "and does not undo what a person has resumed since"
    with ledger.read() as connection:
        assert [row.state for row in states_of(connection, "paper")] == [HALTED, ACTIVE]
        assert set(connection.execute(sa.select(trading_states.c.number)).scalars()) == {1, 2}
        assert verify_chain(connection) == []


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
        _set(ledger, ACTIVE)
        broker.has_data = None
        assert run(ledger, broker, plan).state is ExecutionState.DONE
        assert broker.sent() == expected.sent()
        ledger.close()


def test_a_halt_of_the_account_holds_every_portfolio_and_says_how_to_go_on(ledger: Ledger) -> None:
    _set(ledger, HALTED, portfolio=None, reason="the feed is wrong")
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
    _set(ledger, HALTED)
    assert resume(ledger, broker).state is ExecutionState.FROZEN
    assert broker.book.attempts == ["b"]
    _set(ledger, ACTIVE)
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert broker.book.attempts == ["b", "b"]


def _resting(ledger: Ledger) -> ModelBroker:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)})
    broker.has_data = set()
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "1")], held={"AAA": "5"})
    assert run(ledger, broker, plan).counts == {"held": 1, "working": 1}
    return broker


def _cancel(ledger: Ledger, broker: Any) -> CancelReport:
    return cancel_open(
        ledger=ledger,
        broker=broker,
        account="paper",
        portfolio="main",
        clock=clock,
        holder="tester",
        settings=settings(),
    )


def test_a_halt_that_asks_for_it_cancels_own_open_orders_and_none_of_others(ledger: Ledger) -> None:
    broker = _resting(ledger)
    foreign = OrderRequest(
        **{name: getattr(broker.book.requests[0], name) for name in OrderRequest.__dataclass_fields__}
        | {"client_order_id": "by hand"}
    )
    broker.committed = None
    broker.submit(foreign)
    assert _cancel(ledger, broker) == CancelReport(), "nothing is canceled while no state asks for it"
    _set(ledger, HALTED, cancel_open=True)
    assert _cancel(ledger, broker) == CancelReport(("s",))
    assert {row.client_order_id: row.status.value for row in broker.book.orders} == {
        "s": "canceled",
        "by hand": "accepted",
    }
    assert resume(ledger, broker).counts == {"canceled": 1, "ready": 1}
    assert broker.book.attempts == ["s", "by hand"]


def test_reducing_cancels_no_order_that_closes(ledger: Ledger) -> None:
    broker = _resting(ledger)
    _set(ledger, REDUCING, cancel_open=True)
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
    _set(ledger, HALTED, cancel_open=True)
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
    _set(ledger, HALTED, cancel_open=True)
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
    _set(ledger, state, cancel_open=True)
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
    _set(ledger, HALTED, cancel_open=True)
    report = _cancel(ledger, StubbornBroker(broker, answer))
    assert [(left.client_order_id, left.why) for left in report.left] == [("s", why)]
    assert report.canceled == ()


def test_an_order_that_filled_before_its_cancel_arrived_is_neither_canceled_nor_open(ledger: Ledger) -> None:
    broker = _resting(ledger)
    _set(ledger, HALTED, cancel_open=True)
    broker.fill("s", D(5), session=MONDAY)
    taken = StubbornBroker(broker, None)
    assert _cancel(ledger, taken) == CancelReport()
    assert resume(ledger, broker).counts == {"filled": 1, "ready": 1}


def test_a_broker_that_stops_answering_after_the_cancels_leaves_them_unconfirmed(ledger: Ledger) -> None:
    broker = _resting(ledger)
    _set(ledger, HALTED, cancel_open=True)
    broker.read_faults = 99
    (left,) = _cancel(ledger, broker).left
    assert left.why == "its cancel was asked for, and the broker has not confirmed it"
    broker.read_faults = 0
    assert resume(ledger, broker).counts == {"canceled": 1, "ready": 1}


def test_a_run_that_goes_on_cancels_what_a_halt_asks_for_before_the_venue_moves(ledger: Ledger) -> None:
    broker = _resting(ledger)
    _set(ledger, HALTED, cancel_open=True)
    broker.has_data = None
    result = resume(ledger, broker)
    assert (result.state, result.counts) == (ExecutionState.DONE, {"canceled": 1, "expired": 1})
    assert broker.book.positions == {"AAA": D(5)}


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
    _set(ledger, ACTIVE, now=START + timedelta(minutes=1))
    broker.has_data = None
    assert run(ledger, broker, again, **limit).counts == {"filled": 2}


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
    _set(ledger, HALTED)
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
    _set(ledger, HALTED)
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    _set(ledger, ACTIVE)
    broker.has_data = None
    assert resume(ledger, broker).counts == {"filled": 1}
    assert _held(ledger) == []


def test_an_order_that_was_lost_and_never_waited_was_not_held_back(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(0))
    broker.submit_faults["s"] = ["reject"]
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), order("b", "CCC", Side.BUY, "7")], held={"AAA": "5"})
    result = run(ledger, broker, plan, starting_cash=D(0))
    assert {row.client_order_id: row.state.value for row in result.orders} == {"s": "rejected", "b": "dropped"}
    assert _held(ledger) == []


def test_a_halt_in_one_session_does_not_keep_a_later_one_from_being_traded_once_resumed(ledger: Ledger) -> None:
    broker = model(ledger)
    _set(ledger, HALTED)
    run(ledger, broker, plan_of([order("b", "CCC", Side.BUY, "1")]))
    _set(ledger, ACTIVE)
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
    found = {row.client_order_id: row.checked["max_notional_per_order"] for row in rows}
    assert found == {"a": ("40", "500"), "b": ("3000", "500")}
