"""Verdict, mark, send once, record: the only place that calls a broker's `submit`.

What belongs here: the way of one order from `ready` to the broker's answer. What does not: finding
out what became of an unknown one (`recovery`), and following it (`tracking`).

The order of commits is the law: the verdict is committed before the mark, the mark (`sending`) is
committed before the send, and the ledger refuses the mark without the verdict. An order that is sent again is
checked anew, and its second verdict is committed with its mark.

A process that sleeps between the mark and the send, and is overtaken meanwhile or stopped by a person, does not send
when it wakes. What is left is a sleep within the send itself: that order goes out once all the same. Where ids are
unique the broker takes one of the two; where they are not, nobody else has sent it; and whoever has the account adopts
it when it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder
from scizor_dagster.errors import OrderRejected
from scizor_dagster.execution import evidence, verdicts
from scizor_dagster.execution.context import context_of, times_sent
from scizor_dagster.execution.permissions import uncovered
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.absences import REFUSED
from scizor_dagster.ledger.lease import LIVELY
from scizor_dagster.ledger.rows import BatchRow, IntentRow, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk.pre_trade import OPENING, Decision, check_order, check_standing
from scizor_dagster.risk.trading_state import standing

ZERO = Decimal(0)
_AT_ONCE = timedelta(0)


def clear(run: Run, batch: BatchRow, settings: ExecutionSettings) -> list[IntentRow]:
    """Check every ready order of the batch and commit all verdicts in one transaction.

    `settings` are those of the batch's own portfolio.

    Returns:
        The orders that passed, in plan order. Those that were stopped have ended as `blocked`;
        those that wait are still `ready`, and all but those of a frozen instrument are in `run.waits`.

    Raises:
        BrokerUnavailable: the buying power cannot be read; no verdict was made.
    """
    with run.ledger.read() as connection:
        ready = _ready(connection, batch)
    if not ready:
        return []
    opening = any(intent.intent in OPENING for intent in ready)
    buying_power = run.broker.account().buying_power if opening else None
    facts = settings.facts(batch.session)
    limits_hash = settings.limits.hash
    cleared = []
    with run.write() as connection:
        context = context_of(
            connection, run, batch.portfolio, batch.session, buying_power, facts, breaks=settings.breaks
        )
        for intent in _ready(connection, batch):
            verdict = check_order(intent, context, settings.limits)
            context = verdicts.record(connection, run, intent, verdict, context, limits_hash=limits_hash)
            if verdict.decision is Decision.PASS:
                context = context.after(intent)
                cleared.append(intent)
    return cleared


def send(run: Run, intent: IntentRow, settings: ExecutionSettings) -> IntentRow:
    """Mark a cleared order, send it once, and record the answer.

    `settings` are those of the order's own portfolio.

    Returns:
        The intent as it stands after the answer; unchanged where another order of the instrument
        has become unknown in the meantime, trading was reduced or halted, or no arming covers it any more.
    """
    with run.write() as connection:
        if intent.symbol in intents.frozen_symbols(connection, run.account):
            return intent
        if verdicts.held_back(connection, run, intent, settings):
            return intent
        if uncovered(connection, run, intent, settings):
            return intent
        sending = intents.mark_sending(connection, intent, now=run.now())
    return _send_once(run, sending)


def send_again(run: Run, intent: IntentRow) -> IntentRow:
    """Send an order that the broker does not show, with the id and the parameters it had: once per run.

    Only for a broker that refuses a second order with an id. It is checked as if it were sent for the first time,
    against the limits and the facts of now.

    Returns:
        The intent after the answer; the same, still unknown, where the check or the arming did not let it out, or
        this run has not the settings of its portfolio.

    Raises:
        BrokerUnavailable: the buying power cannot be read; no verdict was made.
    """
    settings = run.settings_of(intent.portfolio)
    if settings is None:
        run.left_alone.add(intent.client_order_id)
        run.note(
            f"{intent.symbol}: order {intent.client_order_id} is not found; it is checked and sent again by: "
            f"scizor run --portfolio {intent.portfolio} --date {intent.session.isoformat()}."
        )
        return intent
    buying_power = run.broker.account().buying_power if intent.intent in OPENING else None
    facts = settings.facts(intent.session)
    name = intent.client_order_id
    with run.write() as connection:
        key = (intent.portfolio, intent.session)
        context = context_of(connection, run, *key, buying_power, facts, breaks=settings.breaks, without=name)
        verdict = check_order(intent, context, settings.limits)
        sends = times_sent(connection, intent)
        verdicts.record(connection, run, intent, verdict, context, limits_hash=settings.limits.hash, sends=sends)
        if verdict.decision is not Decision.PASS or uncovered(connection, run, intent, settings):
            return intent
        run.resent[name] = None
        sending = intents.mark_sending(connection, intent, now=run.now(), resend=True)
    return _send_once(run, sending, again=True)


def _send_once(run: Run, sending: IntentRow, *, again: bool = False) -> IntentRow:
    stopped = _stopped_asleep(run, sending)
    if stopped:
        return _to_unknown(run, sending, stopped)
    try:
        order = run.broker.sender.submit(intents.request_of(sending))
    except OrderRejected as refusal:
        if again:
            # The refusal may come from the first send having arrived after all: look before believing it.
            words = f"{refusal.code}: {refusal.message}"
            run.resent[sending.client_order_id] = words
            return _to_unknown(run, sending, f"refused when sent again: {words}", detail={REFUSED: True})
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


def _stopped_asleep(run: Run, sending: IntentRow) -> str:
    """Why a process that slept after its mark must not send any more: a person has stopped trading since; else nothing.

    Another run may have the account by now, and the order with it. The mark has renewed the lease. It runs out later,
    but a server may take a host for dead before, that slept or was cut off. A clock that was set back does not tell
    how long it slept.

    Raises:
        LedgerError: the lease was lost; nothing is sent.
    """
    if _AT_ONCE <= run.now() - sending.updated_at < LIVELY:
        return ""
    with run.ledger.transaction() as connection:
        run.lease.guard(connection)
        current = standing(connection, run.account, sending.portfolio, run.now())
    verdict = check_standing(sending, current)
    return "" if verdict.decision is Decision.PASS else f"not sent after a sleep: {verdict.sentence}"


def _acknowledged(run: Run, sending: IntentRow, order: BrokerOrder) -> IntentRow:
    is_order = isinstance(order, BrokerOrder)
    wrong = evidence.mismatch(sending, order) if is_order else f"the reply is no order but {order!r}"
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


def _to_unknown(run: Run, sending: IntentRow, reason: str, detail: Mapping[str, Any] | None = None) -> IntentRow:
    with run.write() as connection:
        return intents.move(connection, sending, IntentState.UNKNOWN, now=run.now(), reason=reason, detail=detail)


def _ready(connection: sa.Connection, batch: BatchRow) -> list[IntentRow]:
    return [intent for intent in intents_of(connection, batch.batch_id) if intent.state is IntentState.READY]
