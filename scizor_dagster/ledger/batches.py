"""Admission: how a plan becomes a batch of intents, once, in one transaction.

What belongs here: admitting, the account's session clock, and the state of a batch. What does not:
single intents (`intents`), and whether a plan is good (`planning`, `risk`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderRequest
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.arming import Arming
from scizor_dagster.ledger.changes import Change, inserted, updated
from scizor_dagster.ledger.intents import parameter_hash
from scizor_dagster.ledger.manual_orders import Ask, manual_row
from scizor_dagster.ledger.plan_approvals import PlanApproval
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batch_by_id, batch_of, batches_of
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.ledger.tables import account_clocks, batches, orders
from scizor_dagster.ledger.tables import events as history
from scizor_dagster.planning.model import MANUAL, Plan, PlannedOrder, Provenance

__all__ = [
    "Admission",
    "account_clock",
    "admit",
    "admitted_provenance",
    "batch_of",
    "batches_of",
    "intents_meant",
    "set_state",
    "state_from",
]  # fmt: skip

ADMITTED = "batch_admitted"
MAX_ID_LENGTH = 48
_ADMISSIONS = sa.select(history.c.payload).where(history.c.kind == ADMITTED).order_by(history.c.seq)
_CLOCK = sa.select(account_clocks.c.session).where(account_clocks.c.account == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Admission:
    """`created` is False where the same plan had been admitted before."""

    batch: BatchRow
    created: bool


def admit(
    connection: sa.Connection,
    plan: Plan,
    *,
    starting_cash: Decimal,
    now: datetime,
    armed: Arming | None = None,
    approved: PlanApproval | None = None,
    ask: Ask | None = None,
) -> Admission:
    """Write the batch, all its intents, the account's clock and the event, in the caller's transaction.

    `starting_cash` is the portfolio's cash before its first flow, in the plan's currency; `armed` and `approved` are
    what people have permitted it by, and `ask` is the request that a manual order answers.

    Returns:
        The batch; the one that exists where this very plan was admitted before.

    Raises:
        LedgerError: another plan holds this session and number; the number is not the next one; an
            earlier rebalance of the session is still open; the session lies before the account's
            clock; an order of the plan cannot be a row; another manual order has the key.
    """
    existing = {batch.batch: batch for batch in batches_of(connection, plan.account, plan.portfolio, plan.session)}
    if plan.batch in existing:
        return Admission(_same_plan(existing[plan.batch], plan), created=False)
    _check_number(existing, plan)
    clock = clock_moved(connection, plan.account, plan.session)
    batch_id = id_of_batch(plan.account, plan.portfolio, plan.session, plan.batch)
    state = BatchState.WORKING if plan.orders else BatchState.NOTHING_TO_DO
    permitted = _permitted(armed, approved)
    batch = new_batch(
        plan.account,
        plan.portfolio,
        plan.session,
        plan.batch,
        plan_id=plan.plan_id,
        origin=plan.origin,
        state=state,
        cash_buffer=plan.cash_buffer,
        starting_cash=starting_cash,
        now=now,
        permitted=permitted,
    )
    _check_orders(plan)
    rows = [
        inserted(orders, _intent_values(plan, batch_id, position, order, now))
        for position, order in enumerate(plan.orders)
    ]
    asked = [] if ask is None else [manual_row(ask, plan.account, plan.session, batch_id, plan.plan_id, now)]
    payload = {
        "batch_id": batch_id,
        "plan_id": plan.plan_id,
        "orders": len(rows),
        "cash_buffer": plan.cash_buffer,
        **({} if plan.provenance is None else asdict(plan.provenance)),
        **({} if ask is None else {"idempotency_key": ask.key, "actor": ask.actor, "reason": ask.reason}),
        **permitted,
    }
    try:
        events.append(connection, now, plan.account, ADMITTED, payload, changes=[*clock, batch, *rows, *asked])
    except sa.exc.IntegrityError as error:
        raise LedgerError(
            f"An order of plan {plan.plan_id[:12]}, or its idempotency key, is already in the ledger ({error.orig}).",
            remedy="Nothing was admitted. Client order ids and keys must never repeat; check the plan's prefix.",
        ) from error
    admitted = batch_by_id(connection, batch_id)
    assert admitted is not None
    return Admission(admitted, created=True)


def id_of_batch(account: str, portfolio: str, session: date, number: int) -> str:
    return f"{account}/{portfolio}/{session.isoformat()}/{number}"


def new_batch(
    account: str,
    portfolio: str,
    session: date,
    number: int,
    *,
    plan_id: str,
    origin: str,
    state: BatchState,
    starting_cash: Decimal,
    now: datetime,
    cash_buffer: Decimal = Decimal(0),
    permitted: Mapping[str, Any] | None = None,
) -> Change:
    """The row of a batch. `permitted` says under whose arming and approval it is admitted."""
    row = {
        "batch_id": id_of_batch(account, portfolio, session, number),
        "account": account,
        "portfolio": portfolio,
        "session": session,
        "batch": number,
        "plan_id": plan_id,
        "origin": origin,
        "state": state.value,
        "cash_buffer": cash_buffer,
        "starting_cash": starting_cash,
        "created_at": now,
        "updated_at": now,
    }
    return inserted(batches, row | dict(permitted or {}))


def set_state(connection: sa.Connection, batch: BatchRow, state: BatchState, *, now: datetime) -> BatchRow:
    """Note how far the batch has come, with an event; `state` is another one than it has."""
    payload = {"batch_id": batch.batch_id, "from": batch.state, "to": state}
    change = updated(batches, {"batch_id": batch.batch_id}, {"state": state.value, "updated_at": now})
    events.append(connection, now, batch.account, f"batch_{state.value}", payload, changes=[change])
    return replace(batch, state=state, updated_at=now)


def state_from(rows: Iterable[IntentRow], *, others_open: bool) -> BatchState:
    """The state that a batch's intents add up to.

    `others_open` says whether orders that belong to them, the exits of a bracket, may still fill.
    """
    states = [row.state for row in rows]
    if not states:
        return BatchState.NOTHING_TO_DO
    if IntentState.UNKNOWN in states:
        return BatchState.FROZEN
    ended = all(state.terminal for state in states) and not others_open
    return BatchState.DONE if ended else BatchState.WORKING


def intents_meant(plan: Plan, now: datetime) -> list[IntentRow]:
    """The intents that admitting `plan` would write, in its order; nothing is written."""
    batch_id = id_of_batch(plan.account, plan.portfolio, plan.session, plan.batch)
    found = []
    for position, order in enumerate(plan.orders):
        values = _intent_values(plan, batch_id, position, order, now)
        words = {name: getattr(order, name) for name in ("side", "order_type", "time_in_force", "intent", "depends_on")}
        found.append(IntentRow(**(values | words | {"state": IntentState(values["state"])})))
    return found


def admitted_provenance(connection: sa.Connection) -> dict[str, Provenance]:
    """Where the admitted plans came from when they were admitted, by plan id, as the history has sealed it."""
    found = (json.loads(text) for text in connection.execute(_ADMISSIONS).scalars())
    # Entries of versions that did not seal it name neither, and stay as valid as they are: nothing is compared there.
    return {
        entry["plan_id"]: Provenance(entry["lake_snapshot"], entry["code_version"])
        for entry in found
        if "lake_snapshot" in entry
    }


def account_clock(connection: sa.Connection, account: str) -> date | None:
    """The last session for which a batch of the account was admitted."""
    return connection.execute(_CLOCK, {"wanted": account}).scalar()


def _permitted(armed: Arming | None, approved: PlanApproval | None) -> dict[str, Any]:
    """The columns that say under whose arming and approval a batch was admitted; none where it needed none."""
    values: dict[str, Any] = {}
    if armed is not None:
        values |= {"armed_by": armed.actor, "armed_at": armed.at, "armed_until": armed.expires_at}
        values["max_notional"] = armed.max_notional
    if approved is not None:
        values |= {"approved_by": approved.actor, "approved_at": approved.at}
    return values


def _same_plan(batch: BatchRow, plan: Plan) -> BatchRow:
    if batch.plan_id != plan.plan_id:
        raise LedgerError(
            f"Batch {batch.batch} of portfolio '{plan.portfolio}' on {plan.session.isoformat()} was admitted "
            f"with plan {batch.plan_id[:12]}, not {plan.plan_id[:12]}.",
            remedy="One plan per session is carried out. Ask for a re-plan explicitly, "
            f"with batch number {batch.batch + 1}.",
        )
    return batch


def _check_number(existing: dict[int, BatchRow], plan: Plan) -> None:
    expected = max(existing, default=0) + 1
    if plan.batch != expected:
        raise LedgerError(
            f"Batch {plan.batch} is not the next one of portfolio '{plan.portfolio}' on {plan.session.isoformat()}.",
            remedy=f"Plan again with batch number {expected}.",
        )
    # A plan counts what manual orders still bring, and a manual order what the plan does: neither waits for the other.
    unfinished = [batch for batch in existing.values() if batch.state.open and not batch.by_hand]
    if unfinished and plan.origin != MANUAL:
        raise LedgerError(
            f"Batch {unfinished[0].batch} of {plan.session.isoformat()} is still {unfinished[0].state}.",
            remedy="Follow its orders to their end before a re-plan.",
        )


def clock_moved(connection: sa.Connection, account: str, session: date) -> list[Change]:
    """The change that takes the account's clock to `session`; none where it is there.

    Raises:
        LedgerError: it is later already.
    """
    clock = account_clock(connection, account)
    if clock is None:
        return [inserted(account_clocks, {"account": account, "session": session})]
    if session < clock:
        raise LedgerError(
            f"Account '{account}' has traded on {clock.isoformat()}; {session.isoformat()} lies before it.",
            remedy="An account goes one way through time. Use an account of its own for a replay.",
        )
    return [updated(account_clocks, {"account": account}, {"session": session})] if session > clock else []


def _check_orders(plan: Plan) -> None:
    ids = [order.client_order_id for order in plan.orders]
    problem = None
    if len(set(ids)) != len(ids):
        problem = "names a client order id twice"
    elif any(not 0 < len(name) <= MAX_ID_LENGTH for name in ids):
        problem = f"has a client order id longer than {MAX_ID_LENGTH} characters"
    elif not all(set(order.depends_on) <= set(ids) for order in plan.orders):
        problem = "has an order that depends on one outside of it"
    elif any(order.qty <= 0 or order.price_used <= 0 for order in plan.orders):
        problem = "has an order whose quantity or price is not positive"
    if problem:
        raise LedgerError(f"Plan {plan.plan_id[:12]} {problem}.", remedy="Nothing was admitted; plan again.")


def _intent_values(plan: Plan, batch_id: str, position: int, order: PlannedOrder, now: datetime) -> dict[str, Any]:
    at_once = order.phase == 1
    request = OrderRequest(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        qty=order.qty,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        session=plan.session,
        intent=order.intent,
        limit_price=order.limit_price,
        take_profit=order.take_profit,
        stop_loss=order.stop_loss,
    )
    ready = at_once and not order.depends_on
    return {
        "client_order_id": order.client_order_id,
        "batch_id": batch_id,
        "account": plan.account,
        "portfolio": plan.portfolio,
        "session": plan.session,
        "position": position,
        "symbol": order.symbol,
        "instrument_id": order.instrument_id,
        "side": order.side.value,
        "planned_qty": order.qty,
        "final_qty": order.qty if at_once else None,
        "order_type": order.order_type.value,
        "time_in_force": order.time_in_force.value,
        "intent": order.intent.value,
        "limit_price": order.limit_price,
        "take_profit": order.take_profit,
        "stop_loss": order.stop_loss,
        "price_used": order.price_used,
        "leg": order.leg,
        "slice": order.slice,
        "phase": order.phase,
        "depends_on": list(order.depends_on),
        "parameter_hash": parameter_hash(plan.account, plan.portfolio, request) if at_once else None,
        "cleared_hash": None,
        "state": (IntentState.READY if ready else IntentState.HELD).value,
        "reason": order.reason.value,
        "broker_order_id": None,
        "filled_qty": Decimal(0),
        "updated_at": now,
    }
