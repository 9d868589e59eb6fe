"""From a target quantity to the exact change, or the reason why there is none.

What belongs here: the rules for one instrument, in `Decimal`: increments, minimum, full exits, zero
crossings, limits. What does not: rules that look at the whole book (`fit`) and order objects
(`orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.quantities import ZERO, increment_of, slices, toward_zero
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.rules import PlanningRules

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Venue:
    """Rules and capabilities together: what is wanted, cut to what the broker takes.

    Attributes:
        minimum: The larger of the rules' minimum and the broker's.
        precision: Decimals of a fractional target.
        band: Half width of the absolute no-trade band, in the plan's currency; 0 for none.
    """

    rules: PlanningRules
    capabilities: Capabilities
    minimum: Decimal
    precision: int
    band: Decimal = ZERO

    @property
    def banded(self) -> bool:
        return self.band > 0 or self.rules.band_relative > 0

    def least(self, row: Row) -> Decimal:
        """Smallest value of an order that opens or adds."""
        return max(self.minimum, row.parcel) if row.parcel and row.delta > 0 else self.minimum

    def order_decimals(self, row: Row) -> int:
        """Decimals of an order's quantity: closing a holding whole may need more than a target has."""
        if not self.capabilities.fractional or row.instrument is None or not row.instrument.fractionable:
            return 0
        if closes_whole(row):
            return self.capabilities.quantity_decimals
        return self.capabilities.quantity_decimals if self.rules.fractional and not _stays_short(row) else 0

    def target_step(self, row: Row) -> Decimal:
        """Increment of the target quantity."""
        if not row.whole:
            return increment_of(self.precision)
        return Decimal(row.instrument.lot) if row.instrument else ONE

    def pieces(self, row: Row, quantity: Decimal) -> tuple[Decimal, ...] | None:
        """Slices of one leg; None where the leg cannot be split under the limit."""
        maximum, price = self.rules.max_notional_per_order, row.usable_price
        assert price is not None, row.symbol
        if maximum is None or quantity * price <= maximum:
            return (quantity,)
        return slices(quantity, price, maximum, self.least(row), self._slice_steps(row, quantity))

    def _slice_steps(self, row: Row, quantity: Decimal) -> tuple[Decimal, ...]:
        """Increments that a slice may have, the tidy one first: whole orders stay whole where they can."""
        if quantity % 1 == 0 and (row.whole or self.order_decimals(row) == 0):
            return (self.target_step(row), ONE)
        fractions = (increment_of(self.precision), increment_of(self.order_decimals(row)))
        return (ONE, *fractions) if quantity % 1 == 0 else fractions

    def leg_quantities(self, row: Row) -> tuple[Decimal, ...]:
        """Unsigned quantities of the legs of a decided row: two where it crosses zero."""
        if row.reason is Reason.CROSS_ZERO:
            return (abs(row.current), abs(row.current + row.delta))
        return (abs(row.delta),)


def crosses(row: Row) -> bool:
    """Whether the row's target lies on the other side of zero than what it has."""
    current, target = row.current, row.target
    return bool(current) and bool(target) and target is not None and current.is_signed() != target.is_signed()


def closes_whole(row: Row) -> bool:
    """Whether nothing is left of the present position."""
    return not row.target or crosses(row)


def _stays_short(row: Row) -> bool:
    """A split may have left a fraction of a short; orders beside it are whole all the same."""
    return row.target is not None and row.target < 0


def decide(row: Row, venue: Venue) -> None:
    """Set change and reason of a row whose `target` is set; a row without a usable price is not asked."""
    assert row.target is not None, row.symbol
    if row.target and venue.banded and _hold_in_band(row, venue):
        return
    wanted = row.target - row.current
    row.delta = ZERO
    if not wanted:
        row.reason = Reason.ON_TARGET
        return
    quantity = toward_zero(wanted, venue.order_decimals(row))
    if not quantity:
        row.reason = Reason.ON_TARGET if row.target else Reason.DUST
        return
    row.delta = quantity
    if not row.target:
        _decide_exit(row, venue, whole_exit=quantity == wanted)
    elif crosses(row):
        _decide_crossing(row, venue)
    else:
        row.reason = Reason.REBALANCE if row.current else Reason.OPEN
        value = _value(row, quantity)
        if value < venue.minimum:
            row.reason = Reason.BELOW_MIN_NOTIONAL
        elif row.parcel and value < venue.least(row):
            row.withhold(Reason.FIRST_PARCEL, f"Its first purchase must be worth {row.parcel} or more.")


