"""Continuing what was admitted: the parts that every execution needs, and looking without sending anew.

What belongs here: handing configuration, ledger and broker to `execution`, and the calls that admit nothing.
What does not: admitting a plan (`trades`), or the protocol itself (`execution`).
"""

from __future__ import annotations

import os
import socket
import time
from datetime import date, timedelta
from decimal import Decimal
from typing import TypedDict

from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.config import UNLIMITED, IbkrAccount, PaperAccount
from scizor_dagster.errors import AccountBusy, InputError, ScizorError
from scizor_dagster.execution.cancelling import CancelReport, awaiting_cancel, left_open
from scizor_dagster.execution.executor import ExecutionResult, ExecutionSettings, cancel_open, follow
from scizor_dagster.execution.settings import PAPER
from scizor_dagster.flow.continuity import watching_units
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.limits import limits_in_force
from scizor_dagster.flow.money import begun_on, conversion_before, starting_cash
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.flow.risk import facts_of, guard_account, guard_session
from scizor_dagster.flow.waiting import OrderWait
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.breaks import BreakLimits
from scizor_dagster.sessions import Clock


def follow_session(desk: Desk, portfolio: str, session: date, run_id: str) -> ExecutionResult:
    """Continue what was admitted for the session; a plan that was not is left alone."""
    not_ahead(desk, portfolio, session)
    guard_session(desk, portfolio, session)
    account = desk.portfolio(portfolio).account
    guard_account(desk, account, session)
    with orders_logged(desk, account):
        return follow(session, **execution_parts(desk, portfolio, run_id))


def catch_up(desk: Desk, portfolio: str, through: date) -> None:
    """Record everything that happened at the broker up to `through`, so that a plan sees all of it."""
    account = desk.portfolio(portfolio).account
    guard_account(desk, account, through)
    with orders_logged(desk, account):
        follow(through, **execution_parts(desk, portfolio, "plan"))


def cancel_open_orders(desk: Desk, account: str) -> CancelReport:
    """Cancel own resting orders on the account wherever the trading state in force asks for it.

    What keeps them from being canceled now is no error: the orders are reported as left, with the reason.
    """
    try:
        configured = [name for name, item in desk.config.portfolios.items() if item.account == account]
        portfolio = next(iter([*begun_on(desk, account), *configured]), None)
        if portfolio is not None:
            with orders_logged(desk, account):
                return cancel_open(**execution_parts(desk, portfolio, "cancel"))
        why = f"No portfolio of the configuration trades on account '{account}'."
    except AccountBusy as busy:
        why = f"{busy.problem} That run cancels what rests when it looks next."
    except ScizorError as failure:
        why = str(failure)
    with desk.ledger.read() as connection:
        return CancelReport(
            left=left_open(awaiting_cancel(connection, account, desk.machine_clock()), {}, why), note=why
        )


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


class Parts(TypedDict):
    ledger: Ledger
    broker: Broker
    account: str
    portfolio: str
    clock: Clock
    holder: str
    settings: ExecutionSettings
    siblings: dict[str, ExecutionSettings]


def execution_parts(desk: Desk, portfolio: str, purpose: str) -> Parts:
    settings = desk.portfolio(portfolio)
    return Parts(
        ledger=desk.ledger,
        broker=desk.broker(settings.account, settings.market),
        account=settings.account,
        portfolio=portfolio,
        clock=desk.clock,
        holder=f"{socket.gethostname()}:{os.getpid()}:{purpose[:8]}",
        settings=execution_settings(desk, portfolio),
        # One that has not begun has no orders, and its capital may still wait for a rate.
        siblings={
            name: execution_settings(desk, name) for name in begun_on(desk, settings.account) if name != portfolio
        },
    )


def execution_settings(desk: Desk, portfolio: str) -> ExecutionSettings:
    settings = desk.portfolio(portfolio)
    account = desk.account(settings.account)
    pinned = desk.pinned_identity(settings.account)
    # The embedded exchange moves when it is told to, in no time of anybody's clock.
    by_itself = not isinstance(account, PaperAccount)
    minutes = settings.execution.sells_within_minutes
    return ExecutionSettings(
        starting_cash=starting_cash(desk, portfolio),
        conversion=conversion_before(desk, portfolio),
        borrow=isinstance(account, IbkrAccount) and account.fx == "borrow",
        expected_broker=pinned.broker,
        expected_environment=pinned.environment,
        expected_account_id=pinned.account_id,
        limits=limits_in_force(desk, portfolio),
        facts=watching_units(desk, portfolio, facts_of(desk, portfolio)),
        breaks=_break_limits(desk, portfolio),
        increments=_increments(desk, portfolio),
        live_trading=pinned.environment != PAPER,
        live_session=_live_session(desk, portfolio),
        needs_approval=desk.portfolio(portfolio).approval == "manual",
        wait=_wait(desk, portfolio) if by_itself else None,
        sells_within=timedelta(minutes=minutes) if by_itself and minutes is not None else None,
        opens_at=desk.calendar(settings.market).open_at,
    )


def _live_session(desk: Desk, portfolio: str) -> date | None:
    """Today's session at the exchange; none on a day without one. A rehearsal has no live account."""
    calendar = desk.calendar(desk.portfolio(portfolio).market)
    today = desk.machine_clock().astimezone(calendar.timezone).date()
    return today if calendar.is_session(today) else None


def _wait(desk: Desk, portfolio: str) -> OrderWait | None:
    """How a run for the portfolio waits; None where it is not to."""
    settings = desk.portfolio(portfolio)
    rules = settings.execution
    if rules.wait_seconds == 0:
        return None

    def news(seconds: float) -> None:
        desk.connected_broker(settings.account, settings.market).wait_for_news(seconds)

    return OrderWait(rules.wait_seconds, rules.poll_seconds, news, time.monotonic)


def _break_limits(desk: Desk, portfolio: str) -> BreakLimits:
    rules = desk.portfolio(portfolio).reconciliation
    count, share = rules.max_open_breaks, rules.max_break_value_pct
    return BreakLimits(None if count == UNLIMITED else int(count), None if share == UNLIMITED else Decimal(str(share)))


def _increments(desk: Desk, portfolio: str) -> dict[str, Decimal]:
    """Smallest step of quantity by symbol, for buys that a release scales down."""
    settings = desk.portfolio(portfolio)
    fractional = settings.risk.fractional_shares
    step = Decimal(1).scaleb(-fractional.quantity_precision)
    return {
        symbol: step if fractional.enabled and item.fractionable else Decimal(item.lot)
        for symbol, item in desk.instruments(settings.market).items()
    }
