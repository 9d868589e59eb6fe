"""Whether a portfolio may trade real money: until when, for how much, and who said so.

What belongs here: the rows, and the sum of what went out under each. What does not: who may write one (the command
line), and the gates that ask (`execution.permissions`). Paper accounts need none.

Rows are only ever added. An arming names the broker's own account, holds for one portfolio, and is an allowance: the
gross value of every order that goes out under it counts, until the next arming begins a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.permission_tables import armed_sends, arming

ZERO = Decimal(0)
# Built once: read before every send.
_NEWEST = (
    sa.select(arming)
    .where(arming.c.account == sa.bindparam("account"), arming.c.portfolio == sa.bindparam("portfolio"))
    .order_by(arming.c.number.desc())
    .limit(1)
)
_LAST_SEND = (
    sa.select(armed_sends.c.place, armed_sends.c.total)
    .where(armed_sends.c.arming == sa.bindparam("arming"))
    .order_by(armed_sends.c.place.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Arming:
    """One permission.

    Attributes:
        max_notional: Gross value, in `currency`, of all orders that may go out under it.
        sent: Gross value of those that did.
        at: When it was given; it holds until `expires_at`, which is not included.
    """

    number: int
    account: str
    portfolio: str
    broker_account_id: str
    environment: str
    max_notional: Decimal
    currency: str
    actor: str
    reason: str
    at: datetime
    expires_at: datetime
    sent: Decimal

    @property
    def sentence(self) -> str:
        return (
            f"armed by {self.actor} at {instant(self.at)} until {instant(self.expires_at)} for "
            f"{self.max_notional:,.2f} {self.currency}, {self.sent:,.2f} of it used"
        )


def arm(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    identity: BrokerIdentity,
    *,
    until: datetime,
    max_notional: Decimal,
    currency: str,
    actor: str,
    reason: str,
    now: datetime,
) -> Arming:
    """Allow `portfolio` to trade as `identity`; what it was allowed before is replaced.

    Raises:
        LedgerError: the expiry is not in the future, or the amount is none above zero.
    """
    if until <= now:
        raise LedgerError(f"The expiry {instant(until)} has passed.", remedy="Give a later one.", where=portfolio)
    if not max_notional.is_finite() or max_notional <= 0:
        raise LedgerError(f"{max_notional} is no amount to trade.", remedy="Give one above zero.", where=portfolio)
    values: dict[str, Any] = {
        "portfolio": portfolio,
        "armed": True,
        "actor": actor,
        "reason": reason,
        "broker_account_id": identity.account_id,
        "environment": identity.environment,
        "max_notional": max_notional,
        "currency": currency,
        "expires_at": until,
    }
    number = _add(connection, account, values, now, "armed")
    return Arming(**_without(values, "armed"), number=number, account=account, at=now, sent=ZERO)


def disarm(
    connection: sa.Connection, account: str, portfolio: str, *, actor: str, reason: str, now: datetime
) -> Arming | None:
    """Take the permission back; the one that there was, or None where there is nothing to take back."""
    found = arming_of(connection, account, portfolio)
    if found is not None:
        values = {"portfolio": portfolio, "armed": False, "actor": actor, "reason": reason}
        _add(connection, account, values, now, "disarmed")
    return found


def arming_of(connection: sa.Connection, account: str, portfolio: str) -> Arming | None:
    """The newest permission unless it was taken back; it may have expired."""
    row = connection.execute(_NEWEST, {"account": account, "portfolio": portfolio}).first()
    return _arming(connection, row) if row is not None and row.armed else None


def armed_for(
    connection: sa.Connection, account: str, portfolio: str, identity: BrokerIdentity, now: datetime
) -> tuple[Arming | None, str]:
    """The permission in force for exactly this account at the broker, or None and a few words that say why not."""
    row = connection.execute(_NEWEST, {"account": account, "portfolio": portfolio}).first()
    if row is None:
        return None, "not armed"
    if not row.armed:
        return None, f"disarmed by {row.actor}"
    if row.expires_at <= now:
        return None, f"expired at {instant(row.expires_at)}"
    if (row.broker_account_id, row.environment) != (identity.account_id, identity.environment):
        return None, f"armed for {row.environment} account {row.broker_account_id}"
    return _arming(connection, row), ""


def armings_with_reason(connection: sa.Connection, portfolio: str, reason: str) -> list[Arming]:
    """The permissions that were given with exactly this reason, taken back since or not, oldest first."""
    mine = (arming.c.portfolio == portfolio, arming.c.reason == reason, arming.c.armed)
    return [
        _arming(connection, row) for row in connection.execute(sa.select(arming).where(*mine).order_by(arming.c.number))
    ]


def armings_of_portfolio(connection: sa.Connection, portfolio: str) -> list[Arming]:
    """The permissions that were not taken back, on every account; they may have expired."""
    accounts = connection.execute(sa.select(arming.c.account).where(arming.c.portfolio == portfolio).distinct())
    found = (arming_of(connection, account, portfolio) for account in sorted(accounts.scalars()))
    return [item for item in found if item is not None]


def spend(
    connection: sa.Connection, permission: Arming, client_order_id: str, notional: Decimal, *, now: datetime
) -> None:
    """Count an order that is about to go out, once: what is sent again under the same arming was counted."""
    if is_counted(connection, permission, client_order_id):
        return
    last = connection.execute(_LAST_SEND, {"arming": permission.number}).first()
    place, total = (last.place + 1, last.total + notional) if last is not None else (1, notional)
    values = {"arming": permission.number, "place": place, "notional": notional, "total": total}
    change = inserted(armed_sends, {"client_order_id": client_order_id, "at": now, **values})
    events.append(connection, now, permission.account, "armed_send", values, client_order_id, [change])


def is_counted(connection: sa.Connection, permission: Arming, client_order_id: str) -> bool:
    """Whether the order has gone out under this arming before."""
    mine = armed_sends.c.arming == permission.number
    statement = sa.select(armed_sends.c.place).where(mine, armed_sends.c.client_order_id == client_order_id)
    return connection.execute(statement).first() is not None


def instant(at: datetime) -> str:
    """An instant with its zone, to the second."""
    return at.isoformat(timespec="seconds")


def _add(connection: sa.Connection, account: str, values: dict[str, Any], now: datetime, kind: str) -> int:
    last = connection.execute(sa.select(sa.func.max(arming.c.number))).scalar() or 0
    row = {"number": last + 1, **values}
    events.append(
        connection, now, account, kind, row, changes=[inserted(arming, {"account": account, "at": now, **row})]
    )
    return int(last + 1)


def _arming(connection: sa.Connection, row: Any) -> Arming:
    last = connection.execute(_LAST_SEND, {"arming": row.number}).first()
    return Arming(**_without(dict(row._mapping), "armed"), sent=last.total if last is not None else ZERO)


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}
