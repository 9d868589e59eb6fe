"""Plans that a person releases, one by one, where the portfolio asks for it (`approval: manual`).

What belongs here: which plan waits, which one is approved and not carried out yet, and what may be approved. What does
not: the rows (`ledger.plan_approvals`), the gate (`execution.permissions`), and approvals of held weights
(`flow.approvals`).
"""

from __future__ import annotations

import re
from datetime import date

from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.config import PaperAccount
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.lifecycle import require_current_states
from scizor_dagster.flow.stored import is_admitted
from scizor_dagster.ledger.plan_approvals import (
    PlanApproval,
    approval_in_force,
    approve_plan,
    require_not_carried_out,
    withdraw_approval,
)
from scizor_dagster.ledger.rows import last_batch_of
from scizor_dagster.planning.comparison import PlanDifference, compare
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan
from scizor_dagster.signals.targets import read_targets

MANUAL = "manual"
SHORTEST = 8
"""Digits of a plan id that name a plan."""


def approved_plan(desk: Desk, portfolio: str, session: date) -> Plan | None:
    """The stored plan that a person has approved for the session and that was not admitted yet.

    Raises:
        InputError: it is approved, and the lake does not hold it.
    """
    approval = _approval(desk, portfolio, session)
    if approval is None or is_admitted(desk, portfolio, session):
        return None
    plan = read_plan(desk.lake, portfolio, session, approval.plan_id)
    if plan is None:
        raise InputError(
            f"The {approval.sentence}, and the lake does not hold it.",
            remedy="Restore the lake from its backup, or take the approval back: "
            f"scizor approve {approval.plan_id[:12]} --withdraw.",
            where=f"portfolio {portfolio}",
        )
    return plan


