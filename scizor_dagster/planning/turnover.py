"""The cap on what one plan trades: the value of all orders together, as a share of equity.

What belongs here: which changes give way, and by how much. What does not: caps of one instrument
(`shaping`), the cash and gross laws (`fit`).

Changes are served in three tiers: full exits, then what reduces a position, then what opens or adds.
The first tier that does not fit is scaled by one factor, those after it get nothing. Scaled changes are
cut to increments, and some to nothing; what that leaves of the cap goes to one change after the other,
full exits first, then the largest. Later sessions do the rest: a plan on the filled result goes on where
this one stopped, and each uses its cap but for less than one order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from scizor_dagster.planning.decisions import Venue, check_limits, closing_part
from scizor_dagster.planning.model import ORDERING_REASONS, Reason
from scizor_dagster.planning.quantities import ZERO, plain
from scizor_dagster.planning.rows import Row
from scizor_dagster.planning.shaping import cut

_NAMES = ("full exits", "reductions", "purchases and short sales")
_NOTE = "planning.max_turnover leaves the rest to later sessions."


class _Change(NamedTuple):
    """A row's change as it was before the cap."""

    row: Row
    price: Decimal
    target: Decimal | None
    delta: Decimal
    reason: Reason
    note: str
    tiers: tuple[Decimal, Decimal, Decimal]
    """Unsigned shares that are a full exit, a reduction, and an opening."""

    @property
    def value(self) -> Decimal:
        return abs(self.delta) * self.price

    @property
    def traded(self) -> Decimal:
        """Value of what the row's orders trade now."""
        return abs(self.row.delta) * self.price if self.row.reason in ORDERING_REASONS else ZERO


def cap_turnover(rows: list[Row], venue: Venue, equity: Decimal) -> list[str]:
    """Hold the changes of decided rows to `max_turnover`; returns what was scaled, as sentences.

    Args:
        rows: Decided rows; changed in place.
        venue: Rules and the broker's capabilities.
        equity: What the portfolio sizes on.
    """
    maximum = venue.rules.max_turnover
    if maximum is None:
        return []
    changes = [
        _Change(row, price, row.target, row.delta, row.reason, row.note, _tiers(row))
        for row in rows
        if row.reason in ORDERING_REASONS and (price := row.usable_price)
    ]
    working = sum((row.busy * price for row in rows if row.busy and (price := row.usable_price)), ZERO)
    values = [sum((change.tiers[tier] * change.price for change in changes), ZERO) for tier in range(len(_NAMES))]
    total, cap = sum(values, ZERO), max(maximum * equity - working, ZERO)
    if total <= cap:
        return []
    served, left = [], cap
    for value in values:
        served.append(min(value, left))
        left -= served[-1]
    for change in changes:
        parts = zip(change.tiers, served, values, strict=True)
        # The product comes first: 300 shares times two thirds are 200, times 0.666666 are not.
        _serve(change, venue, sum((shares * part / whole for shares, part, whole in parts if whole), ZERO))
    _spend_rest(changes, venue, cap - sum((change.traded for change in changes), ZERO))
    return [_said(maximum, total / equity, working / equity, served, values), *_stuck(changes, cap)]


def _tiers(row: Row) -> tuple[Decimal, Decimal, Decimal]:
    closing = closing_part(row)
    if row.reason is Reason.LIQUIDATE:
        return closing, ZERO, ZERO
    return ZERO, closing, abs(row.delta) - closing


def _serve(change: _Change, venue: Venue, allowed: Decimal) -> None:
    """Set a row to as much of its change as `allowed` shares make in orders that can be sent."""
    row = change.row
    row.target, row.delta, row.reason, row.note = change.target, change.delta, change.reason, change.note
    cut(row, venue, allowed, Reason.TURNOVER_CAP, _NOTE)
    check_limits(row, venue)


def _spend_rest(changes: list[_Change], venue: Venue, left: Decimal) -> None:
    """Give what the cap has left to the changes that are not whole, one after the other."""
    waiting = sorted(
        changes,
        key=lambda change: (
            change.reason is not Reason.LIQUIDATE,
            change.traded - change.value,
            change.row.instrument_id,
            change.row.symbol,
        ),
    )
    for change in waiting:
        before, given = change.traded, abs(change.row.delta) if change.traded else ZERO
        _serve(change, venue, given + left / change.price)
        if not before <= change.traded <= before + left:
            _serve(change, venue, given)
        left -= change.traded - before


def _said(maximum: Decimal, wanted: Decimal, working: Decimal, served: list[Decimal], values: list[Decimal]) -> str:
    scaled = ", ".join(
        f"{name} by {part / whole:.12f}"
        for name, part, whole in zip(_NAMES, served, values, strict=True)
        if part < whole
    )
    already = f", of which open orders take {working:.4f}" if working else ""
    return (
        f"The changes are {wanted:.4f} of equity, and planning.max_turnover allows {plain(maximum)}{already}; "
        f"scaled: {scaled}. Later sessions do the rest."
    )


def _stuck(changes: list[_Change], cap: Decimal) -> list[str]:
    """A cap that is smaller than every order does not spread a plan over sessions: it ends trading."""
    if any(change.traded for change in changes) or not cap:
        return []
    return [
        f"planning.max_turnover leaves {cap:.2f} to trade, and no change has an order so small: nothing moves. "
        "Raise the cap, or allow smaller orders."
    ]
