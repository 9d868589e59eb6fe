"""A halt that takes back what rests at the broker: own open orders, canceled once each and followed.

What belongs here: asking the broker to cancel. What does not: what became of it, which polls find out
(`tracking`), and orders that are not ours, which are never touched.

The exits of a bracket whose entry has filled are left at the broker: they protect what is held.
"""

from __future__ import annotations

from scizor_dagster.errors import BrokerUnavailable, OrderRejected
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger.rows import BatchRow, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk.pre_trade import OPENING
from scizor_dagster.risk.trading_state import TradingState, standing

_RESTING = (IntentState.WORKING, IntentState.PARTIALLY_FILLED)


def cancel_if_asked(run: Run, batch: BatchRow) -> int:
    """Cancel the batch's resting orders where the state in force says so; returns how many cancels were taken.

    A halt takes back all of them; REDUCING only those that open, for closing is what it lets through.

    Raises:
        BrokerUnavailable: a cancel was not taken, after all were tried; the next look asks again.
    """
    with run.ledger.read() as connection:
        current = standing(connection, run.account, batch.portfolio, run.now())
        rows = intents_of(connection, batch.batch_id)
    if current.state is TradingState.ACTIVE or not current.cancel_open:
        return 0
    halted = current.state is TradingState.HALTED
    taken, unreached = 0, None
    for row in rows:
        if row.state not in _RESTING or not (halted or row.intent in OPENING):
            continue
        try:
            run.broker.cancel(row.client_order_id)
            taken += 1
        except OrderRejected as refusal:
            run.note(f"{row.symbol}: {row.client_order_id} was not canceled: {refusal.message}.")
        except BrokerUnavailable as failure:
            unreached = failure
    if unreached is not None:
        raise unreached
    return taken
