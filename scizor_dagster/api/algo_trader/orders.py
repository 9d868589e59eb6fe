"""`/api/orders`: what was meant to go out, how far it has come, and why."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Path, Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import (
    Holder,
    Lister,
    PortfolioFilter,
    SessionFilter,
    SymbolFilter,
    chosen,
    newest_first,
)
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.problems import NotFound
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explaining import explain
from scizor_dagster.ledger.events import events_of_orders
from scizor_dagster.ledger.manual_orders import batches_by_hand
from scizor_dagster.ledger.rows import IntentRow, batch_by_id, intents_by_id
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import batches, orders

router = ApiRouter("orders")
_ID = "SCZ_20261120_1_AAPL_B_3f0a9c21d4"
OrderId = Annotated[str, Path(min_length=1, max_length=48, description="Client order id.", examples=[_ID])]
_ORDER: dict[str, Any] = {
    "client_order_id": _ID,
    "portfolio": "main",
    "account": "paper",
    "session": "2026-11-20",
    "batch": 1,
    "plan_id": "3f0a9c21" * 8,
    "origin": "rebalance",
    "symbol": "AAPL",
    "instrument_id": "AAPL.XNAS",
    "side": "buy",
    "intent": "buy_to_open",
    "planned_qty": "12.5",
    "qty": "12.5",
    "filled_qty": "12.5",
    "order_type": "market",
    "time_in_force": "day",
    "limit_price": None,
    "take_profit": None,
    "stop_loss": None,
    "price_used": "227.50",
    "notional": "2843.75",
    "state": "filled",
    "reason": "",
    "broker_order_id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "updated_at": "2026-11-20T21:05:00Z",
}


class OrderView(Model):
    """One order as it is meant, and how far it has come."""

    model_config = ConfigDict(json_schema_extra={"example": _ORDER})

    client_order_id: str
    portfolio: str
    account: str
    session: date
    batch: int
    plan_id: str
    origin: str = Field(description="What made its plan.")
    symbol: str
    instrument_id: str
    side: str
    intent: str
    planned_qty: Exact
    qty: Exact = Field(description="The final quantity, or the planned one while it is not final.")
    filled_qty: Exact
    order_type: str
    time_in_force: str
    limit_price: Exact | None
    take_profit: Exact | None
    stop_loss: Exact | None
    price_used: Exact = Field(description="The price that sized it.")
    notional: Exact
    state: IntentState
    reason: str = Field(description="Why it is in this state; empty where that needs no word.")
    broker_order_id: str | None
    updated_at: datetime


class OrderEventView(Model):
    """One entry of the history on an order."""

    seq: int
    at: datetime
    kind: str
    detail: dict[str, Any]


class RequestView(Model):
    """Who has asked for an order by hand."""

    key: str
    by: str
    reason: str
    policy: str
    at: datetime


class OrderDetail(OrderView):
    """An order with its history."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": _ORDER
            | {
                "request": None,
                "events": [{"seq": 41, "at": "2026-11-20T14:30:00Z", "kind": "intent_sending", "detail": {}}],
            }
        }
    )

    request: RequestView | None = Field(description="Null where weights have caused it.")
    events: list[OrderEventView]


