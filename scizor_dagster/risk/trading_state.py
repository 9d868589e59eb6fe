"""ACTIVE, REDUCING, HALTED: whether an account and a portfolio may trade at this moment.

What belongs here: the states, their rows, and which of several is in force. What does not: who sets one
(the command line, the loss stops, the throttle) and what is done to an order (`pre_trade`, `execution`).

Of the account and of the portfolio, what a person has set last and what the machine has set (a row with a
`cause`) are in force until they expire or a person resumes; the strictest wins. A state that expires uncovers
the one beneath it. Rows are only ever added. Cancels are allowed in every state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.tables import trading_states
from scizor_dagster.risk.states import TradingState as TradingState


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force. `portfolio` is None where the account's row decides; `at` is None where no row does."""

    state: TradingState
    reason: str = ""
    actor: str = ""
    at: datetime | None = None
    until: datetime | None = None
    portfolio: str | None = None
    cancel_open: bool = False

    @property
    def sentence(self) -> str:
        until = f" until {self.until.isoformat()}" if self.until is not None else ""
        return f"{self.state} by {self.actor}{until}: {self.reason}" if self.actor else str(self.state)


FREE = Standing(TradingState.ACTIVE)
# Built once: read before every send.
_ROWS = (
    sa.select(trading_states)
    .where(
        trading_states.c.account == sa.bindparam("account"),
        sa.or_(trading_states.c.portfolio.is_(None), trading_states.c.portfolio == sa.bindparam("portfolio")),
    )
    .order_by(trading_states.c.number)
)


def standing(connection: sa.Connection, account: str, portfolio: str, now: datetime) -> Standing:
    """The strictest state in force; of equals the newest. It cancels open orders where any of those in force asks."""
    persons: dict[str | None, Standing] = {}
    machines: list[tuple[str | None, Standing]] = []
    for row in connection.execute(_ROWS, {"account": account, "portfolio": portfolio}):
        current = _standing(row)
        if current.state is TradingState.ACTIVE:
            persons.pop(row.portfolio, None)
            machines = [(scope, state) for scope, state in machines if scope != row.portfolio]
        elif current.until is not None and current.until <= now:
            continue
        elif row.cause is None:
            persons[row.portfolio] = current
        else:
            machines.append((row.portfolio, current))
    in_force = [*persons.values(), *(state for _, state in machines)]
    found = max(in_force, key=lambda state: (state.state.strictness, state.at), default=FREE)
    return replace(found, cancel_open=any(state.cancel_open for state in in_force))


def last_resumed(connection: sa.Connection, account: str, portfolio: str) -> datetime | None:
    """When the portfolio was resumed last: the counts of its throttle begin there, and nothing else resets them."""
    rows = connection.execute(_ROWS, {"account": account, "portfolio": portfolio})
    resumed = (row.at for row in rows if row.portfolio == portfolio and row.state == TradingState.ACTIVE)
    return max(resumed, default=None)


def set_state(
    connection: sa.Connection,
    account: str,
    portfolio: str | None,
    state: TradingState,
    *,
    reason: str,
    actor: str,
    now: datetime,
    until: datetime | None = None,
    cancel_open: bool = False,
    cause: str | None = None,
) -> bool:
    """Add a row, with an event. One with a `cause` that has its row already adds nothing.

    Returns:
        Whether a row was added.

    Raises:
        LedgerError: there is no reason, or the expiry has passed.
    """
    if not reason.strip():
        raise LedgerError("A trading state needs a reason.", remedy="Give one: --reason TEXT.", where=account)
    if until is not None and until <= now:
        raise LedgerError(f"The expiry {until.isoformat()} has passed.", remedy="Give a later one.", where=account)
    if cause is not None and connection.execute(_caused(account, portfolio, cause)).first():
        return False
    last = connection.execute(sa.select(sa.func.max(trading_states.c.number))).scalar() or 0
    values: dict[str, Any] = {
        "portfolio": portfolio,
        "state": state.value,
        "reason": reason,
        "actor": actor,
        "until": until,
        "cancel_open": cancel_open,
        "cause": cause,
    }
    row = inserted(trading_states, {"number": last + 1, "account": account, "at": now, **values})
    events.append(connection, now, account, "trading_state", values, changes=[row])
    return True


def states_of(connection: sa.Connection, account: str) -> list[Standing]:
    """Every row of the account and its portfolios, oldest first."""
    statement = sa.select(trading_states).where(trading_states.c.account == account)
    return [_standing(row) for row in connection.execute(statement.order_by(trading_states.c.number))]


def _caused(account: str, portfolio: str | None, cause: str) -> sa.Select[Any]:
    return sa.select(trading_states.c.number).where(
        trading_states.c.account == account,
        trading_states.c.portfolio == portfolio,
        trading_states.c.cause == cause,
    )


def _standing(row: Any) -> Standing:
    return Standing(
        state=TradingState(row.state),
        reason=row.reason,
        actor=row.actor,
        at=row.at,
        until=row.until,
        portfolio=row.portfolio,
        cancel_open=row.cancel_open,
    )
