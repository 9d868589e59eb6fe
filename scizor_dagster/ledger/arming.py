"""Whether a live account may trade: a row with an expiry, written by a person.

What belongs here: the rows. What does not: who may write one (the command line) and the gates that
ask (`execution.gates`). Paper accounts need none.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import deleted, inserted, updated
from scizor_dagster.ledger.tables import arming


def arm(
    connection: sa.Connection,
    account: str,
    identity: BrokerIdentity,
    *,
    actor: str,
    now: datetime,
    until: datetime,
) -> None:
    """Allow `account` to trade as `identity` until `until`; replaces an earlier row.

    Raises:
        LedgerError: the expiry is not in the future.
    """
    if until <= now:
        raise LedgerError(f"The expiry {until.isoformat()} has passed.", remedy="Give a later one.", where=account)
    row = connection.execute(sa.select(arming.c.account).where(arming.c.account == account)).first()
    values: dict[str, Any] = {
        "broker_account_id": identity.account_id,
        "environment": identity.environment,
        "actor": actor,
        "armed_at": now,
        "expires_at": until,
    }
    key = {"account": account}
    change = inserted(arming, key | values) if row is None else updated(arming, key, values)
    events.append(connection, now, account, "armed", values, changes=[change])


def disarm(connection: sa.Connection, account: str, *, actor: str, now: datetime) -> bool:
    """Take the permission back; False when there was none."""
    row = connection.execute(sa.select(arming.c.account).where(arming.c.account == account)).first()
    if row is not None:
        change = deleted(arming, {"account": account})
        events.append(connection, now, account, "disarmed", {"actor": actor}, changes=[change])
    return row is not None


def is_armed(connection: sa.Connection, account: str, identity: BrokerIdentity, now: datetime) -> bool:
    """Whether a row that has not expired names exactly this account at the broker."""
    row = connection.execute(sa.select(arming).where(arming.c.account == account)).first()
    return (
        row is not None
        and row.expires_at > now
        and row.broker_account_id == identity.account_id
        and row.environment == identity.environment
    )
