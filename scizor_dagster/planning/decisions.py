"""From a target quantity to the exact change, or the reason why there is none.

What belongs here: the rules for one instrument, in `Decimal`: increments, minimum, full exits, zero
crossings, limits. What does not: rules that look at the whole book (`fit`) and order objects
(`orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from scizor_dagster.brokers.protocol import Capabilities
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.quantities import MAX_SLICES, ZERO, increment_of, slices, toward_zero
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
        no_shorts: Sentence that says why nothing is sold short; empty where it may be.
    """

    rules: PlanningRules
    capabilities: Capabilities
    minimum: Decimal
    precision: int
    band: Decimal = ZERO
    no_shorts: str = ""

    @property
    def banded(self) -> bool:
        return self.band > 0 or self.rules.band_relative > 0

    def least(self, row: Row) -> Decimal:
        """Smallest value of an order of the row that opens or adds; a cover of a short is no first purchase."""
        bought = row.delta > 0 and row.current + row.delta > 0
        return max(self.minimum, row.parcel) if row.parcel and bought else self.minimum

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

    def largest(self, row: Row) -> Decimal | None:
        """Most shares that one order of the row may have; None where nothing limits it."""
        value, shares, price = self.rules.max_notional_per_order, self.rules.max_share_per_order, row.usable_price
        if value is None:
            return shares
        assert price is not None, row.symbol
        return value / price if shares is None else min(value / price, shares)

    def pieces(self, row: Row, quantity: Decimal, *, opens: bool) -> tuple[Decimal, ...] | None:
        """Slices of one leg; None where the leg cannot be split under the limits.

        Where a bracket protects what is bought, whole shares are orders of their own. The fraction comes first:
        once a bracket has filled, its legs would make a simple purchase a wash trade.
        """
        if opens and row.bracket is not None and quantity % 1 != 0:
            apart = self._fraction_apart(row, quantity)
            if apart is not None:
                return apart
        return self._split(row, quantity, self.least(row) if opens else self.minimum)

    def _fraction_apart(self, row: Row, quantity: Decimal) -> tuple[Decimal, ...] | None:
        """A rest that is worth an order, with as few whole shares as that takes, and slices of whole shares."""
        price, least = row.usable_price, self.least(row)
        assert price is not None, row.symbol
        rest = quantity % 1
        rest += max(ZERO, ((least - rest * price) / price).to_integral_value(rounding=ROUND_CEILING))
        whole, largest = (quantity - rest).to_integral_value(), self.largest(row)
        if whole <= 0 or whole * price < least or (largest is not None and rest > largest):
            return None
        protected = self._split(row, whole, least, (ONE,))
        return None if protected is None else (rest, *protected)

    def _split(
        self, row: Row, quantity: Decimal, least: Decimal, steps: tuple[Decimal, ...] = ()
    ) -> tuple[Decimal, ...] | None:
        """Slices of at least `least` each; without `steps`, in the increments that suit the quantity."""
        largest = self.largest(row)
        if largest is None or quantity <= largest:
            return (quantity,)
        assert row.usable_price is not None, row.symbol
        return slices(quantity, row.usable_price, largest, least, steps or self._slice_steps(row, quantity))

    def _slice_steps(self, row: Row, quantity: Decimal) -> tuple[Decimal, ...]:
        """Increments that a slice may have, the tidy one first: whole orders stay whole, and lots stay lots."""
        if quantity % 1 == 0 and (row.whole or self.order_decimals(row) == 0):
            return (self.target_step(row),) if row.whole else (ONE,)
        fractions = (increment_of(self.precision), increment_of(self.order_decimals(row)))
        return (ONE, *fractions) if quantity % 1 == 0 else fractions

    def legs(self, row: Row) -> tuple[tuple[Decimal, bool], ...]:
        """Of each leg of a decided row its unsigned quantity and whether it opens: two where it crosses zero."""
        if row.reason is Reason.CROSS_ZERO:
            return ((abs(row.current), False), (abs(row.current + row.delta), True))
        return ((abs(row.delta), not row.current or row.current.is_signed() is row.delta.is_signed()),)

    def carries(self, row: Row) -> bool:
        """Whether every leg of a decided row can be split into orders under the limits."""
        return all(self.pieces(row, quantity, opens=opens) is not None for quantity, opens in self.legs(row))


def crosses(row: Row) -> bool:
    """Whether the row's target lies on the other side of zero than what it has."""
    current, target = row.current, row.target
    return bool(target and current) and target is not None and current.is_signed() is not target.is_signed()


def closes_whole(row: Row) -> bool:
    """Whether nothing is left of the present position."""
    current, target = row.current, row.target
    return not target or (bool(current) and current.is_signed() is not target.is_signed())


def closing_part(row: Row) -> Decimal:
    """Unsigned shares of the row's change that close what is held or under way."""
    current, delta = row.current, row.delta
    return min(abs(delta), abs(current)) if current and delta and current.is_signed() != delta.is_signed() else ZERO


def _stays_short(row: Row) -> bool:
    """A split may have left a fraction of a short; orders beside it are whole all the same."""
    return row.target is not None and row.target < 0


