"""How an order meets a step of a session: at which price, and how much of it.

What belongs here: the price path through a daily bar, triggers, slippage and volume. What does not:
which orders are due, what a fill does to the books (`engine`, `model`).

A bar is walked in three steps: the opening auction at its open; midday at its typical price
(high + low + close) / 3, with everything from low to high touched; the close at its close. A limit
fills when the step touches it, at the limit or better; a stop triggers when the step touches it. A
market order for an auction trades in its one step, and expires with what that did not fill.

    price = step price x (1 +- (half spread + impact x sqrt(quantity / step volume)) / 10 000)

rounded to four decimals against the account, never below 0.0001. A step's volume is a third of the
bar's; of it, at most `max_participation` goes to one account, and the rest of an order waits.
The square root is the usual impact law (Almgren et al., "Direct Estimation of Equity Market Impact", 2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.instruments import QUANTITY_STEP
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.model import LAST_STEP, PRICE_STEP, Order, Rules, StepKind
from scizor_dagster.paper_exchange.venue_orders import ZERO

_BASIS_POINTS = Decimal(10_000)
_CENT = Decimal("0.01")
_MIDDAY = 2


@dataclass(frozen=True, slots=True)
class StepPrices:
    """One instrument in one step: where it begins, where it mostly trades, and what it touches."""

    first: Decimal
    price: Decimal
    low: Decimal
    high: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Execution:
    qty: Decimal
    price: Decimal
    fee: Decimal


def step_prices(bar: SessionBar, step: int) -> StepPrices:
    """The part of `bar` that step 1, 2 or 3 sees."""
    volume = bar.volume / LAST_STEP
    if step == _MIDDAY:
        typical = (bar.high + bar.low + bar.close) / 3
        return StepPrices(bar.open, typical, bar.low, bar.high, volume)
    price = bar.open if step < _MIDDAY else bar.close
    return StepPrices(price, price, price, price, volume)


def triggered(order: Order, prices: StepPrices) -> bool:
    """Whether a stop's price is touched."""
    assert order.stop_price is not None
    if order.side is Side.SELL:
        return prices.low <= order.stop_price
    return prices.high >= order.stop_price


def execution(order: Order, prices: StepPrices, capacity: Decimal, lot: int, rules: Rules) -> Execution | None:
    """What of `order` trades in the step; None when its price is not touched or no volume is left.

    Args:
        order: A market or limit order, or a stop that has just triggered.
        prices: The step of the order's instrument.
        capacity: Volume that the account may still take in this step, in shares.
        lot: Smallest whole quantity; an order that is a multiple of it fills in multiples of it.
        rules: The venue's spread, impact and fees.
    """
    if order.kind is StepKind.LIMIT and not _touched(order, prices):
        return None
    qty = min(order.remaining, _rounded_capacity(order, capacity, lot))
    if qty <= ZERO:
        return None
    price = _price(order, prices, qty, rules)
    fee = (qty * price * rules.fee_bps / _BASIS_POINTS).quantize(_CENT, ROUND_CEILING)
    return Execution(qty, price, fee)


def impact(qty: Decimal, volume: Decimal, rules: Rules) -> Decimal:
    """How far taking `qty` of `volume` moves the price, as a fraction of it."""
    share = min(Decimal(1), qty / volume)
    return rules.impact_bps * share.sqrt() / _BASIS_POINTS


def step_capacity(prices: StepPrices, rules: Rules) -> Decimal:
    return prices.volume * rules.max_participation


def _rounded_capacity(order: Order, capacity: Decimal, lot: int) -> Decimal:
    if order.remaining % lot == 0:
        return capacity // lot * lot
    return capacity.quantize(QUANTITY_STEP, ROUND_DOWN)


def _touched(order: Order, prices: StepPrices) -> bool:
    assert order.limit_price is not None
    if order.side is Side.BUY:
        return prices.low <= order.limit_price
    return prices.high >= order.limit_price


def _price(order: Order, prices: StepPrices, qty: Decimal, rules: Rules) -> Decimal:
    base = prices.price
    if order.kind is StepKind.STOP and order.stop_price is not None:
        # The first price at which it could trade once touched: the stop, or beyond it after a gap.
        bound = min if order.side is Side.SELL else max
        base = bound(order.stop_price, prices.first)
    slip = rules.half_spread_bps / _BASIS_POINTS + impact(qty, prices.volume, rules)
    rounding = ROUND_CEILING if order.side is Side.BUY else ROUND_FLOOR
    price = (base * (1 + order.side.sign * slip)).quantize(PRICE_STEP, rounding)
    if order.kind is StepKind.LIMIT and order.limit_price is not None:
        best = min if order.side is Side.BUY else max
        price = best(price, order.limit_price)
    return max(price, PRICE_STEP)
