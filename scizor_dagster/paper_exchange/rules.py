"""What the venue refuses at submission. Each rule is a function that returns or raises `Refused`.

What belongs here: rules over one new order and the books as they are. What does not: matching.
The rules and their wording follow Alpaca's trading API; codes are this exchange's own and stable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import OrderRequest, OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.instruments import QUANTITY_STEP, Instrument
from scizor_dagster.paper_exchange.buying_power import buying_power, order_value
from scizor_dagster.paper_exchange.model import LARGEST, Order, Role, Rules, State, StepKind
from scizor_dagster.paper_exchange.venue_orders import ZERO, Refused

MAX_CLIENT_ID_LENGTH = 128
TAKE_PROFIT_SUFFIX = ".tp"
STOP_LOSS_SUFFIX = ".sl"
_PENNY = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Market:
    """What the venue knows about instruments when an order arrives.

    Attributes:
        prices: Last price by symbol, in the units of the order's session.
    """

    instruments: Mapping[str, Instrument]
    prices: Mapping[str, Decimal]


def check(state: State, request: OrderRequest, market: Market, rules: Rules) -> None:
    """Raise `Refused` with the first rule that the order breaks."""
    _client_order_id(request)
    instrument = _instrument(request, market)
    if state.has_closed(request.session):
        raise Refused("session_closed", f"session {request.session} has closed")
    if request.time_in_force is not TimeInForce.DAY:
        _auction(state, request, instrument, rules)
    held = state.held(request.symbol)
    _quantity(request, instrument, rules, held)
    _prices(request, instrument, market.prices.get(request.symbol))
    _wash_trade(state, request)
    inferred = _inferred_intent(state, request, held)
    if inferred is not request.intent:
        raise Refused(
            "position_intent_mismatch",
            f"position intent mismatch, inferred: {inferred}, specified: {request.intent}",
        )
    if inferred in (PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE):
        if request.order_type is OrderType.BRACKET:
            raise Refused("bracket_not_entry", "bracket orders must be entry orders")
        return
    if inferred is PositionIntent.SELL_TO_OPEN:
        _short(request, instrument, rules)
    _opening_value(state, request, market, rules)


def _client_order_id(request: OrderRequest) -> None:
    longest = MAX_CLIENT_ID_LENGTH - (len(TAKE_PROFIT_SUFFIX) if request.order_type is OrderType.BRACKET else 0)
    if not 0 < len(request.client_order_id) <= longest:
        raise Refused(
            "invalid_client_order_id",
            f"client_order_id must be no more than {longest} characters and not empty",
        )


def _instrument(request: OrderRequest, market: Market) -> Instrument:
    instrument = market.instruments.get(request.symbol)
    if instrument is None:
        raise Refused("asset_not_found", f'asset "{request.symbol}" not found')
    if not instrument.tradable:
        raise Refused("not_tradable", f'asset "{request.symbol}" is not tradable')
    return instrument


def _auction(state: State, request: OrderRequest, instrument: Instrument, rules: Rules) -> None:
    lasting = request.time_in_force
    if not rules.auction_orders or not instrument.exchange.auctions:
        raise Refused("invalid_time_in_force", f"time_in_force {lasting} is not supported; use day")
    if request.order_type is not OrderType.MARKET:
        raise Refused("invalid_time_in_force", f"{lasting} orders must be market orders")
    if request.qty % 1 != 0:
        raise Refused("fractional_not_day", "fractional orders must be DAY orders")
    if lasting is TimeInForce.OPG and state.session == request.session and state.step > 0:
        raise Refused("auction_over", "opg orders must be submitted before the open")


def _quantity(request: OrderRequest, instrument: Instrument, rules: Rules, held: Decimal) -> None:
    qty = request.qty
    if not qty.is_finite() or not 0 < qty <= LARGEST:
        raise Refused("invalid_qty", f"qty must be > 0 and <= {LARGEST}")
    if qty % QUANTITY_STEP != 0:
        raise Refused("invalid_qty", "qty must have no more than 9 decimal places")
    if qty % instrument.lot == 0:
        return
    if request.order_type is OrderType.BRACKET:
        raise Refused("fractional_not_simple", "fractional orders must be simple orders")
    # A split may leave a fraction of what does not trade in fractions; the whole of it can be sold.
    whole_exit = request.side is Side.SELL and qty == held
    if not whole_exit and not (rules.fractional and instrument.fractionable):
        raise Refused("not_fractionable", f'asset "{request.symbol}" is not fractionable')


def _prices(request: OrderRequest, instrument: Instrument, last: Decimal | None) -> None:
    if request.order_type is OrderType.LIMIT and request.limit_price is None:
        raise Refused("limit_price_required", "limit orders require a limit price")
    if request.order_type is not OrderType.LIMIT and request.limit_price is not None:
        raise Refused("unexpected_price", "market orders require no stop or limit price")
    legs = (request.take_profit, request.stop_loss)
    if request.order_type is not OrderType.BRACKET and legs != (None, None):
        raise Refused("unexpected_price", "only bracket orders take take_profit and stop_loss")
    for name, price in (
        ("limit_price", request.limit_price),
        ("take_profit.limit_price", request.take_profit),
        ("stop_loss.stop_price", request.stop_loss),
    ):
        if price is not None:
            _tick(name, price, instrument)
    if request.order_type is OrderType.BRACKET:
        _bracket(request, last)


def _tick(name: str, price: Decimal, instrument: Instrument) -> None:
    if not price.is_finite() or not 0 < price <= LARGEST:
        raise Refused("invalid_price", f"invalid {name} {price}. it must be > 0 and <= {LARGEST}")
    if price % instrument.price_step(price) != 0:
        raise Refused(
            "sub_penny_increment",
            f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria",
        )


def _bracket(request: OrderRequest, last: Decimal | None) -> None:
    profit, stop = request.take_profit, request.stop_loss
    if profit is None or stop is None:
        raise Refused("bracket_incomplete", "bracket orders require take_profit and stop_loss")
    if last is None:
        raise Refused("no_price", f"no price of {request.symbol} is known")
    sign = request.side.sign
    if (profit - stop) * sign <= 0:
        word = ">" if sign > 0 else "<"
        raise Refused("bracket_prices", f"take_profit.limit_price must be {word} stop_loss.stop_price")
    if (last - stop) * sign < _PENNY:
        rule = "<= base_price - 0.01" if sign > 0 else ">= base_price + 0.01"
        raise Refused("bracket_prices", f"stop_loss.stop_price must be {rule} (base_price: {last})")


def _wash_trade(state: State, request: OrderRequest) -> None:
    """Refuse an order that could trade with one's own. Exempt: brackets, and limits that do not meet."""
    if request.order_type is OrderType.BRACKET:
        return
    for order in state.orders.values():
        if order.symbol != request.symbol or order.side is request.side or order.role is not Role.SIMPLE:
            continue
        if not _limits_apart(order, request):
            raise Refused(
                "wash_trade",
                "potential wash trade detected. use complex orders "
                f"(opposite side order exists: {order.client_order_id})",
            )


