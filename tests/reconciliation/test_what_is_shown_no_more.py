"""A session that the broker shows no more, or not whole: what is held stands for it, and nothing is made up."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerPosition, OrderStatus, Side
from scizor_dagster.ledger.breaks import breaks_by_id, open_breaks
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import Pass
from scizor_dagster.reconciliation.records import record_report
from tests.execution.scenario import MONDAY, model, plan_of, resume, run
from tests.execution.scenario import order as meant
from tests.reconciliation.world import AT, DAY, World, broker_fill, intent, ledger_fill, order

LATER = AT + timedelta(hours=20)


def ended(state: IntentState, filled: str = "0") -> World:
    """An order that has ended, and that the broker's list of orders does not reach any more."""
    part = {"qty": D(filled)}
    fills = ([ledger_fill(**part)], [broker_fill(**part)]) if filled != "0" else ([], [])
    return World(
        intents=[intent(state=state, filled_qty=D(filled))],
        orders=[], fills=fills[0], broker_fills=fills[1], orders_listed=False,
    )  # fmt: skip


@pytest.mark.parametrize("state", [IntentState.EXPIRED, IntentState.CANCELED])
@pytest.mark.parametrize("filled", ["0", "4"])
def test_an_order_that_has_ended_and_is_listed_no_more_is_information(state: IntentState, filled: str) -> None:
    (row,) = ended(state, filled).report().break_rows
    assert (row.kind, row.severity, row.locks, row.value) == ("missing_at_broker", "info", "none", None)
    assert row.cause == f"it has ended as {state}, and the broker lists orders of its session no more"


@pytest.mark.parametrize(
    "world",
    [
        replace(ended(IntentState.EXPIRED), orders_listed=True),
        replace(ended(IntentState.EXPIRED), intents=[intent(state=IntentState.WORKING, filled_qty=D(0))]),
        replace(ended(IntentState.EXPIRED), intents=[intent(state=IntentState.EXPIRED, filled_qty=D(3))]),
        replace(ended(IntentState.CANCELED), broker_fills=[broker_fill(qty=D(4))]),
    ],
    ids=["still listed", "not ended", "fills that are not at the broker", "fills that are at the broker alone"],
)
def test_an_order_that_is_absent_for_another_reason_locks_its_instrument(world: World) -> None:
    locked = [(row.kind, row.symbol, row.locks) for row in world.report().break_rows if row.severity == "error"]
    assert ("missing_at_broker", "AAA", "instrument") in locked


def test_an_order_that_never_reached_the_broker_is_not_missed() -> None:
    world = ended(IntentState.EXPIRED)
    world.intents = [intent(state=IntentState.EXPIRED, filled_qty=D(0), broker_order_id=None)]
    assert world.found() == []


def unseen(**changes: object) -> World:
    """A day of which the broker shows no executions: its orders are as it has told of them last."""
    return World(fills_shown=False, orders_listed=False, broker_fills=[], which=Pass.SECOND, **changes)  # type: ignore[arg-type]


def test_a_day_whose_executions_are_not_shown_is_closed_by_what_is_held_and_the_history_says_so(ledger: Ledger) -> None:
    report = unseen().report()
    (row,) = report.break_rows
    assert (row.kind, row.severity, row.expected, row.break_id) == ("fills_not_compared", "info", "1 recorded", "")
    with ledger.transaction() as connection:
        recorded = record_report(connection, report, now=LATER)
        (payload,) = connection.execute(sa.select(events.c.payload).where(events.c.kind == "day_closed")).scalars()
    assert recorded.day.closed_at == LATER
    assert json.loads(payload)["by"] == "positions"


@pytest.mark.parametrize(
    "changes",
    [
        {"differences": {"AAA": D(-4)}, "positions": [BrokerPosition("AAA", D(6), D(101))]},
        {"intents": [intent(state=IntentState.WORKING)], "orders": [order(status=OrderStatus.ACCEPTED)]},
        {"intents": [intent(state=IntentState.UNKNOWN)], "orders": []},
    ],
    ids=["positions differ", "an order has not ended", "an outcome is unknown"],
)
def test_such_a_day_stays_open_while_anything_of_it_is_in_doubt(ledger: Ledger, changes: dict[str, object]) -> None:
    with ledger.transaction() as connection:
        record_report(connection, unseen(**changes).report(), now=LATER)
        assert not is_closed(connection, "paper", "main", DAY)
        assert len(open_breaks(connection, "paper")) == 1


def test_a_break_of_such_a_day_is_clear_once_what_is_held_agrees_and_not_before(ledger: Ledger) -> None:
    late = World(fills=[], intents=[intent(state=IntentState.CANCELED, filled_qty=D(0))], owned={},
                 orders=[order(status=OrderStatus.CANCELED)], differences={"AAA": D(10)}, cash=None)  # fmt: skip
    with ledger.transaction() as connection:
        record_report(connection, late.report(), now=AT)
        (first,) = open_breaks(connection, "paper")
        assert first.kind == "fill_missing_in_ledger"
        record_report(connection, unseen(differences={"AAA": D(10)}).report(), now=LATER)
        assert {row.kind for row in open_breaks(connection, "paper")} == {"fill_missing_in_ledger", "position_differs"}
        record_report(connection, unseen().report(), now=LATER)
        assert open_breaks(connection, "paper") == []
        (row,) = breaks_by_id(connection, [first.break_id])
    assert row.clear_reason == "the broker shows its session no more, its orders have ended, and positions agree"


def test_of_such_a_day_the_broker_is_asked_for_what_is_held_alone(ledger: Ledger) -> None:
    broker = model(ledger)
    broker.book.activities.append(BrokerActivity("a1", "interest", MONDAY, None, D("1.25"), None))
    run(ledger, broker, plan_of([meant("b", "CCC", Side.BUY, "10")]))
    resume(ledger, broker)
    broker.asked_fills.clear()
    mine, theirs = read_sides(
        ledger, broker, account="paper", portfolio="main", session=MONDAY, deposit=D(1), fills_shown=False
    )
    assert broker.asked_fills == []
    assert [(row.client_order_id, row.status) for row in theirs.orders] == [("b", "filled")]
    assert [(row.symbol, row.qty) for row in theirs.positions] == [("CCC", D(10))]
    assert (len(theirs.activities), theirs.account.cash, theirs.fills) == (1, broker.book.cash, ())
    assert (len(mine.fills), mine.differences) == (1, {})
