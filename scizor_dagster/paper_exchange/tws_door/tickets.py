"""From a `placeOrder` to a ticket of the venue, or to the error that a TWS answers.

What belongs here: which words an order may have, and what they mean. What does not: placing it (`orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.tws_door.order_layouts import UNSET_DOUBLE
from scizor_dagster.paper_exchange.tws_door.requests import Request
from scizor_dagster.paper_exchange.tws_door.words import CLOSING, DURATIONS, KINDS
from scizor_dagster.paper_exchange.venue import Amendment, Duration, OrderKind, Ticket, VenueListing, VenueOrder

_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_LIMITED = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
_STOPPED = (OrderKind.STOP, OrderKind.STOP_LIMIT)


class ApiError(Exception):
    """An error message in answer to one request."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(f"{code}: {text}")


def invalid(cause: str) -> ApiError:
    return ApiError(321, f"Error validating request.-'bF' : cause - {cause}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order says of itself, checked."""

    side: Side
    qty: Decimal
    kind: OrderKind
    duration: Duration
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None

    def ticket(self, request: Request, listing: VenueListing, **more: str | None) -> Ticket:
        """The ticket; `more` are its client order id, owner, parent and group."""
        return Ticket(
            client_order_id=more.get("client_order_id") or "",
            symbol=listing.instrument.symbol,
            side=self.side,
            kind=self.kind,
            duration=self.duration,
            qty=self.qty,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            trail_price=self.trail_price,
            trail_percent=self.trail_percent,
            extended_hours=request.flag("outsideRth"),
            parent=more.get("parent"),
            group=more.get("group"),
            reference=request["orderRef"],
            owner=more.get("owner") or "",
        )

    def changes(self, order: VenueOrder, reference: str) -> Amendment:
        """What differs from an order that exists.

        Raises:
            ApiError: 105, the side differs.
        """
        ticket = order.ticket
        if ticket.side is not self.side:
            raise ApiError(105, "Order being modified does not match original order")
        trail = self.trail_price or self.trail_percent
        return Amendment(
            qty=_if_new(self.qty, order.qty),
            duration=self.duration if self.duration is not ticket.duration else None,
            limit_price=_if_new(self.limit_price, ticket.limit_price),
            stop_price=_if_new(self.stop_price, ticket.stop_price),
            trail=_if_new(trail, ticket.trail_price or ticket.trail_percent),
            kind=self.kind if self.kind is not ticket.kind else None,
            reference=reference if reference != ticket.reference else None,
        )


def terms_of(request: Request) -> Terms:
    """What a `placeOrder` says.

    Raises:
        ApiError: a word or a number that a TWS does not take.
    """
    if request["malformed"]:
        raise invalid("Orders with combination legs, algorithms, conditions or hedges are not simulated")
    kind = KINDS.get(request["orderType"])
    if kind is None:
        raise invalid("Invalid order type was entered")
    duration = Duration.CLS if request["orderType"] in CLOSING else DURATIONS.get(request["tif"])
    if duration is None:
        raise invalid("Invalid time in force")
    side = _SIDES.get(request["action"])
    if side is None:
        raise invalid(f"Invalid side: {request['action']}")
    qty = _number(request, "totalQuantity")
    if qty is None:
        raise invalid("Invalid order size was entered")
    if qty == 0:
        raise ApiError(434, "The order size cannot be zero.")
    if qty != qty.to_integral_value():
        raise ApiError(10243, "Fractional-sized order cannot be placed via API.")
    if _number(request, "cashQty"):
        raise ApiError(10244, "Cash Quantity cannot be used for this order")
    return _priced(request, side, qty, kind, duration)


def _priced(request: Request, side: Side, qty: Decimal, kind: OrderKind, duration: Duration) -> Terms:
    limit, aux = _number(request, "lmtPrice"), _number(request, "auxPrice")
    percent, stop = _number(request, "trailingPercent"), _number(request, "trailStopPrice")
    if kind in _LIMITED and limit is None:
        raise invalid("Please enter a limit price")
    if kind in _STOPPED and not aux:
        raise invalid("Please enter a stop price")
    if kind is OrderKind.TRAILING_STOP:
        if bool(aux) == bool(percent):
            raise invalid("Please enter either a trailing amount or a trailing percentage")
        return Terms(side, qty, kind, duration, None, stop or None, aux or None, percent or None)
    return Terms(
        side, qty, kind, duration, limit if kind in _LIMITED else None, aux if kind in _STOPPED else None, None, None
    )


def _number(request: Request, key: str) -> Decimal | None:
    raw = request[key]
    if raw in ("", UNSET_DOUBLE):
        return None
    try:
        value = Decimal(raw)
    except InvalidOperation:
        raise invalid(f"'{raw}' is not a number ({key})") from None
    if not value.is_finite():
        raise invalid(f"'{raw}' is not a number ({key})")
    return value


def _if_new(value: Decimal | None, old: Decimal | None) -> Decimal | None:
    return value if value != old else None
