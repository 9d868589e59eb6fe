"""Approvals of weights that are held: a person has looked at them, and they are meant.

What belongs here: writing and reading the rows. What does not: what is held (`signals.guards`), and that only what
is held can be approved (`flow.approvals`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.approval_tables import signal_approvals
from scizor_dagster.ledger.changes import inserted

_ROWS = "rows:"
"""Stands before the hash of the rows, behind the rules."""


@dataclass(frozen=True, slots=True)
class SignalApproval:
    """One approval.

    Attributes:
        session: The only one that it holds for.
        file_hash: SHA-256 of the only content that it holds for.
        rules: What held it, by name, in alphabetical order.
        rows_hash: SHA-256 of what the rows meant (`signals.guards.rows_hash`), the only meaning that it holds for;
            empty where it was made before meanings were recorded.
    """

    portfolio: str
    strategy: str
    session: date
    file_hash: str
    rules: tuple[str, ...]
    actor: str
    reason: str
    at: datetime
    rows_hash: str = ""

    def __str__(self) -> str:
        rules = ", ".join(self.rules)
        return (
            f"{rules} of {self.file_hash[:12]} approved by {self.actor} at {self.at:%Y-%m-%d %H:%M} UTC: {self.reason}"
        )


def approve(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    strategy: str,
    session: date,
    file_hash: str,
    *,
    rows_hash: str,
    rules: Collection[str],
    actor: str,
    reason: str,
    now: datetime,
) -> SignalApproval:
    """Approve `rules` of one content in one session, for what its rows mean now.

    Raises:
        LedgerError: there is no reason, or the same was approved before.
    """
    if not reason.strip():
        raise LedgerError("An approval of weights needs a reason.", remedy="Give one: --reason TEXT.")
    made = SignalApproval(portfolio, strategy, session, file_hash, tuple(sorted(rules)), actor, reason, now, rows_hash)
    for earlier in approvals_of(connection, portfolio, strategy):
        same = (earlier.session, earlier.file_hash, earlier.rows_hash) == (session, file_hash, rows_hash)
        if same and set(rules) <= set(earlier.rules):
            raise LedgerError(f"This was approved before: {earlier}.", remedy="Run the session.", where=strategy)
    values = asdict(made) | {"rules": ",".join((*made.rules, _ROWS + rows_hash))}
    del values["rows_hash"]
    payload = {k: v for k, v in values.items() if k != "at"}
    events.append(connection, now, account, "signals_approved", payload, changes=[inserted(signal_approvals, values)])
    return made


def approvals_of(
    connection: sa.Connection, portfolio: str | None = None, strategy: str | None = None
) -> list[SignalApproval]:
    """Every approval, or those of one portfolio or strategy, oldest first."""
    table = signal_approvals.c
    statement = sa.select(signal_approvals).order_by(table.at, table.strategy, table.session, table.rules)
    if portfolio is not None:
        statement = statement.where(table.portfolio == portfolio)
    if strategy is not None:
        statement = statement.where(table.strategy == strategy)
    rows = (dict(row._mapping) for row in connection.execute(statement))
    return [SignalApproval(**row | _split(row["rules"])) for row in rows]


def _split(text: str) -> dict[str, Any]:
    words = text.split(",")
    rows_hash = next((word.removeprefix(_ROWS) for word in words if word.startswith(_ROWS)), "")
    return {"rules": tuple(word for word in words if not word.startswith(_ROWS)), "rows_hash": rows_hash}
