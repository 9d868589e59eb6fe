"""Orders: submit, read, replace, cancel.

What belongs here: the endpoints under `/v2/orders`. What does not: closing positions, which makes
orders too (`closing`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.alpaca_door import render_orders
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import (
    WireError,
    business_rule,
    malformed,
    order_not_found,
    wire_error,
)
from scizor_dagster.paper_exchange.alpaca_door.formats import read_instant
from scizor_dagster.paper_exchange.alpaca_door.positions import shown_positions
from scizor_dagster.paper_exchange.alpaca_door.render_account import error_row
from scizor_dagster.paper_exchange.alpaca_door.tickets import amendment, ticket
from scizor_dagster.paper_exchange.faults import FaultKind
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    Mishap,
    OrderClass,
    OrderQuery,
    Refused,
    Status,
    Ticket,
    VenueOrder,
)

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 500
_MISHAPS: dict[str, Mishap] = {
    FaultKind.REJECT_LATER: Mishap.REJECT,
    FaultKind.STUCK: Mishap.STICK,
    FaultKind.PARTIAL_THEN_CANCEL: Mishap.PARTIAL_CANCEL,
}
_DIRECTIONS = {"asc": True, "desc": False}


def submit_order(door: Door, call: Call) -> Reply:
    wanted = ticket(call.json())
    if door.faults is not None:
        door.overlays.keep_positions(call.account, shown_positions(door, call.account))
    mishap = _MISHAPS.get(call.fault.kind) if call.fault is not None else None
    row = place(door, call.account, wanted, mishap)
    if call.meets(FaultKind.VISIBILITY_LAG):
        door.overlays.hide(row.order_id, call.detail("reads", 2))
    if call.fault is not None and call.fault.kind in (FaultKind.BUST, FaultKind.CORRECTION):
        _correct(door, call.account, row, call.fault)
    return Reply(200, rendered_as(door, call.account, row))


def _correct(door: Door, account: str, row: VenueOrder, fault: Fault) -> None:
    """Take back, or change, the fill of an order that has filled on its arrival."""
    for fill in door.venue.executions(account, row.submitted_at, door.venue.now()):
        if fill.order_id == row.order_id:
            qty = ZERO if fault.kind == FaultKind.BUST else fill.qty
            door.venue.correct(account, fill.execution_id, qty, Decimal(str(fault.detail.get("price", fill.price))))


def place(door: Door, account: str, wanted: Ticket, mishap: Mishap | None = None) -> VenueOrder:
    """Hand an order to the venue. Raises `WireError` for a refusal."""
    try:
        return door.venue.place(account, wanted, mishap)
    except Refused as refusal:
        first = door.venue.order_by_client_id(account, wanted.client_order_id)
        raise wire_error(refusal, first_is_open=first is not None and not first.status.terminal) from refusal


def _strike(door: Door, account: str, row: VenueOrder, mishap: Mishap) -> None:
    try:
        door.venue.strike(account, row.order_id, mishap)
    except Refused:
        return  # It has ended in the meantime: nothing is left that a mishap could befall.


def list_orders(door: Door, call: Call) -> Reply:
    state = call.get("status") or "open"
    if state not in ("open", "closed", "all"):
        raise malformed("invalid status")
    ascending = _DIRECTIONS.get(call.get("direction") or "desc")
    if ascending is None:
        raise malformed("invalid direction")
    side = call.get("side")
    if side is not None and side not in set(Side):
        raise malformed("invalid side")
    limit, nested = call.number("limit", DEFAULT_LIMIT, LARGEST_LIMIT), call.flag("nested")
    if call.words("asset_class") and "us_equity" not in call.words("asset_class"):
        return Reply(200, [])
    rows = door.venue.orders(
        call.account,
        OrderQuery(
            state=state,
            after=_bound(call, "after"),
            until=_bound(call, "until"),
            symbols=frozenset(call.words("symbols")),
            side=Side(side) if side else None,
            ascending=ascending,
            # What a fault hides is looked for beyond the limit.
            limit=limit + door.overlays.hidden,
            above=_place(door, call, "after_order_id"),
            below=_place(door, call, "before_order_id"),
            rolled_up=nested,
        ),
    )
    chosen = [row for row in rows if not door.overlays.is_hidden(row.order_id)]
    return Reply(200, rendered_all(door, call.account, chosen[:limit], nested=nested))


def _bound(call: Call, name: str) -> Any:
    text = call.get(name)
    if text is None:
        return None
    found = read_instant(text)
    if found is None:
        raise malformed(f"invalid {name}")
    return found


def _place(door: Door, call: Call, name: str) -> tuple[datetime, int] | None:
    """Where the order stands that a bound names."""
    named = call.get(name)
    if named is None:
        return None
    row = door.venue.order(call.account, named)
    if row is None:
        raise order_not_found(named)
    return row.submitted_at, row.number


def get_order(door: Door, call: Call) -> Reply:
    row = _by_id(door, call)
    if door.overlays.is_hidden(row.order_id):
        raise order_not_found(row.order_id)
    return Reply(200, rendered(door, call.account, row, nested=call.flag("nested")))


def get_order_by_client_id(door: Door, call: Call) -> Reply:
    name = call.get("client_order_id")
    if name is None:
        raise malformed("client_order_id is missing")
    row = door.venue.order_by_client_id(call.account, name)
    if row is None or door.overlays.is_hidden(row.order_id):
        raise order_not_found(name)
    return Reply(200, rendered(door, call.account, row, nested=True))


def replace_order(door: Door, call: Call) -> Reply:
    changes, name = amendment(call.json())
    row = _by_id(door, call)
    try:
        successor = door.venue.replace(call.account, row.order_id, changes, name)
    except Refused as refusal:
        raise wire_error(refusal) from refusal
    return Reply(200, rendered(door, call.account, successor, nested=True))


def cancel_order(door: Door, call: Call) -> Reply:
    row = _by_id(door, call)
    if row.status is Status.CANCELED and not door.rules.repeated_cancel_refused:
        return Reply(204)
    if row.status.terminal:
        raise _has_ended(row)
    if call.meets(FaultKind.SLOW_CANCEL):
        _cancel_slowly(door, call, row)
        return Reply(204)
    if call.meets(FaultKind.FILL_DURING_CANCEL):
        _strike(door, call.account, row, Mishap.FILL)
        return Reply(204)
    _cancel(door, call.account, row)
    return Reply(204)


def _cancel(door: Door, account: str, row: VenueOrder) -> VenueOrder:
    try:
        return door.venue.cancel(account, row.order_id)
    except Refused as refusal:
        if refusal.code == "order_not_open":
            raise _has_ended(door.venue.order(account, row.order_id) or row) from refusal
        raise wire_error(refusal) from refusal


def _cancel_slowly(door: Door, call: Call, row: VenueOrder) -> None:
    seconds = call.detail("seconds", 0)
    until = door.venue.now() + timedelta(seconds=seconds) if seconds else None
    door.overlays.cancel_slowly(row.order_id, call.detail("reads", 3), until)


def _has_ended(row: VenueOrder) -> WireError:
    return business_rule(f'order is already in "{row.status.value}" state')


def cancel_orders(door: Door, call: Call) -> Reply:
    return Reply(207, cancel_all(door, call, "id"))


def cancel_all(door: Door, call: Call, key: str) -> list[dict[str, Any]]:
    """Cancel what is open, one row each. What ends with its family has none.

    The row of a leg shows its parent as it was before: the answer does not wait until the family has settled.
    """
    account, slow = call.account, call.meets(FaultKind.SLOW_CANCEL)
    rows = door.venue.orders(account, OrderQuery(state="open", ascending=True))
    parents = {row.order_id: row.parent_id for row in rows if row.parent_id}
    known = (door.venue.order(account, parent) for parent in sorted(set(parents.values())))
    before = _by_order_id(door, account, [row for row in known if row is not None])
    if slow:
        for row in rows:
            _cancel_slowly(door, call, row)
        ended = list(rows)
    else:
        ended = list(door.venue.cancel_many(account, [row.order_id for row in rows]))
    after = _by_order_id(door, account, ended)
    shown = {row.order_id: before.get(parents.get(row.order_id, "")) or after[row.order_id] for row in ended}
    return [error_row(order_id, key, 200, body) for order_id, body in shown.items()]


def _by_order_id(door: Door, account: str, rows: list[VenueOrder]) -> dict[str, dict[str, Any]]:
    bodies = rendered_all(door, account, rows, nested=True)
    return {row.order_id: body for row, body in zip(rows, bodies, strict=True)}


def _by_id(door: Door, call: Call) -> VenueOrder:
    name = call.path["order_id"]
    try:
        UUID(name)
    except ValueError:
        raise malformed("order_id is missing") from None
    row = door.venue.order(call.account, name)
    if row is None:
        raise order_not_found(name)
    return row


def rendered(door: Door, account: str, row: VenueOrder, *, nested: bool) -> dict[str, Any]:
    return rendered_all(door, account, [row], nested=nested)[0]


def rendered_as(door: Door, account: str, row: VenueOrder) -> dict[str, Any]:
    """An order as it was taken, with its legs; what has become of it since is not in a reply to a POST."""
    return rendered_all(door, account, [row], nested=True, as_taken=True)[0]


def rendered_all(
    door: Door, account: str, rows: list[VenueOrder], *, nested: bool, as_taken: bool = False
) -> list[dict[str, Any]]:
    """Orders as a client sees them now, with their legs under them where `nested`."""
    families = {row.order_id for row in rows if nested and row.ticket.order_class is not OrderClass.SIMPLE}
    legs: dict[str, list[VenueOrder]] = {}
    if families:
        for leg in door.venue.orders(account, OrderQuery(state="all", parents=frozenset(families), ascending=True)):
            assert leg.parent_id is not None
            legs.setdefault(leg.parent_id, []).append(leg)
    status = Status.HELD.value if as_taken else None
    return [_one(door, account, row, legs.get(row.order_id, []), status) for row in rows]


def _one(
    door: Door, account: str, row: VenueOrder, legs: list[VenueOrder], leg_status: str | None = None
) -> dict[str, Any]:
    bodies = [
        _one(door, account, leg, []) | ({"status": leg_status} if leg_status else {})
        for leg in sorted(legs, key=lambda leg: leg.number)
    ]
    current, status = door.overlays.look(account, row)
    return render_orders.order(current, door.asset_id(row.ticket.symbol), bodies, status)
