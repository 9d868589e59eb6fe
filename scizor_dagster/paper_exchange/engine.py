"""The operations on one account's books: place, cancel, begin a session, run a step, close.

What belongs here: the sequence of a session and the states of orders. What does not: prices of fills
(`matching`), rules of submission (`rules`), corporate actions (`overnight`), storage and time.

Every operation takes `Books` and writes to them; nothing here reads a clock, a store or a random
source, so that the same books and bars always give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from scizor_dagster.brokers.protocol import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.data import SessionAction, SessionBar
from scizor_dagster.paper_exchange.matching import (
    StepPrices,
    execution,
    step_capacity,
    step_prices,
    triggered,
)
from scizor_dagster.paper_exchange.model import LAST_STEP, Books, Order, Role, Rules, StepKind
from scizor_dagster.paper_exchange.overnight import apply_actions
from scizor_dagster.paper_exchange.rules import STOP_LOSS_SUFFIX, TAKE_PROFIT_SUFFIX, Market, check
from scizor_dagster.paper_exchange.venue_orders import ZERO, Refused
from scizor_dagster.planning.quantities import plain

_AUCTION_KINDS = {TimeInForce.OPG: StepKind.MARKET_ON_OPEN, TimeInForce.CLS: StepKind.MARKET_ON_CLOSE}
NO_TRADE = "no trade in this session"
NO_TRADING = "the session had no trading"


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Instants of the steps 1, 2 and 3 of a session."""

    open: datetime
    close: datetime

    def at(self, step: int) -> datetime:
        return self.open + (self.close - self.open) * max(step - 1, 0) / (LAST_STEP - 1)


def place(books: Books, request: OrderRequest, market: Market, rules: Rules, now: datetime) -> Order:
    """Take an order; a bracket is taken with its two legs, which rest until the entry has filled.

    Raises:
        Refused: a rule of the venue is broken; the books are unchanged.
    """
    check(books.state(), request, market, rules)
    bracket = request.order_type is OrderType.BRACKET
    entry = books.put(
        _new_order(
            books,
            request.client_order_id,
            request,
            now,
            kind=_kind(request),
            role=Role.ENTRY if bracket else Role.SIMPLE,
            limit_price=request.limit_price,
            take_profit=request.take_profit,
            stop_loss=request.stop_loss,
        )
    )
    if bracket:
        opposite = Side.SELL if request.side is Side.BUY else Side.BUY
        for suffix, role, kind in (
            (TAKE_PROFIT_SUFFIX, Role.TAKE_PROFIT, StepKind.LIMIT),
            (STOP_LOSS_SUFFIX, Role.STOP_LOSS, StepKind.STOP),
        ):
            books.put(
                _new_order(
                    books,
                    request.client_order_id + suffix,
                    replace(request, side=opposite),
                    now,
                    kind=kind,
                    role=role,
                    parent=request.client_order_id,
                    limit_price=request.take_profit if kind is StepKind.LIMIT else None,
                    stop_price=request.stop_loss if kind is StepKind.STOP else None,
                )
            )
    return entry


def _kind(request: OrderRequest) -> StepKind:
    if request.order_type is OrderType.LIMIT:
        return StepKind.LIMIT
    return _AUCTION_KINDS.get(request.time_in_force, StepKind.MARKET)


def _new_order(
    books: Books,
    client_order_id: str,
    request: OrderRequest,
    now: datetime,
    *,
    kind: StepKind,
    role: Role,
    parent: str | None = None,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
    take_profit: Decimal | None = None,
    stop_loss: Decimal | None = None,
) -> Order:
    number = books.take_number()
    return Order(
        number=number,
        client_order_id=client_order_id,
        broker_order_id=f"{books.account}-O{number}",
        symbol=request.symbol,
        side=request.side,
        qty=request.qty,
        kind=kind,
        role=role,
        session=request.session,
        status=OrderStatus.ACCEPTED,
        submitted_at=now,
        updated_at=now,
        parent=parent,
        limit_price=limit_price,
        stop_price=stop_price,
        take_profit=take_profit,
        stop_loss=stop_loss,
    )


def cancel(books: Books, client_order_id: str, now: datetime) -> None:
    """Cancel an open order. A bracket ends whole: cancelling the entry or one leg ends all that is open.

    Raises:
        Refused: the order is not open.
    """
    order = books.orders.get(client_order_id)
    if order is None:
        raise Refused("order_not_open", f"order {client_order_id} is not open")
    family = order.parent or (client_order_id if order.role is Role.ENTRY else None)
    for other in list(books.orders.values()):
        same = family is not None and family in (other.client_order_id, other.parent)
        if same or other.client_order_id == client_order_id:
            books.end(other, OrderStatus.CANCELED, "canceled on request", now)


