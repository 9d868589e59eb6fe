"""A session on which plan, ledger and broker agree. Tests change one thing and see what is found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import (
    AccountState,
    BrokerActivity,
    BrokerFill,
    BrokerOrder,
    BrokerPosition,
    OrderStatus,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from scizor_dagster.ledger.rows import ActivityRow, BatchRow, FillRow, IntentRow
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.reconciliation.model import (
    BrokerView,
    LedgerView,
    Measures,
    Pass,
    ReconciliationReport,
    When,
)
from scizor_dagster.reconciliation.reconcile import reconcile

DAY = date(2024, 3, 4)
AT = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)


def planned(**changes: Any) -> PlannedOrder:
    base = PlannedOrder(
        client_order_id="buy-aaa",
        symbol="AAA",
        instrument_id="AAA.XNYS",
        side=Side.BUY,
        qty=D(10),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        intent=PositionIntent.BUY_TO_OPEN,
        price_used=D(100),
        leg=1,
        slice=1,
        phase=2,
        reason=Reason.OPEN,
    )
    return base._replace(**changes)


def line(**changes: Any) -> PlanLine:
    base = PlanLine(
        symbol="AAA",
        instrument_id="AAA.XNYS",
        current_qty=D(0),
        target_weight=D("0.1"),
        price=D(100),
        price_session=DAY,
        price_source="test",
        target_qty=D(10),
        delta_qty=D(10),
        reason=Reason.OPEN,
    )
    return base._replace(**changes)


def plan_of(*orders: PlannedOrder, plan_id: str = "plan-one", lines: tuple[PlanLine, ...] = ()) -> Plan:
    return Plan(
        plan_id=plan_id,
        portfolio="main",
        account="paper",
        session=DAY,
        batch=1,
        currency="USD",
        equity=D(10_000),
        cash_buffer=D(0),
        priced_on=None,
        adjustment="raw",
        overflow_factor=D(1),
        lines=lines or (line(),),
        orders=orders or (planned(),),
    )


def batch(**changes: Any) -> BatchRow:
    base = BatchRow(
        "paper/main/2024-03-04/1",
        "paper",
        "main",
        DAY,
        1,
        "plan-one",
        "plan",
        BatchState.DONE,
        D(0),
        D(10_000),
        AT,
        AT,
    )
    return replace(base, **changes)


def intent(**changes: Any) -> IntentRow:
    base = IntentRow(
        client_order_id="buy-aaa",
        batch_id="paper/main/2024-03-04/1",
        account="paper",
        portfolio="main",
        session=DAY,
        position=0,
        symbol="AAA",
        instrument_id="AAA.XNYS",
        side=Side.BUY,
        planned_qty=D(10),
        final_qty=D(10),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        intent=PositionIntent.BUY_TO_OPEN,
        limit_price=None,
        take_profit=None,
        stop_loss=None,
        price_used=D(100),
        leg=1,
        slice=1,
        phase=2,
        depends_on=(),
        parameter_hash="h",
        cleared_hash="h",
        state=IntentState.FILLED,
        reason="",
        broker_order_id="O1",
        filled_qty=D(10),
        updated_at=AT,
    )
    return replace(base, **changes)


def order(**changes: Any) -> BrokerOrder:
    base = BrokerOrder("O1", "buy-aaa", "AAA", Side.BUY, D(10), D(10), D("100.5"), OrderStatus.FILLED, AT, AT)
    return replace(base, **changes)


def broker_fill(**changes: Any) -> BrokerFill:
    base = BrokerFill("F1", "buy-aaa", "AAA", Side.BUY, D(10), D("100.5"), D("0.10"), DAY, AT)
    return replace(base, **changes)


def ledger_fill(**changes: Any) -> FillRow:
    base = FillRow("paper", "F1", "main", "buy-aaa", "AAA", Side.BUY, D(10), D("100.5"), D("0.10"), DAY, AT, AT)
    return replace(base, **changes)


def activity() -> tuple[BrokerActivity, ActivityRow]:
    there = BrokerActivity("A1", "dividend", DAY, "AAA", D("2.40"), None, "dividend")
    return there, ActivityRow("paper", "A1", "dividend", DAY, "AAA", D("2.40"), None, "dividend", AT)


MONEY = AccountState(D("8994.90"), D("10004.90"), D(10_000), "USD", AT)


@dataclass
class World:
    """Every part can be replaced; `report` compares."""

    plan: Plan | None = field(default_factory=plan_of)
    more_plans: list[Plan] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=lambda: [batch()])
    intents: list[IntentRow] = field(default_factory=lambda: [intent()])
    elsewhere: list[IntentRow] = field(default_factory=list)
    fills: list[FillRow] = field(default_factory=lambda: [ledger_fill()])
    activities: list[ActivityRow] = field(default_factory=list)
    owned: dict[str, D] = field(default_factory=lambda: {"AAA": D(10)})
    differences: dict[str, D] = field(default_factory=dict)
    cash: D | None = D("8994.90")
    cash_note: str = ""
    orders: list[BrokerOrder] = field(default_factory=lambda: [order()])
    broker_fills: list[BrokerFill] = field(default_factory=lambda: [broker_fill()])
    broker_activities: list[BrokerActivity] = field(default_factory=list)
    positions: list[BrokerPosition] = field(default_factory=lambda: [BrokerPosition("AAA", D(10), D(101))])
    closes: dict[str, Close] = field(default_factory=lambda: {"AAA": Close(D(101), DAY)})

    foreign: dict[str, D] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()
    under_way: frozenset[str] = frozenset()
    accepted: dict[str, str] = field(default_factory=dict)
    account: AccountState = MONEY
    measures: Measures = field(default_factory=Measures)
    which: Pass = Pass.FIRST
    first_at: datetime | None = None
    orders_listed: bool = True
    fills_shown: bool = True

    def report(self, session_over: bool = True, venue_behind: bool = False) -> ReconciliationReport:
        known = {row.client_order_id: row for row in [*self.intents, *self.elsewhere]}
        ledger = LedgerView(
            self.batches,
            self.intents,
            known,
            self.fills,
            self.activities,
            self.owned,
            self.differences,
            self.cash,
            self.cash_note,
            foreign=self.foreign,
            doubted=self.doubted,
            under_way=self.under_way,
            accepted=self.accepted,
        )
        broker = BrokerView(self.orders, self.broker_fills, self.broker_activities, self.positions, self.account)
        return reconcile(
            [*([self.plan] if self.plan else []), *self.more_plans],
            ledger,
            broker,
            portfolio="main",
            account="paper",
            session=DAY,
            closes=self.closes,
            when=When(
                session_over,
                self.which,
                self.first_at,
                venue_behind=venue_behind,
                orders_listed=self.orders_listed,
                fills_shown=self.fills_shown,
            ),
            measures=self.measures,
        )

    def found(self, session_over: bool = True) -> list[tuple[str, str, str | None]]:
        """Kind, severity and order id of everything found."""
        rows = self.report(session_over).break_rows
        return [(row.kind.value, row.severity.value, row.client_order_id) for row in rows]
