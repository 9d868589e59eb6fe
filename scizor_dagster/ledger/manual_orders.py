"""Orders that people place and take back by hand: one row for each request, and the key that makes it the same one.

What belongs here: writing and reading the rows. What does not: what an order is made of (`planning.manual`), when it is
sent (`execution`), and what the portfolio makes of what it brings (`set_apart`).

A row is written in the transaction that admits its batch: whoever asks again with the key, after a crash or in another
process at the same moment, finds the one order that there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import KeyReused
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import Change, inserted
from scizor_dagster.ledger.manual_tables import manual_orders, order_cancels
from scizor_dagster.ledger.rows import IntentRow

KEEP, ABSORB = "keep", "absorb"
"""What the next rebalance does with what a manual order has brought."""
CANCEL_ASKED = "cancel_asked"
_CHUNK = 500
# Built once: who wants what taken back is asked in every round of a run.
_CANCELS = sa.select(order_cancels).where(order_cancels.c.client_order_id.in_(sa.bindparam("ids", expanding=True)))
_BY_BATCH = sa.select(manual_orders).where(manual_orders.c.batch_id.in_(sa.bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a manual order.

    Attributes:
        key: The idempotency key; one request of an account has it.
        request: What is asked for, as canonical JSON: the same text is the same request.
        policy: `KEEP` or `ABSORB`.
        approves: Id of the plan that the actor has looked at and means; empty where they have looked at none.
    """

    key: str
    portfolio: str
    request: str
    actor: str
    reason: str
    policy: str
    approves: str = ""


@dataclass(frozen=True, slots=True)
class ManualOrder:
    """An admitted request, with the batch that it became."""

    account: str
    idempotency_key: str
    portfolio: str
    session: date
    batch_id: str
    plan_id: str
    request: str
    actor: str
    reason: str
    policy: str
    at: datetime

    @property
    def sentence(self) -> str:
        return (
            f"manual order {self.idempotency_key} of {self.actor} at {self.at.isoformat(timespec='seconds')}: "
            f"{self.reason}"
        )


@dataclass(frozen=True, slots=True)
class CancelAsk:
    """Who wants an order taken back, and why."""

    client_order_id: str
    account: str
    actor: str
    reason: str
    at: datetime


def manual_row(ask: Ask, account: str, session: date, batch_id: str, plan_id: str, now: datetime) -> Change:
    """The row of an admitted request, for the transaction that admits it."""
    values = {
        "account": account,
        "idempotency_key": ask.key,
        "portfolio": ask.portfolio,
        "session": session,
        "batch_id": batch_id,
        "plan_id": plan_id,
        "request": ask.request,
        "actor": ask.actor,
        "reason": ask.reason,
        "policy": ask.policy,
        "at": now,
    }
    return inserted(manual_orders, values)


def manual_order(connection: sa.Connection, account: str, key: str) -> ManualOrder | None:
    """The request with this key, or None."""
    mine = (manual_orders.c.account == account, manual_orders.c.idempotency_key == key)
    row = connection.execute(sa.select(manual_orders).where(*mine)).first()
    return None if row is None else ManualOrder(**row._mapping)


def manual_orders_of(
    connection: sa.Connection,
    account: str,
    portfolio: str | None = None,
    *,
    first: date = date.min,
    last: date = date.max,
) -> list[ManualOrder]:
    """The account's requests of the sessions `first` to `last`, oldest first: of one portfolio or of all."""
    chosen = sa.select(manual_orders).where(
        manual_orders.c.account == account, manual_orders.c.session.between(first, last)
    )
    if portfolio is not None:
        chosen = chosen.where(manual_orders.c.portfolio == portfolio)
    rows = connection.execute(chosen.order_by(manual_orders.c.at, manual_orders.c.batch_id))
    return [ManualOrder(**row._mapping) for row in rows]


def require_same(found: ManualOrder, ask: Ask) -> None:
    """Refuse a key that another request has.

    Raises:
        KeyReused: naming what differs.
    """
    if found.request == ask.request:
        return
    before, now = json.loads(found.request), json.loads(ask.request)
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    differs = ", ".join(f"{name} is {_said(now.get(name))} and was {_said(before.get(name))}" for name in names)
    raise KeyReused(
        f"The key '{ask.key}' is that of another order ({found.batch_id}, placed by {found.actor}): {differs}.",
        remedy="Nothing was placed. Give a new order a key of its own; repeat a request as it was.",
        where=f"account {found.account}",
    )


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)


def ask_cancel(
    connection: sa.Connection, intent: IntentRow, *, actor: str, reason: str, now: datetime
) -> tuple[CancelAsk, bool]:
    """Have an order taken back; the first who asks for it stands, and whether that was now."""
    found = cancel_asks(connection, [intent.client_order_id]).get(intent.client_order_id)
    if found is not None:
        return found, False
    made = CancelAsk(intent.client_order_id, intent.account, actor, reason, now)
    payload = {"actor": actor, "reason": reason}
    change = inserted(order_cancels, asdict(made))
    events.append(connection, now, intent.account, CANCEL_ASKED, payload, intent.client_order_id, [change])
    return made, True


def cancel_asks(connection: sa.Connection, client_order_ids: Sequence[str]) -> dict[str, CancelAsk]:
    """Who wants which of these orders taken back, by id."""
    found: dict[str, CancelAsk] = {}
    for start in range(0, len(client_order_ids), _CHUNK):
        chunk = {"ids": client_order_ids[start : start + _CHUNK]}
        found |= {row.client_order_id: CancelAsk(**row._mapping) for row in connection.execute(_CANCELS, chunk)}
    return found


def batches_by_hand(connection: sa.Connection, batch_ids: Iterable[str]) -> dict[str, ManualOrder]:
    """The requests of those of the batches that are manual orders, by batch id."""
    found: dict[str, ManualOrder] = {}
    names = sorted(set(batch_ids))
    for start in range(0, len(names), _CHUNK):
        chunk = {"ids": names[start : start + _CHUNK]}
        found |= {row.batch_id: ManualOrder(**row._mapping) for row in connection.execute(_BY_BATCH, chunk)}
    return found
