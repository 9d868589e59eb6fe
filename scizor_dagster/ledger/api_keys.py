"""Keys of the HTTP services: whom each stands for, what it may do, and until when.

What belongs here: the rows, and what may become of them. What does not: making a key and telling whether a text is one
(`api.keys`), and what each scope opens (`api.security`).

A key is stored as its digest alone. No scope contains another: a key that trades and reads has both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.api_tables import api_keys
from scizor_dagster.ledger.changes import inserted, updated

EVERY_ACCOUNT = "*"
USE_NOTED_EVERY = timedelta(hours=1)


class Scope(StrEnum):
    READ = "read"
    UPLOAD = "upload"
    """Hand in weight files, symbols and the like, and have data collected."""
    DRY_RUN = "dry_run"
    """Backtests, optimizations and plans that nothing is sent of."""
    TRADE = "trade"
    """Whatever may send an order, or keep one from being sent."""
    ADMIN = "admin"
    """The audit, and what only an operator may change. It opens nothing of the others."""
    METRICS = "metrics"
    """The figures of `/metrics`, and nothing else."""

    @property
    def shown(self) -> str:
        """As people write it."""
        return self.value.replace("_", "-")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. `accounts` is None where it is bound to none in particular, and so may see every one."""

    key_id: str
    digest: str
    actor: str
    scopes: frozenset[Scope]
    accounts: frozenset[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    reason: str = ""
    last_used_at: datetime | None = None

    def refusal(self, now: datetime) -> str:
        """Why it opens nothing now, in two words; empty where it does."""
        if self.revoked_at is not None:
            return "key revoked"
        return "key expired" if self.expires_at <= now else ""


def add_key(connection: sa.Connection, key: ApiKey) -> None:
    """Store a new key, with an event.

    Raises:
        LedgerError: it has no scope, no account, or has expired already.
    """
    if not key.scopes or (key.accounts is not None and not key.accounts):
        raise LedgerError("A key needs a scope and an account.", remedy="Give it one of each.", where=key.actor)
    if key.expires_at <= key.created_at:
        raise LedgerError("The expiry of the key has passed.", remedy="Give a later one.", where=key.actor)
    row = _row(key)
    told = {name: row[name] for name in ("key_id", "actor", "scopes", "accounts", "created_by", "expires_at")}
    events.append(connection, key.created_at, "", "api_key_created", told, changes=[inserted(api_keys, row)])


def revoke_key(connection: sa.Connection, key_id: str, *, actor: str, reason: str, now: datetime) -> ApiKey:
    """Close a key for good; what it was.

    Raises:
        LedgerError: there is no such key, it is revoked already, or there is no reason.
    """
    if not reason.strip():
        raise LedgerError("Revoking a key needs a reason.", remedy="Give one: --reason TEXT.", where=key_id)
    found = key_of(connection, key_id)
    if found is None or found.revoked_at is not None:
        problem = f"There is no key '{key_id}'." if found is None else f"Key {key_id} is revoked already."
        raise LedgerError(problem, remedy="Nothing was changed. See: scizor keys list.")
    values = {"revoked_at": now, "revoked_by": actor, "reason": reason}
    change = updated(api_keys, {"key_id": key_id}, values)
    told = {"key_id": key_id, "actor": actor, "reason": reason}
    events.append(connection, now, "", "api_key_revoked", told, changes=[change])
    return found


def use_is_due(key: ApiKey, now: datetime) -> bool:
    """Whether `note_use` has something to write."""
    return key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY


def note_use(connection: sa.Connection, key_id: str, now: datetime) -> None:
    """Keep that the key is in use, to the hour."""
    change = updated(api_keys, {"key_id": key_id}, {"last_used_at": now})
    events.append(connection, now, "", "api_key_used", {"key_id": key_id}, changes=[change])


def key_of(connection: sa.Connection, key_id: str) -> ApiKey | None:
    row = connection.execute(sa.select(api_keys).where(api_keys.c.key_id == key_id)).first()
    return _key(row) if row is not None else None


def keys_of(connection: sa.Connection) -> list[ApiKey]:
    """Every key that there ever was, oldest first."""
    return [_key(row) for row in connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at))]


def _row(key: ApiKey) -> dict[str, Any]:
    row = {column.name: getattr(key, column.name) for column in api_keys.columns}
    accounts = _joined(key.accounts) if key.accounts is not None else EVERY_ACCOUNT
    return row | {"scopes": _joined(key.scopes), "accounts": accounts}


def _joined(words: Collection[str]) -> str:
    return ",".join(sorted(words))


def _key(row: Any) -> ApiKey:
    values = dict(row._mapping)
    accounts = None if values["accounts"] == EVERY_ACCOUNT else frozenset(values["accounts"].split(","))
    scopes = frozenset(map(Scope, values["scopes"].split(",")))
    return ApiKey(**values | {"accounts": accounts, "scopes": scopes})
