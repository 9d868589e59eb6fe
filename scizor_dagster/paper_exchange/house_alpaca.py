"""Alpaca's habits: what it refuses, what it holds, what it charges.

What belongs here: its rules over one ticket and one change, with its wording. What does not: rules that
every house shares (`order_entry`), and the wire (`alpaca_door`).

Sources: docs.alpaca.markets (orders at Alpaca, user protection, margin and short selling, fractional
trading) and published probes of the paper API. Codes are this venue's own and stable.
"""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.instruments import QUANTITY_STEP, Instrument
from scizor_dagster.paper_exchange.buying_power import order_value
from scizor_dagster.paper_exchange.market_view import MarketView
from scizor_dagster.paper_exchange.model import LARGEST
from scizor_dagster.paper_exchange.order_entry import (
    Entry,
    check_price,
    check_prices,
    check_quantity,
    listed,
    priced,
    reserved_qty,
    stop_loss,
    take_profit,
)
from scizor_dagster.paper_exchange.rules import MAX_CLIENT_ID_LENGTH
from scizor_dagster.paper_exchange.venue_books import VenueBooks, opposite
from scizor_dagster.paper_exchange.venue_margin import LEAST_MARGIN_EQUITY, MarginRates, buying_power, equity
from scizor_dagster.paper_exchange.venue_orders import (
    ZERO,
    Amendment,
    Duration,
    OrderClass,
    OrderKind,
    Refused,
    Status,
    VenueOrder,
)
from scizor_dagster.paper_exchange.wash_trades import check_wash_trade

_CENT = Decimal("0.01")
_LEAST_NOTIONAL = Decimal(1)
_OPEN_AUCTION_CLOSES = timedelta(minutes=2)
_CLOSE_AUCTION_CLOSES = timedelta(minutes=10)
_NEXT_AUCTION_FROM = time(19)
_FRACTIONAL_KINDS = {OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT}
_CLASS_DURATIONS = {Duration.DAY, Duration.GTC}
_NOT_REPLACEABLE = {Status.ACCEPTED, Status.PENDING_NEW, Status.PENDING_CANCEL}
_COLLAR_FROM = Decimal(50)
_COLLARS = (Decimal("1.04"), Decimal("1.025"))


def _maintenance_long(price: Decimal) -> Decimal:
    return Decimal(1) if price < Decimal("2.5") else Decimal("0.5") if price <= 6 else Decimal("0.3")


def _maintenance_short(price: Decimal) -> Decimal:
    if price < 5:
        return max(Decimal("2.5") / price, Decimal(1))
    return max(5 / price, Decimal("0.3"))


class AlpacaRules:
    """See the module. `rates` are the published margin table."""

    rates = MarginRates(Decimal("0.5"), _maintenance_long, _maintenance_short)
    may_cross_zero = False

    def check(self, entry: Entry) -> PositionIntent:
        """What the order would do to the position. Raises `Refused` with the first rule that it breaks."""
        _account(entry)
        _client_order_id(entry)
        _instrument(entry)
        if entry.ticket.order_class is OrderClass.OCO and entry.ticket.kind is not OrderKind.LIMIT:
            raise Refused("oco_kind", "oco orders must be limit orders")
        check_quantity(entry.ticket)
        check_prices(entry.ticket)
        _durations(entry)
        _amounts(entry)
        for name, price in priced(entry.ticket):
            check_tick(name, price, entry.instrument)
        _classes(entry)
        check_wash_trade(entry)
        intent = _intent(entry)
        if entry.ticket.intent not in (None, intent):
            raise Refused(
                "position_intent_mismatch",
                f"position intent mismatch, inferred: {intent}, specified: {entry.ticket.intent}",
            )
        _stop_side(entry)
        if intent in (PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE):
            _exit(entry)
        else:
            _opening(entry, intent, self.multiplier(entry.books, equity(entry.books, entry.marks)))
        return intent

    def check_change(self, order: VenueOrder, changes: Amendment, market: MarketView) -> None:
        """Raise `Refused` where an order may not be replaced so."""
        if order.status is Status.REPLACED:
            raise Refused("already_replaced", "order already replaced")
        if order.status.terminal:
            raise Refused("order_not_open", "unable to replace order, order is not open", status=order.status.value)
        if order.status in _NOT_REPLACEABLE:
            raise Refused(
                "replace_in_status", f"cannot replace order in {order.status} status", status=order.status.value
            )
        ticket = order.ticket
        if ticket.notional is not None or (order.qty or ZERO) % 1 != 0:
            raise Refused("fractional_not_replaceable", "fractional and notional orders cannot be replaced")
        if changes.qty is not None:
            _replaced_quantity(order, changes.qty)
        for name, price in (("limit_price", changes.limit_price), ("stop_price", changes.stop_price)):
            if price is not None:
                check_tick(name, price, listed(market, ticket.symbol))
        if not _differs(order, changes):
            raise Refused("not_changed", "order parameters are not changed")

    def multiplier(self, books: VenueBooks, equity: Decimal) -> int:
        """Four by day from US$2,000 on, unless the account's settings say less."""
        return 1 if equity < LEAST_MARGIN_EQUITY else books.settings.max_margin_multiplier

    def commission(self, instrument: Instrument, qty: Decimal, value: Decimal) -> Decimal:  # noqa: ARG002
        """None: the paper environment has no regulatory fees either."""
        return ZERO

    def limit_of(self, order: VenueOrder) -> Decimal | None:
        """A stop that buys is a stop-limit: 4 % above its stop below 50.00, 2.5 % from there on."""
        ticket = order.ticket
        if ticket.kind is OrderKind.STOP and ticket.side is Side.BUY and ticket.stop_price is not None:
            return ticket.stop_price * _COLLARS[ticket.stop_price >= _COLLAR_FROM]
        return ticket.limit_price


