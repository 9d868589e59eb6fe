"""What corporate actions do to an account at the venue, before the open of their session.

What belongs here: positions, cash and resting orders of `VenueBooks`. What does not: where actions come
from (`data`), and the step-wise books (`overnight`), whose order and arithmetic are used here too.

A forward split at Alpaca changes the price and the quantity of good-till-cancelled limits that buy and
stops that sell, and nothing else; a reverse split, and every split at Interactive Brokers, ends what
rests in the instrument. A dividend lowers those same orders by its amount, unless they belong to others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.instruments import split_quantity
from scizor_dagster.paper_exchange.data import SessionAction
from scizor_dagster.paper_exchange.families import cancel_with_children
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import AVERAGE_STEP, PRICE_STEP, average_cost
from scizor_dagster.paper_exchange.overnight import in_cents, in_order, split_reason
from scizor_dagster.paper_exchange.venue_books import Holding, VenueBooks
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    Duration,
    EventKind,
    House,
    OrderClass,
    OrderKind,
    VenueOrder,
)


def apply_actions(books: VenueBooks, actions: Sequence[SessionAction], at: datetime, market: MarketView) -> None:
    """Apply the actions of one morning: splits, dividends, delistings, then renames."""
    for action in in_order(actions):
        if action.symbol not in market.instruments:
            end_resting(books, action.symbol, "not listed any more", at)
        if action.kind == "split" and action.ratio is not None and action.ratio > 0:
            _split(books, action, action.ratio, at, market)
        elif action.kind == "dividend" and action.amount is not None:
            _dividend(books, action, action.amount, at, market)
        elif action.kind == "delisting":
            _delisting(books, action, at)
    for day in sorted({action.session for action in actions}):
        _rename(books, [row for row in actions if row.session == day], at, market)


def _resting(books: VenueBooks, symbol: str) -> list[VenueOrder]:
    return [order for order in books.orders.values() if order.ticket.symbol == symbol]


def end_resting(books: VenueBooks, symbol: str, reason: str, at: datetime) -> None:
    """Cancel every order of an instrument."""
    for order in _resting(books, symbol):
        if order.order_id in books.orders:
            cancel_with_children(books, order, at, reason)


def _is_adjusted(order: VenueOrder) -> bool:
    """A limit that buys or a stop that sells, good till cancelled."""
    ticket = order.ticket
    if ticket.duration is not Duration.GTC or ticket.group is not None or ticket.order_class is not OrderClass.SIMPLE:
        return False
    if ticket.side is Side.BUY:
        return ticket.kind is OrderKind.LIMIT
    return ticket.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP)


def _split(books: VenueBooks, action: SessionAction, ratio: Decimal, at: datetime, market: MarketView) -> None:
    symbol = action.symbol
    if books.house is House.IBKR or ratio < 1:
        end_resting(books, symbol, split_reason(ratio, action.session), at)
    else:
        for order in _resting(books, symbol):
            if _is_adjusted(order):
                _split_order(books, order, ratio, at, market)
    holding = books.positions.get(symbol)
    if holding is None:
        return
    qty = split_quantity(holding.qty, ratio)
    text = f"{symbol}: {ratio:f} new shares for 1"
    books.record("split", at, symbol, text, qty=qty - holding.qty, per_share=ratio, session=action.session)
    books.hold(symbol, qty, (holding.average_price / ratio).quantize(AVERAGE_STEP))


def _split_order(books: VenueBooks, order: VenueOrder, ratio: Decimal, at: datetime, market: MarketView) -> None:
    lot = market.instruments[order.ticket.symbol].lot

    def shares(qty: Decimal) -> Decimal:
        return (qty * ratio / lot).to_integral_value(ROUND_DOWN) * lot

    if order.qty is None:
        return
    order = _repriced(order, lambda price: price / ratio, market)
    trail = order.ticket.trail_price
    if trail is not None:
        order = replace(order, ticket=replace(order.ticket, trail_price=(trail / ratio).quantize(PRICE_STEP)))
    # What has filled stays as it was filled, in old shares.
    _restate(books, replace(order, qty=order.filled_qty + shares(order.remaining)), at)


def _dividend(books: VenueBooks, action: SessionAction, per_share: Decimal, at: datetime, market: MarketView) -> None:
    symbol = action.symbol
    held = books.held(symbol)
    amount = in_cents(held * per_share)
    if amount != 0:
        text = f"{symbol}: {per_share:f} per share on {held:f} shares"
        books.record("dividend", at, symbol, text, amount=amount, per_share=per_share, session=action.session)
    if books.house is not House.ALPACA:
        return
    for order in _resting(books, symbol):
        if _is_adjusted(order):
            lowered = _repriced(order, lambda price: price - per_share, market)
            prices = (lowered.ticket.limit_price, lowered.ticket.stop_price, lowered.high_water_mark)
            if any(price is not None and price <= 0 for price in prices):
                cancel_with_children(books, order, at, "the dividend is larger than its price")
            else:
                _restate(books, lowered, at)


def _repriced(order: VenueOrder, change: Callable[[Decimal], Decimal], market: MarketView) -> VenueOrder:
    """An order with its prices changed, and with the best price that it has followed."""
    ticket, mark = order.ticket, order.high_water_mark
    instrument = market.instruments[ticket.symbol]

    def new(price: Decimal | None) -> Decimal | None:
        if price is None:
            return None
        changed = change(price)
        step = instrument.price_step(changed)
        return (changed / step).to_integral_value(ROUND_FLOOR) * step

    return replace(
        order,
        ticket=replace(ticket, limit_price=new(ticket.limit_price), stop_price=new(ticket.stop_price)),
        high_water_mark=None if mark is None else change(mark).quantize(PRICE_STEP, ROUND_FLOOR),
    )


def _restate(books: VenueBooks, order: VenueOrder, at: datetime) -> None:
    restated = books.put(replace(order, updated_at=at))
    books.tell(EventKind.RESTATED, restated, at)


def _delisting(books: VenueBooks, action: SessionAction, at: datetime) -> None:
    symbol = action.symbol
    end_resting(books, symbol, f"delisted from session {action.session}", at)
    holding = books.positions.get(symbol)
    if holding is None:
        return
    price = holding.average_price if action.amount is None else action.amount
    text = f"{symbol}: delisted, {holding.qty:f} shares settled in cash at the last close {price:f}"
    books.record(
        "delisting", at, symbol, text, amount=in_cents(holding.qty * price), qty=-holding.qty, session=action.session
    )
    books.hold(symbol, ZERO, price)


def _rename(books: VenueBooks, actions: Sequence[SessionAction], at: datetime, market: MarketView) -> None:
    """Carry positions and orders to the new names of one day, all at once: a name may be given away and taken."""
    # What is not listed here stays under the name by which it can be seen.
    renames = [
        (row, row.new_symbol)
        for row in actions
        if row.kind == "rename" and row.new_symbol is not None and row.new_symbol in market.instruments
    ]
    resting = [(order, new) for row, new in renames for order in _resting(books, row.symbol)]
    held = [(row, new, books.positions.pop(row.symbol)) for row, new in renames if row.symbol in books.positions]
    for order, new in resting:
        _restate(books, replace(order, ticket=replace(order.ticket, symbol=new)), at)
    for row, new, holding in held:
        _add(books, new, holding)
        books.record("rename", at, new, f"{row.symbol} is {new} from session {row.session}", session=row.session)


def _add(books: VenueBooks, symbol: str, more: Holding) -> None:
    """Put a holding to what is held under its new name already: long to long at average cost, else net."""
    old = books.positions.get(symbol, Holding(symbol, ZERO, ZERO))
    qty = old.qty + more.qty
    average = max(old, more, key=lambda row: abs(row.qty)).average_price
    if old.qty * more.qty > 0:
        average = average_cost(old.qty, old.average_price, more.qty, more.average_price)
    books.hold(symbol, qty, average)
