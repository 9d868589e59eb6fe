"""Taking back what rests at the broker: own open orders, after a halt, past their time, or of a session that is over.

What belongs here: which orders are taken back, asking the broker to cancel, and what is left. What does not: what
became of a cancel, which polls find out (`tracking`), and orders that are not ours, which are never touched.

A cancel is a question: the order ends when a read says so, and what has filled until then counts.

The exits of a bracket whose entry has filled are left at the broker: they protect what is held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side, TimeInForce, VenuePhase
from scizor_dagster.errors import BrokerUnavailable, OrderRejected
from scizor_dagster.execution.context import last_sends
from scizor_dagster.execution.recovery import resolve
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.manual_orders import cancel_asks
from scizor_dagster.ledger.rows import BatchRow, IntentRow, intents_in, intents_of
from scizor_dagster.ledger.states import AT_BROKER, IntentState
from scizor_dagster.risk.pre_trade import OPENING
from scizor_dagster.risk.trading_state import Standing, TradingState, standing

_UNSENT = (IntentState.HELD, IntentState.READY)
_RESTING = (IntentState.WORKING, IntentState.PARTIALLY_FILLED)
_TRADING = (VenuePhase.OPEN, VenuePhase.CLOSING)
UNCONFIRMED = "its cancel was asked for, and the broker has not confirmed it"


@dataclass(frozen=True, slots=True)
class StillOpen:
    """An order that is, or may be, open at the broker although it was to be canceled, and why. `qty` is unfilled."""

    client_order_id: str
    portfolio: str
    symbol: str
    side: Side
    qty: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class CancelReport:
    """What became of the orders that a halt takes back.

    Attributes:
        canceled: Ids of those that the broker took a cancel for and shows as ended.
        left: Those that are not known to have ended.
        note: Why nothing could be asked of the broker; empty where it was asked.
    """

    canceled: tuple[str, ...] = ()
    left: tuple[StillOpen, ...] = ()
    note: str = ""


def awaiting_cancel(connection: sa.Connection, account: str, now: datetime) -> list[IntentRow]:
    """Orders that are, or may be, at the broker, and that a state in force or a person takes back.

    A halt takes back all of them; REDUCING only those that open, for closing is what it lets through.
    """
    rows = intents_in(connection, account, AT_BROKER)
    states = {name: standing(connection, account, name, now) for name in {row.portfolio for row in rows}}
    asked = cancel_asks(connection, [row.client_order_id for row in rows])
    return [row for row in rows if row.client_order_id in asked or _takes_back(states[row.portfolio], row)]


def at_broker(connection: sa.Connection, account: str, portfolio: str | None, state: TradingState) -> list[IntentRow]:
    """Orders that are, or may be, at the broker, of one portfolio or of all, and that `state` would take back."""
    rows = intents_in(connection, account, AT_BROKER)
    return [row for row in rows if portfolio in (None, row.portfolio) and _is_of(state, row)]


def left_open(rows: Sequence[IntentRow], why: Mapping[str, str], default: str) -> tuple[StillOpen, ...]:
    """`rows` as orders that are still open, each with its reason by id or the common one."""
    return tuple(
        StillOpen(
            row.client_order_id,
            row.portfolio,
            row.symbol,
            row.side,
            row.qty - row.filled_qty,
            why.get(row.client_order_id, default),
        )
        for row in rows
    )


def cancel_if_asked(run: Run, batch: BatchRow) -> None:
    """Cancel the batch's resting orders where the state in force says so.

    Raises:
        BrokerUnavailable: a cancel was not taken, after all were tried; the next look asks again.
    """
    with run.ledger.read() as connection:
        rows = [row for row in awaiting_cancel(connection, run.account, run.now()) if row.batch_id == batch.batch_id]
    failures = cancel_all(run, rows)[1]
    if failures:
        raise next(iter(failures.values()))


def drop_asked(run: Run, batches: Sequence[BatchRow]) -> tuple[str, ...]:
    """End what was not sent yet of the batches, and a person wants taken back; the ids of those orders."""
    with run.ledger.read() as connection:
        rows = [row for batch in batches for row in intents_of(connection, batch.batch_id) if row.state in _UNSENT]
        asked = cancel_asks(connection, [row.client_order_id for row in rows])
    wanted = [row for row in rows if row.client_order_id in asked]
    if wanted:
        with run.write() as connection:
            for row in wanted:
                ask = asked[row.client_order_id]
                why = f"taken back by {ask.actor} before it was sent: {ask.reason}"
                intents.move(connection, row, IntentState.DROPPED, now=run.now(), reason=why)
    return tuple(row.client_order_id for row in wanted)


def cancel_overdue(run: Run, batch: BatchRow) -> None:
    """Ask for a cancel of the batch's sales that have rested for too long, where buys wait for them.

    Raises:
        BrokerUnavailable: a cancel was not taken, after all were tried; the next look asks again.
    """
    settings = run.settings_of(batch.portfolio)
    if settings is None or settings.sells_within is None or run.broker.phase(batch.session) not in _TRADING:
        return
    with run.ledger.read() as connection:
        rows = intents_of(connection, batch.batch_id)
        resting = [row for row in rows if _holds_up(row) and row.client_order_id not in run.asked_to_cancel]
        times = last_sends(connection, resting)
    if not any(row.state is IntentState.HELD and row.final_qty is None for row in rows):
        return
    opened = settings.opens_at(batch.session) if settings.opens_at is not None else None
    since = {name: max(at, opened) if opened is not None else at for name, at in times.items()}
    overdue = [row for row in resting if run.now() >= since[row.client_order_id] + settings.sells_within]
    taken, failures, _ = cancel_all(run, overdue)
    run.asked_to_cancel.update(taken)
    for name in taken:
        minutes = settings.sells_within.total_seconds() / 60
        run.note(f"Order {name} has rested for {minutes:g} minutes while buys waited for it; its cancel was asked for.")
    if failures:
        raise next(iter(failures.values()))


def cancel_left_over(run: Run, batch: BatchRow) -> bool:
    """Ask for a cancel of what still rests of a batch whose session is over; whether there was any.

    An order for one session that outlives it would meet the next session's orders.
    """
    with run.ledger.read() as connection:
        rows = [row for row in intents_of(connection, batch.batch_id) if row.state in _RESTING]
    if not rows or run.broker.phase(batch.session) is not VenuePhase.OVER:
        return False
    taken, failures, _ = cancel_all(run, rows)
    for name, failure in failures.items():
        run.note(f"Whether the cancel of {name} was taken is not known: {failure.problem}")
    if taken:
        what = ", ".join(taken)
        run.note(f"{batch.session.isoformat()} is over; the cancel of what still rests was asked for: {what}.")
    return bool(taken)


def _holds_up(row: IntentRow) -> bool:
    return row.phase == 1 and row.state in _RESTING and row.time_in_force is TimeInForce.DAY


def cancel_all(run: Run, rows: Collection[IntentRow]) -> tuple[list[str], dict[str, BrokerUnavailable], dict[str, str]]:
    """Ask the broker to cancel those of `rows` that rest there; all are tried.

    Returns:
        Ids of the cancels that were taken; the failures of those that did not arrive, and the words of those that
        were refused, by id.
    """
    taken: list[str] = []
    failures: dict[str, BrokerUnavailable] = {}
    refused: dict[str, str] = {}
    for row in rows:
        if row.state not in _RESTING:
            continue
        try:
            run.broker.cancel(row.client_order_id)
            taken.append(row.client_order_id)
        except OrderRejected as refusal:
            run.note(f"{row.symbol}: {row.client_order_id} was not canceled: {refusal.message}.")
            refused[row.client_order_id] = f"the broker refused its cancel: {refusal.message}"
        except BrokerUnavailable as failure:
            failures[row.client_order_id] = failure
    return taken, failures, refused


def look_up_doubtful(run: Run) -> None:
    """Look for the orders of unknown outcome that are to be canceled, so that those which exist can be."""
    with run.ledger.read() as connection:
        rows = awaiting_cancel(connection, run.account, run.now())
    for row in rows:
        if row.state not in _RESTING:
            resolve(run, row, may_send=False)


def _takes_back(current: Standing, row: IntentRow) -> bool:
    return current.cancel_open and _is_of(current.state, row)


def _is_of(state: TradingState, row: IntentRow) -> bool:
    """Whether the order is one of those that `state` keeps from going out."""
    return state is TradingState.HALTED or (state is TradingState.REDUCING and row.intent in OPENING)
