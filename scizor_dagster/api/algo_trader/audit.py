"""`/api/audit`: the history of the ledger, entry by entry, and whether it is whole."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Query
from pydantic import ConfigDict, Field

from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, Paging, ThePage
from scizor_dagster.api.problems import NotFound, wrong_field
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify

router = ApiRouter("audit")
Auditor = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.LISTED))]
_DIGITS = 12
_EXAMPLE: dict[str, Any] = {
    "seq": 42,
    "at": "2026-11-20T14:30:00Z",
    "account": "paper",
    "kind": "trading_state",
    "client_order_id": None,
    "payload": {"state": "halted", "actor": "ada", "reason": "the feed looks wrong"},
    "hash": "9b74c989" * 8,
    "previous_hash": "0cc175b9" * 8,
}


class AuditEntry(Model):
    """One entry. Its seal covers the one before it."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    seq: int
    at: datetime
    account: str | None = Field(description="Null for what belongs to no account: keys, requests.")
    kind: str
    client_order_id: str | None
    payload: dict[str, Any]
    hash: str
    previous_hash: str


class AuditPage(Page[AuditEntry]):
    """A page of the history, and what its verification has found."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [_EXAMPLE], "next": None, "whole": True, "found": []}}
    )

    whole: bool | None = Field(description="Whether every row is what the history says; null where nobody has asked.")
    found: list[str] = Field(description="What is not, for a key that is bound to no account.")


@router.get("/audit", summary="The history of the ledger")
def list_audit(
    desk: TheDesk,
    actor: Auditor,
    paging: ThePage,
    account: Annotated[str | None, Query(max_length=64, description="One account.", examples=["paper"])] = None,
    kind: Annotated[str | None, Query(max_length=32, description="One kind.", examples=["trading_state"])] = None,
    order: Annotated[str | None, Query(max_length=48, description="Client order id.")] = None,
    verified: Annotated[
        bool, Query(alias="verify", description="Compare every row with the history first; takes its time.")
    ] = False,
) -> AuditPage:
    """The newest entries first. Requests are among them (`api_request`, `api_answered`), for a key that is bound to no
    account; one that is bound sees its accounts' entries.
    """
    if account is not None and not actor.may_see(account):
        raise NotFound("account", account)
    page = paging.cut(_entries(desk, actor, paging, {"account": account, "kind": kind, "client_order_id": order}), _key)
    found = _verified(desk) if verified else []
    # Sentences name rows of every account.
    told = found if actor.accounts is None else []
    return AuditPage(items=page.items, next=page.next, whole=not found if verified else None, found=told)


def _entries(desk: Desk, actor: Actor, paging: Paging, filters: dict[str, str | None]) -> list[AuditEntry]:
    wanted = sa.select(events).order_by(events.c.seq.desc()).limit(paging.limit + 1)
    for name, value in filters.items():
        wanted = wanted if value is None else wanted.where(events.c[name] == value)
    if actor.accounts is not None:
        wanted = wanted.where(events.c.account.in_(sorted(actor.accounts)))
    if paging.after is not None:
        wanted = wanted.where(events.c.seq < _seq(paging.after))
    with desk.ledger.read() as connection:
        rows = connection.execute(wanted).all()
    return [_entry(row._mapping) for row in rows]


def _entry(row: Any) -> AuditEntry:
    values = {name: row[name] for name in AuditEntry.model_fields}
    return AuditEntry(**values | {"account": row["account"] or None, "payload": json.loads(row["payload"])})


def _key(entry: AuditEntry) -> str:
    return str(entry.seq)


def _seq(cursor: str) -> int:
    if not cursor.isdecimal() or len(cursor) > _DIGITS:
        raise wrong_field("query.cursor", "That is no cursor.", "Take it from `next` of the page before.")
    return int(cursor)


def _verified(desk: Desk) -> list[str]:
    with desk.ledger.read() as connection:
        return verify(connection)
