"""The one row that a person asks for: its quantity, and whether it can be had exactly as it was asked for.

What belongs here: a manual order as a row among the rows of the portfolio, whose others stay as they are. What does
not: the rules that it is decided by, which are those of every plan (`decisions`, `shaping`, `fit`).

A rebalance takes what it can get of a change. A manual order is taken whole or not at all: where a rule would cut it,
or send it in another form than it names, it is refused with the words of that rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from scizor_dagster.brokers.protocol import OrderType, Side, TimeInForce
from scizor_dagster.errors import InputError, sentence
from scizor_dagster.planning.columns import FACTOR_STEP
from scizor_dagster.planning.decisions import Venue, check_limits, decide
from scizor_dagster.planning.inputs import ManualInstruction, PlanInputs, Target
from scizor_dagster.planning.model import ORDERING_REASONS, PlannedOrder, Reason
from scizor_dagster.planning.quantities import ZERO, increment_of, is_usable, plain, tick_down, tick_up
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules
from scizor_dagster.planning.shaping import Shaper, shape

ONE = Decimal(1)
_FORMS = {
    "market": (OrderType.MARKET, TimeInForce.DAY),
    "limit": (OrderType.LIMIT, TimeInForce.DAY),
    "moo": (OrderType.MARKET, TimeInForce.OPG),
    "moc": (OrderType.MARKET, TimeInForce.CLS),
}


def manual_rules(rules: PlanningRules, asked: ManualInstruction) -> PlanningRules:
    """The portfolio's rules without its no-trade bands, which say when weights are worth a trade, in the form named.

    A manual order has no bracket: whose the position is that its exits would close could not be told.
    """
    without = replace(rules, band_absolute=ZERO, band_relative=ZERO)
    if asked.mode is None:
        return replace(without, mode_on_buy="market") if rules.mode_on_buy == "bracket" else without
    return replace(without, mode_on_buy=asked.mode, mode_on_sell=asked.mode)


def with_row(inputs: PlanInputs, asked: ManualInstruction) -> PlanInputs:
    """The inputs with a target of the instrument, so that it has a row; its weight stands for no share of anything."""
    instrument = inputs.instruments.get(asked.symbol)
    return replace(inputs, targets=(Target((), asked.symbol, instrument.id if instrument else "", ONE),))


def decide_manual(
    rows: Sequence[Row], inputs: PlanInputs, asked: ManualInstruction, venue: Venue, shapers: tuple[Shaper, ...]
) -> Row:
    """Decide the row that is asked for; every other one keeps what it has. The rows are changed in place.

    Raises:
        InputError: a limit price that is no price here.
    """
    mine = next(row for row in rows if row.symbol == asked.symbol)
    for row in rows:
        if row is not mine:
            row.kept = row.kept or Reason.KEPT
            row.reason = row.kept
    mine.weight = ZERO
    mine.add_note(sentence(f"Manual order {asked.key} by {asked.actor}: {asked.reason}"))
    if mine.kept is not None:
        mine.reason = mine.kept
    elif mine.usable_price is None:
        mine.reason = mine.kept = Reason.NO_PRICE if mine.price is None else Reason.BAD_PRICE
    else:
        mine.limit = _limit(mine, asked)
        _decide(mine, mine.usable_price, inputs, asked, venue, shapers)
    return mine


def _decide(
    row: Row, price: Decimal, inputs: PlanInputs, asked: ManualInstruction, venue: Venue, shapers: tuple[Shaper, ...]
) -> None:
    target = _target(row, price, asked, venue)
    row.whole = not _is_fractional(row, venue, target)
    if target < min(row.current, ZERO) and not _may_short(row, venue):
        why = venue.no_shorts or "It may not be sold short."
        row.withhold(Reason.NOT_SHORTABLE, f"{plain(max(row.current, ZERO))} can be sold. {why}")
        return
    row.target, row.value = target, target * price
    row.weight = (row.value / inputs.equity).quantize(FACTOR_STEP, rounding=ROUND_DOWN)
    decide(row, venue)
    shape(row, venue, shapers)
    check_limits(row, venue)


def _target(row: Row, price: Decimal, asked: ManualInstruction, venue: Venue) -> Decimal:
    """Signed shares that the portfolio is to have once the order has filled."""
    if asked.target is not None:
        return asked.target
    assert asked.side is not None, asked.symbol
    quantity = asked.quantity
    if quantity is None:
        assert asked.notional is not None, asked.symbol
        assert row.instrument is not None, asked.symbol
        short = row.current < 0 or (row.current == 0 and asked.side is Side.SELL)
        fractional = _is_fractional(row, venue, -ONE if short else ONE)
        step = increment_of(venue.precision) if fractional else Decimal(row.instrument.lot)
        quantity = asked.notional // (price * step) * step
    return row.current + asked.side.sign * quantity


def _is_fractional(row: Row, venue: Venue, target: Decimal) -> bool:
    """Whether targets of the row may be fractions: a short is whole shares."""
    if not venue.rules.fractional or row.instrument is None or not row.instrument.fractionable:
        return False
    return target > 0 or (target == 0 and row.current >= 0)


def _may_short(row: Row, venue: Venue) -> bool:
    return not venue.no_shorts and row.instrument is not None and row.instrument.shortable


def _limit(row: Row, asked: ManualInstruction) -> Decimal | None:
    limit, instrument = asked.limit_price, row.instrument
    if limit is None:
        return None
    assert instrument is not None, row.symbol
    if not is_usable(limit):
        raise InputError(f"The limit price is {limit}.", remedy="Give the price of one share.", where=row.symbol)
    step = instrument.price_step(limit)
    if limit % step != 0:
        near = f"{plain(tick_down(limit, step))} or {plain(tick_up(limit, step))}"
        raise InputError(
            f"The limit price {plain(limit)} is not on the price step of {plain(step)}.",
            remedy=f"Use {near}.",
            where=row.symbol,
        )
    return limit


def require_whole(row: Row, asked: ManualInstruction) -> None:
    """Refuse what would be ordered in part alone.

    Raises:
        InputError: saying how much could be, and why not more.
    """
    if row.reason not in ORDERING_REASONS:
        return
    wanted = abs(row.delta) if asked.quantity is None else asked.quantity
    if asked.target is not None:
        wanted = abs(asked.target - row.current)
    if abs(row.delta) != wanted:
        raise InputError(
            f"Of the {plain(wanted)} that were asked for, {plain(abs(row.delta))} can be ordered. {row.note}",
            remedy="Ask for what can be had: a manual order is taken whole or not at all.",
            where=row.symbol,
        )


def require_form(orders: Sequence[PlannedOrder], row: Row, asked: ManualInstruction) -> None:
    """Refuse orders of another form than the one that was asked for.

    Raises:
        InputError: saying why it cannot be had.
    """
    if asked.mode is None:
        return
    other = next((item for item in orders if (item.order_type, item.time_in_force) != _FORMS[asked.mode]), None)
    if other is not None:
        raise InputError(
            f"It cannot be a {asked.mode} order. {row.note}",
            remedy="Name another order type, or leave it out for the portfolio's own.",
            where=row.symbol,
        )
