"""Answers to requests that concern orders and executions.

What belongs here: from a request to the messages that answer it. What does not: rules (`orders`) and layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.contracts import primary_exchange
from scizor_dagster.paper_exchange.tws_door.order_messages import (
    Address,
    Told,
    commission_report,
    completed_order,
    exec_details,
    open_order,
    order_status,
)
from scizor_dagster.paper_exchange.tws_door.orders import Placed
from scizor_dagster.paper_exchange.tws_door.pushes import inactive, tell
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.striking import MISHAPS, UNTOLD
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.words import instant_of, spelled
from scizor_dagster.paper_exchange.venue_orders import Execution, Mishap, VenueOrder

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.session import Session

_SIDES = {Side.BUY: ("BUY", "BOT"), Side.SELL: ("SELL", "SLD")}
"""Words of an execution filter for each side."""


def _place(call: Call) -> None:
    """A new order, a changed one, or a what-if."""
    door = call.door
    if call.request.flag("whatIf"):
        call.send(*door.orders.preview(call.session.client, call.request))
        return
    kind = FaultKind(call.fault.kind) if call.fault is not None else None
    door.keep_positions()
    try:
        placed = door.orders.place(call.session.client, call.request, MISHAPS.get(kind) if kind else None)
    except ApiError as problem:
        _refuse(call.session, call.request.req_id, problem)
        return
    for row in placed:
        _tell_placed(call.session, row, untold=kind in UNTOLD)


def _tell_placed(session: Session, row: Placed, *, untold: bool) -> None:
    """Events tell of an order by themselves; what they leave out follows them."""
    door = session.door
    if row.error is not None:
        _refuse(session, row.address.order, row.error)
        return
    assert row.order is not None
    if untold:
        door.pushes.be_silent_on(row.order)
        return
    door.soon(door.pushes.announce, row.account, row.order)
    if row.warning:
        door.soon(session.error, row.address.order, 399, row.warning)


def _refuse(session: Session, order_id: int, problem: ApiError) -> None:
    """Say why; an order that does not exist is `Inactive`, and one that was only to be changed lives on."""
    session.error(order_id, problem.code, problem.text)
    if problem.code == 201 and session.door.book.find(Address(session.client, order_id)) is None:
        session.send(*inactive(order_id, session.client))


def _cancel(call: Call) -> None:
    door, number = call.door, call.request.req_id
    own = door.book.find(Address(call.session.client, number))
    kind = call.fault.kind if call.fault is not None else None
    if own is not None and kind in (FaultKind.SLOW_CANCEL, FaultKind.FILL_DURING_CANCEL):
        told = door.book.told(*own)
        if told is not None:
            call.send(*order_status(told, status="PendingCancel"))
        if kind == FaultKind.FILL_DURING_CANCEL:
            door.venue.strike(own[0], own[1].order_id, Mishap.FILL)
        else:
            door.cancel_later(*own, call.fault.detail if call.fault else {})
        return
    if own is None:
        _introduce(call, number)
    if door.orders.cancel(call.session.client, call.request) is None:
        call.send(3, number, "Cancelled", 0, 0, 0, 0, 0, 0, call.session.client, "", 0)
        call.session.error(number, 202, "Order Canceled - reason:")


def _introduce(call: Call, number: int) -> None:
    """Tell a client of another one's order that it is about to cancel: a status of an unknown order is an error."""
    book = call.door.book
    for told in (book.told(*found) for found in book.open_with_id(number)):
        if told is not None:
            call.door.watch(number, call.session)
            call.send(*open_order(told))


def _cancel_all(call: Call) -> None:
    call.door.orders.cancel_all()


def _own_orders(call: Call) -> None:
    clients = {call.session.client}
    _open_orders(call.session, lambda address: address.client in clients)


def _all_orders(call: Call) -> None:
    _open_orders(call.session, lambda _: True)


def _open_orders(session: Session, wanted: Callable[[Address], bool]) -> None:
    book = session.door.book
    session.door.on_look()
    for account, order in _shown(session, book.open_orders()):
        told = book.told(account, order)
        if told is not None and wanted(told.address):
            tell(session, told)
    session.send(53, 1)


def _shown(session: Session, orders: list[tuple[str, VenueOrder]]) -> list[tuple[str, VenueOrder]]:
    """The orders without the newest ones that a fault hides."""
    if not session.hidden_orders:
        return orders
    newest = sorted(orders, key=lambda row: row[1].created_at)[-session.hidden_orders :]
    return [row for row in orders if row not in newest]


def _auto_bind(call: Call) -> None:
    """Client 0 gets ids for the orders that no client has placed."""
    call.session.auto_bind = call.request.flag("autoBind") and call.session.client == 0
    for account, order in call.door.book.open_orders():
        call.door.bind_manual(account, order)


def _completed(call: Call) -> None:
    book, switches = call.door.book, call.door.switches
    for account, order in _shown(call.session, book.completed_since(_midnight(call.session, 1))):
        told = book.told(account, order)
        if told is None or (call.request.flag("apiOnly") and told.address == Address(0, 0)):
            continue
        call.send(*completed_order(told, switches.time_zone))
    call.send(102)


def _executions(call: Call) -> None:
    door, switches = call.door, call.door.switches
    first = max(_midnight(call.session, switches.execution_days), _since(call))
    count = 0
    for account in door.book.accounts:
        if call.request["account"] not in ("", door.book.ids[account]):
            continue
        for fill in door.venue.executions(account, first, door.venue.now()):
            order = door.venue.order(account, fill.order_id)
            told = door.book.told(account, order) if order else None
            if told is None or not _matches(call.request, told, fill):
                continue
            count += 1
            call.send(
                *exec_details(
                    told,
                    fill,
                    req_id=call.request.req_id,
                    zone=switches.time_zone,
                    named_zone=switches.execution_zone,
                )
            )
            call.send(*commission_report(fill, told.listing.instrument.currency))
    if count or not switches.omit_executions_end:
        call.send(55, 1, call.request.req_id)


def _matches(request: Request, told: Told, fill: Execution) -> bool:
    """Whether an execution is one of those that the filter of `request` lets through; an empty field lets all."""
    client = request.number_of("clientId")
    return (
        request["side"].upper() in ("", *_SIDES[fill.side])
        and request["symbol"] in ("", spelled(fill.symbol))
        and request["secType"] in ("", "STK")
        and request["exchange"] in ("", "SMART", primary_exchange(told.listing))
        and (client <= 0 or told.address.client == client)
    )


def _since(call: Call) -> datetime:
    """The instant of an execution filter, in the zone of this TWS unless it names one or is in UTC.

    Raises:
        ApiError: 321, the text is no instant.
    """
    text = call.request["time"]
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    try:
        return instant_of(text, call.door.switches.time_zone)
    except ValueError:
        raise ApiError(321, "Error validating request.-'bG' : cause - Invalid execution filter time") from None


def _midnight(session: Session, days: int) -> datetime:
    """Start of the day in the zone of this TWS, `days - 1` days ago."""
    zone = ZoneInfo(session.door.switches.time_zone)
    today = session.door.venue.now().astimezone(zone)
    return today.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)


ORDER_ANSWERS: dict[str, Answer] = {
    "placeOrder": _place,
    "cancelOrder": _cancel,
    "reqGlobalCancel": _cancel_all,
    "reqOpenOrders": _own_orders,
    "reqAllOpenOrders": _all_orders,
    "reqAutoOpenOrders": _auto_bind,
    "reqCompletedOrders": _completed,
    "reqExecutions": _executions,
}
