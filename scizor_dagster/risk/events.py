"""The rows that say what was stopped, by which limit, and why.

What belongs here: writing and reading `risk_events`. What does not: the decision (`pre_trade`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.ledger.tables import risk_events
from scizor_dagster.risk.pre_trade import Verdict

_WIDTH = 64


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


def record(
    connection: sa.Connection,
    verdict: Verdict,
    *,
    at: datetime,
    account: str,
    portfolio: str,
    session: date,
    client_order_id: str | None,
) -> bool:
    """Write the row of a verdict that did not pass; the same finding made again is the same row.

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
    ]
    event_id = hashlib.sha256(repr(identity).encode()).hexdigest()
    if connection.execute(sa.select(risk_events.c.event_id).where(risk_events.c.event_id == event_id)).first():
        return False
    connection.execute(
        risk_events.insert().values(
            event_id=event_id,
            at=at,
            account=account,
            portfolio=portfolio,
            session=session,
            client_order_id=client_order_id,
            limit_name=verdict.limit,
            value=values[0],
            threshold=values[1],
            verdict=verdict.decision.value,
        )
    )
    return True


def risk_events_of(connection: sa.Connection, account: str, session: date | None = None) -> list[RiskEvent]:
    """The account's risk events, of one session or of all, oldest first."""
    statement = sa.select(risk_events).where(risk_events.c.account == account)
    if session is not None:
        statement = statement.where(risk_events.c.session == session)
    rows = connection.execute(statement.order_by(risk_events.c.at, risk_events.c.event_id))
    return [_event(row._mapping) for row in rows]


def _event(row: Any) -> RiskEvent:
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
    )
