"""What a release may spend, and what that leaves of each order: pure arithmetic over what waits.

What belongs here: the factors and the quantities that follow from them. What does not: when a batch
is released, and the transaction that stores it (`release`).

Three kinds of orders wait, and each is bounded by what it needs:

* Covers of shorts (`BUY_TO_CLOSE`) go whole, always. A part of a cover would leave a short that
  nobody meant, and a zero crossing would lose its second leg. Their cost comes off the cash first.
  Where the cash does not even suffice for them they still go whole, and nothing else is bought: they
  take risk off, and the broker's answer decides. A margin account takes them: the paper exchange asks
  no buying power of an order that closes, since closing gives buying power back.
* Short sales need buying power alone, and are scaled to that alone.
* Buys that open are scaled to buying power, and to the cash: what the covers leave of it, with the
  proceeds of the short sales of the same release at reference prices. This is the rule of the planner
  (`planning.cash`), so that a plan that fits is released whole. None of those short sales has been
  sent before the release, so that the broker's cash does not hold their proceeds yet and nothing
  counts twice. A short sale whose first leg has not filled brings nothing here.

Buying power is asked for as venues ask for it: a limit order at its limit, a short sale at no less
than 1.03 times its price (Alpaca, "Margin and short selling"), so that a release that fits is not
refused order by order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.planning.cash import excess_over

ZERO = Decimal(0)
ONE = Decimal(1)
SHORT_COLLAR = Decimal("1.03")
_FACTOR_STEP = Decimal("0.000000000001")


class Waiting(Protocol):
    """An order that waits, as far as its funding asks; `planned_qty` is unsigned shares."""

    @property
    def client_order_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> Side: ...
    @property
    def intent(self) -> PositionIntent: ...
    @property
    def planned_qty(self) -> Decimal: ...
    @property
    def price_used(self) -> Decimal: ...
    @property
    def limit_price(self) -> Decimal | None: ...
    @property
    def order_type(self) -> OrderType: ...
    @property
    def time_in_force(self) -> TimeInForce: ...


@dataclass(frozen=True, slots=True)
class Funding:
    """What a release comes to. Money is in the account's currency.

    Attributes:
        factor: Of the buys that open, from 0 to 1, to twelve decimals, rounded down; of the short
            sales where no buy waits.
        short_factor: Of the short sales.
        cash: What the buys that open may cost, at most; not negative.
        needed: Planned value of the buys that open.
        quantities: Unsigned shares by client order id, for every order that waits; zero where
            nothing is left of one.
    """

    factor: Decimal
    short_factor: Decimal
    cash: Decimal
    needed: Decimal
    quantities: Mapping[str, Decimal]


def fund(
    waiting: Sequence[Waiting],
    cash: Decimal,
    buying_power: Decimal,
    *,
    increments: Mapping[str, Decimal],
    min_notional: Decimal = ZERO,
    uncertain: Collection[str] = (),
) -> Funding:
    """Bound each order that waits by what it needs; see the module.

    Args:
        waiting: The orders of the release.
        cash: The portfolio's own, less its buffer, at most what the account holds.
        buying_power: The broker's figure.
        increments: Smallest step of quantity by symbol.
        min_notional: The broker's minimum: a short sale that falls below it brings nothing.
        uncertain: Ids of short sales that wait for a first leg which has not filled.
    """
    covers = [row for row in waiting if row.intent is PositionIntent.BUY_TO_CLOSE]
    shorts = [row for row in waiting if row.intent is PositionIntent.SELL_TO_OPEN]
    buys = [row for row in waiting if row.intent is PositionIntent.BUY_TO_OPEN]
    power = _ratio(buying_power, sum((_power_value(row) for row in (*buys, *shorts)), ZERO))
    quantities = {row.client_order_id: row.planned_qty for row in covers}
    quantities |= {row.client_order_id: scaled(row, power, increments) for row in shorts}
    bringing = [row for row in shorts if row.client_order_id not in uncertain]
    bringing = [row for row in bringing if quantities[row.client_order_id] * row.price_used >= min_notional]
    trades = ((quantities[row.client_order_id] * row.side.sign, row.price_used) for row in (*covers, *bringing))
    room = max(-excess_over(cash, trades), ZERO)
    needed = sum((row.planned_qty * row.price_used for row in buys), ZERO)
    factor = min(power, _ratio(room, needed))
    quantities |= {row.client_order_id: scaled(row, factor, increments) for row in buys}
    return Funding(factor, power, min(room, max(buying_power, ZERO)), needed, quantities)


def scaled(row: Waiting, factor: Decimal, increments: Mapping[str, Decimal]) -> Decimal:
    """`factor` of the planned quantity, rounded down to the instrument's increment; all of it for 1."""
    if factor == ONE:
        return row.planned_qty
    step = increments.get(row.symbol) or _own_step(row.planned_qty)
    simple = row.order_type is OrderType.MARKET and row.time_in_force is TimeInForce.DAY
    if not simple or row.intent is PositionIntent.SELL_TO_OPEN:
        step = max(step, ONE)
    return (row.planned_qty * factor / step).to_integral_value(ROUND_DOWN) * step


def _power_value(row: Waiting) -> Decimal:
    price = max(row.price_used, row.limit_price or ZERO)
    if row.intent is PositionIntent.SELL_TO_OPEN:
        price = max(price, row.price_used * SHORT_COLLAR)
    return row.planned_qty * price


def _own_step(qty: Decimal) -> Decimal:
    exponent = qty.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(1).scaleb(min(exponent, 0))


def _ratio(available: Decimal, needed: Decimal) -> Decimal:
    if needed <= 0:
        return ONE
    return min(ONE, max(available, ZERO) / needed).quantize(_FACTOR_STEP, ROUND_DOWN)
