"""Rows of a ledger that is built from the broker's own books.

What belongs here: the batches and orders that such a ledger has, with their events. What does not: reading the broker,
and whose order it was (`execution.rebuilding`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import (
    BrokerOrder,
    OrderRequest,
    OrderType,
    PositionIntent,
    Side,
    TimeInForce,
)
from scizor_dagster.ledger import events
from scizor_dagster.ledger.batches import account_clock, clock_moved, id_of_batch, new_batch
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.holdings import account_flow
from scizor_dagster.ledger.intents import parameter_hash
from scizor_dagster.ledger.rows import batches_of, intents_of
from scizor_dagster.ledger.states import BatchState, IntentState
from scizor_dagster.ledger.tables import batches, orders
from scizor_dagster.ledger.tables import events as history

ORIGIN = "rebuilt"
"""Origin of such a batch, and its plan."""
_STATED = "cash_stated"
UNKNOWN_FORM = "rebuilt from the broker's books, which say nothing of its type, intent and plan"
ZERO = Decimal(0)


def take_batch(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    number: int,
    found: Sequence[BrokerOrder],
    *,
    instrument_ids: Mapping[str, str],
    starting_cash: Decimal,
    now: datetime,
) -> None:
    """Take orders that are not in the ledger into their batch, which is opened; as `working`, for polls to end them."""
    batch_id = id_of_batch(account, portfolio, session, number)
    working = {"state": BatchState.WORKING.value, "updated_at": now}
    if any(batch.batch == number for batch in batches_of(connection, account, portfolio, session)):
        batch = updated(batches, {"batch_id": batch_id}, working)
    else:
        batch = new_batch(
            account,
            portfolio,
            session,
            number,
            plan_id=ORIGIN,
            origin=ORIGIN,
            state=BatchState.WORKING,
            starting_cash=starting_cash,
            now=now,
        )
    clock = account_clock(connection, account)
    moved = [] if clock is not None and session <= clock else clock_moved(connection, account, session)
    first = len(intents_of(connection, batch_id))
    rows = [
        inserted(orders, _row(account, portfolio, session, batch_id, first + place, order, instrument_ids, now))
        for place, order in enumerate(found)
    ]
    payload = {"batch_id": batch_id, "orders": [order.client_order_id for order in found]}
    events.append(connection, now, account, "batch_rebuilt", payload, changes=[batch, *moved, *rows])


def state_cash(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    *,
    cash: Decimal,
    starting_cash: Decimal,
    account_cash: Decimal,
    now: datetime,
) -> None:
    """Let a portfolio whose beginning is not known begin with `starting_cash`: a person says that it has `cash` now.

    `account_cash` is what the account shows at that moment, from which its own beginning follows.
    """
    rebuilt = [row for row in batches_of(connection, account, portfolio) if row.origin == ORIGIN]
    values = {"starting_cash": starting_cash, "updated_at": now}
    changes = [updated(batches, {"batch_id": row.batch_id}, values) for row in rebuilt]
    if not rebuilt:
        changes = [
            new_batch(
                account,
                portfolio,
                session,
                0,
                plan_id=ORIGIN,
                origin=ORIGIN,
                state=BatchState.NOTHING_TO_DO,
                starting_cash=starting_cash,
                now=now,
            )
        ]
    opening = account_cash - account_flow(connection, account)
    payload = {"portfolio": portfolio, "cash": cash, "starting_cash": starting_cash, "opening": opening}
    events.append(connection, now, account, _STATED, payload, changes=changes)


def cash_is_stated(connection: sa.Connection, account: str, portfolio: str) -> bool:
    """Whether a person has said what the portfolio has, so that its configured capital counts no more."""
    return cash_stated_at(connection, account, portfolio) is not None


def cash_stated_at(connection: sa.Connection, account: str, portfolio: str) -> datetime | None:
    """When a person last said what the portfolio has; what was adopted along with it is recorded no later."""
    return max((at for at, row in _statements(connection, account) if row["portfolio"] == portfolio), default=None)


def opening_cash(connection: sa.Connection, account: str) -> Decimal | None:
    """What the account must have begun with for what it showed when a person last said so; None where nobody did."""
    stated = _statements(connection, account)
    return Decimal(stated[-1][1]["opening"]) if stated else None


def _statements(connection: sa.Connection, account: str) -> list[tuple[datetime, dict[str, str]]]:
    kind = (history.c.account == account, history.c.kind == _STATED)
    found = connection.execute(sa.select(history.c.at, history.c.payload).where(*kind).order_by(history.c.seq))
    return [(row.at, json.loads(row.payload)) for row in found]


def _row(
    account: str,
    portfolio: str,
    session: date,
    batch_id: str,
    place: int,
    order: BrokerOrder,
    instrument_ids: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    intent = PositionIntent.BUY_TO_OPEN if order.side is Side.BUY else PositionIntent.SELL_TO_CLOSE
    request = OrderRequest(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        qty=order.qty,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        session=session,
        intent=intent,
    )
    sealed = parameter_hash(account, portfolio, request)
    return {
        "client_order_id": order.client_order_id,
        "batch_id": batch_id,
        "account": account,
        "portfolio": portfolio,
        "session": session,
        "position": place,
        "symbol": order.symbol,
        "instrument_id": instrument_ids.get(order.symbol, order.symbol),
        "side": order.side.value,
        "planned_qty": order.qty,
        "final_qty": order.qty,
        "order_type": request.order_type.value,
        "time_in_force": request.time_in_force.value,
        "intent": intent.value,
        "limit_price": None,
        "take_profit": None,
        "stop_loss": None,
        "price_used": order.average_price or ZERO,
        "leg": 1,
        "slice": 1,
        "phase": 1,
        "depends_on": [],
        "parameter_hash": sealed,
        "cleared_hash": sealed,
        "state": IntentState.WORKING.value,
        "reason": UNKNOWN_FORM,
        "broker_order_id": order.broker_order_id,
        "filled_qty": ZERO,
        "updated_at": now,
    }
