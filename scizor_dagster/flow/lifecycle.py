"""Strategies that are paused or stopped: what they still have in a portfolio's targets.

What belongs here: their states, their last rows, and noting which strategies there are. What does not: the rows in the
ledger (`ledger.strategies`), and combining (`signals.consolidation`).

An idle strategy's weight file is not read. Its rows are those of the last session that was traded, so that what it
shares an instrument with goes on as it was; with no weight where its positions are to be sold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.rows import last_batch_of
from scizor_dagster.ledger.strategies import (
    StrategyRow,
    StrategyStanding,
    StrategyState,
    record_strategy,
    set_strategy_state,
    strategy_states,
)
from scizor_dagster.signals.consolidation import IdleStrategy
from scizor_dagster.signals.identity import ResolvedRow
from scizor_dagster.signals.targets import TargetStatus, TargetWeight

ZERO = Decimal(0)
MAY_BECOME = {
    "start": (StrategyState.RUNNING, (StrategyState.STOPPED,)),
    "resume": (StrategyState.RUNNING, (StrategyState.PAUSED,)),
    "pause": (StrategyState.PAUSED, (StrategyState.RUNNING,)),
    "stop": (StrategyState.STOPPED, tuple(StrategyState)),
}
"""What a person may do to a strategy: the state that it leads to, and those that it leads from."""
_LAST_ROWS = (
    "SELECT a.symbol, a.instrument_id, a.asset_id, a.line, a.file_hash, a.weight_stated, t.status, t.candidates, "
    "count(*) OVER (PARTITION BY a.asset_id, a.line) AS parts FROM target_attribution a "
    "JOIN target_weights t USING (portfolio, session, target) "
    "WHERE a.portfolio = ? AND a.strategy = ? AND a.session = ? ORDER BY a.line, a.asset_id, a.symbol"
)


def change_state(
    desk: Desk, portfolios: Sequence[str], strategy: str, action: str, *, liquidate: bool, actor: str, reason: str
) -> list[StrategyStanding]:
    """Start, pause, resume or stop a strategy in each of `portfolios`, from the next plan on: in all of them or none.

    Raises:
        InputError: one does not follow it, or the action does not lead from the state that it is in there.
        LedgerError: there is no reason, or it is in that state already.
    """
    for portfolio in portfolios:
        followed = desk.portfolio(portfolio).signals.ids
        if strategy not in followed:
            raise InputError(
                f"Portfolio '{portfolio}' does not follow strategy '{strategy}'.",
                remedy=f"Name one of its own: {', '.join(followed)}.",
                where="--portfolio",
            )
    now = desk.clock()
    with desk.ledger.transaction() as connection:
        for portfolio in portfolios:
            _require_source(connection, desk.portfolio(portfolio).account, portfolio, strategy, action)
        return [
            set_strategy_state(
                connection,
                desk.portfolio(portfolio).account,
                portfolio,
                strategy,
                MAY_BECOME[action][0],
                liquidate=liquidate,
                actor=actor,
                reason=reason,
                now=now,
            )
            for portfolio in portfolios
        ]


def _require_source(connection: sa.Connection, account: str, portfolio: str, strategy: str, action: str) -> None:
    before = strategy_states(connection, account, portfolio).get(strategy)
    current = before.state if before is not None else StrategyState.RUNNING
    sources = MAY_BECOME[action][1]
    if current not in sources:
        raise InputError(
            f"Strategy '{strategy}' is {current} in portfolio '{portfolio}'; '{action}' is for one that is "
            f"{' or '.join(sources)}.",
            remedy="Nothing was changed. See scizor strategy list; --portfolio NAME means one portfolio alone.",
            where=strategy,
        )


def idle_standings(desk: Desk, portfolio: str) -> dict[str, StrategyStanding]:
    """The portfolio's strategies that are paused or stopped; the others run."""
    if not desk.has_ledger:
        return {}
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        found = strategy_states(connection, settings.account, portfolio)
    return {
        name: found[name]
        for name in settings.signals.ids
        if name in found and found[name].state is not StrategyState.RUNNING
    }