def _account(entry: Entry) -> None:
    if entry.books.settings.suspend_trade:
        raise Refused("trading_suspended", "new orders are rejected by user request")


def _client_order_id(entry: Entry) -> None:
    if len(entry.ticket.client_order_id) > MAX_CLIENT_ID_LENGTH:
        raise Refused(
            "invalid_client_order_id", f"client_order_id must be no more than {MAX_CLIENT_ID_LENGTH} characters"
        )


def _instrument(entry: Entry) -> None:
    if not entry.instrument.tradable:
        raise Refused("not_tradable", f'asset "{entry.ticket.symbol}" is not tradable')


def _durations(entry: Entry) -> None:
    ticket = entry.ticket
    if ticket.duration in (Duration.OPG, Duration.CLS, Duration.IOC, Duration.FOK):
        if ticket.kind not in (OrderKind.MARKET, OrderKind.LIMIT):
            raise Refused("invalid_time_in_force", f"invalid time_in_force {ticket.duration} for {ticket.kind} orders")
        if ticket.order_class is not OrderClass.SIMPLE:
            raise Refused("invalid_time_in_force", "complex orders must be DAY or GTC orders")
    if ticket.extended_hours and (
        ticket.kind is not OrderKind.LIMIT
        or ticket.duration not in (Duration.DAY, Duration.GTC)
        or ticket.order_class is not OrderClass.SIMPLE
    ):
        raise Refused("extended_hours", "extended hours order must be DAY or GTC limit orders")
    if ticket.duration in (Duration.OPG, Duration.CLS):
        _auction_window(entry)


def _auction_window(entry: Entry) -> None:
    calendar = entry.market.calendar
    local = entry.now.astimezone(calendar.timezone)
    if not calendar.is_session(local.date()) or local.time() >= _NEXT_AUCTION_FROM:
        return
    hours = entry.market.hours(local.date())
    if entry.ticket.duration is Duration.OPG and entry.now >= hours.open - _OPEN_AUCTION_CLOSES:
        raise Refused("opg_window", "opg orders must be submitted after 7:00pm and before 9:28am")
    if entry.ticket.duration is Duration.CLS and entry.now >= hours.close - _CLOSE_AUCTION_CLOSES:
        raise Refused("cls_window", "cls orders must be submitted after 7:00pm and before 3:55pm")


