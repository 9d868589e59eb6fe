"""Execution of one session: gates read from stored facts, then the ledger's protocol.

What belongs here: what must be true before anything is sent, and handing the parts to `execution`.
What does not: the protocol itself.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from scizor_dagster.errors import RiskLimitBreached, StaleTick
from scizor_dagster.execution.executor import ExecutionResult, ExecutionState, execute
from scizor_dagster.execution.result import result_of
from scizor_dagster.flow.affordability import stored_book_after
from scizor_dagster.flow.approving import (
    approved_plan,
    awaiting_sentence,
    awaits_approval,
    has_ended,
    require_same_strategies,
    waits_to_be_carried_out,
)
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_parts, follow_session, not_ahead
from scizor_dagster.flow.limits import limits_in_force
from scizor_dagster.flow.passes import close_past
from scizor_dagster.flow.plans import current_plan, unexecuted_sessions
from scizor_dagster.flow.risk import guard_account, guard_session
from scizor_dagster.ledger.rows import batch_of
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan
from scizor_dagster.risk.events import stops_recorded

SCHEDULED_FOR = "scizor/scheduled_for"
PURPOSE = "scizor/purpose"
FOLLOW = "follow"
"""Value of the run tag `PURPOSE` with which a run continues what was admitted and admits nothing."""
TAKE = "take"
"""Value of the run tag `PURPOSE` with which a run looks at new weight files: a refused one fails it."""
MAX_START_DELAY = timedelta(minutes=30)
MAX_START_AHEAD = timedelta(minutes=1)
"""How far the clocks of the machine that scheduled a run and of the one that starts it may be apart."""


def trade_session(
    desk: Desk, portfolio: str, session: date, run_id: str, scheduled_for: str | None = None
) -> ExecutionResult:
    """Execute the session's plan, or continue it; sends nothing that the ledger has not admitted first.

    Raises:
        InputError: the session is ahead.
        StaleTick: a scheduled run that starts too late to trade what it was scheduled for, or before it.
        RiskLimitBreached: the plan opens more than the equity allows, or too much of what lies before does not agree.
        DataError: the plan's inputs have changed since it was made.
        AccountBusy: another process holds the account.
    """
    settings = desk.portfolio(portfolio)
    not_ahead(desk, portfolio, session)
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
    if admitted is not None or read_plan(desk.lake, portfolio, session) is None:
        return follow_session(desk, portfolio, session, run_id)
    _refuse_stale(scheduled_for, desk.clock())
    close_past(desk, portfolio, session)
    # What a person has approved is carried out as it was approved, and not made anew.
    plan = approved_plan(desk, portfolio, session)
    if plan is None:
        plan = current_plan(desk, portfolio, session)
    else:
        require_same_strategies(desk, plan)
    if awaits_approval(desk, plan):
        return _awaiting(desk, plan)
    with stops_recorded(
        desk.ledger, desk.clock, settings.account, portfolio, session, limits_in_force(desk, portfolio)
    ):
        _refuse_unaffordable(desk, plan)
    guard_session(desk, portfolio, session, admits=True)
    guard_account(desk, settings.account, session)
    unexecuted = unexecuted_sessions(desk, portfolio, session)
    return execute(plan, previous_unexecuted=unexecuted, **execution_parts(desk, portfolio, run_id))


def continue_session(desk: Desk, portfolio: str, session: date, run_id: str) -> ExecutionResult:
    """Continue what was admitted, or begin what a person has approved since; a plan that nobody has is left alone."""
    if waits_to_be_carried_out(desk, portfolio, session):
        return trade_session(desk, portfolio, session, run_id)
    return follow_session(desk, portfolio, session, run_id)


def _awaiting(desk: Desk, plan: Plan) -> ExecutionResult:
    """The result of a session whose plan nobody has approved yet, or will any more."""
    ended = has_ended(desk, plan.portfolio, plan.session)
    name = f"Plan {plan.plan_id[:12]} of {plan.session}"
    note = f"{name} was not approved, and its session is over." if ended else awaiting_sentence(plan)
    with desk.ledger.read() as connection:
        found = result_of(connection, plan.account, plan.portfolio, plan.session, notes=[note])
    return found if ended else replace(found, state=ExecutionState.AWAITING_APPROVAL)


def _refuse_unaffordable(desk: Desk, plan: Plan) -> None:
    """The gate of `planned_orders`, read again: a step may be run by itself."""
    after = stored_book_after(desk, plan)
    if not after.fits:
        raise RiskLimitBreached(
            f"The plan of {plan.session} opens more than equity less the cash buffer and max_total_weight allow.",
            remedy="Nothing is sent. See the check plan_fits_the_equity of planned_orders.",
            where=f"portfolio {plan.portfolio}",
            limit="plan_fits_the_equity",
            value=f"net {after.net:.2f}, gross {after.gross:.2f}",
            threshold=f"net {after.net_limit:.2f}, gross {after.gross_limit:.2f}",
        )


def _refuse_stale(scheduled_for: str | None, now: datetime) -> None:
    if scheduled_for is None:
        return
    delay = now - _instant(scheduled_for)
    if delay < -MAX_START_AHEAD:
        raise StaleTick(
            f"The run was scheduled for {scheduled_for}, which lies ahead of this machine's clock: it says "
            f"{now.isoformat(timespec='seconds')}.",
            remedy="Set the clock by NTP. To trade this session all the same, look at the plan, then: scizor run.",
        )
    if delay > MAX_START_DELAY:
        raise StaleTick(
            f"The run was scheduled for {scheduled_for} and starts {int(delay.total_seconds() // 60)} minutes late.",
            remedy="Look at the plan, then start it yourself: scizor run.",
        )


def _instant(scheduled_for: str) -> datetime:
    try:
        instant = datetime.fromisoformat(scheduled_for)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise StaleTick(
            f"The run says that it was scheduled for '{scheduled_for}', which is no time with an offset.",
            remedy=f"Start it without the tag {SCHEDULED_FOR}, or yourself: scizor run.",
        )
    return instant
