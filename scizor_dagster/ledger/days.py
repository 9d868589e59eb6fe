"""The days of a portfolio: when each was reconciled, and when its books were closed.

What belongs here: the rows. What does not: what closes a day (`flow.closing`).

The first pass follows a session, the second one comes before the next: only it closes a day, and what is closed
stays closed, whatever is found later.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.reconciliation_tables import reconciled_days

_DAY = sa.select(reconciled_days).where(
    reconciled_days.c.account == sa.bindparam("account"),
    reconciled_days.c.portfolio == sa.bindparam("portfolio"),
    reconciled_days.c.session == sa.bindparam("day"),
)


@dataclass(frozen=True, slots=True)
class DayRow:
    """One session of a portfolio. An instant is None where it has not come yet; of several passes the last counts."""

    account: str
    portfolio: str
    session: date
    first_at: datetime | None = None
    second_at: datetime | None = None
    closed_at: datetime | None = None


def day_of(connection: sa.Connection, account: str, portfolio: str, session: date) -> DayRow | None:
    """The day as it stands; None where it was never reconciled."""
    key = {"account": account, "portfolio": portfolio, "day": session}
    row = connection.execute(_DAY, key).first()
    return None if row is None else DayRow(**row._mapping)


def is_closed(connection: sa.Connection, account: str, portfolio: str, session: date) -> bool:
    day = day_of(connection, account, portfolio, session)
    return day is not None and day.closed_at is not None


def unclosed_days(connection: sa.Connection, account: str, portfolio: str, first: date, before: date) -> list[DayRow]:
    """Days from `first` to before `before` that were reconciled and are not closed, oldest first."""
    statement = sa.select(reconciled_days).where(
        reconciled_days.c.account == account,
        reconciled_days.c.portfolio == portfolio,
        reconciled_days.c.session >= first,
        reconciled_days.c.session < before,
        reconciled_days.c.closed_at.is_(None),
    )
    return [DayRow(**row._mapping) for row in connection.execute(statement.order_by(reconciled_days.c.session))]


def record_pass(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    *,
    second: bool,
    closes: bool,
    now: datetime,
    by: str = "",
) -> DayRow:
    """Note that the session was reconciled now; `closes` closes its books, once.

    `by` says in the history what was compared, where it was not everything.
    """
    assert second or not closes, "only the second pass closes a day"
    before = day_of(connection, account, portfolio, session)
    values = {"second_at" if second else "first_at": now}
    if closes and (before is None or before.closed_at is None):
        values["closed_at"] = now
    key = {"account": account, "portfolio": portfolio, "session": session}
    day = DayRow(**{**(asdict(before) if before is not None else key), **values})
    change = inserted(reconciled_days, asdict(day)) if before is None else updated(reconciled_days, key, values)
    kind = "day_closed" if "closed_at" in values else "day_reconciled"
    payload = {"portfolio": portfolio, "session": session, "pass": "second" if second else "first"}
    if by:
        payload["by"] = by
    events.append(connection, now, account, kind, payload, changes=[change])
    return day
