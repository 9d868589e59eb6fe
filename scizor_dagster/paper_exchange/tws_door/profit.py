"""Profit and loss as the API tells it: of an account, and of one position in it.

What belongs here: the figures and the two subscriptions. What does not: money and positions (`account_messages`).

The day began at the last close: what was held then is valued with it, and what was traded since at its prices.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.paper_exchange.tws_door.call import Answer, Call
from scizor_dagster.paper_exchange.tws_door.tickets import ApiError
from scizor_dagster.paper_exchange.tws_door.wire import Field
from scizor_dagster.paper_exchange.venue_orders import Execution
from scizor_dagster.paper_exchange.venue_views import PositionView

if TYPE_CHECKING:
    from scizor_dagster.paper_exchange.tws_door.session import Session

ZERO = Decimal(0)
_UNKNOWN_ACCOUNT = "Error validating request.-'cP' : cause - Invalid account code"


def _of_account(call: Call) -> None:
    _subscribe(call, None)


def _of_position(call: Call) -> None:
    _subscribe(call, call.request.number_of("conId"))


def _subscribe(call: Call, contract_id: int | None) -> None:
    account = call.door.book.account_named(call.request["account"])
    if account is None:
        raise ApiError(321, _UNKNOWN_ACCOUNT)
    call.session.profits[call.request.req_id] = (account, contract_id)
    send_profit(call.session, call.request.req_id)


def _cancel(call: Call) -> None:
    call.session.profits.pop(call.request.req_id, None)


def send_profit(session: Session, req_id: int) -> None:
    """What a subscription shows now."""
    account, contract_id = session.profits[req_id]
    venue, contracts = session.door.venue, session.door.contracts
    held = list(venue.positions(account))
    fills = _of_today(session, account)
    if contract_id is None:
        view = venue.account(account)
        unrealized = sum((_unrealized(row) for row in held), ZERO)
        session.send(94, req_id, view.equity - view.last_equity, unrealized, _realized(fills))
        return
    row = next((row for row in held if contracts.required(row.symbol).contract_id == contract_id), None)
    if row is None:
        session.send(95, req_id, 0, 0, 0, 0, 0)
        return
    own = [fill for fill in fills if fill.symbol == row.symbol]
    session.send(*_position_line(req_id, row, own))


def _position_line(req_id: int, row: PositionView, fills: list[Execution]) -> list[Field]:
    bought = sum((fill.side.sign * fill.qty for fill in fills), ZERO)
    paid = sum((fill.side.sign * fill.qty * fill.price + fill.commission for fill in fills), ZERO)
    value = row.qty * row.price
    daily = value - (row.qty - bought) * row.last_day_price - paid
    return [95, req_id, row.qty, daily, _unrealized(row), _realized(fills), value]


def _of_today(session: Session, account: str) -> list[Execution]:
    venue = session.door.venue
    zone = venue.calendar.timezone
    now = venue.now()
    midnight: datetime = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return list(venue.executions(account, midnight, now))


def _unrealized(row: PositionView) -> Decimal:
    return row.qty * (row.price - row.average_price)


def _realized(fills: list[Execution]) -> Decimal:
    return sum((fill.realized_pnl for fill in fills), ZERO)


PROFIT_ANSWERS: dict[str, Answer] = {
    "reqPnL": _of_account,
    "cancelPnL": _cancel,
    "reqPnLSingle": _of_position,
    "cancelPnLSingle": _cancel,
}