def decide(row: Row, venue: Venue) -> None:
    """Set change and reason of a row whose `target` and `value` are set; one without a usable price is not asked."""
    assert row.target is not None, row.symbol
    if row.value and venue.banded and _hold_in_band(row, venue):
        return
    wanted = row.target - row.current
    row.delta = ZERO
    if not wanted:
        row.reason = Reason.ON_TARGET
        return
    quantity = _sendable(row, wanted, venue)
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

    The band lies around the target's value before it is rounded: whole shares and lots neither cause a trade nor
    prevent one. A crossing of zero trades to its target: an edge of the band may lie on either side.
    """
    target, price, value, relative = row.target, row.usable_price, row.value, venue.rules.band_relative
    assert target is not None, row.symbol
    assert price is not None, row.symbol
    widths = [venue.band] if venue.band > 0 else []
    widths += [relative * abs(value)] if relative > 0 else []
    width, away = min(widths), row.current * price - value
    if abs(away) <= width:
        row.delta = toward_zero(target - row.current, venue.order_decimals(row))
        row.reason = Reason.INSIDE_BAND if row.delta else Reason.ON_TARGET
        return True
    if venue.rules.trade_to == "edge" and row.current * value >= 0:
        edge = _edge(row, venue.target_step(row), width, from_above=not away.is_signed())
        if edge is not None and edge != target:
            row.target = edge
            row.add_note(f"To the edge of its band around {value / price:.9f}.")
    return False


def _edge(row: Row, step: Decimal, width: Decimal, *, from_above: bool) -> Decimal | None:
    """The quantity inside the band that is nearest to the holding; None where none is, or only one beyond the target.

    A position is enlarged to at most its value, as everywhere: only the way down may end above it.
    """
    value, price = row.value, row.usable_price
    assert price is not None, row.symbol
    rounding = ROUND_FLOOR if from_above else ROUND_CEILING
    limit = value + width if from_above else value - width
    edge = (limit / (price * step)).to_integral_value(rounding=rounding) * step
    enlarges = from_above == (value < 0)
    if abs(edge * price - value) > width or (enlarges and abs(edge * price) > abs(value)):
        return None
    return edge


def _sendable(row: Row, wanted: Decimal, venue: Venue) -> Decimal:
    """The part of a change that orders can make: whole lots where it trades in them, but for an exact end."""
    quantity = toward_zero(wanted, venue.order_decimals(row))
    if row.whole and row.instrument is not None and row.instrument.lot > 1 and not closes_whole(row):
        lot = row.instrument.lot
        quantity = (quantity / lot).to_integral_value(rounding=ROUND_DOWN) * lot
    return quantity


def check_limits(row: Row, venue: Venue) -> None:
    """Withhold an opening that is larger than allowed, and what no slices can bring under the maximum.

    What closes is never too large: it is sliced, and as much of it goes as slices can carry.
    """
    if row.reason not in ORDERING_REASONS:
        return
    shares, value = venue.rules.max_share_per_order, venue.rules.max_notional_per_order
    if shares is None and value is None:
        return
    opening = abs(row.delta) - closing_part(row)
    if shares is not None and opening > shares:
        note = f"{opening} shares; risk.max_share_per_order allows {shares}."
        if row.reason is not Reason.CROSS_ZERO:
            row.withhold(Reason.LIMIT, note)
            return
        exit_only(row, venue, f"The other side of zero would be {note}")
    _close_in_slices(row, venue)
    if venue.carries(row):
        return
    names = {"max_share_per_order": shares, "max_notional_per_order": value}
    limits = " and ".join(f"risk.{name} = {limit}" for name, limit in names.items() if limit is not None)
    if row.reason is Reason.CROSS_ZERO:
        exit_only(row, venue, f"The other side of zero is not opened: no slices both fit {limits} and can be sent.")
    if not venue.carries(row):
        row.withhold(Reason.LIMIT, f"No slices both fit {limits} and can be sent.")


def _close_in_slices(row: Row, venue: Venue) -> None:
    """Cut what is closed to the most that one plan may slice, where it cannot be sliced as it is."""
    # What stays short is whole shares, whatever the other side of zero may be.
    step = max(venue.target_step(row), ONE) if row.current < 0 else venue.target_step(row)
    closing, price, largest = closing_part(row), row.usable_price, venue.largest(row)
    assert largest is not None, row.symbol
    assert price is not None, row.symbol
    each = (largest / step).to_integral_value(rounding=ROUND_FLOOR) * step
    if not closing or each * price < venue.minimum or not each:
        return
    whole = (closing / each).to_integral_value(rounding=ROUND_FLOOR)
    if whole < MAX_SLICES and venue.pieces(row, closing, opens=False) is not None:
        return
    most = min(whole, Decimal(MAX_SLICES)) * each
    if not most < closing:
        return
    why = f"no change has more than {MAX_SLICES} slices" if whole >= MAX_SLICES else "no slices carry the rest"
    row.add_note(f"Cut from {closing} to {most}: {why}.")
    row.reason = Reason.REBALANCE
    row.delta = most.copy_sign(row.delta)
    row.target = row.current + row.delta


def _decide_exit(row: Row, venue: Venue, *, whole_exit: bool) -> None:
    row.reason = Reason.LIQUIDATE
    if row.value and row.delta.is_signed() != row.value.is_signed():
        row.add_note(f"Its target is worth {row.value:.2f} and rounds to zero shares.")
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
