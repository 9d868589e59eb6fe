"""Orders, sessions, permissions and whatever keeps a portfolio from trading.

What belongs here: reading the ledger, in one view of it, and whether a stored plan waits for a person. What does not:
judging (the watchdog), and asking a broker.
"""

from __future__ import annotations

import logging
from datetime import date, datetime

import sqlalchemy as sa

from scizor_dagster.config import PaperAccount
from scizor_dagster.execution.result import ExecutionState, result_of
from scizor_dagster.flow.approving import MANUAL, awaiting_plan
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.watch import Deadlines
from scizor_dagster.ledger.arming import armed_for
from scizor_dagster.ledger.known import last_ordered_session
from scizor_dagster.ledger.lease import lease_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.told import (
    OrderCount,
    last_entry_at,
    last_reconciled,
    notice_counts,
    open_break_counts,
    open_orders,
    orders_of_session,
)
from scizor_dagster.monitoring.catalogue import TRADING
from scizor_dagster.monitoring.readings import Readings
from scizor_dagster.risk.breaks import LockScope
from scizor_dagster.risk.locks import locks_of
from scizor_dagster.risk.trading_state import TradingState, standing

LOG = logging.getLogger("scizor.metrics")


def trading(desk: Desk) -> Readings:
    """Every account and portfolio of the configuration; nothing where there is no ledger yet.

    Raises:
        LedgerError: the ledger is gone, or cannot be read.
    """
    found, now = Readings(TRADING), desk.clock()
    if not desk.has_ledger:
        desk.require_no_lost_ledger()
        return found
    accounts = dict.fromkeys(item.account for item in desk.config.portfolios.values())
    with desk.ledger.read() as connection:
        for account in accounts:
            _account(connection, account, now, found)
        for portfolio in desk.config.portfolios:
            _portfolio(desk, connection, portfolio, now, found)
        for state, count in notice_counts(connection).items():
            found.add("scizor_notices", count, state)
    return found


def _account(connection: sa.Connection, account: str, now: datetime, found: Readings) -> None:
    breaks = open_break_counts(connection, account)
    for scope in LockScope:
        found.add("scizor_breaks_open", breaks.get(scope, 0), account, scope.value)
    lease = lease_of(connection, account)
    found.add("scizor_account_at_work", lease is not None and lease.held(now), account)
    found.add("scizor_account_abandoned", lease is not None and lease.abandoned(now), account)
    found.instant("scizor_account_entry_timestamp_seconds", last_entry_at(connection, account), account)


def _portfolio(desk: Desk, connection: sa.Connection, portfolio: str, now: datetime, found: Readings) -> None:
    settings = desk.portfolio(portfolio)
    account, calendar = settings.account, desk.calendar(settings.market)
    owner = (account, portfolio)
    session = calendar.session_on_or_before(now.astimezone(calendar.timezone).date())
    counts = {row.state: row.count for row in orders_of_session(connection, account, portfolio, session)}
    for state in IntentState:
        found.add("scizor_orders", counts.get(state, 0), *owner, state.value)
    lease = lease_of(connection, account)
    _open(open_orders(connection, account), owner, lease is not None and lease.held(now), found)
    stage = _stage(desk, portfolio, session, result_of(connection, account, portfolio, session).state)
    if stage is not None:
        found.one_of("scizor_session_state", stage, ExecutionState, *owner)
    stands = standing(connection, account, portfolio, now).state
    found.one_of("scizor_trading_state", stands, TradingState, *owner)
    found.add("scizor_locks", len(locks_of(connection, account, portfolio, session)), *owner)
    found.instant("scizor_reconciled_timestamp_seconds", last_reconciled(connection, account, portfolio), *owner)
    traded: date | None = last_ordered_session(connection, account, portfolio, session)
    close = calendar.close_at(traded) if traded is not None else None
    found.instant("scizor_last_traded_close_timestamp_seconds", close, *owner)
    due = Deadlines(calendar, desk.config.watchdog).ended_by(traded) if traded is not None else None
    found.instant("scizor_last_traded_due_timestamp_seconds", due, *owner)
    _permission(desk, connection, portfolio, now, found)


def _stage(desk: Desk, portfolio: str, session: date, admitted: ExecutionState) -> ExecutionState | None:
    """What the ledger has come to, or that a plan which it has not waits for a person; None where nobody can tell."""
    if admitted is not ExecutionState.NO_PLAN or desk.portfolio(portfolio).approval != MANUAL:
        return admitted
    try:
        waits = awaiting_plan(desk, portfolio, session) is not None
    except Exception:
        # Plans lie in the lake, whose own parts are down then; orders and breaks are still worth an answer.
        LOG.warning("Whether a plan of %s waits for a person cannot be read.", portfolio, exc_info=True)
        return None
    return ExecutionState.AWAITING_APPROVAL if waits else admitted


def _open(rows: list[OrderCount], owner: tuple[str, str], at_work: bool, found: Readings) -> None:
    mine = [row for row in rows if row.portfolio == owner[1]]
    # One that was being sent when its run ended was perhaps sent, and nobody asks the broker for it any more.
    doubtful = (IntentState.UNKNOWN,) if at_work else (IntentState.UNKNOWN, IntentState.SENDING)
    unknown = sum(row.count for row in mine if row.state in doubtful)
    found.add("scizor_orders_open", sum(row.count for row in mine), *owner)
    found.add("scizor_orders_unknown", unknown, *owner)


def _permission(desk: Desk, connection: sa.Connection, portfolio: str, now: datetime, found: Readings) -> None:
    account = desk.portfolio(portfolio).account
    configured = desk.account(account)
    live = not isinstance(configured, PaperAccount) and configured.environment == "live"
    found.add("scizor_live", live, account, portfolio)
    if live:
        armed, _ = armed_for(connection, account, portfolio, desk.pinned_identity(account), now)
        until = armed.expires_at if armed is not None else None
        found.instant("scizor_armed_until_timestamp_seconds", until, account, portfolio)
