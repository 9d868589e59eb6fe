"""What clients are told without asking: the life of their orders, their fills, their positions.

What belongs here: which messages an event becomes, in which order, and to whom. What does not: layouts.

The order of messages of a fill is that of recordings: execution, open order, status, commission.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.tws_door.order_messages import (
    Told,
    commission_report,
    exec_details,
    open_order,
    order_status,
)
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.venue_orders import Duration, EventKind, Execution, Status, VenueEvent, VenueOrder

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.door import Door
    from scizor_dagster.paper_exchange.tws_door.session import Session

Message = list[Field]
_SILENT_ENDS = (Duration.IOC, Duration.FOK)


class Pushes:
    """Turns events of the venue into messages to the sessions that they concern. Runs in the door's loop."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._told: set[str] = set()
        self._silent: set[str] = set()
        self._late: dict[str, list[Message]] = {}
        self._repeats: dict[str, Told] = {}

    def on_event(self, event: VenueEvent) -> None:
        self._door.bind_manual(event.account, event.order)
        told = self._door.book.told(event.account, event.order)
        if told is None:
            return
        self._told.add(event.order.order_id)
        if event.order.order_id in self._silent:
            return
        self._send(told, self._messages(event, told))
        if event.execution is not None:
            self._door.publish_trade(event.account, event.order.ticket.symbol)

    def announce(self, account: str, order: VenueOrder) -> None:
        """Tell of an order that no event has told of."""
        if order.order_id in self._told:
            return
        told = self._door.book.told(account, order)
        if told is not None:
            self._told.add(order.order_id)
            self._send(told, [open_order(told), order_status(told)])

    def be_silent_on(self, order: VenueOrder) -> None:
        """Say nothing of an order by itself."""
        self._silent.add(order.order_id)

    def _messages(self, event: VenueEvent, told: Told) -> list[Message]:
        if event.execution is not None:
            return self._of_fill(event.account, event.execution, told)
        if event.kind is EventKind.PENDING_CANCEL:
            return self._statuses(told)
        if event.kind is EventKind.REJECTED:
            reason = f"Order rejected - reason:{event.order.reason}"
            return [error(told.address.order, 201, reason), open_order(told), *self._statuses(told)]
        if event.order.status is Status.CANCELED and event.order.ticket.duration not in _SILENT_ENDS:
            return [
                *self._statuses(told),
                error(told.address.order, 202, f"Order Canceled - reason:{event.order.reason}"),
            ]
        return [open_order(told), *self._statuses(told)]

    def _of_fill(self, account: str, fill: Execution, told: Told) -> list[Message]:
        switches = self._door.switches
        # What corrects an execution is none that could be corrected in its turn.
        fault = self._door.fault("exec_details") if fill.correction == 1 else None
        kind = fault.kind if fault is not None else None
        if fault is not None and kind in (FaultKind.CORRECTION, FaultKind.BUST):
            qty = fill.qty if kind == FaultKind.CORRECTION else fill.qty * 0
            price = Decimal(str(fault.detail.get("price", fill.price)))
            self._door.soon(self._door.venue.correct, account, fill.execution_id, qty, price)
        details = exec_details(told, fill, req_id=-1, zone=switches.time_zone, named_zone=switches.execution_zone)
        report = commission_report(fill, told.listing.instrument.currency)
        statuses = [open_order(told), *self._statuses(told)]
        if kind == FaultKind.MISSED_EVENT:
            return statuses
        return [*statuses, details, report] if kind == FaultKind.SWAPPED_EVENTS else [details, *statuses, report]

    def _statuses(self, told: Told) -> list[Message]:
        """The status; skipped, doubled or held back until the next one, where a fault says so."""
        fault = self._door.fault("order_status")
        message = order_status(told)
        if told.order.order_id in self._repeats:
            self._repeats[told.order.order_id] = told
        late = self._late.pop(told.order.order_id, [])
        if fault is None:
            self._repeat_later(told)
            return [message, *late]
        if fault.kind == FaultKind.MISSED_EVENT:
            return late
        if fault.kind == FaultKind.DUPLICATE_EVENT:
            return [message, message, *late]
        if fault.kind == FaultKind.SWAPPED_EVENTS and not told.order.status.terminal:
            self._late[told.order.order_id] = [message]
            return late
        if fault.kind == FaultKind.UNKNOWN_ENUM:
            return [order_status(told, status=str(fault.detail.get("value", "HeldForReview"))), *late]
        return [message, *late]

    def _repeat_later(self, told: Told) -> None:
        """Tell the status once more, when it may have been missed. A status that a fault has struck stays as it is."""
        seconds, order_id = self._door.switches.repeat_status, told.order.order_id
        if seconds is None:
            return
        if order_id not in self._repeats:
            self._door.later(seconds, self._repeat, order_id, self._door.sessions_for(told.address))
        self._repeats[order_id] = told

    def _repeat(self, order_id: str, heard: list[Session]) -> None:
        """The newest status, to who was told before and has not left: another connection may not know the order."""
        told = self._repeats.pop(order_id)
        for session in heard:
            session.send(*order_status(told))

    def _send(self, told: Told, messages: Iterable[Message]) -> None:
        sessions = self._door.sessions_for(told.address)
        for message in messages:
            for session in sessions:
                session.send(*message)


def error(req_id: int, code: int, text: str, reject: str = "") -> Message:
    """Message 4; `req_id` is -1 for the system."""
    return [4, 2, req_id, code, text, reject]


def tell(session: Session, told: Told) -> None:
    """An open order in answer to a request: its terms, then its status."""
    session.send(*open_order(told))
    session.send(*order_status(told))


def inactive(order_id: int, client: int) -> Message:
    """Status of an order that was refused."""
    return [3, order_id, "Inactive", 0, 0, 0, 0, 0, 0, client, "", 0]