def _hold_in_band(row: Row, venue: Venue) -> bool:
    """Whether the row stays as it is; outside its band, `trade_to: edge` moves the target to the nearer edge.

    A crossing of zero trades to its target: an edge of the band may lie on either side.
    """
    target, price, relative = row.target, row.usable_price, venue.rules.band_relative
    assert target is not None, row.symbol
    assert price is not None, row.symbol
    widths = [venue.band] if venue.band > 0 else []
    widths += [relative * abs(target) * price] if relative > 0 else []
    width, away = min(widths), row.current - target
    if abs(away) * price <= width:
        row.delta = toward_zero(-away, venue.order_decimals(row))
        row.reason = Reason.INSIDE_BAND if row.delta else Reason.ON_TARGET
        return True
    if venue.rules.trade_to == "edge" and row.current * target >= 0:
        step = venue.target_step(row)
        slack = (width / (price * step)).to_integral_value(rounding=ROUND_FLOOR) * step
        row.target = target + (slack if away > 0 else -slack)
        row.add_note(f"To the edge of its band around {target:f}.")
    return False


def check_limits(row: Row, venue: Venue) -> None:
    """Withhold an order that is larger than allowed, or that no slices can bring under the maximum."""
    if row.reason not in (Reason.OPEN, Reason.REBALANCE, Reason.LIQUIDATE, Reason.CROSS_ZERO):
        return
    largest = venue.rules.max_share_per_order
    if largest is not None and abs(row.delta) > largest:
        row.withhold(Reason.LIMIT, f"{abs(row.delta)} shares; risk.max_share_per_order allows {largest}.")
        return
    maximum = venue.rules.max_notional_per_order
    if maximum is None:
        return
    if any(venue.pieces(row, quantity) is None for quantity in venue.leg_quantities(row)):
        row.withhold(Reason.LIMIT, f"No slices both fit risk.max_notional_per_order = {maximum} and can be sent.")


def _decide_exit(row: Row, venue: Venue, *, whole_exit: bool) -> None:
    row.reason = Reason.LIQUIDATE
    exempt = whole_exit and venue.capabilities.full_exit_below_minimum
    if _value(row, row.delta) < venue.minimum and not exempt:
        row.withhold(Reason.DUST, "The broker does not sell so small a rest.")
    elif not whole_exit:
        row.add_note(f"{abs(row.current + row.delta)} remains: the broker takes no such fraction.")


def _decide_crossing(row: Row, venue: Venue) -> None:
    """A crossing closes the holding whole before it opens the other side; both legs must be sendable."""
    closable = toward_zero(row.current, venue.order_decimals(row)) == row.current
    close_small = _value(row, row.current) < venue.minimum
    if _value(row, row.delta) < venue.minimum:
        row.reason = Reason.BELOW_MIN_NOTIONAL
    elif not closable or _value(row, row.target or ZERO) < venue.least(row):
        exit_only(row, venue, "The other side of zero is too small, or the holding cannot be closed whole.")
    elif close_small and not venue.capabilities.full_exit_below_minimum:
        row.withhold(Reason.DUST, "The holding is too small to close, so the other side cannot be opened.")
    else:
        row.reason = Reason.CROSS_ZERO


def exit_only(row: Row, venue: Venue, note: str) -> None:
    """Turn a row's change into closing what is held."""
    row.target = ZERO
    row.delta = -toward_zero(row.current, venue.order_decimals(row))
    row.add_note(note)
    if row.delta == 0:
        row.reason = Reason.DUST
        return
    _decide_exit(row, venue, whole_exit=row.delta == -row.current)


def _value(row: Row, quantity: Decimal) -> Decimal:
    price = row.usable_price
    assert price is not None, row.symbol
    return abs(quantity) * price
