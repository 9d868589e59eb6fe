"""The kernel for one instrument: from a weight to a change, or the code of the reason why there is none.

What belongs here: the rules of `sizing`, `decisions` and `shaping`, in numbers. Each function does what the one of the
same name there does, and marks the row where noise may decide. What does not: the whole book (`kernel_turnover`,
`kernel_fit`).
"""

from __future__ import annotations

import math

from scizor_dagster.planning.kernel_model import (
    BELOW_MIN_NOTIONAL,
    BEYOND,
    CLEAR,
    CROSS_ZERO,
    DUST,
    FIRST_PARCEL,
    GREATEST_COUNT,
    INSIDE_BAND,
    LAST_ORDERING,
    LIQUIDATE,
    NEAR,
    NO_BUY,
    NO_SELL,
    NO_VOLUME,
    NONE,
    ON_TARGET,
    OPEN,
    OVERRIDE,
    PARTICIPATION_CAP,
    REBALANCE,
    REDUCE_ONLY,
    SHARE,
    SPEAKS,
    UNIT,
    Cells,
    Numbers,
    Session,
)  # fmt: skip


def note(row: Cells, mark: int) -> None:
    row.mark = max(row.mark, mark)


def is_ordering(row: Cells) -> bool:
    return REBALANCE <= row.code <= LAST_ORDERING


def worth(row: Cells, count: int) -> float:
    return abs(count) * SHARE * row.price


def is_below(row: Cells, value: float, least: float, near: float) -> bool:
    if abs(value - least) <= near * least:
        row.mark = NEAR
    return value < least


def cut_to(count: int, step: int) -> int:
    """`count` in whole steps, toward zero."""
    if step == 1:
        return count
    return count // step * step if count >= 0 else -(-count // step * step)


def least_of(row: Cells, rules: Numbers) -> float:
    """Smallest value of an order that opens or adds; a cover of a short is no first purchase."""
    if row.parcel > 0.0 and row.count <= 0 and row.delta > 0 and row.count + row.delta > 0:
        return max(rules.minimum, row.parcel)
    return rules.minimum


def closing_part(count: int, delta: int) -> int:
    if count == 0 or delta == 0 or (count < 0) == (delta < 0):
        return 0
    return min(abs(delta), abs(count))


def crosses(row: Cells) -> bool:
    return row.count != 0 and row.target != 0 and (row.count < 0) != (row.target < 0)


def order_step(row: Cells, rules: Numbers) -> int:
    if row.target == 0 or crosses(row) or (rules.fractional and row.target > 0):
        return row.close_step
    return UNIT


def set_units(row: Cells, rules: Numbers) -> None:
    """Increments of a row, which depend on its side."""
    # A short is covered in whole shares but for its exact end: no broker sells a fraction short again.
    short = row.weight < 0.0 or (row.weight == 0.0 and row.count < 0)
    row.whole = short or not rules.fractional or not row.fractionable
    row.step = row.lot if row.whole else rules.fine
    row.close_step = rules.order_unit if row.fractionable else UNIT


def decide_row(row: Cells, rules: Numbers, session: Session) -> None:
    """Decide a row that does not keep its holding."""
    row.target, row.delta, row.code, row.mark = 0, 0, ON_TARGET, CLEAR
    if row.special:
        row.mark = BEYOND
        return
    if row.weight == 0.0 and row.count == 0:
        return
    set_units(row, rules)
    near = session.near
    value = _set_target(row, session.shorts, session.lower, session.lower_full, near)
    if session.upper > 0.0 and value != 0.0 and (row.count < 0) == (value < 0.0) and abs(row.count) > abs(row.target):
        # What would be closed only to set cash aside for slippage is a matter of what is opened.
        value = _set_target(row, session.shorts, session.upper, session.upper_full, near)
        if abs(row.count) <= abs(row.target):
            row.target, value = row.count, row.held * row.price
    banded = value != 0.0 and (session.band > 0.0 or rules.band_relative > 0.0)
    if row.mark == NEAR or (banded and _hold_in_band(row, rules, session.band, value, near)) or row.mark == NEAR:
        return
    decide(row, rules, value, near)
    if is_ordering(row):
        _shape(row, rules, near)
    if is_ordering(row) and is_beyond(row, rules, near):
        note(row, BEYOND)