def _amounts(entry: Entry) -> None:
    ticket = entry.ticket
    if ticket.notional is not None:
        if not ticket.notional.is_finite() or ticket.notional < _LEAST_NOTIONAL:
            raise Refused("notional_below_minimum", "notional must be >= 1.00")
        if ticket.notional > LARGEST:
            raise Refused("invalid_qty", f"notional must be <= {LARGEST}")
        if ticket.notional % _CENT != 0:
            raise Refused("notional_decimals", "notional value must be limited to 2 decimal places")
        if ticket.kind not in (OrderKind.MARKET, OrderKind.LIMIT):
            raise Refused("notional_kind", "notional orders must be market or limit orders")
    if not entry.is_fractional:
        return
    if ticket.qty is not None and ticket.qty % QUANTITY_STEP != 0:
        raise Refused("invalid_qty", "qty must have no more than 9 decimal places")
    if ticket.order_class is not OrderClass.SIMPLE:
        raise Refused("fractional_not_simple", "fractional orders must be simple orders")
    if ticket.duration is not Duration.DAY:
        raise Refused("fractional_not_day", "fractional orders must be DAY orders")
    if ticket.kind not in _FRACTIONAL_KINDS:
        raise Refused("fractional_kind", "fractional orders must be market, limit, stop or stop_limit orders")
    # A split may leave a fraction of what does not trade in fractions; the whole of it can be sold.
    if ticket.side is Side.SELL and ticket.qty is not None and ticket.qty == entry.held:
        return
    if not entry.books.settings.fractional_trading or not entry.rules.fractional:
        raise Refused("fractional_disabled", "fractional trading is disabled for this account")
    if not entry.instrument.fractionable:
        raise Refused("not_fractionable", f'asset "{ticket.symbol}" is not fractionable')


def check_tick(name: str, price: Decimal, instrument: Instrument) -> None:
    check_price(name, price)
    if price % instrument.price_step(price) != 0:
        raise Refused(
            "sub_penny_increment",
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria",
        )


def _classes(entry: Entry) -> None:
    ticket = entry.ticket
    if ticket.order_class is OrderClass.SIMPLE:
        if ticket.legs:
            raise Refused("unexpected_legs", "simple orders take no take_profit and stop_loss")
        return
    if ticket.duration not in _CLASS_DURATIONS:
        raise Refused("invalid_time_in_force", "complex orders must be DAY or GTC orders")
    if entry.is_successor:
        # Its legs are orders of their own by now.
        return
    profit, loss = take_profit(ticket), stop_loss(ticket)
    if ticket.order_class is OrderClass.OTO:
        if len(ticket.legs) != 1:
            raise Refused("oto_legs", "oto orders require either take_profit or stop_loss")
        return
    target = profit.limit_price if profit else ticket.limit_price if ticket.order_class is OrderClass.OCO else None
    for wanted, found in (("take_profit.limit_price", target), ("stop_loss.stop_price", loss and loss.stop_price)):
        if found is None:
            raise Refused("bracket_incomplete", f"{ticket.order_class} orders require {wanted}")
    assert target is not None
    assert loss is not None
    assert loss.stop_price is not None
    _leg_prices(entry, target, loss.stop_price)


def _leg_prices(entry: Entry, profit: Decimal, stop: Decimal) -> None:
    # An OCO leaves a position: its sides are those of the exit.
    entering = entry.ticket.side if entry.ticket.order_class is OrderClass.BRACKET else opposite(entry.ticket.side)
    sign = entering.sign
    if (profit - stop) * sign <= 0:
        word = ">" if sign > 0 else "<"
        raise Refused("bracket_prices", f"take_profit.limit_price must be {word} stop_loss.stop_price")
    if entry.price is None:
        raise Refused("no_price", f"no price of {entry.ticket.symbol} is known")
    if (entry.price - stop) * sign < _CENT:
        rule = "<= base_price - 0.01" if sign > 0 else ">= base_price + 0.01"
        raise Refused("bracket_prices", f"stop_loss.stop_price must be {rule}", base_price=entry.price)


def _intent(entry: Entry) -> PositionIntent:
    """What the order would do, after checking that it neither crosses zero nor uses held shares twice."""
    ticket, held = entry.ticket, entry.held
    buys = ticket.side is Side.BUY
    if held * ticket.side.sign >= 0:
        if held == 0:
            _no_opposite_opening(entry)
        return PositionIntent.BUY_TO_OPEN if buys else PositionIntent.SELL_TO_OPEN
    reserved, related = reserved_qty(entry, ticket.side)
    available = abs(held) - reserved
    wanted = ticket.qty if ticket.qty is not None else (ticket.notional or ZERO) / (entry.price or Decimal(1))
    if wanted > available:
        raise Refused(
            "insufficient_qty",
            f"insufficient qty available for order (requested: {wanted:f}, available: {available:f})",
            requested=wanted,
            available=available,
            existing_qty=abs(held),
            held_for_orders=reserved,
            symbol=ticket.symbol,
            related_orders=tuple(related),
        )
    return PositionIntent.BUY_TO_CLOSE if buys else PositionIntent.SELL_TO_CLOSE


