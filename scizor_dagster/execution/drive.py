"""The batches of one session, taken as far as they go now: send, poll, release, let the venue step, again.

What belongs here: the bounded loop and the states that it leaves behind. What does not: each step
(`submission`, `recovery`, `tracking`, `release`), and which session is driven when (`executor`).

Orders that wait for a person (a halt, a lock, a jump of the equity) do not hold the venue up: the market
does not wait either. They stay unsent, and end when their session is over.

The venue is one for all portfolios of the account, and what it has passed does not come back. So
every open batch of the session is taken along before each of its steps, and it does not step on
while a batch that this run may not send for has orders to send.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import date

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import TimeInForce, VenuePhase
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.execution.cancelling import cancel_if_asked, cancel_overdue, drop_asked
from scizor_dagster.execution.recovery import recover, resolve
from scizor_dagster.execution.release import advance_waiting, drop_orphans, waits_for_its_run
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.execution.submission import clear, send
from scizor_dagster.execution.tracking import poll
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.batches import account_clock, set_state, state_from
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batch_by_id, intents_in, intents_of, open_batches
from scizor_dagster.ledger.states import BatchState, IntentState

ORDER_RATE = "max_orders_per_minute"
_UNSENT = (IntentState.HELD, IntentState.READY)
_TO_BE_SENT = (IntentState.READY, IntentState.UNKNOWN)
_RESTING = (IntentState.WORKING, IntentState.PARTIALLY_FILLED)


def drive(run: Run, batch: BatchRow) -> bool:
    """Take the batch to its end, or as far as the venue has data and the broker answers.

    A batch with an order of unknown outcome goes on for all other instruments. Batches of other
    portfolios of the session go along: they are sent for where the run has their settings, and polled.
    A broker that stops answering ends the loop with a note: what was sent is in the ledger.

    Returns:
        Whether the batch still has orders at work.
    """
    try:
        return _step_through(run, batch.session, batch.batch_id)
    except BrokerUnavailable as unavailable:
        run.note(f"The broker stopped answering: {unavailable.problem} Follow the orders when it is back.")
        return _leave_open(run, batch)


def look_through(run: Run, session: date) -> None:
    """Let the venue go through the session as far as it has data, for what other portfolios have in it.

    Raises:
        BrokerUnavailable: the broker cannot be read.
    """
    _step_through(run, session, None)


def at_work(rows: Sequence[IntentRow], frozen: Collection[str], *, exits_open: bool = False) -> bool:
    """Whether a batch has orders that the venue or this run can still bring further.

    Not those of unknown outcome, and not those that wait for one: `frozen` are the symbols that have one.
    """
    return exits_open or any(
        row.state in _RESTING or (row.state in _UNSENT and row.symbol not in frozen) for row in rows
    )


def _step_through(run: Run, session: date, batch_id: str | None) -> bool:
    """Round after round until `batch_id` has nothing more at work; without one, to the end of the session."""
    moving, steps = True, 0
    _look_before_second_legs(run, session)
    while steps < run.settings.max_rounds:
        working = _round(run, session, batch_id)
        if not moving or (batch_id is not None and batch_id not in working):
            return batch_id in working
        if _asked_again(run, session):
            continue
        if _held_up(run, session):
            return True
        moving = run.broker.advance(session)
        steps += moving
        if not moving and batch_id is not None and _waited(run, session, batch_id):
            moving = True
        else:
            # The venue may have moved at our word, and a step of it may bring what belongs to sessions before.
            run.looked_through = None
    run.note(f"{session.isoformat()} was left working after {run.settings.max_rounds} steps of the venue.")
    return True


def _waited(run: Run, session: date, batch_id: str) -> bool:
    """Wait for a venue that moves by itself and is open; False where nothing fills there, or the run's time is over.

    What ended the wait does not matter: the next look reads everything, whatever the broker has said or not.
    """
    with run.ledger.read() as connection:
        rows = intents_of(connection, batch_id)
    # An order for an auction fills in it, however long one waits.
    resting = any(row.state in _RESTING and row.time_in_force is TimeInForce.DAY for row in rows)
    wait = run.settings.wait
    if not resting or wait is None or run.broker.phase(session) not in (VenuePhase.OPEN, VenuePhase.CLOSING):
        return False
    if not wait():
        return False
    run.renew()
    return True


def _look_before_second_legs(run: Run, session: date) -> None:
    """Read the broker before an order goes out that an earlier run has made ready: its first leg may be undone."""
    batches = _batches(run, session, None)
    ready = [row for batch in batches for row in _rows(run, batch)[0] if row.state is IntentState.READY]
    if any(row.depends_on for row in ready):
        poll(run, [session])
        for batch in batches:
            settings = run.settings_of(batch.portfolio)
            if settings is not None:
                advance_waiting(run, batch, settings)


def _asked_again(run: Run, session: date) -> bool:
    """Ask once more about unknown orders, for what the venue passes is lost to them; whether one was resolved."""
    before = _unknown(run, session)
    if before:
        recover(run)
    return bool(before - _unknown(run, session))


def _unknown(run: Run, session: date) -> set[str]:
    with run.ledger.read() as connection:
        rows = intents_in(connection, run.account, [IntentState.UNKNOWN])
    return {row.client_order_id for row in rows if row.session <= session}


def _round(run: Run, session: date, batch_id: str | None) -> set[str]:
    """Send what is ready, poll, and release, until nothing more can be sent at this moment.

    Returns:
        Ids of the batches that have orders at work.
    """
    batches = _batches(run, session, batch_id)
    drop_asked(run, batches)
    for batch in batches:
        cancel_if_asked(run, batch)
        cancel_overdue(run, batch)
    over = run.broker.phase(session) is VenuePhase.OVER
    for batch in batches:
        _expire_unsent(run, batch, over=False)
    if over and _unknown(run, session):
        # What was not sent again while the session went on ends with it.
        recover(run)
    for _ in range(run.settings.max_rounds):
        for batch in batches:
            if not over:
                _send_ready(run, batch)
        found = poll(run, [session])
        for batch in batches:
            if over:
                drop_orphans(run, batch)
                _expire_unsent(run, batch, over=True)
            elif (settings := run.settings_of(batch.portfolio)) is not None:
                advance_waiting(run, batch, settings)
        if not any(_sendable(run, batch) for batch in batches):
            break
    return {batch.batch_id for batch in batches if settle(run, batch, found.open_exits, over=over)}


def _batches(run: Run, session: date, batch_id: str | None) -> list[BatchRow]:
    with run.ledger.read() as connection:
        batches = [batch for batch in open_batches(connection, run.account) if batch.session == session]
        if batch_id is not None and batch_id not in {batch.batch_id for batch in batches}:
            wanted = batch_by_id(connection, batch_id)
            assert wanted is not None
            batches.append(wanted)
    return batches


def _send_ready(run: Run, batch: BatchRow) -> None:
    settings = run.settings_of(batch.portfolio)
    if settings is None:
        return
    _send_together(run, clear(run, batch, settings), settings)


def _send_together(run: Run, cleared: Sequence[IntentRow], settings: ExecutionSettings) -> None:
    """Send the orders in their order, as many at a time as the broker takes, never two of one instrument.

    Each is marked, sent and recorded as one that is sent alone; what became of one that is unknown is
    looked up before the next order of its instrument.
    """
    at_once = run.broker.capabilities.sends_at_once
    under_way: dict[Future[IntentRow], str] = {}

    def settle(done: Collection[Future[IntentRow]]) -> None:
        for future in done:
            del under_way[future]
            if (sent := future.result()).state is IntentState.UNKNOWN:
                resolve(run, sent)

    with ThreadPoolExecutor(at_once) as pool:
        for intent in cleared:
            while len(under_way) == at_once or intent.symbol in under_way.values():
                settle(wait(under_way, return_when=FIRST_COMPLETED).done)
            under_way[pool.submit(send, run, intent, settings)] = intent.symbol
        settle(wait(under_way).done)


def _sendable(run: Run, batch: BatchRow) -> bool:
    if run.settings_of(batch.portfolio) is None:
        return False
    rows, frozen = _rows(run, batch)
    return any(
        row.state is IntentState.READY and row.symbol not in frozen and row.client_order_id not in run.waits
        for row in rows
    )


def settle(run: Run, batch: BatchRow, open_exits: Collection[str], *, over: bool) -> bool:
    """Store how far the batch has come; whether it has orders at work."""
    rows, frozen = _rows(run, batch)
    for row in rows:
        if over and row.state is IntentState.UNKNOWN:
            day = row.session.isoformat()
            run.note(
                f"{row.symbol}: order {row.client_order_id} is still unknown, and its session {day} is over; nothing "
                f"is sent for {row.symbol} until it is found. Look for that id at the broker, then run: "
                f"scizor run --portfolio {row.portfolio} --date {day}."
            )
    exits_open = any(row.client_order_id in open_exits for row in rows)
    working = at_work(rows, frozen, exits_open=exits_open)
    state = state_from(rows, others_open=exits_open)
    if state is BatchState.WORKING and not working:
        # All that is left waits for the outcome of another batch's order.
        state = BatchState.FROZEN
    _set_state(run, batch, state)
    return working


def _held_up(run: Run, session: date) -> bool:
    """Whether the venue must not step on: orders are to be sent before, of another portfolio or in a minute."""
    if run.live:
        # It moves by itself.
        return False
    closing = run.broker.phase(session) is VenuePhase.CLOSING
    held_up = False
    for batch in _batches(run, session, None):
        rows, frozen = _rows(run, batch)
        if run.settings_of(batch.portfolio) is not None:
            held_up |= any(_waits_for_a_minute(run, row) for row in rows)
            continue
        with run.ledger.read() as connection:
            ready = any(
                (row.state is IntentState.READY and row.symbol not in frozen and not _crossed(connection, run, row))
                or (row.state is IntentState.UNKNOWN and row.client_order_id in run.left_alone)
                for row in rows
            )
            waits = waits_for_its_run(connection, batch, closing=closing)
        if ready or waits:
            held_up = True
            run.note(
                f"{session.isoformat()} is not taken further: portfolio '{batch.portfolio}' has orders to send first. "
                f"Run: scizor run --portfolio {batch.portfolio} --date {session.isoformat()}."
            )
    return held_up


def _crossed(connection: sa.Connection, run: Run, row: IntentRow) -> bool:
    """Whether an order of the other side keeps it back, from its portfolio's run too: only the venue ends that one."""
    return intents.opposite_order(connection, run.account, row.symbol, row.side) is not None


