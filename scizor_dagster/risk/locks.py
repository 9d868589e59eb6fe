"""Locks: for how long a protection keeps a portfolio, or one instrument of it, from opening positions.

What belongs here: the rows, written once per finding, and lifting one. What does not: when a lock is due
(`protections`), and what it does to an order (`checks`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import InputError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.tables import risk_locks


@dataclass(frozen=True, slots=True)
class DueLock:
    """A lock as a protection asks for it. `symbol` is None for the whole portfolio; both sessions are included."""

    symbol: str | None
    kind: str
    reason: str
    from_session: date
    until_session: date


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as it is stored. `lifted_at` is None while it holds."""

    lock_id: str
    account: str
    portfolio: str
    symbol: str | None
    kind: str
    reason: str
    from_session: date
    until_session: date
    lifted_at: datetime | None
    lifted_by: str | None

    @property
    def sentence(self) -> str:
        return f"lock {self.lock_id} ({self.kind}) until {self.until_session.isoformat()}: {self.reason}"


def store_locks(
    connection: sa.Connection, account: str, portfolio: str, due: Iterable[DueLock], *, now: datetime
) -> list[str]:
    """Write the locks that are not there yet, with an event each; one that was lifted stays lifted.

    Returns:
        Ids of the new ones.
    """
    known = {lock.lock_id for lock in locks_of(connection, account, portfolio)}
    written: list[str] = []
    for lock in due:
        values: dict[str, Any] = {
            "portfolio": portfolio,
            "symbol": lock.symbol,
            "kind": lock.kind,
            "reason": lock.reason,
            "from_session": lock.from_session,
            "until_session": lock.until_session,
        }
        lock_id = hashlib.sha256(repr([account, *map(str, values.values())]).encode()).hexdigest()[:8]
        if lock_id in known:
            continue
        known.add(lock_id)
        connection.execute(risk_locks.insert().values(lock_id=lock_id, account=account, created_at=now, **values))
        events.append(connection, now, account, "locked", {"lock_id": lock_id, **values})
        written.append(lock_id)
    return written


def locks_of(connection: sa.Connection, account: str, portfolio: str, session: date | None = None) -> list[Lock]:
    """The portfolio's locks, oldest first; with `session`, those that hold in it."""
    statement = sa.select(risk_locks).where(risk_locks.c.account == account, risk_locks.c.portfolio == portfolio)
    if session is not None:
        statement = statement.where(
            risk_locks.c.from_session <= session,
            risk_locks.c.until_session >= session,
            risk_locks.c.lifted_at.is_(None),
        )
    rows = connection.execute(statement.order_by(risk_locks.c.from_session, risk_locks.c.lock_id))
    return [Lock(**{name: getattr(row, name) for name in Lock.__dataclass_fields__}) for row in rows]


def lift(connection: sa.Connection, lock_id: str, *, actor: str, reason: str, now: datetime) -> None:
    """End a lock before its time, with an event.

    Raises:
        InputError: there is no such lock, it was lifted before, or there is no reason.
    """
    row = connection.execute(sa.select(risk_locks).where(risk_locks.c.lock_id == lock_id)).first()
    problem = None
    if row is None:
        problem = "There is no such lock."
    elif row.lifted_at is not None:
        problem = f"The lock was lifted before, by {row.lifted_by}."
    elif not reason.strip():
        problem = "Lifting a lock needs a reason."
    if problem or row is None:
        raise InputError(problem or "", remedy="See: scizor risk locks.", where=f"lock {lock_id}")
    values = {"lifted_by": actor, "lift_reason": reason}
    connection.execute(risk_locks.update().where(risk_locks.c.lock_id == lock_id).values(lifted_at=now, **values))
    events.append(connection, now, row.account, "unlocked", {"lock_id": lock_id, **values})