def _limits_apart(order: Order, request: OrderRequest) -> bool:
    if order.kind is not StepKind.LIMIT or order.limit_price is None or request.limit_price is None:
        return False
    buy, sell = (
        (request.limit_price, order.limit_price)
        if request.side is Side.BUY
        else (order.limit_price, request.limit_price)
    )
    return buy < sell


def _inferred_intent(state: State, request: OrderRequest, held: Decimal) -> PositionIntent:
    """What the order would do, after checking that it neither crosses zero nor uses held shares twice."""
    if held * request.side.sign >= 0:
        _no_opposite_opening(state, request, held)
        return PositionIntent.BUY_TO_OPEN if request.side is Side.BUY else PositionIntent.SELL_TO_OPEN
    reserved = closing_quantity(state, request.symbol, request.side)
    available = abs(held) - reserved
    if request.qty > available:
        raise Refused(
            "insufficient_qty",
            f"insufficient qty available for order (requested: {request.qty}, available: {available}, "
            f"existing_qty: {held}, held_for_orders: {reserved})",
        )
    return PositionIntent.BUY_TO_CLOSE if request.side is Side.BUY else PositionIntent.SELL_TO_CLOSE


def _no_opposite_opening(state: State, request: OrderRequest, held: Decimal) -> None:
    """From flat, orders of both sides would open both ways, and the second to fill would cross zero."""
    if held != 0:
        return
    for order in state.orders.values():
        if order.symbol == request.symbol and order.side is not request.side and not order.role.is_leg:
            raise Refused(
                "opposite_order_open",
                "cannot open a long buy while a short sell order is open"
                if request.side is Side.BUY
                else "cannot open a short sell while a long buy order is open",
            )


def closing_quantity(state: State, symbol: str, side: Side) -> Decimal:
    """Quantity that open orders of `side` hold. The two legs of a bracket hold one quantity together."""
    total = ZERO
    legs: dict[str, Decimal] = {}
    for order in state.orders.values():
        if order.symbol != symbol or order.side is not side:
            continue
        if not order.role.is_leg:
            total += order.remaining
        elif order.parent is not None and order.parent not in state.orders:
            legs[order.parent] = max(legs.get(order.parent, ZERO), order.remaining)
    return total + sum(legs.values(), ZERO)


def _short(request: OrderRequest, instrument: Instrument, rules: Rules) -> None:
    if not rules.short_selling:
        raise Refused("short_not_allowed", "account is not allowed to short")
    if not instrument.shortable:
        raise Refused("not_shortable", f'asset "{request.symbol}" cannot be sold short')
    if request.qty % instrument.lot != 0:
        raise Refused("fractional_short", "fractional orders cannot be sold short")


def _opening_value(state: State, request: OrderRequest, market: Market, rules: Rules) -> None:
    last = market.prices.get(request.symbol)
    if last is None:
        raise Refused("no_price", f"no price of {request.symbol} is known; an opening order cannot be valued")
    notional = request.qty * (last if request.limit_price is None else request.limit_price)
    if notional < rules.min_order_notional:
        raise Refused("below_minimum", f"cost basis must be >= minimal amount of order {rules.min_order_notional}")
    value = order_value(request.side, request.qty, request.limit_price, last)
    power = buying_power(state, market.prices, rules.margin_multiplier)
    if value > power:
        raise Refused(
            "insufficient_buying_power",
            f"insufficient buying power (buying_power: {power:.2f}, cost_basis: {value:.2f})",
        )
