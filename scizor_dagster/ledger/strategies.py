"""Strategies: which there have been, and which of them trade in which portfolio.

What belongs here: writing and reading the rows. What does not: what a state does to targets (`flow.lifecycle`), and
the manifest itself (`signals.manifest`).

A strategy that has no row in a portfolio runs there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted, updated
from scizor_dagster.ledger.strategy_tables import live_strategies, strategies


class StrategyState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    """No order comes from it; what it last wanted is kept until it is resumed."""
    STOPPED = "stopped"
    """No order comes from it any more; its positions are kept, or sold where that was asked for."""


@dataclass(frozen=True, slots=True)
class StrategyStanding:
    """The state of a strategy in one portfolio. `liquidate` says that its positions are to be sold."""

    strategy: str
    portfolio: str
    account: str
    state: StrategyState
    liquidate: bool
    actor: str
    reason: str
    since: datetime

    @property
    def sentence(self) -> str:
        """Told in notes of targets and plans: another state, or the same one set anew, is another sentence."""
        sold = ", its positions are sold" if self.liquidate else ""
        at = self.since.isoformat(timespec="seconds")
        return f"Strategy {self.strategy} is {self.state} since {at} by {self.actor}{sold}: {self.reason}"


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """One form that a strategy's entry in the manifest has had. `portfolios` are joined by commas."""

    strategy: str
    manifest_hash: str
    portfolios: str
    path: str
    weights_dated: str
    first_seen: datetime
    last_seen: datetime


def set_strategy_state(
    connection: sa.Connection,
    account: str,
    portfolio: str,
    strategy: str,
    state: StrategyState,
    *,
    liquidate: bool = False,
    actor: str,
    reason: str,
    now: datetime,
) -> StrategyStanding:
    """Add a row, with an event.

    Raises:
        LedgerError: there is no reason, or the strategy is in this state already.
    """
    if not reason.strip():
        raise LedgerError("A strategy's state needs a reason.", remedy="Give one: --reason TEXT.", where=strategy)
    before = strategy_states(connection, account, portfolio).get(strategy)
    current = (before.state, before.liquidate) if before is not None else (StrategyState.RUNNING, False)
    if current == (state, liquidate):
        raise LedgerError(
            f"Strategy '{strategy}' is {state} already in portfolio '{portfolio}'.",
            remedy="Nothing was changed. See: scizor strategy list.",
        )
    made = StrategyStanding(strategy, portfolio, account, state, liquidate, actor, reason, now)
    last = connection.execute(sa.select(sa.func.max(live_strategies.c.number))).scalar() or 0
    values = asdict(made) | {"state": state.value}
    change = inserted(live_strategies, {"number": last + 1, **values})
    payload = {name: value for name, value in values.items() if name not in ("account", "since")}
    events.append(connection, now, account, "strategy_state", {"number": last + 1, **payload}, changes=[change])
    return made


def strategy_states(connection: sa.Connection, account: str, portfolio: str) -> dict[str, StrategyStanding]:
    """The state in force of every strategy that was ever paused, stopped or started in the portfolio."""
    mine = (live_strategies.c.account == account, live_strategies.c.portfolio == portfolio)
    rows = connection.execute(sa.select(live_strategies).where(*mine).order_by(live_strategies.c.number))
    return {row.strategy: _standing(row) for row in rows}


def standings_with_reason(connection: sa.Connection, strategy: str, reason: str) -> list[StrategyStanding]:
    """Every state that was set with exactly this reason, in force or not, oldest first."""
    mine = (live_strategies.c.strategy == strategy, live_strategies.c.reason == reason)
    rows = connection.execute(sa.select(live_strategies).where(*mine).order_by(live_strategies.c.number))
    return [_standing(row) for row in rows]


def _standing(row: Any) -> StrategyStanding:
    values = {name: value for name, value in row._mapping.items() if name != "number"}
    return StrategyStanding(**values | {"state": StrategyState(row.state)})


def record_strategy(connection: sa.Connection, account: str, seen: StrategyRow) -> None:
    """Note that a strategy was there in this form at `seen.last_seen`; a form that is new is a new row."""
    key = {"strategy": seen.strategy, "manifest_hash": seen.manifest_hash}
    mine = (strategies.c[name] == value for name, value in key.items())
    if connection.execute(sa.select(strategies.c.strategy).where(*mine)).first() is None:
        values = asdict(seen)
        change = inserted(strategies, values)
    else:
        values = {name: getattr(seen, name) for name in ("portfolios", "path", "last_seen")}
        change = updated(strategies, key, values)
    events.append(connection, seen.last_seen, account, "strategy_seen", key | values, changes=[change])


def known_strategies(connection: sa.Connection) -> list[StrategyRow]:
    """Every form of every strategy, by name and by when it was first seen."""
    statement = sa.select(strategies).order_by(strategies.c.strategy, strategies.c.first_seen)
    return [StrategyRow(**row._mapping) for row in connection.execute(statement)]
