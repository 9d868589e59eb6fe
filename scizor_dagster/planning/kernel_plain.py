"""The kernel for one instrument that is held or bought long, and that no rule stands in the way of: most of a book.

What belongs here: the arithmetic of `kernel_rows` for such a row, in numbers that stay in registers, with choices in
place of branches. What does not: any other row, and one where noise may decide: `kernel_rows` decides these.
"""

from __future__ import annotations

from scizor_dagster.planning.kernel_model import (
    BELOW_MIN_NOTIONAL,
    CLEAR,
    INSIDE_BAND,
    NONE,
    ON_TARGET,
    OPEN,
    REBALANCE,
    SHARE,
    UNIT,
    Cells,
    Numbers,
    Session,
)  # fmt: skip
from scizor_dagster.planning.kernel_rows import cut_to

_MANY = 1e18
"""Units beyond which a target may not be a number of them."""


def decide_plainly(row: Cells, rules: Numbers, session: Session) -> bool:
    """Decide a row that does not keep its holding, as `decide_row` does; False leaves it to that one."""
    weight, price, count, near = row.weight, row.price, row.count, session.near
    whole = not (rules.fractional and row.fractionable)
    if weight <= 0.0 or count < 0 or row.special or row.ban != 0 or row.parcel > 0.0 or rules.to_edge:
        return False
    step = row.lot if whole else rules.fine
    if whole and step > UNIT:
        return False
    per, value, upper = price * (step * SHARE), weight * session.lower, weight * session.upper
    steps, upper_steps = value / per, upper / per
    if not (steps + upper_steps) * step < _MANY:
        return False
    low, high = int(steps * (1.0 + near)), int(upper_steps * (1.0 + near))
    unsure = (low != int(steps * (1.0 - near))) | (high != int(upper_steps * (1.0 - near)))
    target, most, held = low * step, high * step, row.held * price
    # What would be closed only to set cash aside for slippage is a matter of what is opened.
    over = (upper > 0.0) & (count > target)
    stays = over & (count <= most)
    target = count if stays else most if over else target
    value = held if stays else upper if over else value
    inside = False
    if session.band > 0.0 or rules.band_relative > 0.0:
        width = session.band if session.band > 0.0 else NONE
        if rules.band_relative > 0.0:
            width = min(width, rules.band_relative * value)
        away = abs(held - value)
        inside = away <= width
        unsure |= abs(away - width) <= near * (held + value)
    close_step = rules.order_unit if row.fractionable else UNIT
    delta = cut_to(target - count, close_step if rules.fractional else UNIT)
    size = abs(delta)
    small = size * SHARE * price
    changes = delta != 0
    unsure |= (target == 0) | (changes & (abs(small - rules.minimum) <= near * rules.minimum))
    least = small >= rules.minimum
    shares = size * SHARE * (1.0 + near)
    limited = (shares >= rules.max_shares) | (shares * price >= rules.max_value) | ((delta > 0) & (price < row.tick))
    if rules.max_participation != NONE:
        limited |= not row.volume * rules.max_participation * UNIT * (1.0 - 2.0 * near) > size
    if unsure | (limited & changes & least & (not inside)):
        return False
    code = OPEN if count == 0 else REBALANCE
    code = code if least else BELOW_MIN_NOTIONAL
    code = INSIDE_BAND if inside else code
    row.code = code if changes else ON_TARGET
    row.target, row.delta, row.mark = target, delta, CLEAR
    row.whole, row.step, row.close_step = whole, step, close_step
    return True
