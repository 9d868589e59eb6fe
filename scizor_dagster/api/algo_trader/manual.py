"""Placing and taking back orders by hand: `POST /api/orders`, `DELETE /api/orders/{order}`, `GET /api/risk/check`.

What belongs here: the requests and their answers. What does not: what an order is made of (`flow.manual_orders`), and
the orders that there are (`orders`).

An order is found again by the id of the key and the idempotency key of its request, which stand beside it in the
ledger: written in the transaction that admits it, so that whatever dies, the repeated request finds the one order.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.orders import OrderId, order_of
from scizor_dagster.api.algo_trader.plans import PlanLineView, plan_of
from scizor_dagster.api.algo_trader.requests import Reason, RequestKey, RequestMark, Trader, connected
from scizor_dagster.api.context import Context, TheContext
from scizor_dagster.api.models import Exact, Model
from scizor_dagster.api.problems import wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.flow.dry_verdicts import verdicts_on
from scizor_dagster.flow.manual_orders import LONGEST_KEY, place_order
from scizor_dagster.flow.order_requests import OrderAsked, PlacedOrder
from scizor_dagster.flow.orders import cancel_order
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.inputs import OrderMode
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.risk.context import Decision, Verdict

router = ApiRouter("orders")
Checker = Annotated[Actor, Depends(require(Scope.DRY_RUN, Reach.ACCOUNT, or_one_of={Scope.TRADE}))]
_ID = "SCZ_20261120_2_AAPL_B_3f0a9c21d4"
_ASKED: dict[str, Any] = {
    "portfolio": "main",
    "instrument": "AAPL.XNAS",
    "side": "buy",
    "quantity": "10",
    "reason": "hedge until Friday",
}


class OrderToPlace(Model):
    """What a person asks for: exactly one of `quantity`, `notional` and `target`."""

    model_config = ConfigDict(json_schema_extra={"example": _ASKED})

    portfolio: str = Field(max_length=64)
    instrument: str = Field(max_length=48, description="Ticker of the portfolio's market, or `TICKER.MIC`.")
    side: Side | None = Field(default=None, description="Of a quantity or a notional; a target gives its own.")
    quantity: Exact | None = Field(default=None, description="Shares.")
    notional: Exact | None = Field(default=None, description="A value that is not exceeded at the reference price.")
    target: Exact | None = Field(default=None, description="Shares to own afterwards, open orders counted; 0 closes.")
    order_type: OrderMode | None = Field(default=None, description="Default: the form of the portfolio's own orders.")
    limit_price: Exact | None = Field(default=None, description="Of a limit order.")
    session: date | None = Field(default=None, description="Default: today's, at the exchange.")
    approves: str = Field(
        default="",
        max_length=64,
        description="Where the portfolio has `approval: manual`: the `plan_id` that `GET /api/risk/check` has shown.",
    )
    reason: Reason

    def asked(self) -> OrderAsked:
        return OrderAsked(
            self.portfolio, self.instrument, self.side, self.quantity, self.notional, self.target, self.order_type,
            self.limit_price, self.session,
        )  # fmt: skip


class PlacedView(Model):
    """One order of a request."""

    client_order_id: str
    symbol: str
    side: Side
    qty: Exact
    filled_qty: Exact
    state: IntentState
    reason: str


class Placed(Model):
    """What a request has become."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "key": "0a1b2c3d4e5f/7",
                "portfolio": "main",
                "account": "paper",
                "session": "2026-11-20",
                "plan_id": "3f0a9c21" * 8,
                "by": "ada",
                "reason": "hedge until Friday",
                "policy": "absorb",
                "orders": [
                    {
                        "client_order_id": _ID,
                        "symbol": "AAPL",
                        "side": "buy",
                        "qty": "10",
                        "filled_qty": "0",
                        "state": "working",
                        "reason": "",
                    }
                ],
                "line": None,
                "notes": [],
            }
        }
    )

    key: str = Field(description="Under which the ledger knows it: the key's id and the idempotency key.")
    portfolio: str
    account: str
    session: date
    plan_id: str
    by: str
    reason: str
    policy: str = Field(
        description="Whether the next rebalance keeps (`keep`) or trades back (`absorb`) what it brings."
    )
    orders: list[PlacedView]
    line: PlanLineView | None = Field(description="The line of its plan.")
    notes: list[str]

    @classmethod
    def of(cls, found: PlacedOrder) -> Placed:
        orders = [
            PlacedView(
                client_order_id=row.client_order_id,
                symbol=row.symbol,
                side=row.side,
                qty=row.planned_qty if row.final_qty is None else row.final_qty,
                filled_qty=row.filled_qty,
                state=row.state,
                reason=row.reason,
            )
            for row in found.orders
        ]
        return cls(
            key=found.key,
            portfolio=found.portfolio,
            account=found.account,
            session=found.session,
            plan_id=found.plan_id,
            by=found.actor,
            reason=found.reason,
            policy=found.policy,
            orders=orders,
            line=PlanLineView.of(found.line) if found.line is not None else None,
            notes=list(found.notes),
        )


