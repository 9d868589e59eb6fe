"""What became of an order whose outcome is not known: look it up, adopt it, or freeze it.

What belongs here: the table of what to do with an intent found in `sending` or `unknown`. What does
not: orders that the broker has acknowledged (`tracking`).

| found at the broker | what is done |
|---|---|
| the order, as it was meant | adopted, with its status |
| an order of that id with other parameters | stays unknown, instrument frozen |
| cannot be read | stays unknown, instrument frozen |
| not found, ids unique there | checked anew and sent again with the same id, once per run |
| not found, and the check does not let it out | stays unknown, instrument frozen, until its session is over |
| not found, ids not unique there | stays unknown, instrument frozen, until its session is over |
| not found, and it was acknowledged before | stays unknown, instrument frozen: a person decides (`ending`) |
| refused when sent again, and proven absent | ends as rejected |
| its session is over, and proven absent | ends as expired |

One look that does not find an order proves nothing where the broker may show it later: `ledger.absences` has what
does. Until then the order stays unknown, whatever was refused and whatever is over. Where ids are unique a second
send needs no proof: of two with one id the broker takes one.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerOrder, VenuePhase
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution import evidence
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.submission import send_again
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.absences import Absence, record_absence
from scizor_dagster.ledger.batches import account_clock
from scizor_dagster.ledger.rows import IntentRow, intents_in
from scizor_dagster.ledger.states import IntentState


def recover(run: Run) -> None:
    """Resolve every order of the account that was found in `sending` or `unknown`."""
    with run.ledger.read() as connection:
        doubtful = intents_in(connection, run.account, [IntentState.SENDING, IntentState.UNKNOWN])
    for intent in doubtful:
        resolve(run, intent)


def resolve(run: Run, intent: IntentRow, *, may_send: bool = True) -> IntentRow:
    """Find out what became of one doubtful order; see the table above. Without `may_send` it is looked up alone."""
    if intent.state is IntentState.SENDING:
        with run.write() as connection:
            intent = intents.move(
                connection,
                intent,
                IntentState.UNKNOWN,
                now=run.now(),
                reason="a run ended while it was being sent",
            )
    intent = _look_up(run, intent, may_send=may_send)
    if intent.state is IntentState.UNKNOWN:
        run.note(evidence.frozen(intent, intent.reason))
    return intent


def _look_up(run: Run, intent: IntentRow, *, may_send: bool = True) -> IntentRow:
    try:
        order = run.broker.find(intent.client_order_id)
        over = order is None and _session_over(run, intent)
    except BrokerUnavailable as unavailable:
        return _still_unknown(run, intent, f"it could not be looked up: {unavailable.problem}")
    if order is not None:
        return adopt(run, intent, order)
    return _not_found(run, intent, _noted_absent(run, intent), over=over, may_send=may_send)


def _not_found(run: Run, intent: IntentRow, absence: Absence, *, over: bool, may_send: bool) -> IntentRow:
    refusal = run.resent.get(intent.client_order_id)
    if refusal is not None:
        if absence.proven:
            return _ended(run, intent, IntentState.REJECTED, refusal)
        return _still_unknown(run, intent, f"refused when sent again: {refusal}; of the first send, {absence.missing}")
    if over:
        if not absence.proven:
            return _still_unknown(run, intent, f"its session is over, and {absence.missing}")
        waited = run.waited_for(intent.client_order_id)
        reason = f"proven absent at the broker, and its session is over{waited}"
        return _ended(run, intent, IntentState.EXPIRED, reason)
    if not run.broker.capabilities.unique_client_ids:
        return _still_unknown(run, intent, "the broker does not list it, and would take a second one with its id")
    if not may_send:
        return _still_unknown(run, intent, "the broker does not list it, and nothing is sent again now")
    if intent.broker_order_id is not None:
        # It has been there: that it is not shown any more proves no absence.
        return _still_unknown(run, intent, f"the broker had taken it as {intent.broker_order_id}, and shows it no more")
    return intent if intent.client_order_id in run.resent else _sent_again(run, intent)


def _noted_absent(run: Run, intent: IntentRow) -> Absence:
    broker = run.broker.capabilities
    with run.write() as connection:
        return record_absence(connection, intent, now=run.now(), needed=broker.absent_looks, wait=broker.visible_after)


def _sent_again(run: Run, intent: IntentRow) -> IntentRow:
    try:
        again = send_again(run, intent)
    except BrokerUnavailable as unavailable:
        return _still_unknown(run, intent, f"it could not be checked: {unavailable.problem}")
    return _look_up(run, again) if again is not intent and again.state is IntentState.UNKNOWN else again


def _session_over(run: Run, intent: IntentRow) -> bool:
    """Whether nothing of the order's session may go out any more."""
    with run.ledger.read() as connection:
        clock = account_clock(connection, run.account)
    past = clock is not None and clock > intent.session
    return past or not run.may_send(intent.session) or run.broker.phase(intent.session) is VenuePhase.OVER


def adopt(run: Run, intent: IntentRow, order: BrokerOrder) -> IntentRow:
    """Take the broker's order as this intent's, unless it is another one."""
    wrong = evidence.mismatch(intent, order)
    if wrong is not None:
        return _still_unknown(run, intent, wrong)
    state = evidence.state_from(intent, order, Decimal(0))
    assert state is not None
    if state is IntentState.UNKNOWN and intent.broker_order_id is not None:
        return _still_unknown(run, intent, order.reason)
    with run.write() as connection:
        return intents.move(
            connection,
            intent,
            state,
            now=run.now(),
            broker_order_id=order.broker_order_id,
            reason=evidence.reason_of(order, intent, state),
            detail={"found": evidence.seen(order)},
        )


def _ended(run: Run, intent: IntentRow, state: IntentState, reason: str) -> IntentRow:
    with run.write() as connection:
        return intents.move(connection, intent, state, now=run.now(), reason=reason)


def _still_unknown(run: Run, intent: IntentRow, reason: str) -> IntentRow:
    if reason == intent.reason:
        return intent
    return _ended(run, intent, IntentState.UNKNOWN, reason)