def begin_session(
    books: Books, session: date, actions: Sequence[SessionAction], marks: Mapping[str, Decimal], at: datetime
) -> None:
    """Move the clock to before the open of `session`: corporate actions, then the last prices."""
    assert books.session is None or session > books.session, (books.session, session)
    books.session, books.step = session, 0
    apply_actions(books, actions, at)
    for symbol in list(books.positions):
        if symbol in marks:
            books.mark(symbol, marks[symbol])


def run_step(
    books: Books,
    bars: Mapping[str, SessionBar],
    rules: Rules,
    instruments: Mapping[str, Instrument],
    times: StepTimes,
) -> None:
    """Run the next step of the current session; the last one closes it."""
    assert books.session is not None
    assert books.step < LAST_STEP
    books.step += 1
    at = times.at(books.step)
    due = [row for row in books.orders.values() if row.session == books.session]
    in_step = [row for row in due if row.kind.auction in (None, books.step)]
    live = [row for row in in_step if not row.role.is_leg or row.parent not in books.orders]
    views = {symbol: step_prices(bars[symbol], books.step) for symbol in {row.symbol for row in due} if symbol in bars}
    capacity = {symbol: step_capacity(view, rules) for symbol, view in views.items()}
    # Stops before their take-profits: where one step could do both, the account gets the worse.
    for order in sorted(live, key=lambda row: (row.role is not Role.STOP_LOSS, row.number)):
        current = books.orders.get(order.client_order_id)
        if current is not None and order.symbol in views:
            instrument = instruments.get(order.symbol)
            lot = instrument.lot if instrument else 1
            _work(books, current, views[order.symbol], capacity, lot, rules, at)
    for symbol in books.positions:
        if symbol in bars:
            books.mark(symbol, step_prices(bars[symbol], books.step).price)
    _expire(books, bars, at)


def close_session(books: Books, at: datetime) -> None:
    """Close the current session, which had no trading: what still rests for it expires."""
    books.step = LAST_STEP
    _expire(books, None, at)


def _work(
    books: Books,
    order: Order,
    prices: StepPrices,
    capacity: dict[str, Decimal],
    lot: int,
    rules: Rules,
    at: datetime,
) -> None:
    if order.kind is StepKind.STOP and not triggered(order, prices):
        return
    done = execution(order, prices, capacity[order.symbol], lot, rules)
    if order.kind is StepKind.STOP:
        # From here on it is a market order, whatever the price does.
        order = books.put(replace(order, kind=StepKind.MARKET, updated_at=at))
        _end_sibling(books, order, "the stop-loss was triggered", at)
    if done is None:
        return
    capacity[order.symbol] -= done.qty
    order = books.fill(order, done.qty, done.price, done.fee, at)
    if order.role is Role.TAKE_PROFIT:
        _shrink_sibling(books, order, at)


def _sibling(books: Books, order: Order) -> Order | None:
    for other in books.orders.values():
        if other.parent == order.parent and other.client_order_id != order.client_order_id:
            return other
    return None


def _end_sibling(books: Books, order: Order, reason: str, at: datetime) -> None:
    other = _sibling(books, order) if order.role.is_leg else None
    if other is not None:
        books.end(other, OrderStatus.CANCELED, reason, at)


def _shrink_sibling(books: Books, order: Order, at: datetime) -> None:
    """The legs of a bracket share one quantity: what the take-profit sold, the stop no longer holds."""
    if not order.is_open:
        _end_sibling(books, order, "the take-profit has filled", at)
        return
    other = _sibling(books, order)
    if other is not None:
        books.put(replace(other, qty=order.remaining, updated_at=at))


def _expire(books: Books, bars: Mapping[str, SessionBar] | None, at: datetime) -> None:
    """End what can fill no more in the session: everything at its close, before it what was for an auction only."""
    for order in [row for row in books.orders.values() if row.session == books.session]:
        if books.step < (order.kind.auction or LAST_STEP):
            continue
        books.end(order, OrderStatus.EXPIRED, _expiry_reason(books, order, bars), at)


def _expiry_reason(books: Books, order: Order, bars: Mapping[str, SessionBar] | None) -> str:
    if bars is None:
        return NO_TRADING
    if order.symbol not in bars:
        return NO_TRADE
    if order.role.is_leg:
        parent = books.current(order.parent or "")
        if parent is not None and parent.status is not OrderStatus.FILLED:
            return "the entry did not fill entirely"
        return "neither leg's price was reached" if order.filled_qty == ZERO else "volume ran out"
    if order.filled_qty > ZERO:
        return f"volume ran out: {plain(order.filled_qty)} of {plain(order.qty)} filled"
    if order.kind is StepKind.LIMIT:
        return f"the limit {order.limit_price:f} was not reached"
    return NO_TRADE if bars[order.symbol].volume == 0 else "volume ran out: none filled"
