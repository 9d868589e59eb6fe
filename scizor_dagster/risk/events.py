"""The rows of all verdicts: what was looked at, what passed, what was stopped, by which limit, and why.

What belongs here: writing and reading `risk_events` and the `risk_limits` of a batch. What does not: the
decision (`pre_trade`).

Ids are hashes of what was found and of the limits in force, so that a run which is repeated adds no second row for
the same finding, and one under other limits does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import RunStopped
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.rows import BatchRow
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import risk_events, risk_limits
from scizor_dagster.risk.context import Decision, Finding, Verdict
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.sessions import Clock

_WIDTH = 64
_KNOWN = sa.select(risk_events.c.event_id).where(risk_events.c.event_id == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class RiskEvent:
    at: datetime
    account: str
    portfolio: str
    session: date
    client_order_id: str | None
    limit: str
    value: str
    threshold: str
    verdict: str
    checked: Mapping[str, tuple[str, str]]
    """Value and threshold of every limit that was looked at, by its name."""
    limits_hash: str | None = None
    """Of the limits in force (`PreTradeLimits.hash`); None for a loss or a lock."""


def record(
    connection: sa.Connection,
    verdict: Verdict,
    *,
    at: datetime,
    account: str,
    portfolio: str,
    session: date,
    client_order_id: str | None,
    limits_hash: str | None = None,
    parameter_hash: str | None = None,
    sends: int = 0,
) -> bool:
    """Write the row of a verdict; the same finding made again under the same limits is the same row.

    A verdict that passed is one row per order, what would be sent of it (`parameter_hash`), and how often it had been
    sent before (`sends`). An order of None is the whole run; `limits_hash` is None for a finding on what was measured
    before, which names its threshold itself.

    Returns:
        Whether the row is new.
    """
    values = verdict.value[:_WIDTH], verdict.threshold[:_WIDTH]
    identity = [
        account,
        portfolio,
        session.isoformat(),
        client_order_id,
        verdict.limit,
        *values,
        verdict.decision,
        *([limits_hash] if limits_hash is not None else []),
        *([parameter_hash, sends] if verdict.decision is Decision.PASS else []),
    ]
    event_id = hashlib.sha256(repr(identity).encode()).hexdigest()
    if connection.execute(_KNOWN, {"wanted": event_id}).first():
        return False
    row = inserted(
        risk_events,
        {
            "event_id": event_id,
            "at": at,
            "account": account,
            "portfolio": portfolio,
            "session": session,
            "client_order_id": client_order_id,
            "limit_name": verdict.limit,
            "value": values[0],
            "threshold": values[1],
            "verdict": verdict.decision.value,
            "checked": json.dumps({found.limit: found.texts for found in verdict.findings}),
            "limits_hash": limits_hash,
        },
    )
    payload = {"portfolio": portfolio, "limit": verdict.limit, "verdict": verdict.decision}
    append(connection, at, account, "verdict", payload, client_order_id, [row])
    return True


@contextmanager
def stops_recorded(
    ledger: Ledger, clock: Clock, account: str, portfolio: str, session: date, limits: PreTradeLimits
) -> Iterator[None]:
    """Write a row for a gate that stops the whole run, and let its error go on.

    The row has a transaction of its own: what the gate has stopped is rolled back, the fact that it did is not.
    """
    try:
        yield
    except RunStopped as stop:
        if stop.limit:
            found = Finding(stop.limit, stop.value, stop.threshold, Decision.STOP)
            with ledger.transaction() as connection:
                record(
                    connection,
                    Verdict(Decision.STOP, stop.limit, stop.value, stop.threshold, (found,)),
                    at=clock(),
                    account=account,
                    portfolio=portfolio,
                    session=session,
                    client_order_id=None,
                    limits_hash=limits.hash,
                )
        raise


def record_limits(connection: sa.Connection, batch: BatchRow, limits: PreTradeLimits, *, now: datetime) -> None:
    """Write the limits under which a batch is admitted: one row each, all with their common hash."""
    common = {"batch_id": batch.batch_id, "limits_hash": limits.hash}
    rows = [
        inserted(risk_limits, {**common, "limit_name": name, "value": value})
        for name, value in limits.as_text().items()
    ]
    append(connection, now, batch.account, "limits_in_force", common, changes=rows)


def limits_of(connection: sa.Connection, batch_id: str) -> dict[str, str]:
    """The limits that were in force when the batch was admitted, by name."""
    statement = sa.select(risk_limits).where(risk_limits.c.batch_id == batch_id).order_by(risk_limits.c.limit_name)
    return {row.limit_name: row.value for row in connection.execute(statement)}


def risk_events_of(
    connection: sa.Connection,
    account: str,
    session: date | None = None,
    *,
    portfolio: str | None = None,
    passed: bool = False,
) -> list[RiskEvent]:
    """The account's stops and waits, or one portfolio's, of one session or of all, oldest first; with `passed`, every
    verdict.
    """
    statement = sa.select(risk_events).where(risk_events.c.account == account)
    if not passed:
        statement = statement.where(risk_events.c.verdict != Decision.PASS.value)
    if session is not None:
        statement = statement.where(risk_events.c.session == session)
    if portfolio is not None:
        statement = statement.where(risk_events.c.portfolio == portfolio)
    rows = connection.execute(statement.order_by(risk_events.c.at, risk_events.c.event_id))
    return [event_of(row._mapping) for row in rows]


def event_of(row: Any) -> RiskEvent:
    """A row of the table as a value."""
    return RiskEvent(
        at=row["at"],
        account=row["account"],
        portfolio=row["portfolio"],
        session=row["session"],
        client_order_id=row["client_order_id"],
        limit=row["limit_name"],
        value=row["value"],
        threshold=row["threshold"],
        verdict=row["verdict"],
        checked={name: tuple(pair) for name, pair in json.loads(row["checked"] or "{}").items()},
        limits_hash=row["limits_hash"],
    )
