"""What a client is shown otherwise than it is: hidden orders, cancels that stay pending, old positions.

What belongs here: the state of faults that last over several calls. What does not: faults of one reply
(`faulting`), and what really happens to an order (the venue's `strike`).
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock
from typing import Any

from scizor_dagster.paper_exchange.venue import Venue
from scizor_dagster.paper_exchange.venue_orders import Refused, Status, VenueOrder

PENDING_CANCEL = Status.PENDING_CANCEL.value


class Overlays:
    """Per order and account; safe to use from several threads."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._lock = Lock()
        self._hidden: dict[str, int] = {}
        self._canceling: dict[str, tuple[int, datetime | None]] = {}
        self._positions: dict[str, list[dict[str, Any]]] = {}

    def hide(self, order_id: str, looks: int) -> None:
        """Let the order not be found for so many looks at it."""
        with self._lock:
            self._hidden[order_id] = looks

    @property
    def hidden(self) -> int:
        """How many orders are not found at present."""
        with self._lock:
            return len(self._hidden)

    def is_hidden(self, order_id: str) -> bool:
        """Whether this look finds nothing; every look counts."""
        with self._lock:
            left = self._hidden.get(order_id, 0)
            if left > 1:
                self._hidden[order_id] = left - 1
            else:
                self._hidden.pop(order_id, None)
            return left > 0

    def cancel_slowly(self, order_id: str, looks: int, until: datetime | None = None) -> None:
        """Let a cancel stay pending for so many looks at the order, or until an instant of the venue's clock.

        The venue hears of it with the first look after that.
        """
        with self._lock:
            self._canceling[order_id] = (looks, until)

    def look(self, account: str, row: VenueOrder) -> tuple[VenueOrder, str | None]:
        """The order as this look finds it, and the status to show in place of its own."""
        now = self._venue.now()
        with self._lock:
            pending = self._canceling.get(row.order_id)
            if pending is None:
                return row, None
            left, until = pending
            waits = left > 0 if until is None else now < until
            if waits and not row.status.terminal:
                self._canceling[row.order_id] = (left - 1, until)
                return row, PENDING_CANCEL
            del self._canceling[row.order_id]
        if row.status.terminal:
            return row, None
        try:
            return self._venue.cancel(account, row.order_id), None
        except Refused:
            return self._venue.order(account, row.order_id) or row, None

    def keep_positions(self, account: str, shown: list[dict[str, Any]]) -> None:
        """Remember the positions as they are before a new order."""
        with self._lock:
            self._positions[account] = shown

    def old_positions(self, account: str) -> list[dict[str, Any]]:
        with self._lock:
            return self._positions.get(account, [])
