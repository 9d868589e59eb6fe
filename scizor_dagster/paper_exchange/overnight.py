"""What happens between sessions: splits and dividends on what is held.

What belongs here: the effect of corporate actions on the books, before the open of their ex session.
What does not: where actions come from (`data`), and adjusting prices (`market_data`).

A split multiplies the position (a fraction stays a fraction, to nine decimals) and divides its
prices; orders that rest in the instrument are cancelled, because their quantity is in old units. A
dividend is paid on its ex session, in whole cents, on the position that was held before; a short
position pays it. Splits come first: a dividend's amount is per share as it trades on the ex session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from scizor_dagster.brokers.protocol import OrderStatus
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.model import QUANTITY_STEP, Books

_CENT = Decimal("0.01")
_AVERAGE_STEP = Decimal("0.00000001")


def split_quantity(qty: Decimal, ratio: Decimal) -> Decimal:
    """Shares after a split, to nine decimals."""
    return (qty * ratio).quantize(QUANTITY_STEP, ROUND_HALF_EVEN).normalize() + 0


def apply_actions(books: Books, actions: Sequence[SessionAction], at: datetime) -> None:
    """Apply the actions of one ex session to positions and resting orders."""
    for action in sorted(actions, key=lambda row: (row.kind != "split", row.symbol)):
        if action.kind == "split" and action.ratio is not None and action.ratio > 0:
            _split(books, action, action.ratio, at)
        elif action.kind == "dividend" and action.amount is not None:
            _dividend(books, action, action.amount)


def _split(books: Books, action: SessionAction, ratio: Decimal, at: datetime) -> None:
    for order in [row for row in books.orders.values() if row.symbol == action.symbol]:
        books.end(order, OrderStatus.CANCELED, f"split {ratio:f} for 1 before session {action.session}", at)
    position = books.positions.get(action.symbol)
    if position is None:
        return
    books.positions[action.symbol] = replace(
        position,
        qty=split_quantity(position.qty, ratio),
        average_price=(position.average_price / ratio).quantize(_AVERAGE_STEP),
        last_price=(position.last_price / ratio).quantize(_AVERAGE_STEP),
    )
    books.record(
        "split",
        action.session,
        action.symbol,
        f"{action.symbol}: {ratio:f} new shares for 1",
        qty_factor=ratio,
    )


def _dividend(books: Books, action: SessionAction, per_share: Decimal) -> None:
    position = books.positions.get(action.symbol)
    if position is None:
        return
    amount = (position.qty * per_share).quantize(_CENT, ROUND_HALF_EVEN)
    if amount == 0:
        return
    books.cash += amount
    books.record(
        "dividend",
        action.session,
        action.symbol,
        f"{action.symbol}: {per_share:f} per share on {position.qty:f} shares",
        amount=amount,
    )
