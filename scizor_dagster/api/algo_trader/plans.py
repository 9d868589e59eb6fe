"""`/api/plans`: what was planned, with a reason for every line, and the approval of one plan."""

from __future__ import annotations

import json
from datetime import date as date_type
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import (
    Holder,
    Lister,
    PortfolioFilter,
    Reason,
    RequestKey,
    SymbolFilter,
    Trader,
    chosen,
    marked,
)
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor
from scizor_dagster.errors import InputError
from scizor_dagster.flow import approving
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.plan_approvals import PlanApproval, approval_in_force, approvals_of_plans
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder
from scizor_dagster.planning.model import Reason as LineReason

router = ApiRouter("plans")
_ID = "3f0a9c21" * 8
SomePlans = Annotated[
    str,
    Path(
        pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9a-f]{8,64})$",
        description="A session, or the first 8 or more digits of a plan's id.",
        examples=["2026-11-20"],
    ),
]
PlanId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{8,64}$", description="The plan's id, or its first 8 or more digits.", examples=[_ID])
]
WholeId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}$", description="The plan's whole id: the hash of all of it.", examples=[_ID])
]


class PlanSummary(Model):
    """A plan without its lines."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "plan_id": _ID,
                "portfolio": "main",
                "account": "paper",
                "session": "2026-11-20",
                "batch": 1,
                "state": "admitted",
                "currency": "USD",
                "equity": "100000",
                "cash_buffer": "2000",
                "priced_on": "2026-11-19",
                "adjustment": "raw",
                "lines": 6,
                "orders": 2,
                "notes": [],
                "made_at": "2026-11-20T13:00:00Z",
                "lake_snapshot": 12,
                "code_version": "1.2.0",
                "approved_by": None,
                "approved_at": None,
            }
        }
    )

    plan_id: str
    portfolio: str
    account: str
    session: date_type
    batch: int
    state: str = Field(
        description="`admitted` once orders may come of it; `approved`; `awaiting_approval`; else `planned`."
    )
    currency: str
    equity: Exact
    cash_buffer: Exact
    priced_on: date_type | None = Field(description="The session whose closes have sized it.")
    adjustment: str
    lines: int
    orders: int
    notes: list[str]
    made_at: datetime
    lake_snapshot: int | None
    code_version: str | None
    approved_by: str | None
    approved_at: datetime | None


class PlanLineView(Model):
    """One instrument of a plan: its order, or the reason why there is none."""

    symbol: str
    instrument_id: str
    current_qty: Exact
    working_qty: Exact = Field(description="What open orders still bring.")
    target_weight: Exact
    price: Exact | None
    price_session: date_type | None
    price_source: str
    target_qty: Exact | None
    delta_qty: Exact
    reason: LineReason
    note: str
    asset_ids: list[str]

    @classmethod
    def of(cls, line: PlanLine) -> PlanLineView:
        return cls(**{name: getattr(line, name) for name in cls.model_fields if name != "asset_ids"},
                   asset_ids=list(line.asset_ids))  # fmt: skip


class PlannedOrderView(Model):
    """One order that a plan has."""

    client_order_id: str
    symbol: str
    instrument_id: str
    side: str
    qty: Exact
    order_type: str
    time_in_force: str
    intent: str
    limit_price: Exact | None
    take_profit: Exact | None
    stop_loss: Exact | None
    price_used: Exact
    notional: Exact
    leg: int
    slice: int
    phase: int = Field(description="1 frees cash, 2 needs it.")
    depends_on: list[str]
    reason: LineReason

    @classmethod
    def of(cls, order: PlannedOrder) -> PlannedOrderView:
        return cls(**{name: getattr(order, name) for name in cls.model_fields if name != "depends_on"},
                   depends_on=list(order.depends_on))  # fmt: skip


class Decision(Model):
    """A person's word on one plan."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "looked at every order"}})

    reason: Reason


