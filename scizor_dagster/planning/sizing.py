"""From rows to decided rows: the kernel over all of them, then each exactly, with the rules that shape it.

What belongs here: the money that weights are shares of, targets in `Decimal`, and the order in which one
instrument's rules apply. What does not: the rules (`decisions`, `shaping`) and those of the whole plan
(`turnover`, `fit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from scizor_dagster.brokers.protocol import OrderType
from scizor_dagster.planning.columns import DECIMALS, FACTOR_STEP, cells_of, count_of, numbers_of
from scizor_dagster.planning.decisions import Venue, check_limits, decide
from scizor_dagster.planning.inputs import PlanInputs
from scizor_dagster.planning.kernel_book import hold_laws, size_book
from scizor_dagster.planning.kernel_model import (
    BANS,
    CLEAR,
    CODE,
    CROSS_ZERO,
    FITS,
    NONE,
    REASONS,
    STACK,
    UNIT,
    Cells,
    Numbers,
    Session,
)
from scizor_dagster.planning.kernel_rows import decide_row
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import Shaper, shape

ONE = Decimal(1)
DIGITS_OF_A_DOUBLE = 15
WEIGHT_NOISE = ONE + Decimal("1e-15")
"""A weight of that many digits was computed in doubles and means any number this close; `fit` takes back the excess."""
_KEPT_BY_KERNEL = frozenset({Reason.NO_PRICE, Reason.BAD_PRICE, Reason.NOT_TRADABLE, Reason.NOT_SHORTABLE})


def size_rows(
    rows: list[Row], inputs: PlanInputs, venue: Venue, factor: Decimal, shapers: tuple[Shaper, ...]
) -> list[str]:
    """Give every row its exact target, change and reason; returns what was scaled, as sentences."""
    return decide_rows(rows, inputs, venue, factor, shapers).said


@dataclass(frozen=True, slots=True)
class Decided:
    """Rows that are decided one by one, and their numbers for the laws of the whole book."""

    said: list[str]
    """What was scaled, as sentences."""
    numbers: Numbers
    session: Session
    cells: list[Cells]
    exactly: bool

    def fits(self, rows: list[Row], spare_cash: Decimal | None) -> bool:
        """Whether no law of the whole book cuts anything, surely; where not, the exact rules hold them."""
        if self.exactly:
            return False
        for row, cells in zip(rows, self.cells, strict=True):
            if cells.mark != CLEAR or cells.special or row.kept is not None:
                count, delta = count_of(row.current), count_of(row.delta)
                if count is None or delta is None or row.busy:
                    return False
                cells.count, cells.delta, cells.code, cells.mark = count, delta, CODE[row.reason], CLEAR
        self.session.spare_cash = float("nan") if spare_cash is None else float(spare_cash)
        room = [0.0] * (len(rows) + STACK)
        return hold_laws(self.cells, (self.numbers,), (self.session,), room, [*room]) == FITS


def decide_rows(
    rows: list[Row],
    inputs: PlanInputs,
    venue: Venue,
    factor: Decimal,
    shapers: tuple[Shaper, ...],
    *,
    exactly: bool = False,
) -> Decided:
    """Give every row its exact target, change and reason.

    The kernel decides the whole book. The exact rules, in `Decimal`, decide a row again where the kernel

    - says that noise may have decided (`NEAR`), or that it lacks a rule which the row needs (`BEYOND`);
    - lacks a rule from the start: beside open orders and other holdings of the account, with a holding finer than
      a unit, or in a book of brackets, whose prices belong to a row;
    - says that the plan has more to tell of it than its reason (`SPEAKS`), because they write the sentences;
    - has cut the change to whole lots or to increments of orders, crosses zero, or keeps what is held: there the number
      is the same, and its digits are theirs (see `_take`).

    The rows are those of one plan, by symbol, and are changed in place. With `exactly` the exact rules decide
    every one.
    """
    sizing_buffer = effective_buffer(venue.rules)
    numbers = numbers_of(venue, sizing_buffer)
    # A jump of a price is a fact of the row already.
    numbers.max_move = NONE
    session = Session(
        equity=float(inputs.equity),
        factor=float(factor),
        reserved=float(_reserved(rows, inputs)),
        shorts=not venue.no_shorts,
        listed=True,
    )
    cells = cells_of_rows(rows, inputs, venue)
    room = [0.0] * (len(rows) + STACK)
    size_book(cells, (numbers,), (session,), room, [*room])
    sized = money_of(inputs, sizing_buffer, factor, session.share)
    # With an allowance for slippage there are two targets, and what is held between them is held.
    allows = venue.rules.slippage_allowance_pct
    upper = money_of(inputs, venue.rules.min_cash_buffer_pct, factor, session.upper_share) if allows else None
    whole_book = exactly or venue.precision > DECIMALS or _is_bracketed(venue)
    for row, cell in zip(rows, cells, strict=True):
        if row.kept is None and REASONS[cell.code] in _KEPT_BY_KERNEL:
            row.kept = REASONS[cell.code]
            if row.kept is Reason.NOT_SHORTABLE:
                row.add_note(_why_no_short(venue))
        if row.kept is not None:
            row.reason = row.kept
            continue
        if not whole_book:
            decide_row(cell, numbers, session)
        if whole_book or not _take(row, cell, venue, sized):
            settle(row, venue, sized, upper, shapers)
            cell.special = True
    said = []
    if sized.share != ONE:
        said = [f"Holdings that cannot be traded leave less room; all other weights were scaled by {sized.share:.6f}."]
    return Decided(said, numbers, session, cells, whole_book)


def settle(row: Row, venue: Venue, sized: Sized, upper: Sized | None, shapers: tuple[Shaper, ...]) -> None:
    """Decide one row exactly."""
    row.whole = is_whole(row, venue.rules)
    _set_target(row, sized, venue)
    if upper is not None and row.value:
        _keep_between(row, upper, venue)
    decide(row, venue)
    if shapers:
        shape(row, venue, shapers)
    check_limits(row, venue)


def _take(row: Row, cell: Cells, venue: Venue, sized: Sized) -> bool:
    """Take the kernel's decision where it stands; False where the exact rules have to decide."""
    code, target = cell.code, cell.target
    if cell.mark != CLEAR or code == CROSS_ZERO or target - cell.count != cell.delta:
        return False
    if not row.weight:
        row.target = row.value = ZERO
        row.whole = is_whole(row, venue.rules)
    else:
        held = not cell.delta and (venue.banded or venue.rules.slippage_allowance_pct)
        if held or (row.weight < 0 and not _may_short(row, venue)) or (cell.whole and cell.lot != UNIT):
            return False
        row.whole = cell.whole
        row.target = target // cell.step * venue.target_step(row)
        row.value = row.weight * sized.budget
    row.delta = row.target - row.current if cell.delta else ZERO
    row.reason = REASONS[code]
    return True


