"""What happened to orders, as lines of the log: told once it is committed, from the ledger's history.

What belongs here: turning entries of the history into lines. What does not: the history itself (`ledger.events`); the
order core writes no log, so that nothing it does can fail by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.events import OrderEvent, last_seq, order_events_after
from scizor_dagster.logs import bound

LOG = logging.getLogger("scizor.orders")
_SAID = ("symbol", "side", "qty", "final_qty", "filled_qty", "price", "reason", "from", "to")
"""Of an entry's payload; what a broker answered stays in the ledger."""
_told: ContextVar[frozenset[str]] = ContextVar("scizor_accounts_told", default=frozenset())
"""Accounts within whose block this thread is."""


@contextmanager
def orders_logged(desk: Desk, account: str) -> Iterator[None]:
    """Log each entry on an order of the account that is made within the block, also of one that fails.

    Within another block of the same account that one tells it, once.
    """
    if not LOG.isEnabledFor(logging.INFO) or account in _told.get():
        yield
        return
    begun, around = _last(desk), _told.set(_told.get() | {account})
    try:
        yield
    finally:
        _told.reset(around)
        for entry in _since(desk, account, begun):
            with bound(account=account, client_order_id=entry.client_order_id):
                LOG.info("Order %s: %s", entry.client_order_id, entry.kind, extra=_extra(entry))


def _extra(entry: OrderEvent) -> dict[str, object]:
    said = {name: entry.payload[name] for name in _SAID if entry.payload.get(name) not in (None, "")}
    return {"entry": entry.seq, "event_kind": entry.kind, **said}


def _last(desk: Desk) -> int:
    if not desk.has_ledger:
        return 0
    with desk.ledger.read() as connection:
        return last_seq(connection)


def _since(desk: Desk, account: str, seq: int) -> list[OrderEvent]:
    try:
        if not desk.has_ledger:
            return []
        with desk.ledger.read() as connection:
            return order_events_after(connection, account, seq)
    except Exception as error:
        # The work itself may have failed by the same fault, which is then the one to be told of.
        LOG.warning("What became of the orders of account %s could not be logged.", account, exc_info=error)
        return []