class CanceledView(Model):
    """What became of a cancel."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"client_order_id": _ID, "state": "canceled", "filled_qty": "0", "asked_by": "ada", "note": None}
        }
    )

    client_order_id: str
    state: IntentState
    filled_qty: Exact
    asked_by: str | None = Field(description="Who has asked for it first; null where it had ended before.")
    note: str | None = Field(description="Why it may still be open; null where it has ended.")


class VerdictView(Model):
    """What the limits say of one order."""

    symbol: str
    side: str
    qty: Exact
    verdict: Decision = Field(description="`passed`, `waiting`, or `stopped` for good.")
    limit: str | None
    value: str | None
    threshold: str | None
    checked: dict[str, tuple[str, str]] = Field(description="Every limit that was looked at: value and threshold.")

    @classmethod
    def of(cls, order: PlannedOrder, said: Verdict) -> VerdictView:
        return cls(
            symbol=order.symbol,
            side=order.side.value,
            qty=order.qty,
            verdict=said.decision,
            limit=said.limit or None,
            value=said.value or None,
            threshold=said.threshold or None,
            checked={found.limit: found.texts for found in said.findings},
        )


class Check(Model):
    """What the choke point says now; nothing was admitted, sent or written."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "plan_id": "3f0a9c21" * 8,
                "portfolio": "main",
                "session": "2026-11-20",
                "passes": True,
                "kept_back_by": None,
                "verdicts": [],
                "line": None,
            }
        }
    )

    plan_id: str = Field(description="Of the plan that it would be; `approves` takes it.")
    portfolio: str
    session: date
    passes: bool = Field(description="Whether every order would go out now.")
    kept_back_by: str | None = Field(description="The gate that keeps all of it back.")
    verdicts: list[VerdictView]
    line: PlanLineView | None = Field(description="Of a single order: its line, with the reason.")


@router.post("/orders", status_code=201, summary="Place an order")
def place(context: TheContext, actor: Trader, key: RequestKey, response: Response, order: OrderToPlace) -> Placed:
    """A plan of one line, admitted and sent as every other one: the same lease, checks, limits and arming. The
    portfolio says in `manual_orders` whether it takes any, and what the next rebalance makes of it.
    """
    actor.portfolio(context.desk, order.portfolio)
    with connected(context) as desk:
        found = place_order(
            desk,
            order.asked(),
            actor=actor.name,
            key=_own(actor, key),
            reason=order.reason,
            approves=order.approves,
        )
    if found.orders:
        response.headers["Location"] = f"/api/orders/{found.orders[0].client_order_id}"
    return Placed.of(found)


@router.delete("/orders/{order}", summary="Take an order back")
def cancel(
    context: TheContext,
    actor: Trader,
    mark: RequestMark,
    order: OrderId,
    reason: Annotated[str, Query(min_length=1, max_length=500, description="Why; it stands in the ledger.")],
) -> CanceledView:
    """What was not sent yet never is; what rests at the broker is canceled, and what has filled until then counts.
    Asked again, it is the same cancel. While a run has the account, that one cancels it when it looks next.
    """
    order_of(context.desk, actor, order)
    if not reason.strip() or not reason.isprintable():
        raise wrong_field("query.reason", "The reason is no line of words.", "Say why.")
    with connected(context) as desk:
        done = cancel_order(desk, order, actor=actor.name, reason=f"{reason.strip()} {mark}")
    row = done.order.intent
    return CanceledView(
        client_order_id=row.client_order_id,
        state=row.state,
        filled_qty=row.filled_qty,
        asked_by=done.asked_by or None,
        note=context.redact(done.note) or None,
    )


