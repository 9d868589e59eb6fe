"""How the venue's objects look as rows of its tables, there and back.

What belongs here: the spelling of tickets, orders, executions and activities. What does not: queries and
transactions (`venue_store`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.paper_exchange import watchlists
from scizor_dagster.paper_exchange.venue_orders import (
    Duration,
    Execution,
    Leg,
    OrderClass,
    OrderKind,
    Status,
    Ticket,
    VenueOrder,
)
from scizor_dagster.paper_exchange.venue_views import AccountSettings, NonTrade

_MONEY = ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")
_INSTANTS = ("good_after", "good_till")
_ORDER_FIELDS = tuple(field.name for field in fields(VenueOrder) if field.name not in ("ticket", "status", "intent"))
_EXECUTION_FIELDS = tuple(field.name for field in fields(Execution) if field.name != "side")
_SETTINGS = tuple(field.name for field in fields(AccountSettings))
_ACTIVITY_FIELDS = tuple(field.name for field in fields(NonTrade))


def ticket_json(ticket: Ticket) -> dict[str, Any]:
    """A ticket as JSON; what is not set is left out."""
    facts = {name: _plain(value) for name, value in asdict(ticket).items() if value not in (None, "", ())}
    if ticket.legs:
        facts["legs"] = [{name: _plain(value) for name, value in asdict(leg).items()} for leg in ticket.legs]
    return facts


def ticket_of(facts: Mapping[str, Any]) -> Ticket:
    known: dict[str, Any] = dict(facts)
    known.update({name: _decimal(known.get(name)) for name in _MONEY})
    known["side"] = Side(known["side"])
    known["kind"] = OrderKind(known["kind"])
    known["duration"] = Duration(known["duration"])
    known["order_class"] = OrderClass(known["order_class"])
    known["intent"] = PositionIntent(known["intent"]) if "intent" in known else None
    known["session"] = date.fromisoformat(known["session"]) if "session" in known else None
    known.update({name: datetime.fromisoformat(known[name]) for name in _INSTANTS if name in known})
    known["legs"] = tuple(
        Leg(OrderKind(leg["kind"]), _decimal(leg["limit_price"]), _decimal(leg["stop_price"]))
        for leg in known.get("legs", ())
    )
    return Ticket(**known)


def order_row(account: str, order: VenueOrder) -> dict[str, Any]:
    ticket = order.ticket
    return {
        **{name: getattr(order, name) for name in _ORDER_FIELDS},
        "account": account,
        "client_order_id": ticket.client_order_id,
        "symbol": ticket.symbol,
        "side": ticket.side.value,
        "ticket": ticket_json(ticket),
        "status": order.status.value,
        "intent": order.intent.value,
    }


def order_of(row: Any) -> VenueOrder:
    return VenueOrder(
        **{name: getattr(row, name) for name in _ORDER_FIELDS},
        ticket=ticket_of(row.ticket),
        status=Status(row.status),
        intent=PositionIntent(row.intent),
    )


def execution_row(account: str, execution: Execution) -> dict[str, Any]:
    facts = {name: getattr(execution, name) for name in _EXECUTION_FIELDS}
    return {**facts, "account": account, "side": execution.side.value}


def execution_of(row: Any) -> Execution:
    return Execution(**{name: getattr(row, name) for name in _EXECUTION_FIELDS}, side=Side(row.side))


def activity_row(account: str, activity: NonTrade) -> dict[str, Any]:
    return {**{name: getattr(activity, name) for name in _ACTIVITY_FIELDS}, "account": account}


def activity_of(row: Any) -> NonTrade:
    return NonTrade(**{name: getattr(row, name) for name in _ACTIVITY_FIELDS})


def settings_json(settings: AccountSettings) -> dict[str, Any]:
    facts = {name: getattr(settings, name) for name in _SETTINGS if name != "watchlists"}
    return facts | {"watchlists": [watchlists.as_json(row) for row in settings.watchlists]}


def settings_of(facts: Mapping[str, Any]) -> AccountSettings:
    """Settings that were stored before there was one of them have its default."""
    rows = tuple(watchlists.of_json(row) for row in facts.get("watchlists", ()))
    return AccountSettings(**{**facts, "watchlists": rows})


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    return value


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
