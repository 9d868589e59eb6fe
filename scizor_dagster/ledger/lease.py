"""One holder of an account at a time, with a fencing number that tells a holder from a former one.

What belongs here: taking, renewing, losing and giving back the lease, and reading who has it. What does
not: what is done under it (`execution`).

The row decides. The ledger's process lock, which is dropped when its holder dies, only shortens the
waiting: whoever can take it knows that the process named in the row is gone, and need not wait for
the expiry. On a server it goes with the holder's session as well, so that a holder whose session was
cut, or whose host was silent for a while, may be taken for dead while it lives: its number is an old one
then, and it can write no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from scizor_dagster.errors import AccountBusy, LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import leases
from scizor_dagster.sessions import Clock

DEFAULT_TTL = timedelta(minutes=2)
LIVELY = timedelta(seconds=10)
"""How old the last renewal of a holder may be that still counts as alive without a look at the row. A server lets go of
no session for a shorter silence of its host (`databases.KEEPALIVE`)."""
# Built once: every guarded transaction begins with it.
_RENEW = leases.update().where(
    leases.c.account == sa.bindparam("wanted_account"),
    leases.c.token == sa.bindparam("wanted_token"),
    leases.c.holder.is_not(None),
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken. `token` grows with every taking of the account."""

    account: str
    holder: str
    token: int
    ttl: timedelta
    clock: Clock

    def guard(self, connection: sa.Connection) -> None:
        """Renew, or raise `LedgerError` if another holder has taken the account since."""
        guard(connection, self.account, self.token, self.clock(), ttl=self.ttl)


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The row of an account's lease, for those who only look. `holder` is None where it was given back."""

    account: str
    holder: str | None
    token: int
    expires_at: datetime

    def held(self, now: datetime) -> bool:
        """Whether a run has the account and has renewed its lease in time."""
        return self.holder is not None and self.expires_at > now

    def abandoned(self, now: datetime) -> bool:
        """Whether a run has taken the account and neither given it back nor renewed: most likely it is dead."""
        return self.holder is not None and self.expires_at <= now


def lease_of(connection: sa.Connection, account: str) -> LeaseRow | None:
    """The account's lease as it stands; None where nobody has ever taken it. Takes nothing and locks nothing."""
    columns = (leases.c.account, leases.c.holder, leases.c.token, leases.c.expires_at)
    row = connection.execute(sa.select(*columns).where(leases.c.account == account)).first()
    return LeaseRow(*row) if row is not None else None


def guard(connection: sa.Connection, account: str, token: int, now: datetime, *, ttl: timedelta = DEFAULT_TTL) -> None:
    """Compare the fencing number inside the caller's write transaction, and renew the lease.

    A lease that has expired but was taken by nobody is still good: the write lock of this
    transaction keeps others from taking it until the renewal is committed.

    Raises:
        LedgerError: the lease was taken by another holder, or given back.
    """
    key = {"wanted_account": account, "wanted_token": token}
    renewed = connection.execute(_RENEW, {"expires_at": now + ttl, **key})
    if renewed.rowcount != 1:
        raise LedgerError(
            f"The lease of account '{account}' was lost (number {token}).",
            remedy="Nothing was written. Another run has taken over; look at its result.",
        )


@contextmanager
def lease(ledger: Ledger, account: str, holder: str, clock: Clock, ttl: timedelta = DEFAULT_TTL) -> Iterator[Lease]:
    """Hold the account for the block; every guarded transaction in it renews the lease.

    `holder` names the run to a person: host, process, run id.

    Raises:
        AccountBusy: another run holds it and is neither dead nor expired.
    """
    # A lock that another process holds, perhaps a stopped one, is no refusal: the row's expiry decides.
    with ledger.process_lock(f"lease-{account}") as locked:
        with ledger.transaction() as connection:
            held = _take(connection, account, holder, clock, ttl, advisory=locked)
        try:
            yield held
        finally:
            with ledger.transaction() as connection:
                _give_back(connection, held)


def _take(
    connection: sa.Connection, account: str, holder: str, clock: Clock, ttl: timedelta, *, advisory: bool
) -> Lease:
    now = clock()
    row = connection.execute(sa.select(leases).where(leases.c.account == account)).first()
    token = 1 if row is None else row.token + 1
    if row is not None and row.holder is not None:
        holder_is_gone = row.advisory and advisory
        if row.expires_at > now and not holder_is_gone:
            raise AccountBusy(account, row.holder, row.expires_at.isoformat())
        events.append(connection, now, account, "lease_taken_over", {"from": row.holder, "by": holder, "number": token})
    values = {"holder": holder, "token": token, "expires_at": now + ttl, "advisory": advisory}
    if row is None:
        connection.execute(leases.insert().values(account=account, **values))
    else:
        connection.execute(leases.update().where(leases.c.account == account).values(**values))
    return Lease(account=account, holder=holder, token=token, ttl=ttl, clock=clock)


def _give_back(connection: sa.Connection, held: Lease) -> None:
    connection.execute(
        leases.update().where(leases.c.account == held.account, leases.c.token == held.token).values(holder=None)
    )
