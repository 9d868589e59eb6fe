"""What was asked of the HTTP services: every request that may write, and every one that was refused.

What belongs here: the rows, which are sealed with the rest of the history. What does not: which requests are worth one
(`api.audit`).

A request that may write has its row before anything is done, so that one that was never answered shows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.api_tables import api_requests
from scizor_dagster.ledger.changes import inserted, updated


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request; see `api_tables.api_requests`. `number` is given by `note_request`."""

    request_id: str
    at: datetime
    key_id: str | None
    actor: str
    address: str
    method: str
    route: str
    path: str
    idempotency_key: str | None = None
    body_hash: str | None = None
    status: int | None = None
    outcome: str = ""
    ended_at: datetime | None = None
    number: int = 0


def note_request(connection: sa.Connection, request: ApiRequest) -> int:
    """Keep a request, answered or not yet; its number."""
    last = connection.execute(sa.select(sa.func.max(api_requests.c.number))).scalar() or 0
    values = asdict(request) | {"number": last + 1}
    told = {name: values[name] for name in ("number", "request_id", "actor", "method", "path", "status", "outcome")}
    events.append(connection, request.at, "", "api_request", told, changes=[inserted(api_requests, values)])
    return int(last + 1)


def note_answer(connection: sa.Connection, number: int, status: int, outcome: str, now: datetime) -> None:
    """Keep how a request was answered."""
    values = {"status": status, "outcome": outcome, "ended_at": now}
    change = updated(api_requests, {"number": number}, values)
    told = {"number": number, "status": status, "outcome": outcome}
    events.append(connection, now, "", "api_answered", told, changes=[change])


def requests_of(
    connection: sa.Connection, *, actor: str | None = None, before: int | None = None, limit: int = 1000
) -> list[ApiRequest]:
    """The newest requests first: of one actor or of all, with numbers below `before`."""
    chosen = sa.select(api_requests).order_by(api_requests.c.number.desc()).limit(limit)
    if actor is not None:
        chosen = chosen.where(api_requests.c.actor == actor)
    if before is not None:
        chosen = chosen.where(api_requests.c.number < before)
    return [ApiRequest(**row._mapping) for row in connection.execute(chosen)]
