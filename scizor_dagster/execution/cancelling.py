"""A halt that takes back what rests at the broker: own open orders, canceled once each and followed.

What belongs here: which orders are taken back, asking the broker to cancel, and what is left. What does not: what
became of a cancel, which polls find out (`tracking`), and orders that are not ours, which are never touched.

The exits of a bracket whose entry has filled are left at the broker: they protect what is held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import BrokerUnavailable, OrderRejected
from scizor_dagster.execution.recovery import resolve
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger.rows import BatchRow, IntentRow, intents_in
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk.pre_trade import OPENING
from scizor_dagster.risk.trading_state import Standing, TradingState, standing

_AT_BROKER = tuple(state for state in IntentState if state.at_broker)
_RESTING = (IntentState.WORKING, IntentState.PARTIALLY_FILLED)
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
    """Orders that are, or may be, at the broker, and that a state in force takes back.

    A halt takes back all of them; REDUCING only those that open, for closing is what it lets through.
    """
    rows = intents_in(connection, account, _AT_BROKER)
    states = {name: standing(connection, account, name, now) for name in {row.portfolio for row in rows}}
    return [row for row in rows if _takes_back(states[row.portfolio], row)]


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
    if current.state is TradingState.ACTIVE or not current.cancel_open:
        return False
    return current.state is TradingState.HALTED or row.intent in OPENING
