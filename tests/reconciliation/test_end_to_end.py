"""Plans carried out on the embedded exchange by the real executor, then reconciled from the stores."""

from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest
import sqlalchemy as sa

from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side
from scizor_dagster.config import PaperAccount
from scizor_dagster.execution.executor import ExecutionSettings, execute, follow
from scizor_dagster.ledger.tables import trades
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import ReconciliationReport, When
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.sessions import TradingCalendar
from tests.execution.scenario import UNLIMITED
from tests.paper_exchange.market import DAY1, DAY2, INSTRUMENTS, FakeData, bar, fresh_ledger
from tests.reconciliation.world import line, plan_of, planned

CALENDAR = TradingCalendar("XNYS")
NOW = datetime(2026, 1, 2, 14, 0, tzinfo=UTC)
SETTINGS = ExecutionSettings(
    starting_cash=D(100_000),
    expected_broker="paper",
    expected_environment="paper",
    expected_account_id="paper",
    limits=UNLIMITED,
)


class Desk:
    """One portfolio, alone on a paper account, over two sessions."""

    def __init__(self, folder: Path) -> None:
        liquid = {"AAA": bar(volume=300_000), "BBB": bar(volume=300_000)}
        self.data = FakeData({DAY1: liquid, DAY2: dict(liquid)})
        self.ledger = fresh_ledger(folder)
        account = PaperAccount(broker="paper", initial_cash=100_000.0)
        self.broker = PaperBroker(self.ledger, "paper", account, CALENDAR, self.data, INSTRUMENTS, lambda: NOW)
        self.common = {
            "ledger": self.ledger,
            "broker": self.broker,
            "account": "paper",
            "portfolio": "main",
            "clock": lambda: NOW,
            "holder": "test",
            "settings": SETTINGS,
        }

    def execute(self, plan: Plan):
        return execute(plan, **self.common)

    def follow(self, session=DAY1):
        return follow(session, **self.common)

    def reconcile(self, plan: Plan | None, session=DAY1, session_over: bool = True) -> ReconciliationReport:
        ledger, broker = read_sides(
            self.ledger, self.broker, account="paper", portfolio="main", session=session, deposit=D(100_000)
        )
        return reconcile(
            [plan] if plan else [],
            ledger,
            broker,
            portfolio="main",
            account="paper",
            session=session,
            closes={},
            when=When(session_over=session_over),
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    yield made
    made.ledger.close()


def sale(qty: object, session=DAY2) -> Plan:
    order = planned(
        client_order_id="sell-aaa", side=Side.SELL, qty=D(str(qty)), intent=PositionIntent.SELL_TO_CLOSE, phase=1
    )
    return on(session, plan_of(order, plan_id="plan-two", lines=(line(current_qty=D(str(qty)), target_qty=D(0)),)))


def on(session, plan: Plan) -> Plan:
    return Plan(**{name: getattr(plan, name) for name in plan.__slots__ if name != "session"}, session=session)


def test_a_rebalance_of_two_sessions_reconciles_to_the_cent(desk):
    first = plan_of(planned(qty=D("10.123456789")), planned(client_order_id="buy-bbb", symbol="BBB"))
    assert desk.execute(first).state == "done"
    report = desk.reconcile(first)
    assert (report.state, report.break_rows) == ("reconciled", ())
    second = on(DAY2, sale("10.123456789"))
    assert desk.execute(second).state == "done"
    assert desk.reconcile(second, DAY2).break_rows == ()
    assert [row.symbol for row in desk.broker.positions()] == ["BBB"]


def test_an_order_without_data_is_working_and_ends_when_the_data_come(desk):
    bars = dict(desk.data.sessions)
    desk.data.sessions.clear()
    assert desk.execute(plan_of()).state == "working"
    report = desk.reconcile(plan_of(), session_over=False)
    assert (report.state, report.working_count, report.break_count) == ("working", 1, 0)
    desk.data.sessions.update(bars)
    assert desk.follow().state == "done"
    assert desk.reconcile(plan_of()).state == "reconciled"


def test_an_instrument_that_does_not_trade_ends_expired_and_explained(desk):
    plan = plan_of(planned(symbol="WHOLE", instrument_id="WHOLE.XNYS"))
    desk.execute(plan)
    report = desk.reconcile(plan)
    assert (report.state, report.break_count) == ("reconciled", 0)
    assert (report.order_rows[0].state, report.order_rows[0].filled_qty) == ("expired", 0)
    assert "no trade in this session" in report.order_rows[0].reason


def test_a_bracket_that_takes_its_profit_reconciles(desk):
    plan = plan_of(planned(order_type=OrderType.BRACKET, take_profit=D(108), stop_loss=D(80)))
    desk.execute(plan)
    report = desk.reconcile(plan)
    assert report.break_rows == ()
    assert {row.client_order_id: row.filled_qty for row in report.order_rows} == {
        "buy-aaa": D(10),
        "buy-aaa.tp": D(10),
        "buy-aaa.sl": D(0),
    }


def test_a_split_and_a_dividend_overnight_reconcile_once_they_are_followed(desk):
    desk.execute(plan_of())
    desk.data.events = [
        SessionAction("AAA", DAY2, "split", ratio=D(4)),
        SessionAction("AAA", DAY2, "dividend", amount=D("0.24")),
    ]
    desk.broker.begin(DAY2)
    kinds = [row.kind.value for row in desk.reconcile(None, DAY2).break_rows]
    assert kinds == ["activity_missing_in_ledger", "activity_missing_in_ledger", "position_differs", "cash_differs"]
    desk.follow(DAY2)
    assert desk.reconcile(None, DAY2).break_rows == ()


def test_a_fill_that_the_ledger_lost_is_found_with_what_follows_from_it(desk):
    desk.execute(plan_of())
    with desk.ledger.transaction() as connection:
        connection.execute(sa.delete(trades))
    report = desk.reconcile(plan_of())
    assert [row.kind.value for row in report.break_rows] == [
        "fill_missing_in_ledger",
        "position_differs",
        "cash_differs",
    ]