def _no_opposite_opening(entry: Entry) -> None:
    """From flat, orders of both sides would open both ways, and the second to fill would cross zero."""
    for order in entry.others(opposite(entry.ticket.side)):
        if order.live_at is not None:
            raise Refused(
                "opposite_order_open",
                "cannot open a long buy while a short sell order is open"
                if entry.ticket.side is Side.BUY
                else "cannot open a short sell while a long buy order is open",
                existing_order_id=order.order_id,
            )


def _stop_side(entry: Entry) -> None:
    ticket = entry.ticket
    if ticket.stop_price is None or entry.price is None or ticket.side is Side.BUY:
        return
    if ticket.stop_price >= entry.price:
        raise Refused(
            "stop_price_beyond_market",
            "stop price must be less than current price",
            market_price=entry.price,
            stop_price=ticket.stop_price,
        )


def _exit(entry: Entry) -> None:
    if entry.ticket.order_class is OrderClass.BRACKET:
        raise Refused("bracket_not_entry", "bracket orders must be entry orders")


def _opening(entry: Entry, intent: PositionIntent, multiplier: int) -> None:
    ticket = entry.ticket
    if ticket.order_class is OrderClass.OCO:
        raise Refused("oco_not_exit", "oco orders must be exit orders")
    if intent is PositionIntent.SELL_TO_OPEN:
        _short(entry)
    if entry.ask is None:
        raise Refused("no_price", f"no price of {ticket.symbol} is known; an opening order cannot be valued")
    if ticket.notional is not None:
        value = basis = ticket.notional
    else:
        assert ticket.qty is not None
        limit = ticket.limit_price
        basis = ticket.qty * (entry.ask if limit is None else limit)
        value = order_value(ticket.side, ticket.qty, limit, entry.ask)
    if basis < entry.rules.min_order_notional:
        least = entry.rules.min_order_notional
        raise Refused("below_minimum", f"cost basis must be >= minimal amount of order {least:f}")
    power = buying_power(entry.books, entry.marks, multiplier)
    if value > power:
        raise Refused("insufficient_buying_power", "insufficient buying power", buying_power=power, cost_basis=value)


def _short(entry: Entry) -> None:
    ticket = entry.ticket
    poor = equity(entry.books, entry.marks) < LEAST_MARGIN_EQUITY
    settings = entry.books.settings
    if settings.no_shorting or settings.max_margin_multiplier == 1 or poor or not entry.rules.short_selling:
        raise Refused("short_not_allowed", "account is not allowed to short")
    if entry.is_fractional:
        raise Refused("fractional_short", "fractional orders cannot be sold short")
    if not entry.instrument.shortable:
        raise Refused("not_shortable", f'asset "{ticket.symbol}" cannot be sold short')
    if not entry.instrument.easy_to_borrow and ticket.duration is not Duration.DAY:
        raise Refused("hard_to_borrow", f'only day orders are allowed for hard-to-borrow asset "{ticket.symbol}"')


def _replaced_quantity(order: VenueOrder, qty: Decimal) -> None:
    if qty % 1 != 0 or qty <= 0:
        raise Refused("invalid_qty", "qty must be a whole number > 0")
    if qty <= order.filled_qty:
        raise Refused("qty_below_filled", "qty must be > filled_qty")
    if order.ticket.order_class is not OrderClass.SIMPLE and qty != order.qty:
        raise Refused("advanced_qty", "qty cannot be changed for advanced orders")


def _differs(order: VenueOrder, changes: Amendment) -> bool:
    ticket = order.ticket
    trail = ticket.trail_price if ticket.trail_percent is None else ticket.trail_percent
    return any(
        new is not None and new != old
        for new, old in (
            (changes.qty, order.qty),
            (changes.duration, ticket.duration),
            (changes.limit_price, ticket.limit_price),
            (changes.stop_price, ticket.stop_price),
            (changes.trail, trail),
            (changes.kind, ticket.kind),
        )
    )
