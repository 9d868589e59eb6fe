"""Orders that may still fill while a plan is made, and what they leave to order.

What belongs here: the netting of open orders by instrument. What does not: where they come from (the
broker, a file), and what becomes of a change that they forbid (`shaping`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import Side

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One order that may still fill.

    Attributes:
        remaining: Unsigned shares that have not filled.
        own: Whether it is the portfolio's; else it is somebody else's in the same account.
        protective: Whether it waits for a price far away, as the legs of a bracket: it holds what it would
            sell, and is not counted on to fill.
        group: Orders of one group share one quantity: only one of them can fill.
    """

    symbol: str
    side: Side
    remaining: Decimal
    own: bool = True
    protective: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Resting:
    """Open orders of one instrument, netted; quantities are unsigned but for `working`.

    Attributes:
        working: Signed shares that the portfolio's own orders will still bring.
        busy: Shares that these orders will still trade, bought and sold together.
        own: Shares that the portfolio's orders of a side hold.
        all: Shares that any orders of a side hold.
        live: Sides with an order that a new one of the other side could trade with.
    """

    working: Decimal
    busy: Decimal
    own: Mapping[Side, Decimal]
    all: Mapping[Side, Decimal]
    live: frozenset[Side]


NOTHING = Resting(ZERO, ZERO, {}, {}, frozenset())


def net(orders: Iterable[OpenOrder]) -> dict[str, Resting]:
    """Open orders by symbol."""
    by_symbol: defaultdict[str, list[OpenOrder]] = defaultdict(list)
    for order in orders:
        by_symbol[order.symbol].append(order)
    return {symbol: _netted(group) for symbol, group in by_symbol.items()}


def closable(held: Decimal, foreign: Decimal, resting: Resting) -> Decimal:
    """Unsigned shares of `held` that an order may close: no open order closes them, and the account has them.

    Args:
        held: Signed shares of the portfolio.
        foreign: Signed shares of the account that no portfolio owns.
        resting: The instrument's open orders.
    """
    side, sign = (Side.SELL, 1) if held > 0 else (Side.BUY, -1)
    mine = sign * held - resting.own.get(side, ZERO)
    accounts = sign * (held + foreign) - resting.all.get(side, ZERO)
    return max(min(mine, accounts), ZERO)


def _netted(orders: list[OpenOrder]) -> Resting:
    own: dict[Side, Decimal] = {}
    every: dict[Side, Decimal] = {}
    working = busy = ZERO
    shared: dict[tuple[bool, Side, str], Decimal] = {}
    for order in orders:
        if order.own and not order.protective:
            working += order.side.sign * order.remaining
            busy += order.remaining
        if order.group:
            key = (order.own, order.side, order.group)
            shared[key] = max(shared.get(key, ZERO), order.remaining)
            continue
        _hold(own, every, order.own, order.side, order.remaining)
    for (is_own, side, _), quantity in shared.items():
        _hold(own, every, is_own, side, quantity)
    return Resting(working, busy, own, every, frozenset(order.side for order in orders if not order.protective))


def _hold(own: dict[Side, Decimal], every: dict[Side, Decimal], is_own: bool, side: Side, quantity: Decimal) -> None:
    every[side] = every.get(side, ZERO) + quantity
    if is_own:
        own[side] = own.get(side, ZERO) + quantity