class Decided(Model):
    """What was decided of a plan."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "plan_id": _ID,
                "portfolio": "main",
                "session": "2026-11-20",
                "approved": True,
                "by": "ada",
                "at": "2026-11-20T13:10:00Z",
                "reason": "looked at every order [0a1b2c3d4e5f/7]",
            }
        }
    )

    plan_id: str
    portfolio: str
    session: date_type
    approved: bool
    by: str
    at: datetime
    reason: str = Field(description="With the mark of the request that brought it.")

    @classmethod
    def of(cls, made: PlanApproval) -> Decided:
        return cls(
            plan_id=made.plan_id,
            portfolio=made.portfolio,
            session=made.session,
            approved=made.approved,
            by=made.actor,
            at=made.at,
            reason=made.reason,
        )


@router.get("/plans/{date}", summary="The plans of a session")
def list_plans(
    desk: TheDesk, actor: Lister, paging: ThePage, date: SomePlans, portfolio: PortfolioFilter = None
) -> Page[PlanSummary]:
    """Every stored plan of a session, or the one of an id. Lines and orders: `/api/plans/{plan}/lines`, `/orders`."""
    names = chosen(actor, desk, portfolio)
    if "-" not in date:
        found = [item for item in [_found(desk, actor, date)] if item["portfolio"] in names]
    else:
        found = _heads(desk, "session = ?", [_day(date)])
    shown = [row for row in found if row["portfolio"] in names and actor.may_see(row["account"])]
    return paging.page([_summary(desk, row) for row in shown], _key)


@router.get("/plans/{plan}/lines", summary="The lines of a plan")
def list_lines(
    desk: TheDesk,
    actor: Holder,
    paging: ThePage,
    plan: PlanId,
    symbol: SymbolFilter = None,
    reason: Annotated[LineReason | None, Query(description="Only lines with this reason.")] = None,
) -> Page[PlanLineView]:
    """Every instrument by its symbol: what is held, what is wanted, at which price, and why it is ordered or not."""
    lines = [
        PlanLineView.of(line)
        for line in plan_of(desk, actor, plan).lines
        if symbol in (None, line.symbol) and reason in (None, line.reason)
    ]
    # What could not be matched to a symbol stands under its own id.
    return paging.page(lines, lambda line: f"{line.symbol}|{','.join(line.asset_ids)}")


@router.get("/plans/{plan}/orders", summary="The orders of a plan")
def list_planned_orders(desk: TheDesk, actor: Holder, paging: ThePage, plan: PlanId) -> Page[PlannedOrderView]:
    """By client order id. What became of each: `/api/orders/{order}`."""
    orders = [PlannedOrderView.of(order) for order in plan_of(desk, actor, plan).orders]
    return paging.page(sorted(orders, key=lambda order: order.client_order_id), lambda order: order.client_order_id)


@router.post("/plans/{plan}/approve", summary="Approve a plan")
def approve_plan(desk: TheDesk, actor: Trader, key: RequestKey, plan: WholeId, decision: Decision) -> Decided:
    """Release exactly this plan of a portfolio with `approval: manual`, for its session alone. Sends nothing by itself:
    the next run of the session carries it out (`POST /api/rebalances`, `scizor run`, or the sensor).
    """
    return _decide(desk, actor, key, plan, decision, withdraws=False)


@router.post("/plans/{plan}/withdraw", summary="Take an approval back")
def withdraw_plan(desk: TheDesk, actor: Trader, key: RequestKey, plan: WholeId, decision: Decision) -> Decided:
    """Take back an approval of which nothing was sent."""
    return _decide(desk, actor, key, plan, decision, withdraws=True)


def _decide(desk: Desk, actor: Actor, key: str, plan: str, decision: Decision, *, withdraws: bool) -> Decided:
    found = plan_of(desk, actor, plan)
    actor.portfolio(desk, found.portfolio)
    reason = marked(decision.reason, actor, key)
    with desk.ledger.read() as connection:
        decisions = approvals_of_plans(connection, found.account, found.portfolio, found.session)
    before = [made for made in decisions if (made.plan_id, made.reason) == (found.plan_id, reason)]
    if before:
        return Decided.of(before[0])
    act = approving.withdraw if withdraws else approving.approve
    return Decided.of(act(desk, found, actor=actor.name, reason=reason))


def plan_of(desk: Desk, actor: Actor, plan_id: str) -> Plan:
    """The stored plan with this id, or this beginning of one.

    Raises:
        NotFound: there is none, or none that this key may see.
        InputError: there are several.
    """
    row = _found(desk, actor, plan_id)
    found = read_plan(desk.lake, row["portfolio"], row["session"], row["plan_id"])
    assert found is not None, plan_id
    return found


def _found(desk: Desk, actor: Actor, plan_id: str) -> dict[str, Any]:
    rows = _heads(desk, "starts_with(plan_id, ?)", [plan_id])
    mine = actor.visible((row["account"], row) for row in rows)
    if not mine:
        raise NotFound("plan", plan_id)
    if len({row["plan_id"] for row in mine}) > 1:
        raise InputError(f"{len(mine)} plans have an id that begins with it.", remedy="Give more of it.", where=plan_id)
    return mine[0]


def _heads(desk: Desk, where: str, values: list[Any]) -> list[dict[str, Any]]:
    if not desk.has_lake:
        return []
    names = (
        "plan_id", "portfolio", "account", "session", "batch", "currency", "equity", "cash_buffer", "priced_on",
        "adjustment", "notes", "lake_snapshot", "code_version", "fetched_at",
    )  # fmt: skip
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} t WHERE t.plan_id = p.plan_id)" for table in ("plan_lines", "planned_orders")
    )
    with desk.lake.read() as cursor:
        found = cursor.execute(
            f"SELECT {', '.join(names)}, {counts} FROM plans p WHERE {where} ORDER BY session, portfolio, plan_id",
            values,
        ).fetchall()
    return [dict(zip((*names, "lines", "orders"), row, strict=True)) for row in found]


def _summary(desk: Desk, row: dict[str, Any]) -> PlanSummary:
    key = (row["account"], row["portfolio"], row["session"])
    approval, admitted = None, False
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            approval = approval_in_force(connection, *key, row["plan_id"])
            admitted = any(batch.plan_id == row["plan_id"] for batch in batches_of(connection, *key))
    values = {name: row[name] for name in row if name not in ("notes", "fetched_at", "equity", "cash_buffer")}
    return PlanSummary(
        **values,
        state=_state(desk, row, admitted=admitted, approved=approval is not None),
        equity=Decimal(row["equity"]),
        cash_buffer=Decimal(row["cash_buffer"]),
        notes=json.loads(row["notes"]),
        made_at=row["fetched_at"],
        approved_by=approval.actor if approval is not None else None,
        approved_at=approval.at if approval is not None else None,
    )


def _state(desk: Desk, row: dict[str, Any], *, admitted: bool, approved: bool) -> str:
    if admitted:
        return "admitted"
    if approved:
        return "approved"
    awaiting = approving.awaiting_plan(desk, row["portfolio"], row["session"])
    return "awaiting_approval" if awaiting is not None and awaiting.plan_id == row["plan_id"] else "planned"


def _key(plan: PlanSummary) -> str:
    return f"{plan.session}|{plan.portfolio}|{plan.plan_id}"


def _day(text: str) -> date_type:
    try:
        return date_type.fromisoformat(text)
    except ValueError as error:
        raise wrong_field("path.date", f"'{text}' is no date.", "Write it as YYYY-MM-DD.") from error
