"""Looks that did not find an order at the broker, and what they prove.

What belongs here: recording such looks, and counting them against the order's sends. What does not: looking, and
what follows from a proof (`execution.recovery`).

A look proves nothing while an order that was sent may still be missing from what the broker shows. So looks count
from a wait after the last send that may have arrived, and each that long after the one before; the proof is as many
of them as the broker needs. They are entries of the history, so that runs hours apart add up to one proof.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from scizor_dagster.ledger import events
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import events as history

REFUSED = "refused"
"""Name in the entry that takes an order to `unknown`: this send was refused for certain, and made no order."""
_ABSENT = "order_absent"
_SENDING, _UNKNOWN = (f"intent_{state.value}" for state in (IntentState.SENDING, IntentState.UNKNOWN))
# Built once; reaches the entries of one order by its id, however long the history is.
_OF_ORDER = (
    sa.select(history.c.kind, history.c.at, history.c.payload)
    .where(history.c.client_order_id == sa.bindparam("name"))
    .order_by(history.c.seq)
)


@dataclass(frozen=True, slots=True)
class Absence:
    """How far the proof that a sent order does not exist has come.

    Attributes:
        sent_at: The last send that may have arrived.
        looks: Instants at which it was looked for in vain, those that count.
        needed: How many looks make the proof.
        wait: Between the send and the first look, and between two looks.
    """

    sent_at: datetime
    looks: tuple[datetime, ...]
    needed: int
    wait: timedelta

    @property
    def proven(self) -> bool:
        return len(self.looks) >= self.needed

    @property
    def next_look(self) -> datetime:
        """When a further look counts."""
        return self.looks[-1] + self.wait if self.looks else self.sent_at + self.wait

    @property
    def missing(self) -> str:
        """What the proof lacks, as a clause."""
        return (
            f"its absence is not proven: {len(self.looks)} of {self.needed} looks count, the next one from "
            f"{self.next_look.isoformat(timespec='seconds')} on"
        )


def record_absence(
    connection: sa.Connection, intent: IntentRow, *, now: datetime, needed: int, wait: timedelta
) -> Absence:
    """Note that the order was looked for now and not found, and return what that comes to.

    Nothing is written for a look that does not count, or that comes after the proof.
    """
    before = absence_of(connection, intent, needed=needed, wait=wait)
    if before.proven or now < before.next_look:
        return before
    payload = {"sent_at": before.sent_at.isoformat(), "look": len(before.looks) + 1, "needed": needed}
    events.append(connection, now, intent.account, _ABSENT, payload, intent.client_order_id)
    return Absence(before.sent_at, (*before.looks, now), needed, wait)


def absence_of(connection: sa.Connection, intent: IntentRow, *, needed: int, wait: timedelta) -> Absence:
    """What the looks after the order's last doubtful send come to; the order has been sent."""
    sends: list[datetime] = []
    seen: list[datetime] = []
    for kind, at, payload in connection.execute(_OF_ORDER, {"name": intent.client_order_id}):
        # An order that was taken from the broker's books has no send on record: it was there when it became unknown.
        if kind == _SENDING or (kind == _UNKNOWN and not sends):
            sends.append(at)
        elif kind == _UNKNOWN and json.loads(payload).get(REFUSED):
            sends.pop()
        elif kind == _ABSENT:
            seen.append(at)
    return Absence(sends[-1], _counting(sends[-1], seen, wait), needed, wait)


def _counting(sent_at: datetime, seen: Sequence[datetime], wait: timedelta) -> tuple[datetime, ...]:
    looks: list[datetime] = []
    for at in seen:
        if at >= (looks[-1] if looks else sent_at) + wait:
            looks.append(at)
    return tuple(looks)