class ExplanationView(Model):
    """How an order came about, from the line of a file to the reconciliation."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "order",
                "subject": _ID,
                "portfolio": "main",
                "account": "paper",
                "session": "2026-11-20",
                "lake_snapshot": 12,
                "complete": True,
                "links": [],
            }
        }
    )

    kind: str
    subject: str
    portfolio: str
    account: str
    session: date | None
    lake_snapshot: int | None
    complete: bool = Field(description="Whether no link is missing.")
    links: list[dict[str, Any]] = Field(
        description="`step`, `title`, `source`, `sentences`, `facts`, `rows`, `missing`; see docs/explain.md."
    )


_OF_BATCH = (batches.c.batch, batches.c.plan_id, batches.c.origin)
_DERIVED = ("batch", "plan_id", "origin", "qty", "notional")
_OWN = tuple(name for name in OrderView.model_fields if name not in _DERIVED)


@router.get("/orders", summary="The orders")
def list_orders(
    desk: TheDesk,
    actor: Lister,
    paging: ThePage,
    portfolio: PortfolioFilter = None,
    session: SessionFilter = None,
    symbol: SymbolFilter = None,
    state: Annotated[IntentState | None, Query(description="Only orders in this state.")] = None,
) -> Page[OrderView]:
    """The newest session first, in it by client order id."""
    wanted = sa.select(orders, *_OF_BATCH).join(batches, batches.c.batch_id == orders.c.batch_id)
    wanted = wanted.where(orders.c.account.in_(_accounts(actor, desk, portfolio)))
    filters = {"portfolio": portfolio, "session": session, "symbol": symbol, "state": state}
    for name, value in filters.items():
        wanted = wanted if value is None else wanted.where(orders.c[name] == value)
    wanted = newest_first(wanted, orders.c.session, (orders.c.client_order_id,), paging)
    if not desk.has_ledger:
        return paging.cut([], _key)
    with desk.ledger.read() as connection:
        rows = connection.execute(wanted).all()
    return paging.cut([_view(row._mapping) for row in rows], _key)


@router.get("/orders/{order}", summary="One order")
def show_order(desk: TheDesk, actor: Holder, order: OrderId) -> OrderDetail:
    """With every entry of its history: verdict, send, the broker's answers, fills."""
    found = order_of(desk, actor, order)
    with desk.ledger.read() as connection:
        batch = batch_by_id(connection, found.batch_id)
        history = events_of_orders(connection, [order])
        asked = batches_by_hand(connection, [found.batch_id]).get(found.batch_id)
    assert batch is not None
    of_batch = {"batch": batch.batch, "plan_id": batch.plan_id, "origin": batch.origin}
    values = {name: getattr(found, name) for name in _OWN} | of_batch
    told = [OrderEventView(seq=item.seq, at=item.at, kind=item.kind, detail=dict(item.payload)) for item in history]
    request = None
    if asked is not None:
        request = RequestView(
            key=asked.idempotency_key, by=asked.actor, reason=asked.reason, policy=asked.policy, at=asked.at
        )
    return OrderDetail(**values, qty=found.qty, notional=found.notional, request=request, events=told)


@router.get("/orders/{order}/explain", summary="Why an order is what it is")
def explain_order(desk: TheDesk, actor: Holder, order: OrderId) -> ExplanationView:
    """Every link from the line of the weight file, or the request, to the position and its reconciliation."""
    found = order_of(desk, actor, order)
    return ExplanationView(**explain(desk, order, portfolio=found.portfolio).to_json())


def order_of(desk: Desk, actor: Actor, order: str) -> IntentRow:
    """The order's row.

    Raises:
        NotFound: there is none, or none that this key may see.
    """
    found = {}
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            found = intents_by_id(connection, [order])
    if order not in found:
        raise NotFound("order", order)
    actor.require_account(found[order].account, "order", order)
    return found[order]


def _accounts(actor: Actor, desk: Desk, portfolio: str | None) -> list[str]:
    """The accounts that are looked at. An order of a portfolio that is not configured any more is still its account's.

    Raises:
        NotFound: the portfolio is not there, or not for this key.
    """
    chosen(actor, desk, portfolio)
    return [name for name in desk.config.accounts if actor.may_see(name)]


def _view(row: Any) -> OrderView:
    qty = row["planned_qty"] if row["final_qty"] is None else row["final_qty"]
    values = {name: row[name] for name in (*_OWN, "batch", "plan_id", "origin")}
    return OrderView(**values, qty=qty, notional=qty * row["price_used"])


def _key(order: OrderView) -> str:
    return f"{order.session}|{order.client_order_id}"
