"""Approvals of plans: a person has looked at one plan of one session, and it may be carried out.

What belongs here: writing and reading the rows. What does not: which plan may be approved (`flow.approving`), the gate
that asks (`execution.permissions`), and approvals of held weights (`approvals`), which say nothing of a plan.

Rows are only ever added. An approval is of one plan id, and so of every input that it was made from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.known import admitted_sessions
from scizor_dagster.ledger.permission_tables import plan_approvals
from scizor_dagster.ledger.rows import batches_of


@dataclass(frozen=True, slots=True)
class PlanApproval:
    """One decision. `approved` is False where it takes an earlier one back."""

    account: str
    portfolio: str
    session: date
    plan_id: str
    approved: bool
    actor: str
    reason: str
    at: datetime

    @property
    def sentence(self) -> str:
        return f"plan {self.plan_id[:12]} approved by {self.actor} at {self.at.isoformat(timespec='seconds')}"


def approve_plan(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    session: date,
    plan_id: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> PlanApproval:
    """Release exactly this plan.

    Raises:
        LedgerError: it is approved already, or another one of the session is.
    """
    earlier = approval_in_force(connection, account, portfolio, session)
    if earlier is not None:
        own = earlier.plan_id == plan_id
        raise LedgerError(
            f"The {earlier.sentence}, for session {session}.",
            remedy="There is nothing more to approve: run the session."
            if own
            else f"Take it back first: scizor approve {earlier.plan_id[:12]} --withdraw.",
            where=f"portfolio {portfolio}",
        )
    made = PlanApproval(account, portfolio, session, plan_id, True, actor, reason, now)
    _add(connection, made, "plan_approved")
    return made


def withdraw_approval(
    connection: sa.Connection, approval: PlanApproval, *, actor: str, reason: str, now: datetime
) -> PlanApproval:
    """Take an approval back that has not led to a batch.

    Raises:
        InputError: it has led to one.
    """
    key = (approval.account, approval.portfolio, approval.session, approval.plan_id)
    require_not_carried_out(connection, *key)
    made = PlanApproval(*key, approved=False, actor=actor, reason=reason, at=now)
    _add(connection, made, "plan_approval_withdrawn")
    return made


def withdraw_unused(
    connection: sa.Connection, account: str, portfolio: str, *, actor: str, reason: str, now: datetime
) -> None:
    """Take back every approval of the portfolio whose session has no batch."""
    standing = {(row.session, row.plan_id): row for row in approvals_of_plans(connection, account, portfolio)}
    traded = admitted_sessions(connection, account, portfolio)
    for row in standing.values():
        if row.approved and row.session not in traded:
            withdraw_approval(connection, row, actor=actor, reason=reason, now=now)


def require_not_carried_out(
    connection: sa.Connection, account: str, portfolio: str, session: date, plan_id: str
) -> None:
    """Refuse a decision on a plan that is admitted: it comes too late.

    Raises:
        InputError: it is.
    """
    if any(batch.plan_id == plan_id for batch in batches_of(connection, account, portfolio, session)):
        raise InputError(
            f"Plan {plan_id[:12]} of {session} is carried out already.",
            remedy=f"To stop what is left of it: scizor halt --portfolio {portfolio} --cancel-open --reason TEXT.",
            where=f"portfolio {portfolio}",
        )


def approval_in_force(
    connection: sa.Connection, account: str, portfolio: str, session: date, plan_id: str | None = None
) -> PlanApproval | None:
    """The approval of the session that was not taken back, whatever plan it is of, or of the one that is named."""
    found = {row.plan_id: row for row in approvals_of_plans(connection, account, portfolio, session)}
    approved = (row for row in found.values() if row.approved and plan_id in (None, row.plan_id))
    return next(approved, None)


def approvals_of_plans(
    connection: sa.Connection, account: str, portfolio: str, session: date | None = None
) -> list[PlanApproval]:
    """Every decision on the portfolio's plans, of one session or of all, oldest first."""
    mine = (plan_approvals.c.account == account, plan_approvals.c.portfolio == portfolio)
    statement = sa.select(plan_approvals).where(*mine).order_by(plan_approvals.c.number)
    if session is not None:
        statement = statement.where(plan_approvals.c.session == session)
    rows = (dict(row._mapping) for row in connection.execute(statement))
    return [PlanApproval(**{name: value for name, value in row.items() if name != "number"}) for row in rows]


def _add(connection: sa.Connection, made: PlanApproval, kind: str) -> None:
    last = connection.execute(sa.select(sa.func.max(plan_approvals.c.number))).scalar() or 0
    values = asdict(made)
    payload = {name: value for name, value in values.items() if name not in ("account", "at")}
    change = inserted(plan_approvals, {"number": last + 1, **values})
    events.append(connection, made.at, made.account, kind, {"number": last + 1, **payload}, changes=[change])