def plan_stands(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether the session's plan is admitted, or approved: from then on it and what it was made from stay."""
    if not desk.has_ledger:
        return False
    return is_admitted(desk, portfolio, session) or _approval(desk, portfolio, session) is not None


def waits_to_be_carried_out(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether a plan of the session is approved, was not admitted, and can still trade.

    Raises:
        InputError, DataError: as `approved_plan` and `require_same_strategies`.
    """
    plan = approved_plan(desk, portfolio, session) if desk.has_ledger else None
    if plan is None or has_ended(desk, portfolio, session):
        return False
    require_same_strategies(desk, plan)
    return True


def require_same_strategies(desk: Desk, plan: Plan) -> None:
    """Refuse an approved plan from before one of its strategies was started, paused or stopped.

    Raises:
        DataError: the approval must be taken back, and the session planned again.
    """
    take_back = f"Take the approval back: scizor approve {plan.plan_id[:12]} --withdraw."
    targets = read_targets(desk.lake, plan.portfolio, plan.session).rows
    require_current_states(desk, plan.portfolio, plan.session, targets, take_back)


def awaits_approval(desk: Desk, plan: Plan) -> bool:
    """Whether the plan orders something, and its portfolio asks for an approval that it has not."""
    if desk.portfolio(plan.portfolio).approval != MANUAL or not plan.orders:
        return False
    approval = _approval(desk, plan.portfolio, plan.session)
    return approval is None or approval.plan_id != plan.plan_id


def awaiting_plan(desk: Desk, portfolio: str, session: date) -> Plan | None:
    """The newest stored plan of the session where it waits for an approval that can still come."""
    if not (desk.has_lake and desk.has_ledger) or desk.portfolio(portfolio).approval != MANUAL:
        return None
    plan = None if plan_stands(desk, portfolio, session) else read_plan(desk.lake, portfolio, session)
    waits = plan is not None and awaits_approval(desk, plan) and not has_ended(desk, portfolio, session)
    return plan if waits else None


def awaiting_sentence(plan: Plan) -> str:
    """What a person is told, with what to type."""
    return (
        f"Plan {plan.plan_id[:12]} of {plan.session} waits for a person's approval, with {len(plan.orders)} order(s). "
        f"Look at it and release it: scizor approve {plan.plan_id[:12]}. Then: scizor run --portfolio {plan.portfolio} "
        f"--date {plan.session}."
    )


def has_ended(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether nothing of the session can trade any more: an approval ends with it."""
    settings = desk.portfolio(portfolio)
    if isinstance(desk.account(settings.account), PaperAccount):
        return desk.broker(settings.account, settings.market).phase(session) is VenuePhase.OVER
    return desk.calendar(settings.market).has_closed(session, desk.clock())


def find_plan(desk: Desk, name: str, session: date) -> Plan:
    """The plan that a person means: a portfolio's newest of `session`, or the one whose id begins with `name`.

    Raises:
        InputError: there is no such plan, or several.
    """
    if not desk.has_lake:
        raise InputError("Nothing was planned yet.", remedy="Run the session first: scizor run.", where=name)
    if name in desk.config.portfolios:
        plan = read_plan(desk.lake, name, session)
        if plan is None:
            remedy = f"Plan it first: scizor run --portfolio {name} --date {session}."
            raise InputError(f"There is no plan of portfolio '{name}' for {session}.", remedy=remedy, where=name)
        return plan
    known = ", ".join(desk.config.portfolios)
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", name):
        raise InputError(
            f"'{name}' is neither a portfolio ({known}) nor the beginning of a plan's id.",
            remedy=f"Give a portfolio, or at least {SHORTEST} digits of the id, as the plan shows it.",
            where=name,
        )
    with desk.lake.read() as cursor:
        found = cursor.execute(
            "SELECT DISTINCT plan_id, portfolio, session FROM plans WHERE starts_with(plan_id, ?)", [name]
        ).fetchall()
    if len(found) != 1:
        problem = f"{len(found)} plans have an id that begins with it" if found else "No plan has this id"
        raise InputError(f"{problem}.", remedy="Give more of the id, or the portfolio.", where=name)
    plan_id, portfolio, day = found[0]
    plan = read_plan(desk.lake, portfolio, day, plan_id)
    assert plan is not None, plan_id
    return plan


def difference_of(desk: Desk, plan: Plan) -> PlanDifference:
    """The plan beside the one that its portfolio was given last in an earlier session."""
    with desk.ledger.read() as connection:
        earlier = last_batch_of(connection, plan.account, plan.portfolio, before=plan.session, by_hand=False)
    before = read_plan(desk.lake, plan.portfolio, earlier.session, earlier.plan_id) if earlier is not None else None
    return compare(plan, before)


def approve(desk: Desk, plan: Plan, *, actor: str, reason: str) -> PlanApproval:
    """Release exactly this plan.

    Raises:
        InputError: its portfolio asks for no approval, it was carried out, its session is over, or it is not the
            newest plan.
        DataError: a strategy of it was started, paused or stopped since.
        LedgerError: it is approved already.
    """
    _check_current(desk, plan)
    with desk.ledger.transaction() as connection:
        return approve_plan(
            connection,
            plan.account,
            plan.portfolio,
            plan.session,
            plan.plan_id,
            actor=actor,
            reason=reason,
            now=desk.clock(),
        )


def withdraw(desk: Desk, plan: Plan, *, actor: str, reason: str) -> PlanApproval:
    """Take the plan's approval back.

    Raises:
        InputError: it has none, or was carried out.
    """
    approval = _approval(desk, plan.portfolio, plan.session)
    if approval is None or approval.plan_id != plan.plan_id:
        raise InputError(
            f"Plan {plan.plan_id[:12]} is not approved.", remedy="There is nothing to take back.", where=plan.portfolio
        )
    with desk.ledger.transaction() as connection:
        return withdraw_approval(connection, approval, actor=actor, reason=reason, now=desk.clock())


def _check_current(desk: Desk, plan: Plan) -> None:
    if desk.portfolio(plan.portfolio).approval != MANUAL:
        raise InputError(
            f"Portfolio '{plan.portfolio}' asks for no approval: its plans are carried out as they are made.",
            remedy="To look at each first, set approval: manual in its section of the configuration.",
            where=f"portfolio {plan.portfolio}",
        )
    with desk.ledger.read() as connection:
        require_not_carried_out(connection, plan.account, plan.portfolio, plan.session, plan.plan_id)
    if has_ended(desk, plan.portfolio, plan.session):
        raise InputError(
            f"The session of plan {plan.plan_id[:12]}, {plan.session}, is over.",
            remedy="Nothing of it can trade any more; the next session has a plan of its own.",
            where=f"portfolio {plan.portfolio}",
        )
    targets = read_targets(desk.lake, plan.portfolio, plan.session).rows
    require_current_states(desk, plan.portfolio, plan.session, targets)
    newest = read_plan(desk.lake, plan.portfolio, plan.session)
    if newest is not None and newest.plan_id != plan.plan_id:
        raise InputError(
            f"Plan {plan.plan_id[:12]} of {plan.session} was replaced by {newest.plan_id[:12]}.",
            remedy=f"Look at that one: scizor approve {newest.plan_id[:12]} --show.",
            where=f"portfolio {plan.portfolio}",
        )


def _approval(desk: Desk, portfolio: str, session: date) -> PlanApproval | None:
    settings = desk.portfolio(portfolio)
    if settings.approval != MANUAL:
        return None
    with desk.ledger.read() as connection:
        return approval_in_force(connection, settings.account, portfolio, session)