@router.get("/risk/check", summary="What the limits would say")
def check(
    context: TheContext,
    actor: Checker,
    plan: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{8,64}$", description="A stored plan; or the order that follows.")
    ] = None,
    portfolio: Annotated[str | None, Query(max_length=64, description="Of an order that you would place.")] = None,
    instrument: Annotated[str | None, Query(max_length=48, description="Ticker, or `TICKER.MIC`.")] = None,
    side: Annotated[Side | None, Query(description="Of a quantity or a notional.")] = None,
    quantity: Annotated[Exact | None, Query(description="Shares.")] = None,
    notional: Annotated[Exact | None, Query(description="A value that is not exceeded.")] = None,
    target: Annotated[Exact | None, Query(description="Shares to own afterwards.")] = None,
    order_type: Annotated[
        OrderMode | None, Query(description="Default: the form of the portfolio's own orders.")
    ] = None,
    limit_price: Annotated[Exact | None, Query(description="Of a limit order.")] = None,
    session: Annotated[date | None, Query(description="Default: today's, at the exchange.")] = None,
    key: Annotated[
        str, Query(pattern=r"^[\x21-\x7e]{1,128}$", description="The `Idempotency-Key` that it will be placed with.")
    ] = "check",
    reason: Annotated[str, Query(min_length=1, max_length=500, description="As it will be placed.")] = "check",
) -> Check:
    """The verdict on every order of a stored plan, or on one that you would place; nothing is admitted, sent or
    written. `plan_id` is that of the order which the same key, reason and values would place, if nothing has changed
    by then.
    """
    if plan is not None:
        return _of_plan(context, actor, plan)
    if portfolio is None or instrument is None:
        raise wrong_field("query.portfolio", "Nothing is named.", "Give `plan`, or `portfolio` and `instrument`.")
    actor.portfolio(context.desk, portfolio)
    asked = OrderAsked(portfolio, instrument, side, quantity, notional, target, order_type, limit_price, session)
    with connected(context) as desk:
        found = place_order(
            desk, asked, actor=actor.name, key=_own(actor, key), reason=reason, dry_run=True, looks=False
        )
    verdicts = [VerdictView.of(*each) for each in zip(found.planned, found.verdicts, strict=True)]
    passes = bool(verdicts) and all(said.verdict is Decision.PASS for said in verdicts)
    return Check(
        plan_id=found.plan_id,
        portfolio=found.portfolio,
        session=found.session,
        passes=passes,
        kept_back_by=None if verdicts or found.line is None else str(found.line.reason),
        verdicts=verdicts,
        line=PlanLineView.of(found.line) if found.line is not None else None,
    )


def _of_plan(context: Context, actor: Actor, plan: str) -> Check:
    found: Plan = plan_of(context.desk, actor, plan)
    actor.portfolio(context.desk, found.portfolio)
    with connected(context) as desk:
        said, gate = verdicts_on(desk, found)
    verdicts = [] if gate else [VerdictView.of(*each) for each in zip(found.orders, said, strict=True)]
    return Check(
        plan_id=found.plan_id,
        portfolio=found.portfolio,
        session=found.session,
        passes=not gate and all(item.verdict is Decision.PASS for item in verdicts),
        kept_back_by=gate or None,
        verdicts=verdicts,
        line=None,
    )


def _own(actor: Actor, key: str) -> str:
    """The key as the account's ledger has it: two API keys may use the same text for two things."""
    own = f"{actor.key_id}/{key}"
    if len(own) <= LONGEST_KEY:
        return own
    return f"{actor.key_id}/sha256:{hashlib.sha256(key.encode()).hexdigest()}"
