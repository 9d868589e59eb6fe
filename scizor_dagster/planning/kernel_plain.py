"""The kernel for instruments that are held or bought long, and that no rule stands in the way of: most of a book.

What belongs here: the arithmetic of `kernel_rows` for such rows, in numbers that stay in registers, with choices in
place of branches. What does not: any other row, and one where noise may decide: `kernel_rows` decides these.
"""

from __future__ import annotations

from scizor_dagster.planning.kernel_model import (
    BELOW_MIN_NOTIONAL,
    CLEAR,
    IDLE,
    INSIDE_BAND,
    LEFT,
    NONE,
    ON_TARGET,
    OPEN,
    REBALANCE,
    SHARE,
    UNIT,
    Numbers,
    Rows,
    Session,
)  # fmt: skip
from scizor_dagster.planning.kernel_rows import cut_to

_MANY = 1e18
"""Units beyond which a target may not be a number of them."""


def decide_plain_rows(rows: Rows, rules: Numbers, session: Session) -> int:
    """Decide what keeps its holding or is none, and what no rule stands in the way of, as `decide_row` does.

    Returns:
        How many rows are left to that one; they are marked `LEFT`.
    """
    # What all rows share is read once: the compiler does not know that rows and rules lie apart.
    near, lower, upper, left = session.near, session.lower, session.upper, 0
    greatest = max(lower, upper)
    more, less, minimum, relative = 1.0 + near, 1.0 - near, rules.minimum, rules.band_relative
    banded, band = session.band > 0.0 or relative > 0.0, session.band if session.band > 0.0 else NONE
    participation, most_shares, most_value = rules.max_participation, rules.max_shares, rules.max_value
    fractional, fine, order_unit, plain = rules.fractional, rules.fine, rules.order_unit, not rules.to_edge
    for i in range(len(rows)):
        row = rows[i]
        if row.code != 0 or (row.standing == IDLE and not row.special):
            row.target, row.delta, row.mark = row.count, 0, CLEAR
            continue
        weight, price, count, whole = row.weight, row.price, row.count, not (fractional and row.fractionable)
        step = row.lot if whole else fine
        per = price * (step * SHARE)
        sure = plain and weight > 0.0 and count >= 0 and not row.special and row.ban == 0 and not row.parcel > 0.0
        if not (sure and weight * greatest * step < _MANY * per) or (whole and step > UNIT):
            row.mark = LEFT
            left += 1
            continue
        value, held = weight * lower, row.held * price
        steps = value / per
        target = int(steps * more)
        unsure = target != int(steps * less)
        target *= step
        if upper > 0.0:
            # What would be closed only to set cash aside for slippage is a matter of what is opened.
            upper_value = weight * upper
            upper_steps = upper_value / per
            most = int(upper_steps * more)
            over = count > target
            unsure |= most != int(upper_steps * less)
            most *= step
            stays = over & (count <= most)
            target = count if stays else most if over else target
            value = held if stays else upper_value if over else value
        inside = False
        if banded:
            width = min(band, relative * value) if relative > 0.0 else band
            away = abs(held - value)
            inside = away <= width
            unsure |= abs(away - width) <= near * (held + value)
        close_step = order_unit if row.fractionable else UNIT
        delta = cut_to(target - count, close_step if fractional else UNIT)
        size = abs(delta)
        shares, changes = size * SHARE, delta != 0
        small = shares * price
        enough = small >= minimum
        shares *= more
        limited = (shares >= most_shares) | (shares * price >= most_value) | ((delta > 0) & (price < row.tick))
        if participation != NONE:
            limited |= not row.volume * participation * UNIT * (1.0 - 2.0 * near) > size
        unsure |= (target == 0) | (changes & (abs(small - minimum) <= near * minimum))
        if unsure | (limited & changes & enough & (not inside)):
            row.mark = LEFT
            left += 1
            continue
        code = OPEN if count == 0 else REBALANCE
        code = code if enough else BELOW_MIN_NOTIONAL
        code = INSIDE_BAND if inside else code
        row.code = code if changes else ON_TARGET
        row.target, row.delta, row.mark = target, delta, CLEAR
        row.whole, row.step, row.close_step = whole, step, close_step
    return left