def _set_target(row: Cells, shorts: bool, lower: float, full: float, near: float) -> float:
    """Set the target; returns its value before rounding, 0 where all is to be closed."""
    if row.weight == 0.0:
        return 0.0
    refused = row.weight < 0.0 and not (shorts and row.shortable)
    if refused and row.count > 0:
        row.mark = SPEAKS
        return 0.0
    value = row.weight * (full if refused else lower)
    largest = GREATEST_COUNT / row.step
    steps = min(abs(value) / (row.price * (row.step * SHARE)), largest)
    most = int(steps * (1.0 + near))
    if most != int(steps * (1.0 - near)) or steps == largest:
        row.mark = NEAR
    row.target = -most * row.step if value < 0.0 else most * row.step
    if refused:
        row.target = max(row.target, row.count)
    return value


def _hold_in_band(row: Cells, rules: Numbers, band: float, value: float, near: float) -> bool:
    """Whether the row stays as it is; outside its band, `trade_to: edge` moves the target to the nearer edge."""
    width = band if band > 0.0 else NONE
    if rules.band_relative > 0.0:
        width = min(width, rules.band_relative * abs(value))
    held = row.held * row.price
    away = held - value
    if abs(abs(away) - width) <= near * (abs(held) + abs(value)):
        row.mark = NEAR
    if abs(away) <= width:
        row.delta = cut_to(row.target - row.count, order_step(row, rules))
        row.code = INSIDE_BAND if row.delta != 0 else ON_TARGET
        return True
    if rules.to_edge and held * value >= 0.0:
        _to_edge(row, value, width, away > 0.0, near)
    return False


def _to_edge(row: Cells, value: float, width: float, from_above: bool, near: float) -> None:
    """Move the target to the quantity inside the band nearest to the holding, if there is one up to the target."""
    per = row.price * (row.step * SHARE)
    limit = value + width if from_above else value - width
    largest, noise = GREATEST_COUNT / row.step, near * (abs(value) + width)
    steps, spread = max(min(limit / per, largest), -largest), min(noise / per, largest)
    down = math.floor(steps - spread)
    edge = (down if from_above else down + 1) * row.step
    ends, enlarges = edge * SHARE * row.price, from_above == (value < 0.0)
    if (
        down != math.floor(steps + spread)
        or abs(steps) == largest
        or abs(abs(ends - value) - width) <= noise
        or (enlarges and abs(abs(ends) - abs(value)) <= noise)
    ):
        row.mark = NEAR
    outside = abs(ends - value) > width or (enlarges and abs(ends) > abs(value))
    if not outside and edge != row.target:
        row.target = edge
        note(row, SPEAKS)


def decide(row: Cells, rules: Numbers, value: float, near: float) -> None:
    """The change to the row's target, as if nothing but increments and minima stood in its way."""
    wanted = row.target - row.count
    if wanted == 0:
        return
    row.delta = cut_to(wanted, order_step(row, rules))
    if row.whole and row.lot > UNIT and row.target != 0 and not crosses(row):
        row.delta = cut_to(row.delta, row.lot)
    if row.delta == 0:
        row.code = ON_TARGET if row.target != 0 else DUST
    elif row.target == 0:
        _decide_exit(row, rules, near)
        if value != 0.0:
            note(row, SPEAKS)
    elif crosses(row):
        _decide_crossing(row, rules, near)
    else:
        row.code = REBALANCE if row.count != 0 else OPEN
        small = worth(row, row.delta)
        if is_below(row, small, rules.minimum, near):
            row.code = BELOW_MIN_NOTIONAL
        elif row.parcel > 0.0 and is_below(row, small, least_of(row, rules), near):
            row.code = FIRST_PARCEL
            note(row, SPEAKS)


