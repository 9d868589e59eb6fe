"""Execution of one session: gates read from stored facts, then the ledger's protocol.

What belongs here: what must be true before anything is sent, and handing the parts to `execution`.
What does not: the protocol itself.
"""

from __future__ import annotations

import os
import socket
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypedDict

from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.errors import DataError, InputError, StaleTick
from scizor_dagster.execution.executor import ExecutionResult, ExecutionSettings, execute, follow
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import starting_cash
from scizor_dagster.ledger.rows import batch_of, batches_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.risk.limits import limits_from
from scizor_dagster.sessions import Clock

SCHEDULED_FOR = "scizor/scheduled_for"
PURPOSE = "scizor/purpose"
FOLLOW = "follow"
"""Value of the run tag `PURPOSE` with which a run continues what was admitted and admits nothing."""
MAX_START_DELAY = timedelta(minutes=30)


def trade_session(
    desk: Desk, portfolio: str, session: date, run_id: str, scheduled_for: str | None = None
) -> ExecutionResult:
    """Execute the session's plan, or continue it; sends nothing that the ledger has not admitted first.

    Raises:
        InputError: the session is ahead.
        StaleTick: a scheduled run that starts too late to trade what it was scheduled for.
        DataError: an earlier session does not reconcile.
        AccountBusy: another process holds the account.
    """
    settings = desk.portfolio(portfolio)
    not_ahead(desk, portfolio, session)
    plan = read_plan(desk.lake, portfolio, session)
    with desk.ledger.read() as connection:
        admitted = batch_of(connection, settings.account, portfolio, session)
    if admitted is not None or plan is None:
        return follow_session(desk, portfolio, session, run_id)
    _refuse_stale(scheduled_for, desk.clock())
    _refuse_after_breaks(desk, portfolio, session)
    unexecuted = _unexecuted(desk, portfolio, session)
    return execute(plan, previous_unexecuted=unexecuted, **_parts(desk, portfolio, run_id))


def follow_session(desk: Desk, portfolio: str, session: date, run_id: str) -> ExecutionResult:
    """Continue what was admitted for the session; a plan that was not is left alone."""
    not_ahead(desk, portfolio, session)
    return follow(session, **_parts(desk, portfolio, run_id))


def not_ahead(desk: Desk, portfolio: str, session: date) -> None:
    """Refuse a day that is no session, or one that lies ahead in exchange time.

    Raises:
        NotASession, InputError: naming what to use.
    """
    calendar = desk.calendar(desk.portfolio(portfolio).market)
    today = desk.clock().astimezone(calendar.timezone).date()
    if calendar.require(session) > today:
        raise InputError(
            f"Session {session} is ahead; in exchange time it is {today}.",
            remedy="Use a session up to today's: nothing is planned or sent for one that is still to come.",
            where=f"portfolio {portfolio}",
        )


def has_open_orders(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether the session's batch has not ended."""
    with desk.ledger.read() as connection:
        batch = batch_of(connection, desk.portfolio(portfolio).account, portfolio, session)
    return batch is not None and batch.state.open


def catch_up(desk: Desk, portfolio: str, through: date) -> None:
    """Record everything that happened at the broker up to `through`, so that a plan sees all of it."""
    follow(through, **_parts(desk, portfolio, "plan"))


class _Parts(TypedDict):
    ledger: Ledger
    broker: Broker
    account: str
    portfolio: str
    clock: Clock
    holder: str
    settings: ExecutionSettings


def _parts(desk: Desk, portfolio: str, purpose: str) -> _Parts:
    settings = desk.portfolio(portfolio)
    return _Parts(
        ledger=desk.ledger,
        broker=desk.broker(settings.account, settings.market),
        account=settings.account,
        portfolio=portfolio,
        clock=desk.clock,
        holder=f"{socket.gethostname()}:{os.getpid()}:{purpose[:8]}",
        settings=execution_settings(desk, portfolio),
    )


def execution_settings(desk: Desk, portfolio: str) -> ExecutionSettings:
    settings = desk.portfolio(portfolio)
    limits = limits_from(settings.risk)
    return ExecutionSettings(
        starting_cash=starting_cash(desk, portfolio),
        expected_broker=desk.config.accounts[settings.account].broker,
        expected_environment="paper",
        expected_account_id=settings.account,
        max_share_per_order=limits.max_share_per_order,
        max_notional_per_order=limits.max_notional_per_order,
        max_total_notional=limits.max_total_notional,
        increments=_increments(desk, portfolio),
    )


def _increments(desk: Desk, portfolio: str) -> dict[str, Decimal]:
    """Smallest step of quantity by symbol, for buys that a release scales down."""
    settings = desk.portfolio(portfolio)
    fractional = settings.risk.fractional_shares
    step = Decimal(1).scaleb(-fractional.quantity_precision)
    return {
        symbol: step if fractional.enabled and item.fractionable else Decimal(item.lot)
        for symbol, item in desk.instruments(settings.market).items()
    }


def _refuse_stale(scheduled_for: str | None, now: datetime) -> None:
    if scheduled_for is None:
        return
    delay = now - datetime.fromisoformat(scheduled_for)
    if delay > MAX_START_DELAY:
        raise StaleTick(
            f"The run was scheduled for {scheduled_for} and starts {int(delay.total_seconds() // 60)} minutes late.",
            remedy="Look at the plan, then start it yourself: scizor run.",
        )


def _refuse_after_breaks(desk: Desk, portfolio: str, session: date) -> None:
    """Compare the last traded session once more: what came late is in, and what does not agree stops this one."""
    with desk.ledger.read() as connection:
        earlier = [
            batch.session
            for batch in batches_of(connection, desk.portfolio(portfolio).account, portfolio)
            if batch.session < session
        ]
    if not earlier:
        return
    last = max(earlier)
    report = reconcile_session(desk, portfolio, last)
    if report.break_count:
        raise DataError(
            f"Session {last} has {report.break_count} unexplained break(s); nothing is sent after it.",
            remedy=f"Clear them, then run: scizor reconcile --portfolio {portfolio} --date {last}.",
            where=f"portfolio {portfolio}",
        )


def _unexecuted(desk: Desk, portfolio: str, session: date) -> tuple[date, ...]:
    """Sessions before this one that have a stored plan which was never admitted."""
    settings = desk.portfolio(portfolio)
    with desk.lake.read() as cursor:
        planned = cursor.execute(
            "SELECT DISTINCT session FROM plans WHERE portfolio = ? AND session < ?", [portfolio, session]
        ).fetchall()
    with desk.ledger.read() as connection:
        executed = {batch.session for batch in batches_of(connection, settings.account, portfolio)}
    newest = max(executed, default=date.min)
    return tuple(sorted(day for (day,) in planned if day > newest))
