"""From rows to decided rows: the kernel over all of them, then each exactly, with the rules that shape it.

What belongs here: the money that weights are shares of, targets in `Decimal`, and the order in which one
instrument's rules apply. What does not: the rules (`decisions`, `shaping`) and those of the whole plan
(`turnover`, `fit`).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import numpy as np

from scizor_dagster.planning.decisions import Venue, check_limits, decide
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.kernel import REASONS, Book, size
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import Shaper, shape

ONE = Decimal(1)
DIGITS_OF_A_DOUBLE = 15
WEIGHT_NOISE = ONE + Decimal("1e-15")
"""A weight of that many digits was computed in doubles and means any number this close; `fit` takes back the excess."""
FACTOR_STEP = Decimal("1e-12")
_KEPT_BY_KERNEL = frozenset({Reason.NO_PRICE, Reason.BAD_PRICE, Reason.NOT_TRADABLE, Reason.NOT_SHORTABLE})


def size_rows(
    rows: list[Row], inputs: PlanInputs, venue: Venue, factor: Decimal, shapers: tuple[Shaper, ...]
) -> list[str]:
    """Give every row its exact target, change and reason; returns what was scaled, as sentences."""
    book = _book(rows)
    # The buffer holds the allowance by then.
    buffered = replace(venue.rules, min_cash_buffer_pct=effective_buffer(venue.rules), slippage_allowance_pct=ZERO)
    sized = _sized(rows, book, inputs, buffered, factor)
    # With an allowance for slippage there are two targets, and what is held between them is held.
    upper = _sized(rows, book, inputs, venue.rules, factor) if venue.rules.slippage_allowance_pct else None
    for row, code in zip(rows, sized.codes, strict=True):
        if row.kept is None and REASONS[code] in _KEPT_BY_KERNEL:
            row.kept = REASONS[code]
            if row.kept is Reason.NOT_SHORTABLE:
                row.add_note(_why_no_short(venue))
        if row.kept is not None:
            row.reason = row.kept
            continue
        row.whole = _is_whole(row, venue.rules)
        _set_target(row, sized, venue)
        if upper is not None and row.value:
            _keep_between(row, upper, venue)
        decide(row, venue)
        if shapers:
            shape(row, venue, shapers)
        check_limits(row, venue)
    if sized.share == ONE:
        return []
    return [f"Holdings that cannot be traded leave less room; all other weights were scaled by {sized.share:.6f}."]


def effective_buffer(rules: PlanningRules) -> Decimal:
    """The buffer with the slippage allowance: the share of equity that targets leave over.

    A plan sells and buys at most a gross `g` each, so that fills which are worse by `s` cost `s * g` of equity for
    the sales and as much of what is invested for the purchases: (1 - b - s * g) / (1 + s * g) can be invested.
    It depends on the rules alone, and a plan on the filled result finds the same one.
    """
    cost = rules.slippage_allowance_pct * max(rules.max_total_weight, ONE)
    if not cost:
        return rules.min_cash_buffer_pct
    share = ((ONE - rules.min_cash_buffer_pct - cost) / (ONE + cost)).quantize(FACTOR_STEP, rounding=ROUND_DOWN)
    return ONE - share


class _Sized(NamedTuple):
    """What the kernel says of all rows, and the money that weights are shares of."""

    codes: list[int]
    budget: Decimal
    full: Decimal
    """The same for what may not be sold short: holdings that cannot be traded leave it as it is."""
    share: Decimal
    """The part of the room that holdings which cannot be traded leave."""


def _sized(rows: list[Row], book: Book, inputs: PlanInputs, rules: PlanningRules, factor: Decimal) -> _Sized:
    equity, reserved = inputs.equity, float(_reserved(rows, inputs))
    sizing = size(book, float(equity), rules, scale=float(factor), reserved=reserved)
    share = ONE if sizing.scale == float(factor) else Decimal(repr(sizing.scale / float(factor)))
    full = (equity - equity * rules.min_cash_buffer_pct) * factor
    return _Sized(sizing.codes.tolist(), full * share, full, share)


def _set_target(row: Row, sized: _Sized, venue: Venue) -> None:
    """The row's target, and its value before rounding."""
    row.target = row.value = ZERO
    if not row.weight:
        return
    if row.weight < 0 and not _may_short(row, venue):
        if row.current > 0:
            row.add_note(f"What is held is sold, and nothing is sold short. {_why_no_short(venue)}")
            return
        row.value = row.weight * sized.full
        row.target = max(_exact_target(row, venue), row.current)
    else:
        row.value = row.weight * sized.budget
        row.target = _exact_target(row, venue)


def _keep_between(row: Row, upper: _Sized, venue: Venue) -> None:
    """Undo what would be closed only to set cash aside for slippage: that is a matter of what is opened."""
    target, value, held = row.target, row.value, row.current
    if not held or held.is_signed() != value.is_signed() or target is None or abs(held) <= abs(target):
        return
    _set_target(row, upper, venue)
    if row.target is None or abs(held) <= abs(row.target):
        assert row.usable_price is not None, row.symbol
        row.target, row.value = held, held * row.usable_price


def _may_short(row: Row, venue: Venue) -> bool:
    return not venue.no_shorts and (row.instrument is None or row.instrument.shortable)


def _why_no_short(venue: Venue) -> str:
    return venue.no_shorts or "It may not be sold short."


def _exact_target(row: Row, venue: Venue) -> Decimal:
    """The most increments that the row's value pays for."""
    assert row.usable_price is not None, row.symbol
    step, weight, value = venue.target_step(row), row.weight, abs(row.value)
    # The length of its text is quicker to have, and never less than the number of its digits.
    if len(str(weight)) >= DIGITS_OF_A_DOUBLE and len(weight.as_tuple().digits) >= DIGITS_OF_A_DOUBLE:
        value *= WEIGHT_NOISE
    quantity = value // (row.usable_price * step) * step
    return -quantity if weight.is_signed() else quantity


def _book(rows: list[Row]) -> Book:
    instruments = [row.instrument for row in rows]
    lots = np.array([float(known.lot) if known else 1.0 for known in instruments])
    return Book(
        weights=np.array([float(row.weight) for row in rows]),
        prices=np.array([_float_price(row) for row in rows]),
        current=np.array([float(row.current) for row in rows]),
        tradable=np.array([known is None or known.tradable for known in instruments], dtype=np.bool_),
        fractionable=np.array([known is None or known.fractionable for known in instruments], dtype=np.bool_),
        shortable=np.array([known is None or known.shortable for known in instruments], dtype=np.bool_),
        frozen=np.array([row.kept is not None for row in rows], dtype=np.bool_),
        lots=lots if bool((lots != 1.0).any()) else None,
    )


def _float_price(row: Row) -> float:
    if row.usable_price is not None:
        return float(row.usable_price)
    return float("nan") if row.price is None else float("inf")


def _reserved(rows: list[Row], inputs: PlanInputs) -> Decimal:
    """Value of the holdings that have no price, which follows from equity where the cash is known."""
    unpriced = any(row.held and row.usable_price is None for row in rows)
    if inputs.cash is None or not unpriced:
        return ZERO
    priced = sum((row.held * price for row in rows if (price := row.usable_price) is not None), ZERO)
    return inputs.equity - inputs.cash - priced


def _is_whole(row: Row, rules: PlanningRules) -> bool:
    if not rules.fractional or row.instrument is None or not row.instrument.fractionable:
        return True
    # A short is covered in whole shares but for its exact end: no broker sells a fraction short again.
    return row.weight < 0 or (not row.weight and row.current < 0)
