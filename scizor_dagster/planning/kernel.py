"""The sizing kernel: weights, prices and holdings in, target quantities and reason codes out.

What belongs here: vectorised float64 arithmetic over one book, shared by every way of trading and
by the backtester. What does not: identities, `Decimal`, orders, sentences; the planner adds those
and is exact again at its border (`decisions`).

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

from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import GREATEST_PRICE, LEAST_PRICE
from scizor_dagster.planning.rules import PlanningRules

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

SNAP: Final = 1e-15
MINIMUM_SLACK: Final = 1e-12
"""An order within this relative distance below the minimum counts as the minimum (binary noise)."""

REASONS: Final = (
    Reason.ON_TARGET,
    Reason.REBALANCE,
    Reason.OPEN,
    Reason.LIQUIDATE,
    Reason.CROSS_ZERO,
    Reason.BELOW_MIN_NOTIONAL,
    Reason.NO_PRICE,
    Reason.BAD_PRICE,
    Reason.NOT_TRADABLE,
    Reason.NOT_SHORTABLE,
    Reason.FROZEN,
)
"""Reason of each code: `REASONS[code]`. NO_PRICE is a price of NaN, BAD_PRICE one outside of `LEAST` and `GREATEST`."""

CODE: Final = {reason: code for code, reason in enumerate(REASONS)}
LEAST, GREATEST = float(LEAST_PRICE), float(GREATEST_PRICE)
_BAD_PRICE, _NO_PRICE = CODE[Reason.BAD_PRICE], CODE[Reason.NO_PRICE]
_NOT_SHORTABLE = CODE[Reason.NOT_SHORTABLE]
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
    kept = _kept_codes(book, rules)
    investable = equity * (1.0 - float(rules.min_cash_buffer_pct))
    if kept is None:
        target = _targets(book, investable * scale, rules)
        delta = target - book.current
        return Sizing(target, delta, _codes(book, target, delta, rules), scale)
    fixed = kept != 0
    # Rows without a usable price are overwritten below.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        final = _without_shorts(book, kept, investable * scale)
        scale *= room_factor(book, fixed, final, investable, scale, reserved, rules)
        target = _targets(book, investable * scale, rules)
        stays = fixed | (book.weights == 0.0) & ~(book.prices > 0.0)
        np.copyto(target, final, where=stays)
        delta = target - book.current
        codes = _codes(book, target, delta, rules)
    np.copyto(codes, kept, where=stays & ((kept != 0) | ~fixed))
    return Sizing(target, delta, codes, scale)


def _without_shorts(book: Book, kept: Codes, budget: float) -> Floats:
    """Quantities that fixed rows end with; clears the code of what may not be sold short and yet may trade.

    They depend on weights and prices, and on a holding only where it stays: room is the same after the fills.
    """
    rows = np.flatnonzero(kept == _NOT_SHORTABLE)
    if not len(rows):
        return book.current
    held = book.current[rows]
    lots = 1.0 if book.lots is None else book.lots[rows]
    wanted = np.trunc(book.weights[rows] * budget * (1.0 + SNAP) / book.prices[rows] / lots) * lots
    final = book.current.copy()
    final[rows] = np.minimum(np.maximum(held, wanted), 0.0)
    kept[rows[(held > 0.0) | (held < 0.0) & (wanted >= held)]] = 0
    return final


def room_factor(
    book: Book, fixed: Flags, final: Floats, investable: float, scale: float, reserved: float, rules: PlanningRules
) -> float:
    """Factor that fits the weights of all other rows into the room that fixed ones leave.

    It depends on weights, prices and the quantities that fixed rows end with, so that a plan on the filled
    result finds the same factor. Without any room the factor is 1 and `fit` withholds the buys: what is
    stuck never causes a sale of everything else.
    """
    moving = ~fixed
    stuck = fixed & (book.prices >= LEAST) & (book.prices <= GREATEST)
    stuck_value = final[stuck] * book.prices[stuck]
    weights = book.weights[moving] * scale
    gross_room = investable * float(rules.max_total_weight) - float(np.abs(stuck_value).sum()) - abs(reserved)
    net_room = investable - float(stuck_value.sum()) - reserved
    factor = 1.0
    for room, wanted in (
        (gross_room, float(np.abs(weights).sum()) * investable),
        (net_room, float(weights.sum()) * investable),
    ):
        if room > 0.0 and wanted > room:
            factor = min(factor, room / wanted)
    return factor


def _kept_codes(book: Book, rules: PlanningRules) -> Codes | None:
    """Codes of rows that may not be ordered as their weights say, 0 elsewhere; None where every row may be."""
    if not len(book.prices):
        return None
    # NaN is found as both extremes, and fails both comparisons.
    sound = bool(_least(book.prices) >= LEAST) and bool(_greatest(book.prices) <= GREATEST)
    shorts = bool(_least(book.weights) < 0.0)
    blocked = book.tradable is not None and not _least(book.tradable)
    blocked = blocked or (book.frozen is not None and bool(_greatest(book.frozen)))
    if sound and not shorts and not blocked:
        return None
    codes = np.zeros(len(book.prices), dtype=np.int8)
    if shorts:
        refused = book.weights < 0.0
        if rules.allow_short:
            refused &= np.False_ if book.shortable is None else ~book.shortable
        codes[refused] = _NOT_SHORTABLE
    if not sound:
        codes[~((book.prices >= LEAST) & (book.prices <= GREATEST))] = _BAD_PRICE
        codes[np.isnan(book.prices)] = _NO_PRICE
        codes[((codes == _NO_PRICE) | (codes == _BAD_PRICE)) & (book.weights == 0.0) & (book.current == 0.0)] = 0
    if book.tradable is not None:
        codes[~book.tradable] = CODE[Reason.NOT_TRADABLE]
    if book.frozen is not None:
        codes[book.frozen] = CODE[Reason.FROZEN]
    return codes if codes.any() or not sound else None


def _least(values: npt.NDArray[Any]) -> Any:
    """The smallest of one value or more; for a few hundred, a quarter of the time that `min` and `all` take."""
    return values[values.argmin()]


def _greatest(values: npt.NDArray[Any]) -> Any:
    return values[values.argmax()]


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
