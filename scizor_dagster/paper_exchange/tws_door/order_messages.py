"""What is said of one order: `openOrder`, `orderStatus`, `completedOrder`, `execDetails`, commissions.

What belongs here: from a venue's order or execution to fields. What does not: when it is said (`pushes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.meeting import stop_of
from scizor_dagster.paper_exchange.tws_door.contracts import contract_fields, primary_exchange
from scizor_dagster.paper_exchange.tws_door.order_echo import in_order, said_in
from scizor_dagster.paper_exchange.tws_door.order_layouts import (
    COMPLETED_ORDER,
    COMPLETED_ORDER_DEFAULTS,
    OPEN_ORDER,
    OPEN_ORDER_DEFAULTS,
    UNSET_DOUBLE,
)
from scizor_dagster.paper_exchange.tws_door.wire import Field, text_of
from scizor_dagster.paper_exchange.tws_door.words import stamp, status_of, tif_of, type_of, utc_stamp, why_held
from scizor_dagster.paper_exchange.venue_orders import Execution, OrderKind, Status, VenueOrder
from scizor_dagster.paper_exchange.venue_views import AccountView, VenueListing

ZERO = Decimal(0)
_MARGINS = ("initMargin", "maintMargin", "equityWithLoan")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an order belongs: who placed it, under which id. A manual order has client and order id 0."""

    client: int
    order: int


@dataclass(frozen=True, slots=True)
class Told:
    """One order with all that a message says of it."""

    order: VenueOrder
    listing: VenueListing
    account_id: str
    address: Address
    perm_id: int
    parent: Address | None = None
    parent_perm_id: int | None = None


def open_order(told: Told) -> list[Field]:
    """Message 5."""
    order = told.order
    values = OPEN_ORDER_DEFAULTS | contract_fields(told.listing, strike="0", right="?")
    values |= said_in(order.ticket.owner) | _terms(told)
    values |= {
        "orderId": str(told.address.order),
        "clientId": str(told.address.client),
        "totalQuantity": text_of(order.qty or ZERO),
        "status": status_of(order),
        "parentId": str(told.parent.order if told.parent else 0),
        "sharesAllocation": f"{told.perm_id}.0/{told.account_id}/{text_of(order.qty or ZERO)}",
        "adjustedTrailStopPrice": _trail_stop(order) or UNSET_DOUBLE,
    }
    return in_order(OPEN_ORDER, values)


def preview(
    request: Mapping[str, str],
    listing: VenueListing,
    account_id: str,
    margins: tuple[AccountView, AccountView],
    commission: Decimal,
) -> list[Field]:
    """Message 5 as the answer to a what-if: the order's own words, the margin before and after it, what it costs."""
    values = OPEN_ORDER_DEFAULTS | contract_fields(listing, strike="0", right="?")
    values |= {name: request[name] for name in ("orderId", "action", "totalQuantity", "orderType", "tif", "orderRef")}
    values |= {"account": account_id, "whatIf": "1", "status": "PreSubmitted", "clientId": request.get("clientId", "0")}
    values |= {"lmtPrice": request["lmtPrice"] or "0.0", "auxPrice": request["auxPrice"] or "0.0", "permId": "0"}
    before, after = (
        dict(zip(_MARGINS, (view.initial_margin, view.maintenance_margin, view.equity), strict=True))
        for view in margins
    )
    for name in _MARGINS:
        values |= {
            f"{name}Before": text_of(before[name]),
            f"{name}Change": text_of(after[name] - before[name]),
            f"{name}After": text_of(after[name]),
        }
    values |= {"commission": text_of(commission), "commissionCurrency": margins[0].currency}
    return in_order(OPEN_ORDER, values)


def order_status(told: Told, *, status: str | None = None) -> list[Field]:
    """Message 3; `status` in place of the order's own."""
    order = told.order
    average = order.average_price or ZERO
    remaining = ZERO if order.status is Status.FILLED else order.remaining
    parent = told.parent.order if told.parent else 0
    head: list[Field] = [3, told.address.order, status or status_of(order), order.filled_qty, remaining, average]
    return [*head, told.perm_id, parent, average, told.address.client, why_held(order), 0]