def cells_of_rows(rows: list[Row], inputs: PlanInputs, venue: Venue) -> list[Cells]:
    """The rows' numbers, which are special beside other orders and holdings of the account."""
    rules, bans = venue.rules, dict(venue.rules.overrides)
    limits = rules.mode_on_buy == "limit" and OrderType.LIMIT in venue.capabilities.order_types
    made = []
    for row in rows:
        cell = cells_of(row, inputs.adv.get(row.symbol), BANS.get(bans.get(row.symbol, ""), 0))
        if limits and row.instrument is not None:
            cell.tick = float(row.instrument.tick)
        made.append(cell)
    beside = {order.symbol for order in inputs.open_orders} | inputs.foreign.keys() | inputs.siblings.keys()
    if beside:
        for row, cell in zip(rows, made, strict=True):
            cell.special = cell.special or row.symbol in beside
    return made


def _is_bracketed(venue: Venue) -> bool:
    return venue.rules.mode_on_buy == "bracket" and OrderType.BRACKET in venue.capabilities.order_types


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


class Sized(NamedTuple):
    """The money that weights are shares of."""

    budget: Decimal
    full: Decimal
    """The same for what may not be sold short: holdings that cannot be traded leave it as it is."""
    share: Decimal
    """The part of the room that holdings which cannot be traded leave."""


def money_of(inputs: PlanInputs, buffer: Decimal, factor: Decimal, share: float) -> Sized:
    """What weights are shares of: equity less `buffer`, a share of it, times the factor and the share of room."""
    full = (inputs.equity - inputs.equity * buffer) * factor
    part = ONE if share == 1.0 else Decimal(repr(share))
    return Sized(full * part, full, part)


def _set_target(row: Row, sized: Sized, venue: Venue) -> None:
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


def _keep_between(row: Row, upper: Sized, venue: Venue) -> None:
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


def _reserved(rows: list[Row], inputs: PlanInputs) -> Decimal:
    """Value of the holdings that have no price, which follows from equity where the cash is known."""
    unpriced = any(row.held and row.usable_price is None for row in rows)
    if inputs.cash is None or not unpriced:
        return ZERO
    priced = sum((row.held * price for row in rows if (price := row.usable_price) is not None), ZERO)
    return inputs.equity - inputs.cash - priced


def is_whole(row: Row, rules: PlanningRules) -> bool:
    if not rules.fractional or row.instrument is None or not row.instrument.fractionable:
        return True
    # A short is covered in whole shares but for its exact end: no broker sells a fraction short again.
    return row.weight < 0 or (not row.weight and row.current < 0)
