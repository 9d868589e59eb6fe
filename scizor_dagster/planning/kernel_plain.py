"""The kernel for instruments that are held or bought long, and that no rule stands in the way of: most of a book.

What belongs here: the arithmetic of `kernel_room` and `kernel_rows` for such rows, with choices in place of branches,
so that the compiler makes vectors of them. What does not: any other row, and one where noise may decide: those two do.
"""

from __future__ import annotations

from scizor_dagster.planning.kernel_model import (
    BELOW_MIN_NOTIONAL,
    CLEAR,
    FIXED,
    FREE,
    GREATEST,
    GREATEST_COUNT,
    IDLE,
    INSIDE_BAND,
    LEAST,
    LEFT,
    NONE,
    ON_TARGET,
    OPEN,
    REBALANCE,
    SHARE,
    SUM_NOISE,
    UNIT,
    Column,
    Numbers,
    Rows,
    Session,
)  # fmt: skip

_MANY = 1e18
"""Units beyond which a target may not be a number of them."""
_EXACT = 2**52
"""Units up to which a change and its half are numbers of float64."""


def stand_plain_rows(rows: Rows, rules: Numbers, session: Session, terms: Column) -> tuple[bool, bool]:
    """Clear the codes of rows, and write the standing of those that move freely or are none.

    Weights go to `terms`. Rows of any other kind are `FIXED` for `keep` to look at.

    Returns:
        Whether all numbers can be, and whether there are such rows.
    """
    most_weight, most_move, shorts, wrong, left = rules.max_weight, rules.max_move, session.shorts, 0, 0
    for i in range(len(rows)):
        row = rows[i]
        weight, price, previous, count = row.weight, row.price, row.previous, row.count
        terms[i] = weight
        # Machine code divides floats; whole numbers as large as no float has them would have another last bit.
        held, most = float(count) / UNIT, most_move * previous
        wrong += 0 if (abs(weight) <= most_weight) & (abs(count) < GREATEST_COUNT) else 1
        idle = (weight == 0.0) & (held == 0.0)
        moved = abs(price - previous) >= most - 2.0 * SUM_NOISE * (price + previous)
        sound = (price >= LEAST) & (price <= GREATEST)
        free = sound & (row.fact == 0) & row.tradable & ((weight >= 0.0) | (shorts & row.shortable)) & (not moved)
        left += 0 if idle | free else 1
        row.held, row.code = held, 0
        row.standing = IDLE if idle else FREE if free else FIXED
    return wrong == 0, left > 0


def decide_plain_rows(rows: Rows, rules: Numbers, session: Session) -> int:
    """Decide what keeps its holding or is none, and what no rule stands in the way of, as `decide_row` does.

    Returns:
        How many rows are left to that one, which writes their decision; they are marked `LEFT`.
    """
    # What all rows share is read once: the compiler does not know that rows and rules lie apart.
    near, lower, upper, left = session.near, session.lower, session.upper, 0
    greatest, allows = max(lower, upper), upper > 0.0
    more, less, minimum, relative = 1.0 + near, 1.0 - near, rules.minimum, rules.band_relative
    banded, band = session.band > 0.0 or relative > 0.0, session.band if session.band > 0.0 else NONE
    participation, most_shares, most_value = rules.max_participation, rules.max_shares, rules.max_value
    takes_part, part = participation != NONE, participation * UNIT * (1.0 - 2.0 * near)
    fractional, fine, order_unit, plain = rules.fractional, rules.fine, rules.order_unit, not rules.to_edge
    for i in range(len(rows)):
        row = rows[i]
        weight, price, count, before = row.weight, row.price, row.count, row.code
        stays = (before != 0) | ((row.standing == IDLE) & (not row.special))
        fractions = row.fractionable & fractional
        step = fine if fractions else row.lot
        per = price * (step * SHARE)
        sure = plain & (weight > 0.0) & (count >= 0) & (not row.special) & (row.ban == 0) & (not row.parcel > 0.0)
        sure = sure & (fractions | (step <= UNIT)) & (weight * greatest * step < _MANY * per)
        per = per if sure else 1.0
        wanted = weight if sure else 0.0
        value, held = wanted * lower, row.held * price
        steps = value / per
        target = int(steps * more)
        unsure = target != int(steps * less)
        target *= step
        # What would be closed only to set cash aside for slippage is a matter of what is opened.
        upper_value = wanted * upper
        upper_steps = upper_value / per
        most = int(upper_steps * more)
        unsure = unsure | (most != int(upper_steps * less))
        most *= step
        over = allows & (count > target)
        holds = over & (count <= most)
        target = count if holds else most if over else target
        value = held if holds else upper_value if over else value
        share = relative * value if relative > 0.0 else NONE
        width = share if share < band else band
        away = abs(held - value)
        inside = banded & (away <= width)
        unsure = unsure | (banded & (abs(away - width) <= near * (held + value)))
        close_step = order_unit if row.fractionable else UNIT
        cut, delta = close_step if fractional else UNIT, target - count
        # A quotient of numbers this small is exact enough to be cut to a whole one.
        unsure = unsure | ((cut != 1) & (abs(delta) >= _EXACT))
        delta = delta if cut == 1 else int(delta / cut) * cut
        size = abs(delta)
        shares, changes = size * SHARE, delta != 0
        small = shares * price
        enough = small >= minimum
        shares *= more
        limited = (shares >= most_shares) | (shares * price >= most_value) | ((delta > 0) & (price < row.tick))
        limited = limited | (takes_part & (not row.volume * part > size))
        unsure = unsure | (target == 0) | (changes & (abs(small - minimum) <= near * minimum))
        sure = sure & (not stays) & (not (unsure | (limited & changes & enough & (not inside))))
        code = OPEN if count == 0 else REBALANCE
        code = code if enough else BELOW_MIN_NOTIONAL
        code = INSIDE_BAND if inside else code
        code = code if changes else ON_TARGET
        left += 0 if stays | sure else 1
        row.mark = CLEAR if stays | sure else LEFT
        row.code = before if stays else code if sure else 0
        row.target, row.delta = count if stays else target, 0 if stays else delta
        row.whole = (not fractions) if sure else row.whole
        row.step, row.close_step = step if sure else row.step, close_step if sure else row.close_step
    return left
