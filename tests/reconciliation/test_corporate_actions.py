"""Actions that reach a portfolio in odd ways: exchange, ledger and reconciliation agree to the cent."""

from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.paper_exchange.data import SessionAction
from tests.paper_exchange.market import DAY1, DAY2, DAY3, bar
from tests.reconciliation.test_end_to_end import SETTINGS, Desk, on, sale
from tests.reconciliation.world import line, plan_of, planned

DELISTING = SessionAction("AAA", DAY2, "delisting", amount=D(103))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.data.sessions[DAY3] = dict(made.data.sessions[DAY1])
    yield made
    made.ledger.close()


def owned_and_cash(desk: Desk) -> tuple[dict[str, D], D]:
    with desk.ledger.read() as connection:
        flow = cash_flow(connection, "paper", "main")
        return owned(connection, "paper", "main"), SETTINGS.starting_cash + flow


def short_plan():
    order = planned(side=Side.SELL, intent=PositionIntent.SELL_TO_OPEN)
    return plan_of(order, lines=(line(target_qty=D(-10), delta_qty=D(-10)),))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("plan", "amount"), [(plan_of(), D(1030)), (short_plan(), D(-1030))])
def test_a_delisted_holding_ends_in_cash_on_every_side(desk, plan, amount, late):
    desk.execute(plan)
    before = owned_and_cash(desk)[1]
    if late:
        desk.follow(DAY2)
    desk.data.events = [DELISTING]
    desk.follow(DAY2)
    assert owned_and_cash(desk) == ({}, before + amount)
    assert (list(desk.broker.positions()), desk.broker.account().cash) == ([], before + amount)
    assert desk.reconcile(None, DAY2).break_rows == ()
    desk.follow(DAY3)
    assert desk.reconcile(None, DAY3).break_rows == ()


def test_a_split_and_a_dividend_that_become_known_late_reach_the_ledger(desk):
    desk.execute(plan_of())
    order = planned(side=Side.SELL, qty=D(4), intent=PositionIntent.SELL_TO_CLOSE, client_order_id="part", phase=1)
    lines = (line(current_qty=D(10), target_qty=D(6), delta_qty=D(-4)),)
    sold = on(DAY2, plan_of(order, plan_id="plan-two", lines=lines))
    desk.execute(sold)
    desk.data.events = [
        SessionAction("AAA", DAY2, "split", ratio=D(4)),
        SessionAction("AAA", DAY2, "dividend", amount=D("0.24")),
    ]
    desk.follow(DAY3)
    assert owned_and_cash(desk)[0] == {"AAA": D(36)}
    assert owned_and_cash(desk)[1] == desk.broker.account().cash
    assert desk.reconcile(sold, DAY2).break_rows == ()
    assert desk.reconcile(None, DAY3).break_rows == ()


def test_a_reverse_split_into_fractions_leaves_nothing_behind_when_it_is_sold(desk):
    desk.execute(plan_of())
    desk.data.events = [SessionAction("AAA", DAY2, "split", ratio=D("0.3333333333333333"))]
    desk.data.sessions[DAY2] = {"AAA": bar(300, 330, 270, 309, 300_000)}
    desk.follow(DAY2)
    held = owned_and_cash(desk)[0]["AAA"]
    assert held == D("3.333333333")
    sold = on(DAY3, sale(held))
    desk.execute(sold)
    assert owned_and_cash(desk)[0] == {}
    assert desk.reconcile(sold, DAY3).break_rows == ()


def test_orders_of_a_session_without_trading_end_when_a_later_one_is_followed(desk):
    del desk.data.sessions[DAY1], desk.data.sessions[DAY2], desk.data.sessions[DAY3]
    assert desk.execute(plan_of()).state == "working"
    desk.data.sessions[DAY2] = {"AAA": bar(volume=300_000)}
    desk.follow(DAY2)
    report = desk.reconcile(plan_of(), session_over=False)
    assert [(row.state, row.filled_qty) for row in report.order_rows] == [("expired", D(0))]
    assert "the session had no trading" in report.order_rows[0].reason
    again = on(DAY3, plan_of(planned(client_order_id="again"), plan_id="plan-two"))
    desk.data.sessions[DAY3] = {"AAA": bar(volume=300_000)}
    assert desk.execute(again).state == "done"
    assert owned_and_cash(desk)[0] == {"AAA": D(10)}
