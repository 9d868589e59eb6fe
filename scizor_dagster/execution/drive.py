"""One batch, taken as far as it goes now: send, poll, release, let the venue step, again.

What belongs here: the bounded loop and the state that it leaves behind. What does not: each step
(`submission`, `recovery`, `tracking`, `release`), and which batch is driven when (`executor`).
"""

from __future__ import annotations

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.recovery import resolve
from scizor_dagster.execution.release import advance_waiting
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.submission import clear, send
from scizor_dagster.execution.tracking import poll
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.batches import set_state, state_from
from scizor_dagster.ledger.rows import BatchRow, intents_of
from scizor_dagster.ledger.states import BatchState, IntentState

_UNSENT = (IntentState.HELD, IntentState.READY)


def drive(run: Run, batch: BatchRow) -> BatchRow:
    """Take the batch to its end, or as far as the venue has data and the broker answers.

    Orders are sent only for the run's own portfolio; those of another one on the account are polled.
    A broker that stops answering ends the loop with a note: what was sent is in the ledger.
    """
    moving = True
    try:
        for _ in range(run.settings.max_rounds):
            batch = _round(run, batch)
            if batch.state is not BatchState.WORKING or not moving:
                return batch
            moving = run.broker.advance(batch.session)
    except BrokerUnavailable as unavailable:
        run.note(f"The broker stopped answering: {unavailable.problem} Follow the orders when it is back.")
        with run.ledger.read() as connection:
            rows = intents_of(connection, batch.batch_id)
        return _set_state(run, batch, state_from(rows, others_open=True))
    run.note(f"{batch.session.isoformat()} was left working after {run.settings.max_rounds} steps of the venue.")
    return batch


def _round(run: Run, batch: BatchRow) -> BatchRow:
    """Send what is ready, poll, and release, until nothing more can be sent at this moment."""
    if not run.may_send(batch.session):
        _expire_unsent(run, batch)
    for _ in range(run.settings.max_rounds):
        _send_ready(run, batch)
        found = poll(run, [batch.session])
        advance_waiting(run, batch)
        with run.ledger.read() as connection:
            rows = intents_of(connection, batch.batch_id)
            frozen = intents.frozen_symbols(connection, run.account)
        sendable = [row for row in rows if row.state is IntentState.READY and row.symbol not in frozen]
        if not sendable or batch.portfolio != run.portfolio:
            break
    exits_open = any(row.client_order_id in found.open_exits for row in rows)
    return _set_state(run, batch, state_from(rows, others_open=exits_open))


def _send_ready(run: Run, batch: BatchRow) -> None:
    if batch.portfolio != run.portfolio:
        return
    for cleared in clear(run, batch):
        sent = send(run, cleared)
        if sent.state is IntentState.UNKNOWN:
            resolve(run, sent)


def _expire_unsent(run: Run, batch: BatchRow) -> None:
    with run.ledger.read() as connection:
        unsent = [row for row in intents_of(connection, batch.batch_id) if row.state in _UNSENT]
    if unsent:
        with run.write() as connection:
            for row in unsent:
                intents.move(
                    connection,
                    row,
                    IntentState.EXPIRED,
                    now=run.now(),
                    reason="never sent: its session is over",
                )


def _set_state(run: Run, batch: BatchRow, state: BatchState) -> BatchRow:
    if state is batch.state:
        return batch
    with run.write() as connection:
        return set_state(connection, batch, state, now=run.now())
