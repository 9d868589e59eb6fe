"""The kernel for the cap on what one plan trades: `turnover`, in numbers.

What belongs here: which changes give way, and by how much. What does not: the cash and gross laws (`kernel_fit`).
"""

from __future__ import annotations

from scizor_dagster.planning.kernel_model import (
    BEYOND,
    BOUND,
    CROSS_ZERO,
    FITS,
    GREATEST_COUNT,
    LIQUIDATE,
    NEAR,
    NOISE,
    NONE,
    SHARE,
    SUM_NOISE,
    TURNOVER_CAP,
    UNIT,
    UNSURE,
    Cells,
    Column,
    Numbers,
    Rows,
)  # fmt: skip
from scizor_dagster.planning.kernel_room import pairwise_sum
from scizor_dagster.planning.kernel_rows import closing_part, cut, is_ordering, worth


def cap_turnover(rows: Rows, rules: Numbers, equity: float, terms: Column, keys: Column) -> int:
    """Hold the changes to `max_turnover`, in place; returns `FITS`, `BOUND` or `UNSURE`."""
    if rules.max_turnover == NONE:
        return FITS
    if _surely_less(rows, rules.max_turnover * equity):
        return FITS
    exits, reductions = _tier_value(rows, 0, terms), _tier_value(rows, 1, terms)
    openings = _tier_value(rows, 2, terms)
    total, cap = exits + reductions + openings, rules.max_turnover * equity
    noise = SUM_NOISE * (total + cap)
    if total <= cap - noise:
        return FITS
    part, whole, tier = cap, exits, 0
    if exits < cap:
        part, whole, tier = cap - exits, reductions, 1
        if reductions < part:
            part, whole, tier = part - reductions, openings, 2
    # A tier that ends where the cap does leaves open which of two is scaled.
    if total < cap + noise or part <= noise or whole - part <= noise:
        return UNSURE
    if not _scale(rows, rules, tier, part / whole, NOISE + 2.0 * noise / part, keys):
        return UNSURE
    for i in range(len(rows)):
        terms[i] = _traded(rows[i]) * SHARE * rows[i].price if is_ordering(rows[i]) else 0.0
    return _spend_rest(rows, rules, cap - pairwise_sum(terms, len(rows)), 2.0 * noise, keys)


def _surely_less(rows: Rows, cap: float) -> bool:
    """Whether the changes are far from a cap, as they are in most sessions: by more than a plain sum may be off."""
    total = 0.0
    for i in range(len(rows)):
        if is_ordering(rows[i]):
            total += worth(rows[i], rows[i].delta)
    return total < 0.999 * cap


def _scale(rows: Rows, rules: Numbers, tier: int, factor: float, spread: float, keys: Column) -> bool:
    """Serve the tiers before `tier` whole, that one by a factor, and those after it not; False where noise decides."""
    for i in range(len(rows)):
        row = rows[i]
        keys[i] = 0.0
        if row.mark == BEYOND:
            return False
        if is_ordering(row):
            row.first_code, row.first_delta, row.first_target = row.code, row.delta, row.target
            served, scaled = 0, _tier(row, tier) * factor
            for before in range(tier):
                served += _tier(row, before)
            if not _serve(row, rules, served + int(scaled * (1.0 - spread)), served + int(scaled * (1.0 + spread))):
                return False
            keys[i] = (abs(row.first_delta) - _traded(row)) * SHARE * row.price
    return True


def _tier_value(rows: Rows, tier: int, terms: Column) -> float:
    count = 0
    for i in range(len(rows)):
        if is_ordering(rows[i]):
            terms[count] = _tier(rows[i], tier) * SHARE * rows[i].price
            count += 1
    return pairwise_sum(terms, count)


def _tier(row: Cells, tier: int) -> int:
    """Unsigned units of a row's change that are a full exit (0), a reduction (1), a purchase or short sale (2)."""
    closing = closing_part(row.count, row.delta)
    if row.code == LIQUIDATE:
        return closing if tier == 0 else 0
    if tier == 0:
        return 0
    return closing if tier == 1 else abs(row.delta) - closing


def _traded(row: Cells) -> int:
    return abs(row.delta) if is_ordering(row) else 0


def _serve(row: Cells, rules: Numbers, low: int, high: int) -> bool:
    """Set a row to as much of its first change as that many units make in orders; False where noise decides."""
    row.code, row.delta, row.target = row.first_code, row.first_delta, row.first_target
    cut(row, rules, low, high, TURNOVER_CAP, NOISE)
    return row.mark != NEAR


def _spend_rest(rows: Rows, rules: Numbers, left: float, noise: float, keys: Column) -> int:
    """Give what the cap has left to the changes that are not whole: full exits first, then the largest rest.

    What is left only falls, and a change takes nothing below some value: only those that could take some are looked at.
    """
    while True:
        best, again = -1, -1.0
        for i in range(len(rows)):
            if keys[i] > 0.0 and left >= _takes_from(rows[i], rules, keys[i]) - noise:
                exits = rows[i].first_code == LIQUIDATE
                same = best < 0 or exits == (rows[best].first_code == LIQUIDATE)
                if same and best >= 0 and keys[i] <= keys[best]:
                    again = max(again, keys[i])
                elif same or exits:
                    again = keys[best] if same and best >= 0 else -1.0
                    best = i
        if best < 0:
            return BOUND
        taken = _takes_from(rows[best], rules, keys[best])
        if keys[best] - again <= SUM_NOISE * keys[best] or left <= taken + noise:
            return UNSURE
        keys[best] = 0.0
        row = rows[best]
        given, more = _traded(row), min(left / row.price * UNIT, 2.0 * GREATEST_COUNT)
        spread = noise / row.price * UNIT + NOISE * more
        if not _serve(row, rules, given + int(max(more - spread, 0.0)), given + int(more + spread)):
            return UNSURE
        left -= (_traded(row) - given) * SHARE * row.price


def _takes_from(row: Cells, rules: Numbers, missing: float) -> float:
    """No less than this value lets a change that is not whole have more."""
    least = row.step * SHARE * row.price
    if row.first_code == CROSS_ZERO:
        # Its first leg may be small, as the end of a holding, and what is left of that smaller still.
        closing = abs(row.count) - _traded(row)
        least = min(least, closing * SHARE * row.price) if closing > 0 else least
    elif _traded(row) == 0:
        least = max(least, rules.minimum)
    return min(least, missing)
