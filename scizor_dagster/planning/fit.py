"""The two laws of the whole book: cash never below its buffer, gross never above its maximum.

What belongs here: withholding buys, in exact numbers, until both hold at reference prices. What
does not: the proportional answer to large obstacles, which the kernel gives (`kernel.room_factor`).

What is left for this module is small as a rule: sales below the minimum that stay undone, holdings
that round up, an excess of weights within its tolerance. The smallest opening order that covers
the excess gives way by just as many increments; only where none covers it does the largest go as a
whole, and the next one is looked for. Which orders give way depends on the excess alone, so a plan
on the filled result withholds the same ones again and orders nothing. Orders that close a position
are never withheld.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from scizor_dagster.planning.cash import excess_over
from scizor_dagster.planning.decisions import Venue, check_limits, exit_only
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rows import Row


def fit(rows: list[Row], venue: Venue, *, investable: Decimal, spare_cash: Decimal | None) -> None:
    """Withhold opening orders until both laws hold, also where fills are worse by the slippage allowance.

    Args:
        rows: Decided rows; changed in place.
        venue: Rules and the broker's capabilities.
        investable: Equity less the cash buffer.
        spare_cash: Cash less the buffer where the cash is known; else it follows from equity and
            the value of what is held.
    """
    priced = [(row, price) for row in rows if (price := row.usable_price) is not None]
    gross = sum([abs(_final(row)) * price for row, price in priced])
    _trim(priced, venue, gross - venue.rules.max_total_weight * investable, shorts=True)
    if spare_cash is None:
        excess = sum([_final(row) * price for row, price in priced], ZERO) - investable
    else:
        excess = excess_over(spare_cash, ((_traded(row), price) for row, price in priced))
    if slippage := venue.rules.slippage_allowance_pct:
        excess += slippage * sum((abs(_traded(row)) * price for row, price in priced), ZERO)
    _trim(priced, venue, excess, shorts=False)


def _traded(row: Row) -> Decimal:
    return row.delta if row.reason in ORDERING_REASONS else ZERO


def _final(row: Row) -> Decimal:
    return row.current + row.delta if row.reason in ORDERING_REASONS else row.current


def _opening(row: Row, *, shorts: bool) -> Decimal:
    """Unsigned quantity by which a row's orders enlarge its position on the far side of zero."""
    final, traded = _final(row), _traded(row)
    return max(min(traded, final), min(-traded, -final) if shorts else ZERO, ZERO)


def _trim(priced: list[tuple[Row, Decimal]], venue: Venue, excess: Decimal, *, shorts: bool) -> None:
    if excess <= 0:
        return
    openings = [
        (quantity * price, row.symbol, row, price)
        for row, price in priced
        if (quantity := _opening(row, shorts=shorts)) > 0
    ]
    openings.sort(key=lambda opening: opening[:2])
    while excess > 0 and openings:
        position = next((at for at, opening in enumerate(openings) if opening[0] >= excess), len(openings) - 1)
        value, _, row, price = openings.pop(position)
        excess -= value - _reduce(row, price, venue, excess)


def _reduce(row: Row, price: Decimal, venue: Venue, excess: Decimal) -> Decimal:
    """Take at least `excess` off a row's opening order; returns the value of opening that is left."""
    opening = _opening(row, shorts=True)
    step = venue.target_step(row)
    less = (excess / (price * step)).to_integral_value(rounding=ROUND_CEILING) * step
    rest = opening - less
    if rest > 0 and rest * price >= venue.least(row):
        target, delta, reason, note = row.target, row.delta, row.reason, row.note
        row.delta -= row.side.sign * less
        row.target = row.current + row.delta
        check_limits(row, venue)
        if _opening(row, shorts=True) == rest:
            row.add_note(f"Reduced from {abs(delta)} to {abs(row.delta)}: there is no room for more.")
            return rest * price
        # No slices carry so much: it gives way whole, as it was.
        row.target, row.delta, row.reason, row.note = target, delta, reason, note
    if row.reason is Reason.CROSS_ZERO:
        exit_only(row, venue, "There is no room to open the other side.")
    else:
        row.withhold(Reason.NO_CASH, "What cannot be sold leaves no room for it.")
    return ZERO
