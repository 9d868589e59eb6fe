"""Sizing alone, on arrays: weights, prices and holdings in, target quantities and reason codes out.

What belongs here: the formula of a size, vectorised, for a look at a book and to check the planner with. What does
not: every other rule; `kernel_book` has them all, and finds in the same way what is kept and what room it leaves.

The arithmetic, for instrument i with weight w, price p, holding c, equity E and buffer b:

    target value   = w * scale * E * (1 - b)
    increments     = trunc(value / p / increment * (1 + SNAP))
    target         = increments * increment
    delta          = target - c

`trunc` is toward zero for longs and shorts alike. `SNAP` counts a quotient within 1e-15 (relative)
below a whole number of increments as that number, because 0.06 * 1000 / 10 is 5.999999999999999 in
binary and a person means 6. The planner settles such a tie exactly, in `Decimal`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scizor_dagster.planning.kernel_book import size_book
from scizor_dagster.planning.kernel_model import (
    CODE,
    FREE,
    REASONS,
    REFUSED_SHORT,
    SNAP,
    STACK,
    UNIT,
    Cells,
    Numbers,
    Session,
)
from scizor_dagster.planning.kernel_room import final_short
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import PlanningRules

__all__ = ["REASONS", "Book", "Sizing", "size"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

MINIMUM_SLACK: Final = 1e-12
"""An order within this relative distance below the minimum counts as the minimum (binary noise)."""

_ON_TARGET, _BELOW = CODE[Reason.ON_TARGET], CODE[Reason.BELOW_MIN_NOTIONAL]
_REBALANCE = np.int8(CODE[Reason.REBALANCE])
assert CODE[Reason.OPEN] == _REBALANCE + 1, "the code of an opening is that of a change, plus one"


class Book(NamedTuple):
    """One row per instrument, all arrays of length n.

    Attributes:
        weights: Target weights, shares of equity; 0 for what is held and not targeted.
        prices: Reference prices; NaN where there is none.
        current: Signed quantities held.
        tradable: None means all are.
        fractionable: None means all are; where False, targets are whole lots.
        shortable: None means all are.
        frozen: None means none is; where True, the holding is kept.
        lots: Smallest whole quantity that trades; None means 1.
    """

    weights: Floats
    prices: Floats
    current: Floats
    tradable: Flags | None = None
    fractionable: Flags | None = None
    shortable: Flags | None = None
    frozen: Flags | None = None
    lots: Floats | None = None


class Sizing(NamedTuple):
    """Target and change in shares, and a code of `REASONS` per row. A kept row has target = current."""

    target: Floats
    delta: Floats
    codes: Codes
    scale: float
    """Factor that all weights were multiplied by; 1.0 where nothing had to give way."""


def size(book: Book, equity: float, rules: PlanningRules, scale: float = 1.0, reserved: float = 0.0) -> Sizing:
    """Size one book.

    Args:
        book: Arrays of one length; they are not changed.
        equity: Account value in the prices' currency, finite and above zero.
        rules: Buffer, precision, minimum, and whether fractions and shorts are allowed.
        scale: Factor on all weights.
        reserved: Value of holdings that have no price here but are known to be part of equity.

    Returns:
        Targets, changes and codes. What may not be traded keeps its holding; where its value
        leaves less room than the other weights ask for, those share what is left (`Sizing.scale`).
        What may not be sold short keeps its code only where an order would open or enlarge a short:
        a short is covered as far as its weight says, a long holding is closed.
    """
    cells = _cells(book)
    buffer = float(rules.min_cash_buffer_pct)
    numbers = Numbers(buffer=buffer, sizing_buffer=buffer, max_gross=float(rules.max_total_weight))
    session = Session(equity, factor=scale, reserved=reserved, shorts=rules.allow_short, listed=True)
    room = [0.0] * (len(cells) + STACK)
    size_book(cells, (numbers,), (session,), room, [*room])
    scale *= session.share
    budget = equity * (1.0 - buffer)
    kept: Codes = np.array([cell.code for cell in cells], dtype=np.int8)
    fixed: Flags = np.array([cell.standing != FREE for cell in cells], dtype=np.bool_)
    # Rows without a usable price are overwritten.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        target = _targets(book, budget * scale, rules)
        stays = fixed | (book.weights == 0.0) & ~(book.prices > 0.0)
        np.copyto(target, book.current, where=stays)
        for place, cell in enumerate(cells):
            if cell.standing == REFUSED_SHORT:
                target[place] = final_short(cell, budget * session.factor)
        delta = target - book.current
        codes = _codes(book, target, delta, rules)
    np.copyto(codes, kept, where=stays & ((kept != 0) | ~fixed))
    return Sizing(target, delta, codes, scale)


def _cells(book: Book) -> list[Cells]:
    """The rows of a book as the kernel knows them."""
    size = len(book.prices)
    on, off = np.ones(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    columns = (
        book.weights,
        book.prices,
        book.current,
        np.ones(size) if book.lots is None else book.lots,
        off if book.frozen is None else book.frozen,
        on if book.tradable is None else book.tradable,
        on if book.shortable is None else book.shortable,
    )
    return [
        Cells(
            weight=weight,
            price=price,
            held=held,
            lot=int(lot * UNIT),
            fact=CODE[Reason.FROZEN] if frozen else 0,
            tradable=tradable,
            shortable=shortable,
        )
        for weight, price, held, lot, frozen, tradable, shortable in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _least(values: npt.NDArray[Any]) -> Any:
    """The smallest of one value or more; for a few hundred, a quarter of the time that `min` and `all` take."""
    return values[values.argmin()]


def _targets(book: Book, investable: float, rules: PlanningRules) -> Floats:
    """Quantities toward zero, in increments of each row; one array is allocated in the common case."""
    steps = 10.0**rules.quantity_precision if rules.fractional else 1.0
    target: Floats = book.weights / book.prices
    whole = _whole_rows(book, target, rules)
    if whole is None:
        target *= investable * steps * (1.0 + SNAP)
        np.trunc(target, out=target)
        target /= steps
    else:
        lots = 1.0 if book.lots is None else book.lots
        unit = np.where(whole, lots, 1.0 / steps)
        target *= investable * (1.0 + SNAP)
        # Dividing by 0.01 is not multiplying by 100: whole steps per share keep the quotient exact.
        target = np.where(whole, np.trunc(target / unit) * lots, np.trunc(target * steps) / steps)
    return target


def _whole_rows(book: Book, quantity: Floats, rules: PlanningRules) -> Flags | None:
    """Rows that trade in whole lots; None where all trade in the same plain increments."""
    if not rules.fractional:
        return None if book.lots is None else np.ones(len(quantity), dtype=np.bool_)
    shorts = rules.allow_short and bool((quantity < 0.0).any())
    if book.fractionable is None or not len(quantity) or _least(book.fractionable):
        return quantity < 0.0 if shorts else None
    whole = ~book.fractionable
    if shorts:
        whole |= quantity < 0.0
    return whole


def _codes(book: Book, target: Floats, delta: Floats, rules: PlanningRules) -> Codes:
    """What each change amounts to, as if every row could be ordered."""
    notional = np.abs(delta)
    notional *= book.prices
    codes: Codes = (book.current == 0.0).view(np.int8)
    codes += _REBALANCE
    if rules.allow_short:
        np.putmask(codes, target * book.current < 0.0, CODE[Reason.CROSS_ZERO])
    np.putmask(codes, notional < float(rules.min_order_notional) * (1.0 - MINIMUM_SLACK), _BELOW)
    np.putmask(codes, target == 0.0, CODE[Reason.LIQUIDATE])
    np.putmask(codes, delta == 0.0, _ON_TARGET)
    return codes
