"""Closing positions: market orders for what is held, one or all.

What belongs here: the DELETE endpoints under `/v2/positions`. What does not: orders that a client
sends itself (`orders`).

Closing all with `cancel_orders` cancels first and closes at once: where a cancel has not settled, its
shares are still held, and the row of that position is a refusal in an answer that is a success (207).
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from uuid import uuid4

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import QUANTITY_STEP
from scizor_dagster.paper_exchange.alpaca_door.door import Call, Door, Reply
from scizor_dagster.paper_exchange.alpaca_door.errors import WireError, malformed
from scizor_dagster.paper_exchange.alpaca_door.formats import read_number
from scizor_dagster.paper_exchange.alpaca_door.orders import cancel_all, place, rendered
from scizor_dagster.paper_exchange.alpaca_door.positions import held
from scizor_dagster.paper_exchange.alpaca_door.render_account import error_row
from scizor_dagster.paper_exchange.venue_orders import Duration, OrderKind, Ticket, VenueOrder
from scizor_dagster.paper_exchange.venue_views import PositionView


def close_position(door: Door, call: Call) -> Reply:
    row = held(door, call.account, call.path["symbol"])
    made = _close(door, call.account, row, _closing_qty(call, row))
    return Reply(200, rendered(door, call.account, made, nested=False))


def close_positions(door: Door, call: Call) -> Reply:
    rows = cancel_all(door, call, "symbol") if call.flag("cancel_orders") else []
    for row in sorted(door.venue.positions(call.account), key=lambda row: row.symbol):
        try:
            made = _close(door, call.account, row, abs(row.qty))
        except WireError as error:
            rows.append(error_row(row.symbol, "symbol", error.http, error.body))
            continue
        rows.append(error_row(row.symbol, "symbol", 200, rendered(door, call.account, made, nested=False)))
    return Reply(207, rows)


def _closing_qty(call: Call, row: PositionView) -> Decimal:
    qty, percentage = call.get("qty"), call.get("percentage")
    if qty is not None and percentage is not None:
        raise malformed("only one of qty or percentage is accepted")
    if qty is not None:
        wanted = read_number(qty)
        if wanted is None or wanted <= 0:
            raise malformed("qty must be > 0")
        return wanted
    if percentage is not None:
        share = read_number(percentage)
        if share is None or not 0 < share <= 100:
            raise malformed("percentage must be between 0 and 100")
        return (abs(row.qty) * share / 100).quantize(QUANTITY_STEP, ROUND_DOWN)
    return abs(row.qty)


def _close(door: Door, account: str, row: PositionView, qty: Decimal) -> VenueOrder:
    is_long = row.qty > 0
    return place(
        door,
        account,
        Ticket(
            client_order_id=str(uuid4()),
            symbol=row.symbol,
            side=Side.SELL if is_long else Side.BUY,
            kind=OrderKind.MARKET,
            duration=Duration.DAY,
            qty=qty,
            intent=PositionIntent.SELL_TO_CLOSE if is_long else PositionIntent.BUY_TO_CLOSE,
        ),
    )
