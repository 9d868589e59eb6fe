"""A run in an open session: it waits for its sales, for so long, and what it waited for is never more than a hint."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from scizor_dagster.brokers.protocol import BrokerOrder, OrderStatus, PositionIntent, Side, TimeInForce
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState, execute
from scizor_dagster.flow.waiting import OrderWait
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan
from tests.execution.model_broker import NOON, ModelBroker
from tests.execution.scenario import MONDAY, START, TUESDAY, D, adopt, model, order, plan_of, resume, run, settings

SELL = order("s", "AAA", Side.SELL, "5")
BUY = order("b", "CCC", Side.BUY, "10")
HOUR = timedelta(hours=1)


class Venue:
    """A real venue beside the run: it moves while the run waits, and at no other time."""

    def __init__(self, ledger: Ledger, *happenings: Callable[[ModelBroker], object]) -> None:
        adopt(ledger, "AAA", "5")
        self.broker = model(ledger, positions={"AAA": D(5)}, cash=D(250), buying_power=D(10_000))
        self.broker.has_data = set()
        self.broker.book.steps[MONDAY] = 1
        self.happenings = list(happenings)
        self.waits = 0
        self.now = START

    def wait(self) -> bool:
        """Until something has happened; False once nothing more will."""
        if not self.happenings:
            return False
        self.waits += 1
        self.now += HOUR
        self.happenings.pop(0)(self.broker)
        return True

    def run(self, ledger: Ledger, plan: Plan, **changes: Any) -> ExecutionResult:
        return execute(
            plan,
            ledger=ledger,
            broker=self.broker,
            account="paper",
            portfolio="main",
            clock=lambda: self.now,
            holder="tester",
            settings=settings(**({"starting_cash": D(0), "wait": self.wait} | changes)),
        )


def nothing(_: ModelBroker) -> None:
    """A wait that ends with no news: the interval is over, or the stream is dead."""


def fills(name: str, qty: str) -> Callable[[ModelBroker], object]:
    return lambda broker: broker.fill(name, D(qty), session=MONDAY)


def rebalance() -> Plan:
    return plan_of([SELL, BUY], held={"AAA": "5"})


def test_buys_go_out_as_soon_as_the_sales_have_filled(ledger: Ledger) -> None:
    venue = Venue(ledger, fills("s", "2"), nothing, fills("s", "3"), fills("b", "10"))
    result = venue.run(ledger, rebalance())
    assert (result.state, result.counts, result.factor) == (ExecutionState.DONE, {"filled": 2}, D(1))
    assert (venue.broker.book.attempts, venue.waits) == (["s", "b"], 4)


def test_what_has_not_filled_when_the_time_is_up_is_left_working_by_name(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing, fills("s", "2"))
    result = venue.run(ledger, rebalance())
    assert (result.state, result.counts) == (ExecutionState.WORKING, {"held": 1, "partially_filled": 1})
    assert (venue.broker.book.attempts, result.notes) == (["s"], ())
    venue.broker.fill("s", D(3), session=MONDAY)
    assert resume(ledger, venue.broker, starting_cash=D(0)).counts == {"filled": 1, "working": 1}


def test_a_wait_that_brings_no_news_changes_nothing_but_the_time(ledger: Ledger) -> None:
    venue = Venue(ledger, *[nothing] * 100, fills("s", "5"), *[nothing] * 5, fills("b", "10"))
    assert venue.run(ledger, rebalance()).counts == {"filled": 2}


def test_a_run_that_is_told_nothing_of_waiting_looks_once(ledger: Ledger) -> None:
    venue = Venue(ledger, fills("s", "5"))
    assert venue.run(ledger, rebalance(), wait=None).state is ExecutionState.WORKING
    assert venue.waits == 0


@pytest.mark.parametrize("step", [0, 3], ids=["before the open", "after the close"])
def test_nobody_waits_while_the_venue_is_closed(ledger: Ledger, step: int) -> None:
    venue = Venue(ledger, fills("s", "5"))
    venue.run(ledger, rebalance(), wait=None)
    venue.broker.book.steps[MONDAY] = step
    resume(ledger, venue.broker, starting_cash=D(0), wait=venue.wait)
    assert venue.waits == 0


def test_an_order_for_an_auction_is_not_waited_for(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing)
    plan = plan_of([SELL._replace(time_in_force=TimeInForce.CLS)], held={"AAA": "5"})
    assert venue.run(ledger, plan).counts == {"working": 1}
    assert venue.waits == 0


def test_orders_that_wait_for_a_person_are_not_waited_for(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing)
    venue.broker.submit_faults["s"] = ["timeout_after"]
    venue.broker.hidden = {"s"}
    assert venue.run(ledger, rebalance()).state is ExecutionState.FROZEN
    assert venue.waits == 0


def test_the_account_is_kept_however_long_a_run_waits_and_writes_nothing(ledger: Ledger) -> None:
    def another(_: ModelBroker) -> None:
        with ledger.read() as connection:
            expiries.append(connection.exec_driver_sql("SELECT expires_at FROM leases").scalar_one())

    expiries: list[str] = []
    venue = Venue(ledger, another, another, another)
    venue.run(ledger, rebalance())
    assert sorted(set(expiries)) == expiries


def test_sales_past_their_time_are_canceled_and_the_buys_go_with_the_cash_that_is_there(ledger: Ledger) -> None:
    venue = Venue(ledger, fills("s", "1.5"), nothing, fills("b", "7"))
    result = venue.run(ledger, rebalance(), sells_within=2 * HOUR, opens_at=lambda _: START)
    sell, buy = result.orders
    assert (sell.state.value, sell.filled_qty) == ("canceled", D("1.5"))
    assert (buy.final_qty, buy.state.value, result.state) == (D(7), "filled", ExecutionState.DONE)
    assert result.notes == ("Order s has rested for 120 minutes while buys waited for it; its cancel was asked for.",)
    assert venue.broker.book.attempts == ["s", "b"]


def test_a_fill_that_comes_after_the_cancel_counts(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing, nothing, fills("s", "5"), fills("b", "10"))
    result = venue.run(ledger, rebalance(), sells_within=2 * HOUR, opens_at=lambda _: START, starting_cash=D(250))
    assert (result.counts, venue.broker.book.positions["AAA"]) == ({"filled": 2}, 0)


def test_a_cancel_that_the_broker_has_not_confirmed_releases_nothing_and_is_asked_for_once(ledger: Ledger) -> None:
    venue = Venue(ledger, *[nothing] * 4)
    asked: list[str] = []
    venue.broker.cancel = asked.append  # type: ignore[method-assign, assignment]
    result = venue.run(ledger, rebalance(), sells_within=2 * HOUR, opens_at=lambda _: START)
    assert (result.counts, asked) == ({"held": 1, "working": 1}, ["s"])


def unanswered(_: str) -> None:
    raise BrokerUnavailable("The model does not answer.", remedy="Ask again.")


def test_a_cancel_that_does_not_arrive_releases_nothing_and_the_next_run_asks_again(ledger: Ledger) -> None:
    venue = Venue(ledger, fills("s", "1.5"), nothing)
    takes_cancels, venue.broker.cancel = venue.broker.cancel, unanswered  # type: ignore[method-assign]
    timed = {"sells_within": 2 * HOUR, "opens_at": lambda _: START}
    result = venue.run(ledger, rebalance(), **timed)
    assert (result.counts, venue.broker.book.attempts) == ({"held": 1, "partially_filled": 1}, ["s"])
    assert result.notes == (
        "The broker stopped answering: The model does not answer. Follow the orders when it is back.",
    )
    venue.broker.cancel = takes_cancels  # type: ignore[method-assign]
    venue.happenings = [fills("b", "7")]
    result = venue.run(ledger, rebalance(), **timed)
    assert (result.counts, venue.broker.book.attempts) == ({"canceled": 1, "filled": 1}, ["s", "b"])


def test_the_time_of_an_order_that_was_sent_before_the_open_counts_from_there(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing, nothing)
    result = venue.run(ledger, rebalance(), sells_within=2 * HOUR, opens_at=lambda _: START + HOUR)
    assert result.counts == {"held": 1, "working": 1}


@pytest.mark.parametrize(("waits", "state"), [(1, "working"), (2, "canceled")])
def test_the_time_of_an_order_counts_from_its_send_where_nobody_has_said_when_the_session_opens(
    ledger: Ledger, waits: int, state: str
) -> None:
    venue = Venue(ledger, *[nothing] * waits)
    result = venue.run(ledger, rebalance(), sells_within=2 * HOUR)
    assert result.orders[0].state.value == state


def test_sales_that_nothing_waits_for_keep_their_time(ledger: Ledger) -> None:
    venue = Venue(ledger, nothing, nothing, nothing)
    plan = plan_of([SELL], held={"AAA": "5"})
    assert venue.run(ledger, plan, sells_within=HOUR, opens_at=lambda _: START).counts == {"working": 1}


def test_the_second_leg_is_dropped_where_the_first_was_canceled_half_filled(ledger: Ledger) -> None:
    venue = Venue(ledger, fills("s", "2"), nothing)
    short = order("x", "AAA", Side.SELL, "3", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    plan = plan_of([SELL, short], held={"AAA": "5"})
    result = venue.run(ledger, plan, sells_within=2 * HOUR, opens_at=lambda _: START)
    assert (result.counts, venue.broker.book.attempts) == ({"canceled": 1, "dropped": 1}, ["s"])


def closes(broker: ModelBroker) -> None:
    broker.book.steps[MONDAY] = broker.steps - 1


def test_a_sale_that_only_its_own_second_leg_waits_for_keeps_its_time_until_the_close(ledger: Ledger) -> None:
    venue = Venue(ledger, closes, nothing, nothing)
    short = order("x", "AAA", Side.SELL, "3", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    plan = plan_of([SELL, short], held={"AAA": "5"})
    result = venue.run(ledger, plan, sells_within=3 * HOUR, opens_at=lambda _: START)
    # The release of the last moments has settled what the money allows: nothing is gained by taking the sale back.
    assert (result.counts, venue.waits) == ({"held": 1, "working": 1}, 3)


def left_over(ledger: Ledger) -> ModelBroker:
    """An order of Monday that still rests although its session is over."""
    broker = model(ledger)
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.book.steps[MONDAY] = broker.steps
    return broker


def tomorrow() -> Plan:
    return plan_of([order("d", "DDD", Side.BUY, "1")], session=TUESDAY, plan_id="q")


def test_an_order_that_outlives_its_session_is_canceled_before_anything_of_the_next_goes_out(ledger: Ledger) -> None:
    broker = left_over(ledger)
    result = run(ledger, broker, tomorrow())
    assert broker.book.attempts == ["b", "d"]
    assert [row.status for row in broker.book.orders] == [OrderStatus.CANCELED, OrderStatus.ACCEPTED]
    assert "2026-03-02 is over; the cancel of what still rests was asked for: b." in result.notes


def test_nothing_goes_out_while_the_cancel_of_an_order_of_an_earlier_session_is_not_confirmed(ledger: Ledger) -> None:
    broker = left_over(ledger)
    broker.cancel = lambda _: None  # type: ignore[method-assign]
    result = run(ledger, broker, tomorrow())
    assert (result.state, broker.book.attempts) == (ExecutionState.WORKING, ["b"])


def test_nothing_goes_out_where_the_cancel_of_what_has_outlived_its_session_does_not_arrive(ledger: Ledger) -> None:
    broker = left_over(ledger)
    takes_cancels, broker.cancel = broker.cancel, unanswered  # type: ignore[method-assign]
    result = run(ledger, broker, tomorrow())
    assert (result.state, broker.book.attempts) == (ExecutionState.WORKING, ["b"])
    assert result.notes[0] == "Whether the cancel of b was taken is not known: The model does not answer."
    broker.cancel = takes_cancels  # type: ignore[method-assign]
    run(ledger, broker, tomorrow())
    assert broker.book.attempts == ["b", "d"]


def test_what_fills_while_its_cancel_is_under_way_counts(ledger: Ledger) -> None:
    broker = left_over(ledger)
    broker.cancel = lambda name: broker.fill(name, D(10), session=MONDAY)  # type: ignore[method-assign]
    run(ledger, broker, tomorrow())
    assert [row.status for row in broker.book.orders] == [OrderStatus.FILLED, OrderStatus.ACCEPTED]
    assert resume(ledger, broker).counts == {"filled": 1}


def test_an_order_of_somebody_else_is_never_canceled(ledger: Ledger) -> None:
    broker = left_over(ledger)
    theirs = BrokerOrder("b9", "by-hand", "DDD", Side.SELL, D(1), D(0), None, OrderStatus.ACCEPTED, NOON, NOON)
    broker.book.orders.append(theirs)
    broker.book.requests.append(broker.book.requests[0])
    run(ledger, broker, tomorrow())
    assert broker.book.orders[1] == theirs


class Seconds:
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        self.at = 100.0
        self.asked: list[float] = []

    def __call__(self) -> float:
        return self.at

    def news(self, seconds: float) -> None:
        self.asked.append(seconds)
        self.at += seconds


def test_a_wait_is_cut_into_looks_and_ends_with_the_time_of_the_run() -> None:
    seconds = Seconds()
    wait = OrderWait(12, 5, seconds.news, seconds)
    answers = [wait() for _ in range(5)]
    assert (answers, seconds.asked) == ([True, True, True, False, False], [5, 5, 2])


def test_news_shorten_a_wait_and_not_the_time_of_the_run() -> None:
    seconds = Seconds()
    wait = OrderWait(2, 5, lambda _: seconds.news(0.5), seconds)
    assert [wait() for _ in range(5)] == [True, True, True, True, False]
    assert seconds.at == 102
