"""A person halts, reduces or resumes trading: the state is written, and what is at the broker all the same is named.

What belongs here: writing the state in one transaction with the list of orders that it comes too late for, and waiting
for the one send that may be under way. What does not: whom the names mean (`cli.stopping`, `api`), and what a state
does to an order (`risk`, `execution`).

Needs the ledger alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scizor_dagster.execution.cancelling import CancelReport, at_broker, awaiting_cancel, left_open
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import cancel_open_orders
from scizor_dagster.ledger.lease import lease_of
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.sessions import Clock

POLL_SECONDS = 0.05
NO_BROKER = "The configuration, which names the broker, cannot be read."


@dataclass(frozen=True)
class Scope:
    """What is stopped or resumed. `portfolio` is None for the whole account."""

    account: str
    portfolio: str | None

    @property
    def words(self) -> str:
        return f"portfolio {self.portfolio} on account {self.account}" if self.portfolio else f"account {self.account}"


def set_states(
    ledger: Ledger,
    scopes: Sequence[Scope],
    state: TradingState,
    *,
    reason: str,
    actor: str,
    now: datetime,
    until: datetime | None = None,
    cancel_open: bool = False,
) -> list[IntentRow]:
    """Write the state of every scope, or of none; the orders that are, or may be, at the broker and stay there.

    Raises:
        LedgerError: there is no reason, or the expiry has passed.
    """
    left: list[IntentRow] = []
    with ledger.transaction() as connection:
        for scope in scopes:
            # Read where the state is written: whatever goes out does so before it and is listed, or not at all.
            left += at_broker(connection, scope.account, scope.portfolio, state)
            set_state(
                connection,
                scope.account,
                scope.portfolio,
                state,
                reason=reason,
                actor=actor,
                now=now,
                until=until,
                cancel_open=cancel_open,
            )
    return left


def after_sends(
    ledger: Ledger,
    scopes: Sequence[Scope],
    state: TradingState,
    *,
    clock: Clock,
    seconds: float,
    pause: Callable[[float], None] = time.sleep,
) -> list[IntentRow]:
    """What is at the broker and stays there, once no send is under way any more that was before the state.

    One whose process is gone is not waited for, and none for longer than `seconds`: it is in the list as `sending`.
    """
    waited = 0.0
    while True:
        with ledger.read() as connection:
            left = [row for scope in scopes for row in at_broker(connection, scope.account, scope.portfolio, state)]
            sending = {row.account for row in left if row.state is IntentState.SENDING}
            leases = [lease_of(connection, account) for account in sorted(sending)]
        if waited >= seconds or not any(lease is not None and lease.held(clock()) for lease in leases):
            return left
        pause(POLL_SECONDS)
        waited += POLL_SECONDS


def cancel_at_once(desk: Desk, accounts: Sequence[str], problem: str, now: datetime) -> list[CancelReport]:
    """Cancel what the states in force take back, where the account is free; nothing where `problem` keeps from it."""
    reports = []
    for account in accounts:
        if not problem:
            reports.append(cancel_open_orders(desk, account))
            continue
        with desk.ledger.read() as connection:
            rows = awaiting_cancel(connection, account, now)
        reports.append(CancelReport(left=left_open(rows, {}, NO_BROKER), note=NO_BROKER))
    return reports
