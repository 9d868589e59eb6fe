"""A small account and its plans: what the tests of this package share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.execution.executor import ExecutionResult, ExecutionSettings, execute, follow
from scizor_dagster.ledger.adoptions import adopt as adopt_position
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Provenance, Reason
from scizor_dagster.risk.limits import NUMBERS, PreTradeLimits
from scizor_dagster.risk.trading_state import TradingState
from tests.execution.model_broker import ModelBroker
from tests.ledgers import url_of

D = Decimal
MONDAY = date(2026, 3, 2)
TUESDAY = date(2026, 3, 3)
BEFORE = date(2026, 2, 27)
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
PRICES = {"AAA": D(100), "BBB": D(50), "CCC": D(20), "DDD": D(10)}
OPEN, CLOSE = PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_CLOSE


def clock() -> datetime:
    return START


def order(
    name: str,
    symbol: str,
    side: Side,
    qty: str,
    *,
    phase: int | None = None,
    intent: PositionIntent | None = None,
    depends_on: Sequence[str] = (),
    leg: int = 1,
    slice_: int = 1,
    price: Decimal | None = None,
    order_type: OrderType = OrderType.MARKET,
) -> PlannedOrder:
    return PlannedOrder(
        client_order_id=name,
        symbol=symbol,
        instrument_id=f"{symbol}.XNYS",
        side=side,
        qty=D(qty),
        order_type=order_type,
        time_in_force=TimeInForce.DAY,
        intent=intent or (OPEN if side is Side.BUY else CLOSE),
        price_used=price or PRICES[symbol],
        leg=leg,
        slice=slice_,
        phase=phase or (2 if side is Side.BUY else 1),
        reason=Reason.REBALANCE,
        depends_on=tuple(depends_on),
    )


def plan_of(
    orders: Sequence[PlannedOrder],
    *,
    session: date = MONDAY,
    batch: int = 1,
    held: dict[str, str] | None = None,
    buffer: str = "0",
    adjustment: str = "raw",
    plan_id: str = "p",
    currency: str = "USD",
    notes: tuple[str, ...] = (),
) -> Plan:
    prices = {row.symbol: PRICES.get(row.symbol, row.price_used) for row in orders}
    lines = tuple(_line(symbol, D((held or {}).get(symbol, "0")), prices[symbol]) for symbol in sorted(prices))
    return Plan(
        plan_id=plan_id.ljust(64, "0"),
        portfolio="main",
        account="paper",
        session=session,
        batch=batch,
        currency=currency,
        equity=D(10_000),
        cash_buffer=D(buffer),
        priced_on=BEFORE,
        adjustment=adjustment,
        overflow_factor=D(1),
        lines=lines,
        orders=tuple(orders),
        notes=notes,
        provenance=Provenance(7, "1.0"),
    )


def _line(symbol: str, held: Decimal, price: Decimal) -> PlanLine:
    return PlanLine(
        symbol=symbol,
        instrument_id=f"{symbol}.XNYS",
        current_qty=held,
        target_weight=D(0),
        price=price,
        price_session=BEFORE,
        price_source="test",
        target_qty=D(0),
        delta_qty=D(0),
        reason=Reason.REBALANCE,
    )


def adopt(ledger: Ledger, symbol: str, qty: str, portfolio: str = "main", session: date = BEFORE) -> None:
    with ledger.transaction() as connection:
        adopt_position(
            connection,
            "paper",
            portfolio,
            symbol,
            D(qty),
            price=PRICES[symbol],
            session=session,
            actor="test",
            now=START,
        )


def arm_until(ledger: Ledger, broker: Any, until: datetime, amount: str = "1000000", portfolio: str = "main") -> None:
    """Arm a portfolio of account `paper` from `START` on."""
    with ledger.transaction() as connection:
        arm(
            connection,
            "paper",
            portfolio,
            broker.identity(),
            until=until,
            max_notional=D(amount),
            currency="USD",
            actor="jo",
            reason="",
            now=START,
        )


UNLIMITED = PreTradeLimits(
    **dict.fromkeys(NUMBERS), on_loss=TradingState.REDUCING, restricted=frozenset(), allowed=None
)


def settings(**changes: Any) -> ExecutionSettings:
    values: dict[str, Any] = {
        "starting_cash": D(1_000),
        "expected_broker": "model",
        "expected_environment": "paper",
        "expected_account_id": "M1",
    }
    named = {name: changes.pop(name) for name in list(changes) if name in UNLIMITED.__dataclass_fields__}
    return ExecutionSettings(**(values | {"limits": replace(UNLIMITED, **named)} | changes))


def parts(ledger: Ledger, broker: Any, **changes: Any) -> dict[str, Any]:
    """What `execute`, `follow` and `cancel_open` are handed; what is not named here changes the settings."""
    own = {"portfolio": "main", "clock": clock, "holder": "tester", "siblings": None}
    own = {name: changes.pop(name, value) for name, value in own.items()}
    return {"ledger": ledger, "broker": broker, "account": "paper", "settings": settings(**changes), **own}


def run(ledger: Ledger, broker: Any, plan: Plan, **changes: Any) -> ExecutionResult:
    return execute(plan, **parts(ledger, broker, **changes))


def resume(ledger: Ledger, broker: Any, session: date = MONDAY, **changes: Any) -> ExecutionResult:
    return follow(session, **parts(ledger, broker, **changes))


def model(ledger: Ledger, **changes: Any) -> ModelBroker:
    values: dict[str, Any] = {"cash": D(1_000), "prices": PRICES, "ledger_url": url_of(ledger)}
    return ModelBroker(**(values | changes))


def full_plan() -> tuple[Plan, dict[str, str]]:
    """Sells in two slices, a crossing of zero, buys in two slices, and more buys than cash."""
    held = {"AAA": "40", "BBB": "10"}
    orders = [
        order("s-aaa-1", "AAA", Side.SELL, "10"),
        order("s-aaa-2", "AAA", Side.SELL, "5.5", slice_=2),
        order("s-bbb", "BBB", Side.SELL, "10"),
        order("b-ccc-1", "CCC", Side.BUY, "80"),
        order("b-ccc-2", "CCC", Side.BUY, "20.25", slice_=2),
        order("b-ddd", "DDD", Side.BUY, "120.5"),
        order(
            "x-bbb",
            "BBB",
            Side.SELL,
            "6",
            phase=2,
            intent=PositionIntent.SELL_TO_OPEN,
            depends_on=["s-bbb"],
            leg=2,
        ),
    ]
    return plan_of(orders, held=held, buffer="100"), held


def fresh_copy(template: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, target)
    return f"sqlite:///{target}"
