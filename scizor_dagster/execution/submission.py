"""Verdict, mark, send once, record: the only place that calls a broker's `submit`.

What belongs here: the way of one order from `ready` to the broker's answer. What does not: finding
out what became of an unknown one (`recovery`), and following it (`tracking`).

The order of commits is the law: the verdict is committed before the mark, the mark (`sending`) is
committed before the send, and the ledger refuses the mark without the verdict.
"""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder
from scizor_dagster.errors import OrderRejected
from scizor_dagster.execution import evidence
from scizor_dagster.execution.gates import check_armed
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batches_of, intents_in, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk import events as risk_rows
from scizor_dagster.risk.limits import PreTradeLimits
from scizor_dagster.risk.pre_trade import OPENING, Decision, PreTradeContext, Verdict, check_order

ZERO = Decimal(0)
_NEVER_SENT = frozenset(
    {IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED, IntentState.REJECTED}
)


def clear(run: Run, batch: BatchRow, limits: PreTradeLimits) -> list[IntentRow]:
    """Check every ready order of the batch and commit all verdicts in one transaction.

    `limits` are those of the batch's own portfolio.

    Returns:
        The orders that passed, in plan order. Those that were stopped have ended as `blocked`;
        those that wait for a frozen instrument are still `ready`.

    Raises:
        BrokerUnavailable: the buying power cannot be read; no verdict was made.
    """
    with run.ledger.read() as connection:
        ready = _ready(connection, batch)
    if not ready:
        return []
    opening = any(intent.intent in OPENING for intent in ready)
    buying_power = run.broker.account().buying_power if opening else None
    cleared = []
    with run.write() as connection:
        context = _context(connection, run, batch, buying_power)
        for intent in _ready(connection, batch):
            verdict = check_order(intent, context, limits)
            _record_verdict(connection, run, intent, verdict)
            if verdict.decision is Decision.PASS:
                context = context.after(intent)
                cleared.append(intent)
    return cleared


def send(run: Run, intent: IntentRow) -> IntentRow:
    """Mark a cleared order, send it once, and record the answer.

    Returns:
        The intent as it stands after the answer; unchanged where another order of the instrument
        has become unknown in the meantime.
    """
    with run.write() as connection:
        if intent.symbol in intents.frozen_symbols(connection, run.account):
            return intent
        check_armed(connection, run)
        sending = intents.mark_sending(connection, intent, now=run.now())
    return _send_once(run, sending)


def send_again(run: Run, intent: IntentRow) -> IntentRow:
    """Send an order whose absence is proven, with the id and the parameters it had: once per run."""
    run.resent[intent.client_order_id] = None
    with run.write() as connection:
        check_armed(connection, run)
        sending = intents.mark_sending(connection, intent, now=run.now(), resend=True)
    return _send_once(run, sending, again=True)


def _send_once(run: Run, sending: IntentRow, *, again: bool = False) -> IntentRow:
    try:
        order = run.broker.submit(intents.request_of(sending))
    except OrderRejected as refusal:
        if again:
            # The refusal may come from the first send having arrived after all: look before believing it.
            run.resent[sending.client_order_id] = f"{refusal.code}: {refusal.message}"
            return _to_unknown(run, sending, f"refused when sent again: {refusal.code}: {refusal.message}")
        with run.write() as connection:
            return intents.move(
                connection,
                sending,
                IntentState.REJECTED,
                now=run.now(),
                reason=f"{refusal.code}: {refusal.message}",
                detail={"code": refusal.code},
            )
    except Exception as failure:
        # Anything but a refusal, an unreadable reply included, leaves open whether the order exists.
        return _to_unknown(run, sending, f"{type(failure).__name__}: {getattr(failure, 'cause', failure)}")
    return _acknowledged(run, sending, order)


def _acknowledged(run: Run, sending: IntentRow, order: BrokerOrder) -> IntentRow:
    wrong = evidence.mismatch(sending, order)
    if wrong is not None:
        return _to_unknown(run, sending, wrong)
    state = evidence.state_from(sending, order, ZERO)
    assert state is not None
    with run.write() as connection:
        return intents.move(
            connection,
            sending,
            state,
            now=run.now(),
            broker_order_id=order.broker_order_id,
            reason=evidence.reason_of(order, sending, state),
            detail={"reply": evidence.seen(order)},
        )


def _to_unknown(run: Run, sending: IntentRow, reason: str) -> IntentRow:
    with run.write() as connection:
        return intents.move(connection, sending, IntentState.UNKNOWN, now=run.now(), reason=reason)


def _ready(connection: sa.Connection, batch: BatchRow) -> list[IntentRow]:
    return [intent for intent in intents_of(connection, batch.batch_id) if intent.state is IntentState.READY]


def _record_verdict(connection: sa.Connection, run: Run, intent: IntentRow, verdict: Verdict) -> None:
    now = run.now()
    if verdict.decision is Decision.PASS:
        if intent.cleared_hash != intent.parameter_hash:
            intents.move(connection, intent, IntentState.READY, now=now, cleared_hash=intent.parameter_hash)
        return
    risk_rows.record(
        connection,
        verdict,
        at=now,
        account=run.account,
        portfolio=intent.portfolio,
        session=intent.session,
        client_order_id=intent.client_order_id,
    )
    if verdict.decision is Decision.STOP:
        intents.move(connection, intent, IntentState.BLOCKED, now=now, reason=verdict.sentence)
    else:
        run.note(f"{intent.symbol}: order {intent.client_order_id} waits; {verdict.value}.")


def _context(connection: sa.Connection, run: Run, batch: BatchRow, buying_power: Decimal | None) -> PreTradeContext:
    closing: dict[str, Decimal] = {}
    unseen = ZERO
    for intent in intents_in(connection, run.account, [state for state in IntentState if state.at_broker]):
        if intent.portfolio == batch.portfolio and intent.intent not in OPENING:
            closing[intent.symbol] = closing.get(intent.symbol, ZERO) + intent.qty - intent.filled_qty
        # The broker's figure covers what it has acknowledged; an unknown order counts all the same.
        if intent.intent in OPENING and intent.state in (IntentState.SENDING, IntentState.UNKNOWN):
            unseen += intent.notional
    sent = ZERO
    for other in batches_of(connection, run.account, batch.portfolio, batch.session):
        rows = intents_of(connection, other.batch_id)
        sent += sum((row.notional for row in rows if row.state not in _NEVER_SENT), ZERO)
    return PreTradeContext(
        owned=owned(connection, run.account, batch.portfolio),
        closing=closing,
        session_notional=sent,
        opening_notional=unseen,
        buying_power=buying_power,
        frozen=intents.frozen_symbols(connection, run.account),
    )
