"""What happens between sessions: splits, dividends and delistings of what is held.

What belongs here: the effect of corporate actions on the books, before the open of their ex session.
What does not: actions that are known only later (`late`), where actions come from (`data`), and
adjusting prices (`market_data`).

A split multiplies the position (a fraction stays a fraction, to nine decimals) and divides its
prices; orders that rest in the instrument are cancelled, because their quantity is in old units. A
dividend is paid on its ex session, in whole cents, on the position that was held before; a short
position pays it. Splits come first: a dividend's amount is per share as it trades on the ex session.

A delisting closes the position for cash, a short one too, and ends its orders. What a delisted share
pays is not in the data: the last close is the assumption, which is near what a takeover pays and more
than a bankruptcy leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from scizor_dagster.brokers.protocol import OrderStatus
from scizor_dagster.instruments import split_quantity
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.model import AVERAGE_STEP, Activity, Books
from scizor_dagster.paper_exchange.venue_orders import ZERO

_CENT = Decimal("0.01")
_ORDER = {"split": 0, "dividend": 1, "delisting": 2}


def in_order(actions: Sequence[SessionAction]) -> list[SessionAction]:
    """By session, then splits before dividends before delistings; kinds without an effect are dropped."""
    known = [row for row in actions if row.kind in _ORDER]
    return sorted(known, key=lambda row: (row.session, _ORDER[row.kind], row.symbol))


def in_cents(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT, ROUND_HALF_EVEN)


def apply_actions(books: Books, actions: Sequence[SessionAction], at: datetime) -> None:
    """Apply the actions of one morning to positions and resting orders."""
    for action in in_order(actions):
        if action.kind == "split" and action.ratio is not None and action.ratio > 0:
            _split(books, action, action.ratio, at)
        elif action.kind == "dividend" and action.amount is not None:
            pay_dividend(books, action, action.amount, _held(books, action.symbol))
        elif action.kind == "delisting":
            end_orders(books, action.symbol, f"delisted from session {action.session}", at)
            settle_delisting(books, action, _held(books, action.symbol))


def end_orders(books: Books, symbol: str, reason: str, at: datetime) -> None:
    for order in [row for row in books.orders.values() if row.symbol == symbol]:
        books.end(order, OrderStatus.CANCELED, reason, at)


def split_reason(ratio: Decimal, session: date) -> str:
    return f"split {ratio:f} for 1 before session {session}"


def record_split(books: Books, action: SessionAction, ratio: Decimal, remark: str = "") -> Activity:
    text = f"{action.symbol}: {ratio:f} new shares for 1{remark}"
    return books.record("split", action.session, action.symbol, text, qty_factor=ratio)


def pay_dividend(
    books: Books, action: SessionAction, per_share: Decimal, held: Decimal, remark: str = ""
) -> Activity | None:
    """Pay on `held` shares; None where that is less than half a cent."""
    amount = in_cents(held * per_share)
    if amount == 0:
        return None
    text = f"{action.symbol}: {per_share:f} per share on {held:f} shares{remark}"
    return books.record("dividend", action.session, action.symbol, text, amount=amount)


def settle_delisting(books: Books, action: SessionAction, held: Decimal, remark: str = "") -> Activity | None:
    """Turn the position into cash at the action's price, else at the position's last; None without a position."""
    position = books.positions.pop(action.symbol, None)
    if position is None or held == 0:
        return None
    price = position.last_price if action.amount is None else action.amount
    text = f"{action.symbol}: delisted, {held:f} shares settled in cash at the last close {price:f}{remark}"
    return books.record(
        "delisting", action.session, action.symbol, text, amount=in_cents(held * price), qty_factor=ZERO
    )


def _held(books: Books, symbol: str) -> Decimal:
    position = books.positions.get(symbol)
    return position.qty if position else ZERO


def _split(books: Books, action: SessionAction, ratio: Decimal, at: datetime) -> None:
    end_orders(books, action.symbol, split_reason(ratio, action.session), at)
    position = books.positions.get(action.symbol)
    if position is None:
        return
    record_split(books, action, ratio)
    qty = split_quantity(position.qty, ratio)
    if qty == 0:
        # Less than a billionth of a share is left.
        del books.positions[action.symbol]
        return
    books.positions[action.symbol] = replace(
        position,
        qty=qty,
        average_price=(position.average_price / ratio).quantize(AVERAGE_STEP),
        last_price=(position.last_price / ratio).quantize(AVERAGE_STEP),
    )