def completed_order(told: Told, zone: str) -> list[Field]:
    """Message 101. A filled order shows no total quantity; there is no order id."""
    order = told.order
    filled = order.status is Status.FILLED
    values = COMPLETED_ORDER_DEFAULTS | contract_fields(told.listing, strike="0", right="?")
    values |= said_in(order.ticket.owner) | _terms(told)
    values |= {
        "totalQuantity": text_of(ZERO if filled else order.qty or ZERO),
        "filledQuantity": text_of(order.filled_qty),
        "status": status_of(order),
        "completedTime": stamp(order.updated_at, zone),
        "completedStatus": _ending(order),
        "adjustedTrailStopPrice": _trail_stop(order) or UNSET_DOUBLE,
    }
    if told.parent_perm_id is not None:
        values["parentPermId"] = str(told.parent_perm_id)
    return in_order(COMPLETED_ORDER, values)


def exec_details(told: Told, fill: Execution, *, req_id: int, zone: str, named_zone: bool) -> list[Field]:
    """Message 11: 31 fields. `req_id` is -1 for an execution as it happens."""
    contract = contract_fields(told.listing, strike="0.0", right="", exchange=primary_exchange(told.listing))
    fields: list[Field] = [11, req_id, told.address.order, *contract.values(), execution_id(fill)]
    fields += [stamp(fill.at, zone, named=named_zone), told.account_id, contract["exchange"]]
    fields += ["BOT" if fill.side is Side.BUY else "SLD", fill.qty, fill.price, told.perm_id, told.address.client, 0]
    fields += [fill.cumulative_qty, told.order.average_price or fill.price, told.order.ticket.reference]
    return [*fields, "", "", "", 2]


def commission_report(fill: Execution, currency: str) -> list[Field]:
    """Message 59. The realised profit of an opening fill is unset."""
    realized = fill.realized_pnl if fill.realized_pnl else UNSET_DOUBLE
    return [59, 1, execution_id(fill), fill.commission, currency, realized, UNSET_DOUBLE, ""]


def execution_id(fill: Execution) -> str:
    """The venue's id with the number of its correction as its last part, which is all that a correction changes."""
    return f"{fill.execution_id}.{fill.correction:02d}"


def _terms(told: Told) -> dict[str, str]:
    ticket = told.order.ticket
    return {
        "action": ticket.side.value.upper(),
        "orderType": type_of(told.order),
        "lmtPrice": _price(ticket.limit_price),
        "auxPrice": _price(ticket.trail_price if ticket.kind is OrderKind.TRAILING_STOP else ticket.stop_price),
        "tif": tif_of(told.order),
        "goodTillDate": utc_stamp(ticket.good_till) if ticket.good_till is not None else "",
        "ocaGroup": ticket.group or "",
        "account": told.account_id,
        "orderRef": ticket.reference,
        "permId": str(told.perm_id),
        "outsideRth": "1" if ticket.extended_hours else "0",
        "trailingPercent": text_of(ticket.trail_percent),
        "trailStopPrice": _trail_stop(told.order),
    }


def _price(value: Decimal | None) -> str:
    return "0.0" if value is None else text_of(value)


def _trail_stop(order: VenueOrder) -> str:
    ticket = order.ticket
    if ticket.kind is not OrderKind.TRAILING_STOP:
        return ""
    stop = stop_of(order)
    return "" if stop is None else text_of(stop)


def _ending(order: VenueOrder) -> str:
    if order.status is Status.FILLED:
        return f"Filled Size: {text_of(order.filled_qty)}"
    by = "Trader" if order.status is Status.CANCELED else "System"
    return f"Cancelled by {by}" + (f":{order.reason}" if order.reason else "")