def _waits_for_a_minute(run: Run, row: IntentRow) -> bool:
    """Whether the order has yet to go out, or to go out again, and only its rate has kept it back."""
    verdict = run.waits.get(row.client_order_id)
    return row.state in _TO_BE_SENT and verdict is not None and verdict.limit == ORDER_RATE


def _expire_unsent(run: Run, batch: BatchRow, *, over: bool) -> None:
    """End what was not sent in its session.

    Nothing of a session goes out once the venue has closed it, the account trades a later one, or on a live account
    another one, also not what a fill would release that shows only after the close: a real broker would keep the
    order for the day after.
    """
    rows, _ = _rows(run, batch)
    unsent = [row for row in rows if row.state in _UNSENT]
    if not unsent:
        return
    with run.ledger.read() as connection:
        clock = account_clock(connection, run.account)
    past = clock is not None and clock > batch.session
    if run.may_send(batch.session) and not past and not over:
        return
    with run.write() as connection:
        for row in unsent:
            intents.move(
                connection,
                row,
                IntentState.EXPIRED,
                now=run.now(),
                reason="never sent: its session is over" + run.waited_for(row.client_order_id),
            )


def _leave_open(run: Run, wanted: BatchRow) -> bool:
    left = _batches(run, wanted.session, None)
    for batch in left:
        rows, _ = _rows(run, batch)
        _set_state(run, batch, state_from(rows, others_open=True))
    return wanted.batch_id in {batch.batch_id for batch in left}


def _rows(run: Run, batch: BatchRow) -> tuple[list[IntentRow], Collection[str]]:
    with run.ledger.read() as connection:
        return intents_of(connection, batch.batch_id), intents.frozen_symbols(connection, run.account)


def _set_state(run: Run, batch: BatchRow, state: BatchState) -> None:
    if state is not batch.state:
        with run.write() as connection:
            set_state(connection, batch, state, now=run.now())