def running_strategies(desk: Desk, portfolio: str) -> tuple[str, ...]:
    """Those whose weight files count, in the order of the configuration."""
    idle = idle_standings(desk, portfolio)
    return tuple(name for name in desk.portfolio(portfolio).signals.ids if name not in idle)


def idle_strategies(desk: Desk, portfolio: str, session: date) -> dict[str, IdleStrategy]:
    """What each idle strategy has in the targets of `session`."""
    standings = idle_standings(desk, portfolio)
    last = _last_traded(desk, portfolio, session) if standings else None
    return {
        name: IdleStrategy(item.sentence, item.liquidate, _last_rows(desk, item, last))
        for name, item in standings.items()
    }


def sells_off(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether a strategy that was stopped still has something in the portfolio that is to be sold."""
    last = None
    for item in idle_standings(desk, portfolio).values():
        if item.liquidate and desk.has_lake:
            last = last or _last_traded(desk, portfolio, session)
            if any(row.stated for row in _last_rows(desk, replace(item, liquidate=False), last)):
                return True
    return False


def require_current_states(
    desk: Desk, portfolio: str, session: date, targets: Sequence[TargetWeight], first: str = ""
) -> None:
    """Refuse targets that were consolidated while other strategies ran than do now.

    `first` is what a person must type before the session can be planned again.

    Raises:
        DataError: they must be consolidated again.
    """
    run = f"Run the whole session: scizor run --portfolio {portfolio} --date {session}."
    sentences = {name: item.sentence for name, item in idle_standings(desk, portfolio).items()}
    for row in targets:
        for item in row.contributions:
            expected = sentences.get(item.strategy)
            was_idle = any(f"Strategy {item.strategy} is {state} since " in row.note for state in StrategyState)
            if was_idle != (expected is not None) or (expected is not None and expected not in row.note):
                raise DataError(
                    f"Strategy '{item.strategy}' was started, paused or stopped since the targets of {session} were "
                    "consolidated; nothing is planned or sent from them.",
                    remedy=f"{first} {run}".lstrip(),
                    where=f"portfolio {portfolio}",
                )


def note_strategies(desk: Desk, portfolio: str) -> None:
    """Record which strategies the portfolio follows, and in which form the manifest has them."""
    account = desk.portfolio(portfolio).account
    now = desk.clock()
    with desk.ledger.transaction() as connection:
        for name in desk.portfolio(portfolio).signals.ids:
            entry = desk.manifest.strategy(name)
            followers = sorted(key for key, item in desk.config.portfolios.items() if name in item.signals.ids)
            text = entry.model_dump_json()
            seen = StrategyRow(
                strategy=name,
                manifest_hash=hashlib.sha256(text.encode()).hexdigest(),
                portfolios=",".join(followers),
                path=entry.path,
                weights_dated=entry.weights_dated,
                first_seen=now,
                last_seen=now,
            )
            record_strategy(connection, account, seen)


def _last_traded(desk: Desk, portfolio: str, session: date) -> date | None:
    with desk.ledger.read() as connection:
        account = desk.portfolio(portfolio).account
        last = last_batch_of(connection, account, portfolio, before=session, by_hand=False)
    return None if last is None else last.session


def _last_rows(desk: Desk, standing: StrategyStanding, last: date | None) -> tuple[ResolvedRow, ...]:
    if last is None:
        return ()
    with desk.lake.read() as cursor:
        found = cursor.execute(_LAST_ROWS, [standing.portfolio, standing.strategy, last]).fetchall()
    return tuple(
        ResolvedRow(
            symbol=symbol,
            instrument_id=instrument_id,
            weight=ZERO if standing.liquidate else Decimal(stated) / parts,
            strategy=standing.strategy,
            asset_id=asset_id,
            line=line,
            file_hash=file_hash,
            stated=ZERO if standing.liquidate else Decimal(stated),
            status=TargetStatus.OK if status == TargetStatus.STRATEGY_IDLE else TargetStatus(status),
            note=standing.sentence,
            candidates=tuple(candidates.split(",")) if candidates else (),
        )
        for symbol, instrument_id, asset_id, line, file_hash, stated, status, candidates, parts in found
    )
