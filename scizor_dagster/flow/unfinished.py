"""Whether a session's orders wait for somebody to go on with them, and since when nobody does.

What belongs here: looking at the ledger and at what is stored, in milliseconds. What does not: going on (`following`,
under the account's lease), and asking for the run that does (the sensors, `jobs.order_sensors`). Nothing is written,
and no broker is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from scizor_dagster.config import PaperAccount
from scizor_dagster.flow.approving import waits_to_be_carried_out
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.ledger.lease import LeaseRow, lease_of
from scizor_dagster.ledger.rows import BatchRow, IntentRow, batches_of, intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.risk.trading_state import TradingState, standing

MOVING_EVERY = timedelta(minutes=5)
"""While the exchange is open and an order waits to be sent or released, or its outcome is in doubt."""
RESTING_EVERY = timedelta(minutes=15)
"""While orders only rest at the broker."""

_DOUBTFUL = (IntentState.SENDING, IntentState.UNKNOWN)
_AT_VENUE = (IntentState.WORKING, IntentState.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look came to.

    Attributes:
        occasion: What makes this occasion one of its own, for a run key: the same while nothing is new, another one
            when it is time again, so that what a failed run has not done is asked for anew. Empty: nothing is due.
        reason: Why something or nothing is due, as a sentence.
    """

    occasion: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """A batch that has not ended, as the ledger has it.

    Attributes:
        lease: The lease of its account; None where nobody has ever held it.
        halted: Whether no new order may go out, so that those that are ready wait for a person.
    """

    batch: BatchRow
    intents: tuple[IntentRow, ...]
    lease: LeaseRow | None
    halted: bool

    def any_in(self, *states: IntentState) -> bool:
        return any(row.state in states for row in self.intents)


def open_orders(desk: Desk, portfolio: str, session: date, now: datetime) -> OpenOrders | None:
    """The session's orders where they have not ended, with the batch of the first of them; asking creates no ledger."""
    if not desk.has_ledger:
        return None
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        batches = [row for row in batches_of(connection, account, portfolio, session) if row.state.open]
        if not batches:
            return None
        state = standing(connection, account, portfolio, now).state
        return OpenOrders(
            batches[0],
            tuple(intent for batch in batches for intent in intents_of(connection, batch.batch_id)),
            lease_of(connection, account),
            halted=state is not TradingState.ACTIVE,
        )


def look_for_unfinished(desk: Desk, portfolio: str, session: date, now: datetime) -> Look:
    """Whether a run must go on with the orders of `session`, which is that of today.

    At once after a run that died, which shows when its lease expires; else time after time, more often while an
    order waits for another one than while all of them rest.
    """
    found = open_orders(desk, portfolio, session, now)
    if found is None:
        return _approved_since(desk, portfolio, session, now)
    lease = found.lease
    if lease is not None and lease.held(now):
        return Look("", f"{lease.holder} is at the orders of account {lease.account}.")
    if lease is not None and lease.abandoned(now):
        # Whoever takes the account makes the number grow: another death is another occasion.
        return Look(
            f"{time_slot(now, RESTING_EVERY)}:{lease.token}", f"{lease.holder} has left the orders of {session}."
        )
    waiting = _what_it_waits_for(desk, portfolio, session, now, found)
    if waiting:
        return Look("", waiting)
    closed = desk.calendar(desk.portfolio(portfolio).market).has_closed(session, now)
    every = MOVING_EVERY if _moves(found) and not closed else RESTING_EVERY
    return Look(time_slot(now, every), f"The orders of {session} are open, and nobody is at them.")


def _approved_since(desk: Desk, portfolio: str, session: date, now: datetime) -> Look:
    """Whether a person has approved the session's plan after its rebalance had left it waiting."""
    closed = desk.calendar(desk.portfolio(portfolio).market).has_closed(session, now)
    if not closed and waits_to_be_carried_out(desk, portfolio, session):
        return Look(time_slot(now, MOVING_EVERY), f"The plan of {session} is approved, and not carried out yet.")
    return Look("", f"Portfolio {portfolio} has no open orders for {session}.")


def time_slot(now: datetime, every: timedelta) -> str:
    """The span of `every` that `now` lies in, in words of its beginning."""
    seconds = int(every.total_seconds())
    begin = int(now.timestamp()) // seconds * seconds
    return datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%dT%H:%MZ")


def waits_for_prices(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether the embedded exchange cannot go through the session yet, because none of its prices is stored."""
    settings = desk.portfolio(portfolio)
    if not isinstance(desk.account(settings.account), PaperAccount):
        return False
    newest = newest_stored_session(desk, settings.market) if desk.has_lake else None
    return newest is None or newest < session


def _what_it_waits_for(desk: Desk, portfolio: str, session: date, now: datetime, found: OpenOrders) -> str:
    """Why a look at the broker could show nothing new; empty where it could."""
    if found.any_in(*_DOUBTFUL) or (found.any_in(IntentState.READY) and not found.halted):
        return ""
    opens = desk.calendar(desk.portfolio(portfolio).market).open_at(session)
    if now < opens:
        return f"The orders of {session} wait for the open at {opens.isoformat()}."
    if waits_for_prices(desk, portfolio, session):
        return f"The orders of {session} wait for its prices, from which the embedded exchange fills them."
    return ""


def _moves(found: OpenOrders) -> bool:
    held = found.any_in(IntentState.HELD) and found.any_in(*_AT_VENUE)
    return held or found.any_in(*_DOUBTFUL) or (found.any_in(IntentState.READY) and not found.halted)
