"""The kernel for the two laws of the whole book: `fit`, in numbers.

What belongs here: withholding openings until cash and gross hold at reference prices. What does not: the turnover cap.
"""

from __future__ import annotations

import math

from scizor_dagster.planning.kernel_model import (
    BEYOND,
    BOUND,
    CROSS_ZERO,
    FITS,
    GREATEST_COUNT,
    NEAR,
    NO_CASH,
    NOISE,
    SHARE,
    SUM_NOISE,
    UNSURE,
    Cells,
    Column,
    Numbers,
    Rows,
    Session,
)  # fmt: skip
from scizor_dagster.planning.kernel_room import is_sound, pairwise_sum
from scizor_dagster.planning.kernel_rows import exit_only, is_below, is_ordering, least_of, worth

NOBODY, EITHER = -1, -2


def fit(rows: Rows, rules: Numbers, session: Session, terms: Column, keys: Column) -> int:
    """Withhold opening orders until both laws hold, in place; returns `FITS`, `BOUND` or `UNSURE`."""
    investable = session.equity - session.equity * rules.buffer
    whole = _measure(rows, session, terms, keys)
    gross, limit = pairwise_sum(terms, len(rows)), rules.max_gross * investable
    first = _trim(rows, rules, gross - limit, SUM_NOISE * (gross + limit + session.equity), True, terms)
    if first == UNSURE:
        return UNSURE
    if first == BOUND:
        whole = _measure(rows, session, terms, keys)
    room = session.spare_cash if session.spare_cash == session.spare_cash else investable
    excess = pairwise_sum(keys, len(rows)) - room
    noise = 2.0 * SUM_NOISE * (whole + abs(room) + session.equity)
    if rules.slippage > 0.0:
        for i in range(len(rows)):
            terms[i] = worth(rows[i], rows[i].delta) if is_ordering(rows[i]) else 0.0
        excess += rules.slippage * pairwise_sum(terms, len(rows))
    return max(first, _trim(rows, rules, excess, noise, False, keys))


def _measure(rows: Rows, session: Session, gross: Column, net: Column) -> float:
    """Write what each row is worth in the end, and what it takes of the cash or of what is invested.

    Returns:
        The sum of all these, without signs.
    """
    known, whole = session.spare_cash == session.spare_cash, 0.0
    for i in range(len(rows)):
        row = rows[i]
        gross[i], net[i] = 0.0, 0.0
        if is_sound(row.price):
            final = _final(row) * SHARE * row.price
            gross[i] = abs(final)
            net[i] = _traded(row) * SHARE * row.price if known else final
            whole += gross[i] + abs(net[i])
    return whole


def _traded(row: Cells) -> int:
    return row.delta if is_ordering(row) else 0


def _final(row: Cells) -> int:
    return row.count + row.delta if is_ordering(row) else row.count


def _opening(row: Cells, shorts: bool) -> int:
    """Unsigned units by which a row's orders enlarge its position on the far side of zero."""
    final, traded = _final(row), _traded(row)
    return max(min(traded, final), min(-traded, -final) if shorts else 0, 0)


def _trim(rows: Rows, rules: Numbers, excess: float, noise: float, shorts: bool, keys: Column) -> int:
    """Let the smallest opening that covers the excess give way; where none does, the largest, and look again."""
    if excess <= -noise:
        return FITS
    if excess <= noise:
        return UNSURE
    for i in range(len(rows)):
        if rows[i].mark == BEYOND:
            return UNSURE
        opening = _opening(rows[i], shorts)
        keys[i] = opening * SHARE * rows[i].price if opening > 0 else 0.0
    while excess > noise:
        best = _choose(keys, len(rows), excess, noise)
        if best == NOBODY:
            return BOUND
        if best == EITHER:
            return UNSURE
        value, keys[best] = keys[best], 0.0
        rest = _reduce(rows[best], rules, excess, noise)
        if rows[best].mark == NEAR:
            return UNSURE
        excess -= value - rest * SHARE * rows[best].price
        noise += NOISE * value
    return BOUND if excess < -noise else UNSURE


def _choose(keys: Column, size: int, excess: float, noise: float) -> int:
    """Place of the smallest value that covers the excess, else of the largest; `EITHER` where noise decides."""
    covers, largest, after, before = NOBODY, NOBODY, math.inf, 0.0
    for i in range(size):
        value = keys[i]
        if value <= 0.0:
            continue
        if abs(value - excess) <= noise + NOISE * value:
            return EITHER
        if value > excess and (covers < 0 or value < keys[covers]):
            after = keys[covers] if covers >= 0 else math.inf
            covers = i
        elif value > excess:
            after = min(after, value)
        elif largest < 0 or value > keys[largest]:
            before = keys[largest] if largest >= 0 else 0.0
            largest = i
        else:
            before = max(before, value)
    if covers >= 0:
        return EITHER if after - keys[covers] <= NOISE * keys[covers] else covers
    return EITHER if largest >= 0 and keys[largest] - before <= NOISE * keys[largest] else largest


def _reduce(row: Cells, rules: Numbers, excess: float, noise: float) -> int:
    """Take at least `excess` off a row's opening order; returns the units of opening that are left."""
    per = row.price * (row.step * SHARE)
    steps = min(excess / per, GREATEST_COUNT / row.step)
    spread = noise / per + NOISE * steps
    less = math.ceil(steps - spread) * row.step
    if less != math.ceil(steps + spread) * row.step:
        row.mark = NEAR
    rest = _opening(row, True) - less
    if rest > 0 and not is_below(row, worth(row, rest), least_of(row, rules), NOISE):
        row.delta += less if row.delta < 0 else -less
        row.target = row.count + row.delta
        return rest
    if row.code == CROSS_ZERO:
        exit_only(row, rules, NOISE)
    else:
        row.code = NO_CASH
    return 0
