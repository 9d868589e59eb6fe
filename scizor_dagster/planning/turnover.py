"""The cap on what one plan trades: the value of all orders together, as a share of equity.

What belongs here: which changes give way, and by how much. What does not: caps of one instrument
(`shaping`), the cash and gross laws (`fit`).

Changes are served in three tiers: full exits, then what reduces a position, then what opens or adds.
The first tier that does not fit is scaled by one factor, those after it get nothing. What is left
undone is done in later sessions: a plan on the filled result goes on where this one stopped.
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.planning.decisions import Venue, check_limits
from scizor_dagster.planning.inputs import plain
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.quantities import ZERO
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.shaping import closing_part, cut

_NAMES = ("full exits", "reductions", "purchases and short sales")


def cap_turnover(rows: list[Row], venue: Venue, equity: Decimal) -> list[str]:
    """Scale the changes of decided rows to `max_turnover`; returns what was scaled, as a sentence.

    Args:
        rows: Decided rows; changed in place.
        venue: Rules and the broker's capabilities.
        equity: What the portfolio sizes on.
    """
    maximum = venue.rules.max_turnover
    if maximum is None:
        return []
    moving = [(row, price) for row in rows if row.reason in ORDERING_REASONS and (price := row.usable_price)]
    values = [ZERO, ZERO, ZERO]
    for row, price in moving:
        for tier, quantity in enumerate(_tiers(row)):
            values[tier] += quantity * price
    total, left = sum(values, ZERO), maximum * equity
    if total <= left:
        return []
    served: list[Decimal] = []
    for value in values:
        served.append(min(value, left))
        left -= served[-1]
    for row, _ in moving:
        parts = zip(_tiers(row), served, values, strict=True)
        # The product comes first: 300 shares times two thirds are 200, times 0.666666 are not.
        allowed = sum((quantity * part / whole for quantity, part, whole in parts if whole), ZERO)
        cut(row, venue, allowed, Reason.TURNOVER_CAP, "planning.max_turnover leaves the rest to later sessions.")
        check_limits(row, venue)
    scaled = ", ".join(
        f"{name} by {part / whole:.12f}"
        for name, part, whole in zip(_NAMES, served, values, strict=True)
        if part < whole
    )
    return [
        f"The changes are {total / equity:.4f} of equity, and planning.max_turnover allows {plain(maximum)}; "
        f"scaled: {scaled}. Later sessions do the rest."
    ]


def _tiers(row: Row) -> tuple[Decimal, Decimal, Decimal]:
    """Unsigned shares that are a full exit, a reduction, and an opening."""
    closing = closing_part(row)
    if row.reason is Reason.LIQUIDATE:
        return closing, ZERO, ZERO
    return ZERO, closing, abs(row.delta) - closing