def _decide_exit(row: Cells, rules: Numbers, near: float) -> None:
    row.code = LIQUIDATE
    whole = row.delta == -row.count
    if not whole:
        note(row, SPEAKS)
    if not (whole and rules.exit_exempt) and is_below(row, worth(row, row.delta), rules.minimum, near):
        row.code = DUST
        note(row, SPEAKS)


def _decide_crossing(row: Cells, rules: Numbers, near: float) -> None:
    """A crossing closes the holding whole before it opens the other side; both legs must be sendable."""
    row.code = CROSS_ZERO
    if is_below(row, worth(row, row.delta), rules.minimum, near):
        row.code = BELOW_MIN_NOTIONAL
    elif (
        is_below(row, worth(row, row.target), least_of(row, rules), near)
        or cut_to(row.count, row.close_step) != row.count
    ):
        exit_only(row, rules, near)
    elif not rules.exit_exempt and is_below(row, worth(row, row.count), rules.minimum, near):
        row.code = DUST
        note(row, SPEAKS)


def exit_only(row: Cells, rules: Numbers, near: float) -> None:
    """Turn a row's change into closing what is held."""
    row.target = 0
    row.delta = -cut_to(row.count, row.close_step)
    note(row, SPEAKS)
    if row.delta == 0:
        row.code = DUST
    else:
        _decide_exit(row, rules, near)


def _shape(row: Cells, rules: Numbers, near: float) -> None:
    """Overrides, then the share of volume, of a change that has orders."""
    if row.ban == REDUCE_ONLY and row.code == CROSS_ZERO:
        exit_only(row, rules, near)
    elif (
        (row.ban == NO_BUY and row.delta > 0)
        or (row.ban == NO_SELL and row.delta < 0)
        or (row.ban == REDUCE_ONLY and closing_part(row.count, row.delta) == 0)
    ):
        row.code = OVERRIDE
        note(row, SPEAKS)
    if rules.max_participation == NONE or not is_ordering(row):
        return
    allowed = row.volume * rules.max_participation * UNIT
    if allowed != allowed:
        row.code = NO_VOLUME
        note(row, SPEAKS)
    else:
        allowed = min(allowed, 2.0 * GREATEST_COUNT)
        cut(row, rules, int(allowed * (1.0 - near)), int(allowed * (1.0 + near)), PARTICIPATION_CAP, near)


def cut(row: Cells, rules: Numbers, low: int, high: int, reason: int, near: float) -> None:
    """Reduce a row's change to at most some units, in its increments: `low` or `high`, because of noise.

    A crossing keeps closing whole before it opens. What becomes too small to send is withheld with `reason`.
    """
    size = abs(row.delta)
    if low >= size:
        return
    closing = closing_part(row.count, row.delta)
    crossing = row.code == CROSS_ZERO and low >= closing
    base = closing if crossing else 0
    quantity = (low - base) // row.step * row.step
    if (
        high >= size
        or quantity != (high - base) // row.step * row.step
        or (row.code == CROSS_ZERO and low < closing <= high)
    ):
        row.mark = NEAR
    least = rules.minimum if closing > 0 and not crossing else least_of(row, rules)
    if quantity == 0 or is_below(row, worth(row, quantity), least, near):
        if crossing:
            exit_only(row, rules, near)
        else:
            row.code = reason
            note(row, SPEAKS)
        return
    if not crossing:
        row.code = OPEN if row.code == OPEN else REBALANCE
    row.delta = base + quantity if row.delta > 0 else -(base + quantity)
    row.target = row.count + row.delta
    note(row, SPEAKS)


def is_beyond(row: Cells, rules: Numbers, near: float) -> bool:
    """Whether orders of the row need slices, or a limit price that may not lie near enough."""
    if row.delta > 0 and row.price < row.tick:
        return True
    leg = max(abs(row.count), abs(row.count + row.delta)) if row.code == CROSS_ZERO else abs(row.delta)
    shares = leg * SHARE * (1.0 + near)
    return shares >= rules.max_shares or shares * row.price >= rules.max_value
