"""Orders, their fills and their events as the wire has them.

What belongs here: bodies, field by field as recorded. What does not: which orders are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.paper_exchange.alpaca_door.formats import (
    NEW_YORK,
    instant,
    instant_or_none,
    number,
    number_or_none,
)
from scizor_dagster.paper_exchange.venue_orders import Execution, OrderClass, OrderKind, VenueEvent, VenueOrder
from scizor_dagster.paper_exchange.venue_views import NonTrade
from scizor_dagster.sessions import TradingCalendar

Body = dict[str, Any]
NON_TRADE_TYPES = {
    "split": "SPLIT",
    "dividend": "DIV",
    "rename": "NC",
    "delisting": "REORG",
    "deposit": "JNLC",
    "withdrawal": "JNLC",
    "fee": "FEE",
    "interest": "INT",
}
"""Kinds of the venue to activity types; a kind that has none of its own is MISC."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def order(row: VenueOrder, asset_id: str, legs: Sequence[Body] | None = None, status: str | None = None) -> Body:
    """An order. `status` stands in for its own, `legs` are rendered already."""
    ticket = row.ticket
    simple = ticket.order_class is OrderClass.SIMPLE
    return {
        "id": row.order_id,
        "client_order_id": ticket.client_order_id,
        "created_at": instant(row.created_at),
        "updated_at": instant(row.updated_at),
        "submitted_at": instant(row.submitted_at),
        "filled_at": instant_or_none(row.filled_at),
        "expired_at": instant_or_none(row.expired_at),
        "canceled_at": instant_or_none(row.canceled_at),
        "failed_at": instant_or_none(row.failed_at),
        "replaced_at": instant_or_none(row.replaced_at),
        "replaced_by": row.replaced_by,
        "replaces": row.replaces,
        "asset_id": asset_id,
        "symbol": ticket.symbol,
        "asset_class": "us_equity",
        "notional": number_or_none(ticket.notional),
        "qty": None if ticket.notional is not None else number_or_none(row.qty),
        "filled_qty": number(row.filled_qty),
        "filled_avg_price": number_or_none(row.average_price),
        "order_class": "" if simple else ticket.order_class.value,
        "order_type": ticket.kind.value,
        "type": ticket.kind.value,
        "side": ticket.side.value,
        "position_intent": row.intent.value,
        "time_in_force": ticket.duration.value,
        "limit_price": number_or_none(ticket.limit_price),
        "stop_price": number_or_none(_stop_price(row)),
        "status": status or row.status.value,
        "extended_hours": ticket.extended_hours,
        "legs": list(legs) if legs else None,
        "trail_percent": number_or_none(ticket.trail_percent),
        "trail_price": number_or_none(ticket.trail_price),
        "hwm": number_or_none(row.high_water_mark),
        "subtag": None,
        "source": None,
        "expires_at": instant_or_none(row.expires_at),
    }


def _stop_price(row: VenueOrder) -> Decimal | None:
    ticket, mark = row.ticket, row.high_water_mark
    if ticket.kind is not OrderKind.TRAILING_STOP or mark is None:
        return ticket.stop_price
    distance = ticket.trail_price
    if distance is None:
        distance = mark * (ticket.trail_percent or Decimal(0)) / 100
    return mark - distance if ticket.side is Side.SELL else mark + distance


def fill_activity(fill: Execution) -> Body:
    """A FILL activity; its id begins with the time in New York."""
    done = fill.leaves_qty == 0
    return {
        "activity_type": "FILL",
        "cum_qty": number(fill.cumulative_qty),
        "id": f"{_new_york_digits(fill.at)}::{_uuid(fill.execution_id)}",
        "leaves_qty": number(fill.leaves_qty),
        "order_id": fill.order_id,
        "order_status": "filled" if done else "partially_filled",
        "price": number(fill.price),
        "qty": number(fill.qty),
        "side": fill.side.value,
        "symbol": fill.symbol,
        "transaction_time": instant(fill.at),
        "type": "fill" if done else "partial_fill",
    }


def non_trade_activity(row: NonTrade, currency: str) -> Body:
    """A change of cash or quantity without a trade; fields that do not apply are absent."""
    body: Body = {
        "id": f"{row.session:%Y%m%d}000000000::{_uuid(row.activity_id)}",
        "activity_type": NON_TRADE_TYPES.get(row.kind, "MISC"),
        "date": row.session.isoformat(),
        "created_at": instant(row.at),
        "net_amount": number(row.amount),
        "description": row.description,
        "status": "executed",
        "currency": currency,
    }
    if row.symbol is not None:
        body |= {"symbol": row.symbol, "qty": number(row.qty)}
    if row.per_share is not None:
        body["per_share_amount"] = number(row.per_share)
    return body


def trade_update(event: VenueEvent, rendered: Body, calendar: TradingCalendar) -> Body:
    """The message of an event; `rendered` is its order."""
    shown = {name: value for name, value in rendered.items() if name not in ("subtag", "source")}
    shown["cancel_requested_at"] = None
    data: Body = {
        "at": instant(event.at),
        "event_id": _ulid(event),
        "event": _event_name(event),
        "timestamp": instant(event.at),
        "order": shown,
    }
    fill = event.execution
    if fill is not None:
        data |= {
            "price": number(fill.price),
            "qty": number(fill.qty),
            "position_qty": number(fill.position_qty),
            "execution_id": _uuid(fill.execution_id),
            "settle_date": calendar.next_session(fill.session).isoformat(),
        }
    elif event.kind.value != "pending_new":
        data["execution_id"] = _uuid(f"{event.account}/{event.number}")
    return {"stream": "trade_updates", "data": data}


def _event_name(event: VenueEvent) -> str:
    if event.execution is None or event.execution.correction == 1:
        return event.kind.value
    return "trade_correct" if event.execution.qty else "trade_bust"


def _new_york_digits(at: datetime) -> str:
    return f"{at.astimezone(NEW_YORK):%Y%m%d%H%M%S}{at.microsecond // 1000:03d}"


def _uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


def _ulid(event: VenueEvent) -> str:
    """26 letters that sort as the events do: milliseconds, then the account's event number."""
    value = (int(event.at.timestamp() * 1000) << 80) | (event.number & ((1 << 80) - 1))
    letters = []
    for _ in range(26):
        value, index = divmod(value, 32)
        letters.append(_CROCKFORD[index])
    return "".join(reversed(letters))
