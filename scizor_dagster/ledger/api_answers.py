"""Answers kept for idempotency keys, so that the same request is done once however often it is sent.

What belongs here: the rows, and telling a repeated request from another one. What does not: whether a holder lives, and
which answers are kept (`api.idempotency`).

An idempotency key is that of one API key: another key, even of the same actor, begins anew, and whatever it then asks
meets what the ledger knows of the domain (batch numbers, states, ids of orders). It is never free again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.api_tables import api_answers
from scizor_dagster.ledger.changes import deleted, inserted, updated


class AnotherRequest(LedgerError):
    """The idempotency key came with another request before."""


class StillInProgress(LedgerError):
    """The request with this idempotency key is being worked on."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered; `status` is None while nothing was."""

    key_id: str
    idempotency_key: str
    request_hash: str
    holder: str
    begun_at: datetime
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None


def begin(connection: sa.Connection, asked: KeptAnswer, is_alive: Callable[[str], bool]) -> KeptAnswer | None:
    """Take up a request, or return the answer that it has had.

    Args:
        connection: Of a write transaction.
        asked: The request, with the holder that would work on it.
        is_alive: Whether a holder may still be working; one that is gone is replaced.

    Raises:
        AnotherRequest: the idempotency key came with another request before.
        StillInProgress: somebody works on it.
    """
    found = answer_of(connection, asked.key_id, asked.idempotency_key)
    if found is None:
        row = asdict(asked)
        events.append(connection, asked.begun_at, "", "api_begun", _told(asked), changes=[inserted(api_answers, row)])
        return None
    if found.request_hash != asked.request_hash:
        raise AnotherRequest(
            f"Idempotency key '{asked.idempotency_key}' came with another request before.",
            remedy="Nothing was done. Use a new key for a new request.",
        )
    if found.status is not None:
        return found
    if is_alive(found.holder):
        raise StillInProgress(
            "The request with this idempotency key is being worked on.",
            remedy="Nothing was done a second time. Ask again in a moment, with the same key.",
        )
    values = {"holder": asked.holder, "begun_at": asked.begun_at}
    change = updated(api_answers, _key(asked), values, expected={"holder": found.holder})
    events.append(connection, asked.begun_at, "", "api_begun", _told(asked), changes=[change])
    return None


def keep(
    connection: sa.Connection, asked: KeptAnswer, status: int, headers: Mapping[str, str], body: str, now: datetime
) -> None:
    """Store the answer; every repetition gets it from now on."""
    values = {"status": status, "headers": dict(headers), "body": body}
    change = updated(api_answers, _key(asked), values, expected={"holder": asked.holder})
    events.append(connection, now, "", "api_kept", _told(asked) | {"status": status}, changes=[change])


def let_go(connection: sa.Connection, asked: KeptAnswer, now: datetime) -> None:
    """Forget a request that has no answer worth keeping; the next one is worked on."""
    events.append(connection, now, "", "api_let_go", _told(asked), changes=[deleted(api_answers, _key(asked))])


def answer_of(connection: sa.Connection, key_id: str, idempotency_key: str) -> KeptAnswer | None:
    mine = (api_answers.c.key_id == key_id, api_answers.c.idempotency_key == idempotency_key)
    row = connection.execute(sa.select(api_answers).where(*mine)).first()
    return KeptAnswer(**row._mapping) if row is not None else None


def _key(asked: KeptAnswer) -> dict[str, str]:
    return {"key_id": asked.key_id, "idempotency_key": asked.idempotency_key}


def _told(asked: KeptAnswer) -> dict[str, str]:
    return {**_key(asked), "request_hash": asked.request_hash, "holder": asked.holder}
