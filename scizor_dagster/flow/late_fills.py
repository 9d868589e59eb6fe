"""What may still come of the orders of recent sessions: fills that arrive late.

What belongs here: which sessions something can still come of, and at most one read of the account's broker. What does
not: recording what has come (`following`, under the account's lease), and asking for the run that does (the sensors,
`jobs.order_sensors`). Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from scizor_dagster.brokers.protocol import BrokerFill, OrderType
from scizor_dagster.config import IbkrAccount
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.unfinished import time_slot
from scizor_dagster.ledger.executions import newer
from scizor_dagster.ledger.lease import lease_of
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batches_of, fills_by_id, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.sessions import TradingCalendar

SESSIONS_BACK = 5
"""Sessions before today's that are looked at: a broker corrects what it reported within days, not weeks."""
ASKED_AGAIN = timedelta(hours=1)
"""After this, what a failed run has not done is asked for anew."""

_MAY_STILL_FILL = (IntentState.CANCELED, IntentState.EXPIRED, IntentState.REJECTED)


@dataclass(frozen=True, slots=True)
class PastBatch:
    """A batch of a recent session with its orders."""

    batch: BatchRow
    intents: tuple[IntentRow, ...]

    @property
    def may_still_fill(self) -> bool:
        """Whether an order can have fills that are not known: it is open, or ended at the broker without all of them.

        One that was refused counts: a refusal may have hidden an order.
        """
        return self.batch.state.open or any(
            row.state in _MAY_STILL_FILL and (row.broker_order_id is not None or row.state is IntentState.REJECTED)
            for row in self.intents
        )

    def owns(self, fill: BrokerFill) -> bool:
        """Whether the fill is of one of its orders, or perhaps of the exit of one of its brackets."""
        return any(
            row.client_order_id == fill.client_order_id
            or (row.order_type is OrderType.BRACKET and row.symbol == fill.symbol and self.batch.state.open)
            for row in self.intents
        )


@dataclass(frozen=True, slots=True)
class LateLook:
    """A session of a portfolio that a run must follow. `occasion` is as in `unfinished.Look`."""

    portfolio: str
    session: date
    occasion: str
    reason: str


def past_batches(desk: Desk, account: str, now: datetime) -> list[PastBatch]:
    """The latest batches of recent sessions of the account's portfolios; of today's only those that have ended."""
    if not desk.has_ledger:
        return []
    found: list[PastBatch] = []
    with desk.ledger.read() as connection:
        for portfolio, settings in desk.config.portfolios.items():
            if settings.account != account:
                continue
            today = _today(desk.calendar(settings.market), now)
            first = _sessions_before(desk.calendar(settings.market), today, SESSIONS_BACK)
            found += (
                PastBatch(batch, tuple(intents_of(connection, batch.batch_id)))
                for batch in batches_of(connection, account, portfolio, first=first, last=today)
                if batch.session < today or not batch.state.open
            )
    return found


def is_held(desk: Desk, account: str, now: datetime) -> bool:
    """Whether a run is at the account: what it is about to record is no late fill."""
    with desk.ledger.read() as connection:
        lease = lease_of(connection, account)
    return lease is not None and lease.held(now)


def may_be_read(desk: Desk, account: str) -> bool:
    """Whether looking disturbs nobody: a TWS takes one connection for each client id, and runs need it."""
    return not isinstance(desk.account(account), IbkrAccount)


def late_fills(desk: Desk, account: str, past: Sequence[PastBatch], now: datetime) -> list[LateLook]:
    """Sessions of `past` that have fills at the broker which the ledger does not know; one read at most.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    waiting = [item for item in past if item.may_still_fill]
    if not waiting:
        return []
    market = desk.portfolio(waiting[0].batch.portfolio).market
    first, last = min(item.batch.session for item in waiting), _today(desk.calendar(market), now)
    fills = desk.broker(account, market).fills(first, last)
    with desk.ledger.read() as connection:
        known = fills_by_id(connection, account, [fill.fill_id for fill in fills])
    new = [fill for fill in fills if newer(fill, known.get(fill.fill_id))]
    found = []
    for item in waiting:
        count = sum(item.owns(fill) for fill in new)
        if count:
            reason = f"{count} fill(s) of {item.batch.session} at the broker are not in the ledger."
            found.append(_due(item, f"fills:{time_slot(now, ASKED_AGAIN)}", reason))
    return found


def _due(item: PastBatch, occasion: str, reason: str) -> LateLook:
    return LateLook(item.batch.portfolio, item.batch.session, occasion, reason)


def _today(calendar: TradingCalendar, now: datetime) -> date:
    return now.astimezone(calendar.timezone).date()


def _sessions_before(calendar: TradingCalendar, day: date, count: int) -> date:
    for _ in range(count):
        day = calendar.previous_session(day)
    return day
