"""What follows from a verdict: its row, the state of the order, and what a person is told.

What belongs here: the consequences, in the caller's transaction. What does not: the verdict (`risk.pre_trade`)
and the send (`submission`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk import events as risk_rows
from scizor_dagster.risk.breaks import OPEN_BREAK, holds_of
from scizor_dagster.risk.checks import CONTINUITY
from scizor_dagster.risk.losses import MACHINE
from scizor_dagster.risk.pre_trade import (
    Decision,
    PreTradeContext,
    Verdict,
    check_breaks,
    check_opposite,
    check_standing,
)
from scizor_dagster.risk.trading_state import Standing, TradingState, set_state, standing

FROZEN = "instrument_frozen"
THROTTLE = "max_repeated_orders"
_ARM = (
    "Arm it: scizor arm {portfolio} --account {account} --until TIME --max-notional AMOUNT. Then go on: "
    "scizor run --portfolio {portfolio} --date {session}."
)
REMEDIES = {
    "trading_state": "Go on with: scizor resume {where} --reason TEXT.",
    "max_equity_jump": "Look at cash and positions; if they are right: scizor risk accept-equity --portfolio "
    "{portfolio} --session {session} --equity AMOUNT --reason TEXT (it names the amount).",
    "unpriced_holding": "Collect its prices; see: scizor prices --help. Then run the session again.",
    "opposite_order": "It goes out once that order has ended: scizor run --portfolio {portfolio} --date {session}.",
    CONTINUITY: "Find out whether it was split or renamed: an order in old units is never sent. Once source, broker "
    "and ledger have the action, the next session plans it again (docs/prices.md).",
    "lock": "See: scizor risk locks --portfolio {portfolio}.",
    OPEN_BREAK: "See what differs, clear it and reconcile again: scizor reconcile --portfolio {portfolio}.",
    "max_orders_per_minute": "Run again in a minute: scizor run --portfolio {portfolio} --date {session}.",
    "arming": _ARM,
    "armed_notional": _ARM,
    THROTTLE: "Find out why it is ordered again and again, then: scizor resume --portfolio {portfolio} --reason TEXT.",
}
"""What a person does about an order that waits, by the limit it waits for."""


def record(
    connection: sa.Connection,
    run: Run,
    intent: IntentRow,
    verdict: Verdict,
    context: PreTradeContext,
    *,
    limits_hash: str,
    sends: int = 0,
) -> PreTradeContext:
    """Write the verdict and what it makes of the order.

    An order that was sent before (`sends` times) and is not found has no other state to go to than the one it is
    in: stopped, it stays unknown until its session is over or the limits let it go.

    Returns:
        The context for the next order: halted where this one has set the throttle off.
    """
    run.waits.pop(intent.client_order_id, None)
    if verdict.decision is Decision.PASS:
        _write_row(connection, run, intent, verdict, limits_hash, sends)
        if intent.cleared_hash != intent.parameter_hash:
            cleared = intent.parameter_hash
            intents.move(connection, intent, IntentState.READY, now=run.now(), cleared_hash=cleared)
        return context
    _write_row(connection, run, intent, verdict, limits_hash)
    if verdict.decision is Decision.STOP and not sends:
        intents.move(connection, intent, IntentState.BLOCKED, now=run.now(), reason=verdict.sentence)
        return context
    _wait(run, intent, verdict, context.standing)
    if verdict.limit != THROTTLE:
        return context
    _halt(connection, run, intent, verdict)
    return replace(context, standing=standing(connection, run.account, intent.portfolio, run.now()))


def held_back(connection: sa.Connection, run: Run, intent: IntentRow, settings: ExecutionSettings) -> bool:
    """Whether the trading state, an open break or an opposite order of now holds it back; its row is written then."""
    verdict = check_standing(intent, standing(connection, run.account, intent.portfolio, run.now()))
    if verdict.decision is Decision.PASS:
        equity = partial(_equity, settings, intent)
        verdict = check_breaks(intent, holds_of(connection, run.account, intent.portfolio, settings.breaks, equity))
    if verdict.decision is Decision.PASS:
        opposite = intents.opposite_order(connection, run.account, intent.symbol, intent.side)
        verdict = check_opposite(intent, opposite)
    if verdict.decision is Decision.PASS:
        return False
    hold(connection, run, intent, verdict, settings)
    return True


def _equity(settings: ExecutionSettings, intent: IntentRow) -> Decimal | None:
    return settings.facts(intent.session).equity


def hold(connection: sa.Connection, run: Run, intent: IntentRow, verdict: Verdict, settings: ExecutionSettings) -> None:
    """Write that a cleared order waits after all, and what for."""
    _write_row(connection, run, intent, verdict, settings.limits.hash)
    _wait(run, intent, verdict, standing(connection, run.account, intent.portfolio, run.now()))


def _write_row(
    connection: sa.Connection, run: Run, intent: IntentRow, verdict: Verdict, limits_hash: str, sends: int = 0
) -> None:
    risk_rows.record(
        connection,
        verdict,
        at=run.now(),
        account=run.account,
        portfolio=intent.portfolio,
        session=intent.session,
        client_order_id=intent.client_order_id,
        limits_hash=limits_hash,
        parameter_hash=intent.parameter_hash,
        sends=sends,
    )


def _wait(run: Run, intent: IntentRow, verdict: Verdict, current: Standing) -> None:
    if verdict.limit == FROZEN:
        run.note(f"{intent.symbol}: order {intent.client_order_id} waits; {verdict.value}.")
        return
    run.waits[intent.client_order_id] = verdict
    if verdict.decision is Decision.STOP:
        run.note(
            f"{intent.symbol}: order {intent.client_order_id} is not found and is not sent again; "
            f"{verdict.sentence}. It ends with its session."
        )
        return
    where = f"--account {run.account}" if current.portfolio is None else f"--portfolio {intent.portfolio}"
    names = {"portfolio": intent.portfolio, "session": intent.session.isoformat(), "account": run.identity.account_id}
    remedy = REMEDIES[verdict.limit].format(where=where, **names)
    run.note(f"Orders of portfolio '{intent.portfolio}' wait; {verdict.sentence}. {remedy}")


def _halt(connection: sa.Connection, run: Run, intent: IntentRow, verdict: Verdict) -> None:
    set_state(
        connection,
        run.account,
        intent.portfolio,
        TradingState.HALTED,
        reason=f"{verdict.sentence}, for {intent.side} {intent.symbol}",
        actor=MACHINE,
        now=run.now(),
        cause=f"{THROTTLE} {intent.client_order_id}",
    )
