"""Locks: for how long a protection keeps a portfolio, or one instrument of it, from opening positions.

What belongs here: the rows, written once per finding, and lifting one. What does not: when a lock is due
(`protections`, `flow.risk`), and what it does to an order (`checks`).

A finding is told by what it locks and by its sessions, never by its figures: measured again, it is the same one.
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
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.tables import risk_locks
from scizor_dagster.risk.context import Decision, Finding, Verdict
from scizor_dagster.risk.events import record
from scizor_dagster.risk.losses import MACHINE

LOSS_UNKNOWN = "loss_unknown"
"""Kind of the lock of a session before which the portfolio's loss cannot be measured."""


@dataclass(frozen=True, slots=True)
class DueLock:
    """A lock as a protection asks for it. `symbol` is None for the whole portfolio; both sessions are included.

    `from_session` is the one after the session that gave cause; `value` and `threshold` are what was found in it.
    `anew` says that nobody can have looked at this cause yet, whatever else has locked the same sessions before.
    """

    symbol: str | None
    kind: str
    reason: str
    from_session: date
    until_session: date
    value: str = ""
    threshold: str = ""
    anew: bool = False

    @property
    def finding(self) -> tuple[str, str | None, date, date]:
        return self.kind, self.symbol, self.from_session, self.until_session


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
    def finding(self) -> tuple[str, str | None, date, date]:
        return self.kind, self.symbol, self.from_session, self.until_session

    @property
    def sentence(self) -> str:
        return f"lock {self.lock_id} ({self.kind}) until {self.until_session.isoformat()}: {self.reason}"


def store_locks(
    connection: sa.Connection, account: str, portfolio: str, due: Iterable[DueLock], *, now: datetime
) -> list[str]:
    """Write the locks that are not there yet, with an event and a row of `risk_events` each.

    One that a person has lifted stays lifted, unless its cause is a new one; one that the machine has lifted holds
    again.

    Returns:
        Ids of those that hold from now on.
    """
    due = list(due)
    since = min((lock.until_session for lock in due), default=date.max)
    known = {lock.finding: lock for lock in locks_of(connection, account, portfolio, since=since)}
    written: dict[tuple[str, str | None, date, date], str] = {}
    for lock in due:
        old = known.get(lock.finding)
        if lock.finding in written or (old is not None and not _holds_again(old, lock)):
            continue
        values: dict[str, Any] = {
            "portfolio": portfolio,
            "symbol": lock.symbol,
            "kind": lock.kind,
            "reason": lock.reason,
            "from_session": lock.from_session,
            "until_session": lock.until_session,
        }
        if old is None:
            lock_id = hashlib.sha256(repr([account, portfolio, *map(str, lock.finding)]).encode()).hexdigest()[:12]
            change = inserted(risk_locks, {"lock_id": lock_id, "account": account, "created_at": now, **values})
        else:
            lock_id = old.lock_id
            again = {"reason": lock.reason, "lifted_at": None, "lifted_by": None, "lift_reason": None}
            change = updated(risk_locks, {"lock_id": lock_id}, again)
        events.append(connection, now, account, "locked", {"lock_id": lock_id, **values}, changes=[change])
        _record(connection, account, portfolio, lock, now)
        written[lock.finding] = lock_id
    return [*written.values()]


def _holds_again(old: Lock, due: DueLock) -> bool:
    return old.lifted_by is not None and (old.lifted_by == MACHINE or due.anew)


def _record(connection: sa.Connection, account: str, portfolio: str, lock: DueLock, now: datetime) -> None:
    holds = Finding("lock", lock.symbol or "every symbol", f"closing orders until {lock.until_session.isoformat()}")
    found = Finding(lock.kind, lock.value or lock.reason, lock.threshold or "no lock", Decision.WAIT)
    record(
        connection,
        Verdict(Decision.WAIT, found.limit, *found.texts, (found, holds)),
        at=now,
        account=account,
        portfolio=portfolio,
        session=lock.from_session,
        client_order_id=None,
    )


def locks_of(
    connection: sa.Connection, account: str, portfolio: str, session: date | None = None, *, since: date | None = None
) -> list[Lock]:
    """The portfolio's locks, oldest first; with `session`, those that hold in it; with `since`, those that do not end
    before it.
    """
    statement = sa.select(risk_locks).where(risk_locks.c.account == account, risk_locks.c.portfolio == portfolio)
    if session is not None:
        statement = statement.where(
            risk_locks.c.from_session <= session,
            risk_locks.c.until_session >= session,
            risk_locks.c.lifted_at.is_(None),
        )
    if since is not None:
        statement = statement.where(risk_locks.c.until_session >= since)
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
    change = updated(risk_locks, {"lock_id": lock_id}, {"lifted_at": now, **values})
    events.append(connection, now, row.account, "unlocked", {"lock_id": lock_id, **values}, changes=[change])


def lift_unknown_loss(connection: sa.Connection, account: str, portfolio: str, session: date, *, now: datetime) -> None:
    """End the lock of a loss that could not be measured before `session`, now that it can."""
    for lock in locks_of(connection, account, portfolio, session):
        if lock.kind == LOSS_UNKNOWN:
            lift(connection, lock.lock_id, actor=MACHINE, reason="the loss is known now", now=now)
