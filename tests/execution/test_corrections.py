"""Executions that the broker corrects or takes back: counted once, told to a person, and never a reason to send."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderStatus, PositionIntent, Side
from scizor_dagster.execution.corrections import REVERSED
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import cash_flow, fills_of, last_prices, owned
from scizor_dagster.ledger.known import restated_sessions
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events, trades
from scizor_dagster.ledger.verification import verify
from scizor_dagster.reconciliation.fills import fill_breaks
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.orders import order_breaks
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.locks import lift, locks_of
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import MONDAY, START, TUESDAY, D, adopt, model, order, plan_of, resume, run

BUY = order("b", "CCC", Side.BUY, "10")
NUMBERED = pytest.mark.parametrize("numbered", [True, False], ids=["numbered", "dropped"])


def holdings(ledger: Ledger) -> dict[str, Decimal]:
    with ledger.read() as connection:
        return owned(connection, "paper", "main")


def cash(ledger: Ledger) -> Decimal:
    with ledger.read() as connection:
        return cash_flow(connection, "paper", "main")


def versions(ledger: Ledger, fill_id: str = "f1") -> list[tuple[int, Decimal, Decimal]]:
    """Every row of the execution: version, quantity, price."""
    wanted = sa.select(trades.c.version, trades.c.qty, trades.c.price).where(trades.c.fill_id == fill_id)
    with ledger.read() as connection:
        return [(row.version, row.qty, row.price) for row in connection.execute(wanted.order_by(trades.c.version))]


def agree(ledger: Ledger, broker: ModelBroker) -> bool:
    """Whether executions and orders are the same on both sides."""
    ours, theirs = read_sides(ledger, broker, account="paper", portfolio="main", session=MONDAY)
    return not [*fill_breaks(ours, theirs, "main"), *order_breaks(ours, theirs, session_over=True)]


def filled(ledger: Ledger) -> ModelBroker:
    broker = model(ledger)
    assert run(ledger, broker, plan_of([BUY])).counts == {"filled": 1}
    return broker


@NUMBERED
def test_a_correction_supersedes_and_what_was_said_first_stays_visible(ledger: Ledger, numbered: bool) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(10), price=D("19.5"), numbered=numbered)
    result = resume(ledger, broker)
    assert versions(ledger) == [(1, D(10), D(20)), (2, D(10), D("19.5"))]
    assert (holdings(ledger), cash(ledger)) == ({"CCC": D(10)}, D("-195.10"))
    assert (result.state, result.orders[0].average_price) == (ExecutionState.DONE, D("19.5"))
    assert result.notes == (
        "CCC: the broker corrected execution f1 of b, recorded as buy 10 at 20; it is buy 10 at 19.5 now.",
    )
    assert agree(ledger, broker)
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert locks_of(connection, "paper", "main") == []
        assert last_prices(connection, "paper", ["CCC"]) == {"CCC": D("19.5")}


@NUMBERED
def test_a_bust_takes_the_execution_away_and_the_order_is_filled_no_more(ledger: Ledger, numbered: bool) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0), numbered=numbered)
    result = resume(ledger, broker)
    assert versions(ledger) == [(1, D(10), D(20)), (2, D(0), D(20))]
    assert (holdings(ledger), cash(ledger)) == ({}, D("-0.10") if numbered else D(0))
    (row,) = result.orders
    assert (result.state, row.state.value, row.filled_qty) == (ExecutionState.DONE, "canceled", 0)
    assert row.reason == "0 of 10 filled: the broker has taken executions back"
    assert agree(ledger, broker)
    assert broker.book.attempts == ["b"]
    with ledger.read() as connection:
        assert last_prices(connection, "paper", ["CCC"]) == {}


def test_a_person_is_told_of_a_bust_and_the_instrument_opens_no_more_until_one_has_looked(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0))
    notes = resume(ledger, broker).notes
    assert notes == (
        "CCC: the broker took back execution f1 of b, recorded as buy 10 at 20.",
        "Portfolio 'main' opens nothing in CCC until 2026-03-09. Compare with the broker's statement, then see: "
        "scizor risk locks --portfolio main.",
    )
    with ledger.read() as connection:
        (lock,) = locks_of(connection, "paper", "main", TUESDAY)
        rows = [(row.limit, row.value, row.threshold) for row in risk_events_of(connection, "paper")]
    assert (lock.symbol, lock.kind) == ("CCC", REVERSED)
    assert rows == [(REVERSED, "f1: buy 0 at 20", "as it was recorded")]
    again = plan_of([order("b2", "CCC", Side.BUY, "10")], session=TUESDAY, plan_id="q")
    broker.has_data = {MONDAY}
    result = run(ledger, broker, again)
    assert (result.counts, broker.book.attempts) == ({"ready": 1}, ["b"])


def test_a_second_bust_locks_the_instrument_again_after_a_person_has_lifted_the_lock_of_the_first(
    ledger: Ledger,
) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY, order("b-2", "CCC", Side.BUY, "10", slice_=2)]))
    broker.restate("f1", qty=D(0))
    resume(ledger, broker)
    with ledger.transaction() as connection:
        (lock,) = locks_of(connection, "paper", "main", MONDAY)
        lift(connection, lock.lock_id, actor="jo", reason="the statement says so too", now=START)
    resume(ledger, broker)
    with ledger.read() as connection:
        assert locks_of(connection, "paper", "main", MONDAY) == []
    broker.restate("f2", qty=D(0))
    resume(ledger, broker)
    with ledger.read() as connection:
        (lock,) = locks_of(connection, "paper", "main", MONDAY)
        assert len(risk_events_of(connection, "paper")) == 2
        assert verify(connection) == []
    assert "an execution of b-2" in lock.reason


def test_a_bust_that_shows_in_a_look_at_an_old_session_locks_from_the_newest_one_on(ledger: Ledger) -> None:
    broker = model(ledger, unique=False)
    broker.submit_faults["d"] = ["lost"]
    broker.absent_looks = 99
    run(ledger, broker, plan_of([BUY, order("d", "DDD", Side.BUY, "10")]))
    later = MONDAY + timedelta(days=14)
    run(ledger, broker, plan_of([order("a", "AAA", Side.BUY, "1")], session=later, plan_id="q"))
    broker.restate("f1", qty=D(0))
    resume(ledger, broker, later)
    with ledger.read() as connection:
        (lock,) = locks_of(connection, "paper", "main", later)
    assert (lock.symbol, lock.from_session) == ("CCC", later)


def test_a_bust_is_recorded_once_however_often_it_is_read(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0))
    for _ in range(3):
        resume(ledger, broker)
    assert len(versions(ledger)) == 2
    with ledger.read() as connection:
        kinds = connection.execute(sa.select(events.c.kind).where(events.c.kind.like("fill%"))).scalars().all()
        assert (kinds, len(locks_of(connection, "paper", "main"))) == (["fill", "fill_busted"], 1)


@NUMBERED
def test_what_is_restated_after_a_bust_completes_the_order_again(ledger: Ledger, numbered: bool) -> None:
    broker = filled(ledger)
    whole = broker.book.fills[0]
    broker.restate("f1", qty=D(0), numbered=numbered)
    resume(ledger, broker)
    broker.book.fills[:] = [replace(whole, revision=3 if numbered else 1)]
    broker.book.orders[0] = replace(broker.book.orders[0], filled_qty=D(10))
    result = resume(ledger, broker)
    assert (result.counts, holdings(ledger)) == ({"filled": 1}, {"CCC": D(10)})
    assert [qty for _, qty, _ in versions(ledger)] == [10, 0, 10]


def test_an_older_revision_that_comes_late_changes_nothing(ledger: Ledger) -> None:
    broker = filled(ledger)
    first = broker.book.fills[0]
    broker.restate("f1", qty=D(6))
    resume(ledger, broker)
    broker.book.fills[:] = [first, broker.book.fills[0], first]
    resume(ledger, broker)
    broker.book.fills[:] = [first]
    result = resume(ledger, broker)
    assert [qty for _, qty, _ in versions(ledger)] == [10, 6]
    assert (result.counts, result.orders[0].filled_qty) == ({"canceled": 1}, 6)


@NUMBERED
def test_a_bust_of_an_execution_that_was_never_seen_ends_at_the_same_truth(ledger: Ledger, numbered: bool) -> None:
    broker = model(ledger)
    broker.withheld_fills = {"f1"}
    assert run(ledger, broker, plan_of([BUY])).counts == {"working": 1}
    broker.restate("f1", qty=D(0), numbered=numbered)
    broker.withheld_fills = set()
    result = resume(ledger, broker)
    assert (result.state, result.counts, holdings(ledger)) == (ExecutionState.DONE, {"canceled": 1}, {})
    assert agree(ledger, broker)


def test_a_list_without_an_execution_takes_it_back_only_where_the_order_agrees(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.withheld_fills = {"f1"}
    assert resume(ledger, broker).counts == {"filled": 1}
    assert holdings(ledger) == {"CCC": D(10)}


def test_one_look_at_a_shorter_list_takes_nothing_back(ledger: Ledger) -> None:
    broker = filled(ledger)
    now = (broker.fills, broker.orders)
    looks = [0]

    def of_before(kind: int) -> Any:
        def answer(*sessions: Any) -> Any:
            looks[0] += 1
            rows = now[kind](*sessions)
            old = looks[0] <= 2
            return [replace(row, filled_qty=D(0)) for row in rows] if old and kind else [] if old else rows

        return answer

    broker.fills, broker.orders = of_before(0), of_before(1)  # type: ignore[method-assign]
    assert resume(ledger, broker).counts == {"filled": 1}
    assert (len(versions(ledger)), looks[0] > 2) == (1, True)


def test_an_order_whose_fill_was_taken_back_is_open_again_where_the_broker_shows_it_open(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0))
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.ACCEPTED)
    broker.book.steps[MONDAY] = 0
    broker.has_data = set()
    assert resume(ledger, broker).counts == {"working": 1}
    broker.has_data = None
    result = resume(ledger, broker)
    assert (result.state, result.counts, holdings(ledger)) == (ExecutionState.DONE, {"filled": 1}, {"CCC": D(10)})


def test_an_order_of_whose_fill_less_than_a_share_stands_is_filled_in_part_while_the_broker_shows_it_open(
    ledger: Ledger,
) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D("0.5"))
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.PARTIALLY_FILLED)
    broker.book.steps[MONDAY] = 0
    broker.has_data = set()
    result = resume(ledger, broker)
    assert (result.counts, result.orders[0].filled_qty) == ({"partially_filled": 1}, D("0.5"))


def test_a_partial_fill_that_is_taken_back_leaves_the_order_working(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.fill_plan = {"CCC": [D("0.5")]}
    broker.steps = 2
    broker.has_data = set()
    run(ledger, broker, plan_of([BUY]))
    broker.fill("b", D(5), session=MONDAY)
    assert resume(ledger, broker).counts == {"partially_filled": 1}
    broker.restate("f1", qty=D(0))
    broker.book.orders[0] = replace(broker.book.orders[0], status=OrderStatus.ACCEPTED)
    result = resume(ledger, broker)
    assert (result.counts, result.orders[0].filled_qty) == ({"working": 1}, 0)


def crossing(ledger: Ledger) -> tuple[ModelBroker, Any]:
    adopt(ledger, "BBB", "10")
    broker = model(ledger, positions={"BBB": D(10)})
    short = order("x", "BBB", Side.SELL, "6", phase=2, intent=PositionIntent.SELL_TO_OPEN, depends_on=["s"], leg=2)
    return broker, plan_of([order("s", "BBB", Side.SELL, "10"), short], held={"BBB": "10"})


def test_a_second_leg_is_never_sent_once_the_first_was_taken_back(ledger: Ledger) -> None:
    broker, plan = crossing(ledger)
    broker.has_data = set()
    run(ledger, broker, plan)
    broker.fill("s", D(10), session=MONDAY)
    broker.restate("f1", qty=D(0))
    result = resume(ledger, broker)
    assert (result.counts, broker.book.attempts) == ({"canceled": 1, "dropped": 1}, ["s"])
    assert result.orders[1].reason == "order s before it ended canceled with 0 filled"
    assert holdings(ledger) == {"BBB": D(10)}


def test_a_second_leg_that_was_ready_is_dropped_when_the_first_is_taken_back(ledger: Ledger) -> None:
    broker, plan = crossing(ledger)
    broker.has_data = set()
    run(ledger, broker, plan, max_orders_per_minute=D(1))
    broker.fill("s", D(10), session=MONDAY)
    assert resume(ledger, broker, max_orders_per_minute=D(1)).counts == {"filled": 1, "ready": 1}
    broker.restate("f1", qty=D(0))
    result = resume(ledger, broker, max_orders_per_minute=D(1))
    assert (result.counts, broker.book.attempts) == ({"canceled": 1, "dropped": 1}, ["s"])


def test_money_of_a_sale_that_was_taken_back_releases_no_buy(ledger: Ledger) -> None:
    adopt(ledger, "AAA", "5")
    broker = model(ledger, positions={"AAA": D(5)}, cash=D(1000))
    broker.has_data = set()
    plan = plan_of([order("s", "AAA", Side.SELL, "5"), BUY], held={"AAA": "5"})
    run(ledger, broker, plan, starting_cash=D(0))
    broker.fill("s", D(5), session=MONDAY)
    broker.restate("f1", qty=D(0))
    result = resume(ledger, broker, starting_cash=D(0))
    assert (result.factor, result.counts, broker.book.attempts) == (D(0), {"canceled": 1, "dropped": 1}, ["s"])


def test_a_bust_of_somebody_elses_execution_locks_no_portfolio(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.book.fills.append(replace(broker.book.fills[0], fill_id="x1", client_order_id="by-hand", symbol="AAA"))
    resume(ledger, broker)
    broker.book.fills[1] = replace(broker.book.fills[1], qty=D(0), revision=2)
    result = resume(ledger, broker)
    assert result.notes == ("AAA: the broker took back execution x1 of by-hand, recorded as buy 10 at 20.",)
    with ledger.read() as connection:
        assert locks_of(connection, "paper", "main") == []
        assert [fill.qty for fill in fills_of(connection, "paper")] == [10, 0]


def test_a_commission_that_is_corrected_counts_and_is_no_news_to_a_person(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.book.fills[0] = replace(broker.book.fills[0], fee=D("1.35"))
    result = resume(ledger, broker)
    assert (cash(ledger), result.notes) == (D("-201.35"), ())


def test_a_bust_of_an_earlier_session_is_seen_when_a_later_one_is_looked_at(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0))
    resume(ledger, broker, TUESDAY)
    assert (holdings(ledger), versions(ledger)[-1][1]) == ({}, 0)
    with ledger.read() as connection:
        (lock,) = locks_of(connection, "paper", "main")
    assert lock.from_session == TUESDAY
    assert agree(ledger, broker)


def test_a_bust_of_the_last_session_that_was_traded_is_seen_however_much_later_the_next_look_is(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(0))
    weeks_later = MONDAY + timedelta(days=21)
    assert any("took back execution f1" in note for note in resume(ledger, broker, weeks_later).notes)
    assert holdings(ledger) == {}


def test_an_order_that_is_listed_with_no_more_than_what_stands_of_it_is_the_order_that_was_sent(ledger: Ledger) -> None:
    broker = filled(ledger)
    broker.restate("f1", qty=D(6), numbered=False)
    # IBKR keeps no other quantity of an order that is over than the sum of its executions.
    broker.book.orders[0] = replace(broker.book.orders[0], qty=D(6))
    result = resume(ledger, broker)
    assert (result.counts, result.orders[0].filled_qty, holdings(ledger)) == ({"canceled": 1}, 6, {"CCC": D(6)})
    assert not [note for note in result.notes if "has quantity" in note]
    assert agree(ledger, broker)


def test_the_sessions_whose_executions_were_restated_are_known_from_when_they_were(ledger: Ledger) -> None:
    broker = filled(ledger)

    def restated(since: datetime) -> set[date]:
        with ledger.read() as connection:
            assert restated_sessions(connection, "paper", "other", since) == set()
            return restated_sessions(connection, "paper", "main", since)

    assert restated(START) == set()
    broker.restate("f1", qty=D(6))
    resume(ledger, broker, TUESDAY)
    assert restated(START) == {MONDAY}
    assert restated(START + timedelta(seconds=1)) == set()


def test_a_list_that_has_dropped_one_execution_and_still_shows_another_takes_back_the_one(ledger: Ledger) -> None:
    broker = model(ledger)
    run(ledger, broker, plan_of([BUY, order("d", "DDD", Side.BUY, "3")]))
    broker.restate("f1", qty=D(0), numbered=False)
    assert resume(ledger, broker).counts == {"canceled": 1, "filled": 1}
    assert holdings(ledger) == {"DDD": D(3)}
    assert agree(ledger, broker)
