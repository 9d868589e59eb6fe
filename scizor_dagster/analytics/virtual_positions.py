"""Whose a share is: positions of the strategies within a portfolio, which the account nets into one.

What belongs here: how a fill, a payment and a split are divided over strategies. What does not: what they earn by it
(`profits`), and how strategies become one target (`signals`).

A batch of orders takes an instrument from what is held to a target position. Of that target, each strategy has its
part of the target weight; what is missing to it is the strategy's own trade, and the trades of all sum to the order.
Each fill moves all of them by the same share of their way, at the price of the fill: with the last one, each strategy
holds its part of the target. Where one buys what another sells, the net order's fill is the price of both.

Rounding is toward zero, at a billionth of a share; the rest goes to the largest part, of equal ones to the strategy
that comes first by name. So the parts sum to the portfolio's quantity exactly, at any time.

A manual order is no strategy's: what it buys or sells is a position of its own, short where it sells what strategies
hold. The next rebalance closes it, at the price of its fills, but for what the portfolio sets apart.

Where nobody wanted it, it is split by what is held: a fill that no plan asked for (the exit of a bracket), and a
target position of which the strategies' parts cancel out. Where nothing is held either, it is nobody's (`NOBODY`), as
are adopted positions until a batch trades them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.instruments import QUANTITY_STEP
from scizor_dagster.signals.arithmetic import STEP, scaled

ZERO = Decimal(0)
NOBODY = ""
"""Stands for what no strategy has asked for."""
MANUAL = "manual orders"
"""Stands for what people have ordered by hand; no strategy can be called so."""

Parts = dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """What one batch of orders wants of one instrument.

    Attributes:
        batch_id: Tells batches apart.
        ordered: Signed shares of all its orders.
        parts: Share of the portfolio by strategy, of which the target weight is the sum.
        by_hand: Whether a person has ordered it: what it trades is `MANUAL`'s alone.
        apart: Signed shares that stay `MANUAL`'s, beside the target.
    """

    batch_id: str
    ordered: Decimal
    parts: Mapping[str, Decimal]
    by_hand: bool = False
    apart: Decimal = ZERO


class Way:
    """The way of one batch in one instrument: the fills that it gets are split as they come."""

    def __init__(self, trades: Parts, ordered: Decimal) -> None:
        self._names = sorted(trades)
        self._trades = [trades[name] for name in self._names]
        self._ordered = ordered
        self._filled = ZERO
        self._done = [ZERO for _ in self._names]

    def split(self, qty: Decimal) -> Parts:
        """The strategies' parts of a fill of `qty` signed shares."""
        self._filled += qty
        done = scaled(self._trades, self._filled, self._ordered, self._filled, QUANTITY_STEP)
        parts = {name: now - before for name, now, before in zip(self._names, done, self._done, strict=True)}
        self._done = list(done)
        return parts


def way_to(held: Mapping[str, Decimal], move: PlannedMove | None, qty: Decimal) -> Way:
    """The way from what the strategies hold to what they want; `qty` is a fill that no plan asked for (`move` None)."""
    if move is None or move.ordered == 0:
        return Way(shares_of(held, qty), qty)
    if move.by_hand:
        return Way({MANUAL: move.ordered}, move.ordered)
    target = sum(held.values(), ZERO) + move.ordered - move.apart
    beside = {name: part for name, part in held.items() if name != MANUAL} if move.apart else held
    wanted = _wanted(beside, move.parts, target)
    if move.apart:
        wanted[MANUAL] = move.apart
    names = {*held, *wanted}
    return Way({name: wanted.get(name, ZERO) - held.get(name, ZERO) for name in names}, move.ordered)


def _wanted(held: Mapping[str, Decimal], parts: Mapping[str, Decimal], target: Decimal) -> Parts:
    """The target position by strategy."""
    if target == 0:
        return {}
    weight = sum(parts.values(), ZERO)
    if weight == 0:
        return shares_of(held, target)
    return _divided(parts, target, weight, QUANTITY_STEP)


def shares_of(held: Mapping[str, Decimal], amount: Decimal, step: Decimal = QUANTITY_STEP) -> Parts:
    """`amount` in proportion of what is held, signs included: who is short of it owes its part."""
    total = sum(held.values(), ZERO)
    return {NOBODY: amount} if total == 0 else _divided(held, amount, total, step)


def fees_of(parts: Mapping[str, Decimal], fee: Decimal) -> Parts:
    """`fee` in proportion of what each has traded, bought or sold."""
    sizes = {name: abs(part) for name, part in parts.items()}
    total = sum(sizes.values(), ZERO)
    return {NOBODY: fee} if total == 0 else _divided(sizes, fee, total, STEP)


def in_new_units(held: Mapping[str, Decimal], factor: Decimal, qty: Decimal) -> Parts:
    """What is held after a split of `factor` new shares for one, of which the portfolio has `qty`."""
    return _divided(held, factor, Decimal(1), QUANTITY_STEP, qty) if held else {}


def _divided(
    parts: Mapping[str, Decimal], numerator: Decimal, denominator: Decimal, step: Decimal, total: Decimal | None = None
) -> Parts:
    names = sorted(parts)
    whole = numerator if total is None else total
    return dict(zip(names, scaled([parts[name] for name in names], numerator, denominator, whole, step), strict=True))
