"""What a person has permitted: the arming of a live account, and the approval of a plan.

What belongs here: the gates at admission, and the one right before each send. What does not: the rows (`ledger.arming`,
`ledger.plan_approvals`), and the gates that ask the broker (`gates`).

An order that an arming does not cover any more waits, as under a halt: what is at the broker is followed all the same.
"""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.errors import NotNamed, RiskLimitBreached
from scizor_dagster.execution import verdicts
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger.arming import Arming, armed_for, is_counted, spend
from scizor_dagster.ledger.manual_orders import Ask
from scizor_dagster.ledger.plan_approvals import PlanApproval, approval_in_force
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.context import Decision, Finding, Verdict, plain

ARMING = "arming"
ARMED_NOTIONAL = "armed_notional"
APPROVAL = "approval"
BY_A_PERSON = "armed by a person"
ZERO = Decimal(0)


def require_armed(connection: sa.Connection, run: Run, plan: Plan) -> Arming | None:
    """The arming that a live plan is admitted under; None for an account that is paper.

    Raises:
        RiskLimitBreached: the portfolio is not armed at this very moment, or the plan's orders are worth more than what
            is left of it.
    """
    if not run.live:
        return None
    found, why = armed_for(connection, plan.account, plan.portfolio, run.identity, run.now())
    if found is not None and found.currency != plan.currency:
        why = f"armed in {found.currency}"
    if found is None or why:
        raise RiskLimitBreached(
            f"Account '{plan.account}' is '{run.identity.environment}', and portfolio '{plan.portfolio}' is {why}.",
            remedy=f"Nothing was sent. Live trading is off until a person arms it: {command(run, plan.portfolio)}.",
            limit=ARMING,
            value=why,
            threshold=BY_A_PERSON,
        )
    gross = sum((order.notional for order in plan.orders), ZERO)
    if found.sent + gross > found.max_notional:
        raise RiskLimitBreached(
            f"The orders of the plan are worth {gross:,.2f} {plan.currency}, and portfolio '{plan.portfolio}' is "
            f"{found.sentence}.",
            remedy=f"Nothing was sent. Arm it for more: {command(run, plan.portfolio)}.",
            limit=ARMED_NOTIONAL,
            value=plain(found.sent + gross),
            threshold=plain(found.max_notional),
        )
    return found


def require_approved(connection: sa.Connection, run: Run, plan: Plan, ask: Ask | None = None) -> PlanApproval | None:
    """The approval that a plan is admitted under; None where the portfolio asks for none, or nothing is ordered.

    A manual order is approved by who asks for it, where they name the very plan that they have looked at.

    Raises:
        RiskLimitBreached: nobody has approved this very plan; `NotNamed` of an order by hand.
    """
    if ask is not None:
        return _approved_by_hand(run, plan, ask)
    found = approval_in_force(connection, plan.account, plan.portfolio, plan.session, plan.plan_id)
    if found is None and run.settings.needs_approval and plan.orders:
        raise RiskLimitBreached(
            f"Plan {plan.plan_id[:12]} of {plan.session.isoformat()} waits for a person's approval.",
            remedy=f"Nothing was sent. Look at it, then: scizor approve {plan.plan_id[:12]}.",
            where=f"portfolio {plan.portfolio}",
            limit=APPROVAL,
            value="not approved",
            threshold="approved by a person",
        )
    return found


def _approved_by_hand(run: Run, plan: Plan, ask: Ask) -> PlanApproval | None:
    if not run.settings.needs_approval:
        return None
    if ask.approves != plan.plan_id:
        raise NotNamed(
            f"Portfolio '{plan.portfolio}' carries out only what a person has looked at, and the order would be plan "
            f"{plan.plan_id[:12]}, not {ask.approves[:12] or 'one that was named'}.",
            remedy="Nothing was sent. Look at it with a dry run, then place it with the same key and the plan's id: "
            f"--approve {plan.plan_id} (over HTTP: GET /api/risk/check, then `approves`).",
            where=f"portfolio {plan.portfolio}",
            limit=APPROVAL,
            value=ask.approves[:12] or "not approved",
            threshold=plan.plan_id[:12],
        )
    key = (plan.account, plan.portfolio, plan.session, plan.plan_id)
    return PlanApproval(*key, approved=True, actor=ask.actor, reason=ask.reason, at=run.now())


def uncovered(connection: sa.Connection, run: Run, intent: IntentRow, settings: ExecutionSettings) -> bool:
    """Whether no arming of this moment covers the order, which then waits with its row; one that does counts it.

    Called in the transaction that marks the order as being sent.
    """
    if not run.live:
        return False
    found, why = armed_for(connection, run.account, intent.portfolio, run.identity, run.now())
    if found is None:
        finding = Finding(ARMING, why, BY_A_PERSON, Decision.WAIT)
    else:
        again = is_counted(connection, found, intent.client_order_id)
        total = found.sent + (ZERO if again else intent.notional)
        if total <= found.max_notional:
            spend(connection, found, intent.client_order_id, intent.notional, now=run.now())
            return False
        finding = Finding(ARMED_NOTIONAL, total, found.max_notional, Decision.WAIT)
    verdict = Verdict(finding.decision, finding.limit, *finding.texts, (finding,))
    verdicts.hold(connection, run, intent, verdict, settings)
    return True


def command(run: Run, portfolio: str) -> str:
    """What a person types to arm the portfolio."""
    return f"scizor arm {portfolio} --account {run.identity.account_id} --until TIME --max-notional AMOUNT"
