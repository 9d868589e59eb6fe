"""Sessions as the stores have them, made by hand: a quiet one, a bad one, and one with hostile words everywhere."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from scizor_dagster.analytics.costs import Part
from scizor_dagster.analytics.costs_store import OrderCost
from scizor_dagster.analytics.exposure import Exposure
from scizor_dagster.analytics.performance import equity_curve
from scizor_dagster.analytics.report.facts import Measured, Quality, Reconciled, ReportFacts, SourceFile, Trading
from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.ledger.breaks import BreakRow
from scizor_dagster.ledger.days import DayRow
from scizor_dagster.ledger.rows import BatchRow, FillRow, IntentRow
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.risk.trading_state import FREE, Standing, TradingState

D = Decimal
SESSION = date(2025, 3, 10)
BEFORE = date(2025, 3, 7)
AT = datetime(2025, 3, 10, 20, 5, tzinfo=UTC)
ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> https://evil.example/x.js"


def order(symbol: str, side: Side, qty: str, price: str, reason: Reason = Reason.REBALANCE) -> PlannedOrder:
    return PlannedOrder(
        f"T_{symbol}", symbol, f"{symbol}.XNAS", side, D(qty), OrderType.MARKET, TimeInForce.DAY,
        PositionIntent.BUY_TO_OPEN if side is Side.BUY else PositionIntent.SELL_TO_CLOSE, D(price), 1, 1, 1, reason,
    )  # fmt: skip


def line(symbol: str, reason: Reason, note: str = "", held: str = "10", delta: str = "0") -> PlanLine:
    return PlanLine(
        symbol, f"{symbol}.XNAS", D(held), D("0.2"), D("50"), BEFORE, "test", D("12"), D(delta), reason, note, (symbol,)
    )


def plan_of(orders: tuple[PlannedOrder, ...], lines: tuple[PlanLine, ...]) -> Plan:
    return Plan(
        "abcdef0123456789", "main", "paper", SESSION, 1, "USD", D(100_000), D(2_000), BEFORE, "raw", D(1), lines, orders
    )


def intent(planned: PlannedOrder, state: IntentState, filled: str, reason: str = "") -> IntentRow:
    return IntentRow(
        planned.client_order_id, "paper/main/1", "paper", "main", SESSION, 0, planned.symbol, planned.instrument_id,
        planned.side, planned.qty, planned.qty, planned.order_type, planned.time_in_force, planned.intent, None, None,
        None, planned.price_used, 1, 1, 1, (), None, None, state, reason, "B1", D(filled), AT,
    )  # fmt: skip


def fill(planned: PlannedOrder, qty: str, price: str) -> FillRow:
    return FillRow(
        "paper", f"F_{planned.symbol}", "main", planned.client_order_id, planned.symbol, planned.side, D(qty), D(price),
        D("1.5"), SESSION, datetime(2025, 3, 10, 13, 31, tzinfo=UTC), AT,
    )  # fmt: skip


def cost(planned: PlannedOrder, **more: Any) -> OrderCost:
    """An order that cost 30, of which its spread is not known."""
    values: dict[str, Any] = dict.fromkeys((field.name for field in fields(OrderCost)), None)
    values |= dict.fromkeys(("reason", "decision_source", "arrival_source", "spread_source", "venue"), "")
    values |= {
        "portfolio": "main", "session": SESSION, "client_order_id": planned.client_order_id, "symbol": planned.symbol,
        "side": planned.side, "kind": "order", "order_type": "market", "state": "filled", "currency": "USD",
        "planned_qty": planned.qty, "sent_qty": planned.qty, "filled_qty": planned.qty, "unit_factor": D(1),
        "dividend": D(0), "decision_price": planned.price_used, "decision_value": planned.notional,
        "filled_value": planned.notional, "delay": D(20), "spread": None, "impact": None, "fees": D("1.5"),
        "missed": D("8.5"), "total": D(30), "unknown": {Part.SPREAD: "no quote"}, "left_out": (), "total_bps": 12.0,
        "adjustment": "raw", "synthetic": False,
    }  # fmt: skip
    return OrderCost(**(values | more))


def curve(sessions: int, last: date = SESSION) -> pd.DataFrame:
    days = [day.date() for day in pd.bdate_range(end=last, periods=sessions)]
    steps = np.random.default_rng(7).normal(0.0005, 0.01, sessions)
    rows = pd.DataFrame({"session": days, "equity": 100_000 * np.cumprod(1 + steps), "flows": 0.0, "fees": 1.5})
    rows = rows.assign(cash=20_000.0, turnover=0.1, unpriced=0, adjustment="raw", synthetic=False, account_money=0.0)
    return equity_curve(rows.assign(market_value=rows["equity"] - 20_000.0), 100_000.0)


def profit(by: str, name: str, amount: str) -> dict[str, Any]:
    return {by: name, "value": D(1000), "realised": D(amount), "unrealised": D(0), "income": D(0), "fees": D(0),
            "inflow": D(0), "profit": D(amount)}  # fmt: skip


def measured(sessions: int = 70, *, names: tuple[str, ...] = ("AAPL", "MSFT"), **more: Any) -> Measured:
    rows = more.get("rows", curve(sessions) if sessions else curve(1).iloc[:0])
    sums: dict[Any, Any] = {
        "instrument": [profit("instrument", name, str(10 * number - 12)) for number, name in enumerate(names)],
        "sector": [profit("sector", "Technology", "-14")],
        "strategy": [profit("strategy", "trend", "-14")],
    }
    values: dict[str, Any] = {
        "rows": rows,
        "starting_equity": 100_000.0,
        "starts": rows["session"].iloc[0] - timedelta(days=1) if sessions else None,
        "profits": {"session": sums, "year": sums} if sessions else {},
        "exposures": {by: {row[by]: Exposure(D(1000), D(0)) for row in of} for by, of in sums.items()},
        "sessions_a_year": 252,
        "benchmark": "SPY.ARCX",
        "benchmark_returns": rows.set_index("session")["return"] * 0.5,
        "notes": (),
    }
    return Measured(**(values | more))


BOUGHT, SOLD = order("AAPL", Side.BUY, "100", "50"), order("MSFT", Side.SELL, "20", "250.125", Reason.LIQUIDATE)
PLAN = plan_of(
    (BOUGHT, SOLD),
    (
        line("AAPL", Reason.REBALANCE, delta="100"), line("MSFT", Reason.LIQUIDATE, delta="-20"),
        line("NVDA", Reason.BELOW_MIN_NOTIONAL, "worth 3.20"), line("GOOG", Reason.ON_TARGET),
    ),
)  # fmt: skip
BATCH = BatchRow(
    "paper/main/1", "paper", "main", SESSION, 1, PLAN.plan_id, "plan", BatchState.DONE, D(2000), D(100_000), AT, AT
)
TRADING = Trading(
    plan=PLAN,
    head={"inputs_sha256": "feed" * 16, "lake_snapshot": 41, "code_version": "0.1.0+abc", "fetched_at": AT},
    price_ages={BEFORE: 0},
    files=(SourceFile("trend", "signals/trend.csv", "c0ffee" * 10, (2, 5), 3),),
    origins={"AAPL": ["trend.csv:3 (0.4)"]},
    batches=(BATCH,),
    intents=(intent(BOUGHT, IntentState.FILLED, "100"), intent(SOLD, IntentState.FILLED, "20")),
    fills={"T_AAPL": [fill(BOUGHT, "100", "50.10")], "T_MSFT": [fill(SOLD, "20", "250")]},
    results=[{"client_order_id": "T_AAPL", "slippage_bps": 20.0}],
    costs=(cost(BOUGHT),),
)
RECONCILED = Reconciled(
    passes=[{"pass": "first", "fetched_at": AT, "state": "reconciled", "compared_with": "broker"}],
    breaks=(),
    open_breaks=(),
    day=DayRow("paper", "main", SESSION, AT),
    positions=[
        {"symbol": "AAPL", "qty": "110", "broker_qty": "110", "target_qty": "110", "price": 51.0,
         "price_session": SESSION, "market_value": 5610.0},
    ],
    ages={SESSION: 0},
)  # fmt: skip
SUMMARY: dict[str, Any] = {
    "state": "reconciled", "breaks": 0, "awaiting_approval": None, "refused_rows": [], "held_back_rows": [],
}  # fmt: skip
QUIET = ReportFacts(
    portfolio="main", account="paper", market="us", session=SESSION, currency="USD", zone=ZoneInfo("America/New_York"),
    is_over=True, is_synthetic=False, summary=SUMMARY, standing=FREE, trading=TRADING, reconciled=RECONCILED,
    measured=measured(), quality=Quality(True, (), 0),
)  # fmt: skip


def break_row(**more: Any) -> dict[str, Any]:
    return {"break_class": "quantity", "kind": "position_differs", "symbol": "MSFT", "qty": "-3", "amount": None,
            "currency": None, "cause": "sold by hand", "expected": "0", "found": "-3", "locks": "instrument",
            "severity": "error", "remedy": "Look at the broker.", "break_id": "1f0c22ab93d0"} | more  # fmt: skip


OPEN = BreakRow(
    "1f0c22ab93d0", "paper", None, SESSION, "first", "positions", "position_differs", "quantity", "MSFT", None,
    "instrument", D(-3), None, None, D(750), "sold by hand", AT,
)  # fmt: skip
REFUSED = [{"symbol": "NVDA", "state": "unknown"}, {"symbol": "TSLA", "state": "blocked"}]
HALTED = Standing(TradingState.HALTED, "the feed is odd", "ann", AT, portfolio="main")


def broken() -> ReportFacts:
    """A break that locks, a halt, orders unknown, refused, expired and held back, a stale and a missing price."""
    nvda = order("NVDA", Side.BUY, "8", "120")
    intents = (
        TRADING.intents[0], intent(SOLD, IntentState.EXPIRED, "12", "volume ran out: 12 of 20 filled"),
        intent(nvda, IntentState.UNKNOWN, "0"),
    )  # fmt: skip
    stale = {"symbol": "META", "qty": "5", "broker_qty": "2", "target_qty": None, "price": 44.0,
             "price_session": BEFORE, "market_value": None}  # fmt: skip
    return replace(
        QUIET,
        summary=SUMMARY
        | {
            "state": "breaks", "breaks": 1, "refused_rows": REFUSED,
            "held_back_rows": [{"client_order_id": "T_GOOG", "symbol": "GOOG", "lost": True, "why": "halt"}],
        },
        standing=HALTED,
        trading=replace(TRADING, intents=intents),
        reconciled=replace(
            RECONCILED, breaks=[break_row(), break_row(severity="info", kind="foreign_position", break_id=None)],
            open_breaks=(OPEN,), positions=[*RECONCILED.positions, stale], ages={SESSION: 0, BEFORE: 1},
        ),
        quality=Quality(True, [{"symbol": "NVDA", "reason": "price_jump", "detail": "+80 %", "source": "files"}], 2),
    )  # fmt: skip


def hostile() -> ReportFacts:
    """Everything that somebody else writes is an attack."""
    bought = order(ATTACK, Side.BUY, "100", "50")
    rows = [row | {"symbol": ATTACK} for row in RECONCILED.positions]
    lines = (line(ATTACK, Reason.REBALANCE), line(ATTACK, Reason.NO_PRICE, ATTACK))
    return replace(
        broken(),
        portfolio=ATTACK,
        account=ATTACK,
        standing=replace(HALTED, reason=ATTACK, actor=ATTACK),
        summary=SUMMARY | {"state": "breaks", "breaks": 1, "refused_rows": [{"symbol": ATTACK, "state": "rejected"}]},
        trading=replace(
            TRADING,
            plan=replace(plan_of((bought,), lines), notes=(ATTACK,)),
            files=(SourceFile(ATTACK, ATTACK, ATTACK, (2, 5), 3),),
            origins={ATTACK: [ATTACK]},
            intents=(intent(bought, IntentState.REJECTED, "0", ATTACK),),
            costs=(cost(bought, unknown={Part.SPREAD: ATTACK}),),
        ),
        reconciled=replace(
            RECONCILED, breaks=[break_row(symbol=ATTACK, cause=ATTACK, expected=ATTACK, found=ATTACK, remedy=ATTACK)],
            open_breaks=(replace(OPEN, symbol=ATTACK, cause=ATTACK, break_id=ATTACK),), positions=rows,
        ),
        measured=measured(names=(ATTACK, "MSFT"), benchmark=ATTACK, notes=(ATTACK,)),
        quality=Quality(True, [{"symbol": ATTACK, "reason": ATTACK, "detail": ATTACK, "source": ATTACK}], 0),
    )  # fmt: skip
