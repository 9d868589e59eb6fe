"""The kernel before sizes: the factor on all weights, which rows keep their holdings, and what room these leave.

What belongs here: float64 arithmetic over one book, the same in every way of trading and in a backtest. What does
not: the change of one row (`kernel_rows`).
"""

from __future__ import annotations

import math

from scizor_dagster.planning.kernel_model import (
    BAD_PRICE,
    FACTOR,
    FIXED,
    FREE,
    GREATEST,
    GREATEST_AMOUNT,
    LEAST,
    NO_PRICE,
    NOT_SHORTABLE,
    NOT_TRADABLE,
    PRICE_COLLAR,
    REFUSED_SHORT,
    SNAP,
    STACK,
    SUM_NOISE,
    UNIT,
    Cells,
    Column,
    Numbers,
    Rows,
    Session,
)  # fmt: skip
from scizor_dagster.planning.kernel_plain import stand_plain_rows

BLOCK = 128


def pairwise_sum(terms: Column, count: int) -> float:
    """Sum of the first `count` terms, in the order of additions of `numpy.sum`: the same to the last bit.

    Halves are summed alike until a block is left. What waits meanwhile lies behind the terms (`STACK`): a half yet to
    come (start and length), or the sum of a left half. A function that calls itself cannot be kept as machine code.
    """
    first = len(terms) - STACK
    top, start = first, 0
    while True:
        while count > BLOCK:
            half = count // 2
            half -= half % 8
            terms[top], terms[top + 1] = start + half, count - half
            top += 2
            count = half
        total = block_sum(terms, start, count)
        while top > first and terms[top - 1] == 0.0:
            top -= 2
            total = terms[top] + total
        if top == first:
            return total
        start, count = int(terms[top - 2]), int(terms[top - 1])
        terms[top - 2], terms[top - 1] = total, 0.0


def block_sum(terms: Column, start: int, count: int) -> float:
    """Sum of `count` terms, eight at a time."""
    total, done = 0.0, 0
    if count >= 8:
        a, b, c, d = terms[start], terms[start + 1], terms[start + 2], terms[start + 3]
        e, f, g, h = terms[start + 4], terms[start + 5], terms[start + 6], terms[start + 7]
        for at in range(start + 8, start + count - count % 8, 8):
            a += terms[at]
            b += terms[at + 1]
            c += terms[at + 2]
            d += terms[at + 3]
            e += terms[at + 4]
            f += terms[at + 5]
            g += terms[at + 6]
            h += terms[at + 7]
        total, done = ((a + b) + (c + d)) + ((e + f) + (g + h)), count - count % 8
    for at in range(start + done, start + count):
        total += terms[at]
    return total


def absolute_sum(terms: Column, count: int) -> float:
    """The same of absolute values, which take the place of the first `count` terms."""
    for at in range(count):
        terms[at] = abs(terms[at])
    return pairwise_sum(terms, count)


def is_sound(price: float) -> bool:
    return LEAST <= price <= GREATEST


def overflow(rules: Numbers, session: Session, size: int, terms: Column) -> bool:
    """Find the factor that brings weights to their maxima; False where they are refused, or nearly.

    Args:
        rules: Maxima and tolerance.
        session: The factor is written into it.
        size: Number of rows.
        terms: Their weights; they are overwritten.
    """
    net = pairwise_sum(terms, size)
    gross = absolute_sum(terms, size)
    noise = SUM_NOISE * gross
    session.factor = 1.0
    if not (gross <= rules.max_gross + rules.sum_tolerance - noise and net <= 1.0 + rules.sum_tolerance - noise):
        return False
    if rules.adjust and (gross > rules.max_gross - noise or net > 1.0 - noise):
        session.loose = FACTOR
        if gross > rules.max_gross:
            session.factor = rules.max_gross / gross
        if net > 1.0:
            session.factor = min(session.factor, 1.0 / net)
    return True


def keep(
    rows: Rows, rules: Numbers, session: Session, terms: Column, keys: Column
) -> tuple[bool, bool, bool, int]:  # fmt: skip
    """Write the codes of rows that keep their holding, 0 for all others, and each row's standing.

    Weights go to `terms`, the places of rows that do not move freely to `keys`.

    Returns:
        Whether all numbers can be, whether room has to be shared, whether every code is certain, and how many rows do
        not move freely.
    """
    possible = 0.0 < session.equity <= GREATEST_AMOUNT and not abs(session.cash) > GREATEST_AMOUNT
    shared, sure, fixed, listed, left = False, True, 0, session.listed, True
    watches = rules.max_move < math.inf
    if not listed:
        sane, left = stand_plain_rows(rows, rules, session, terms)
        possible = possible and sane
    if not left:
        return possible, False, True, 0
    for i in range(len(rows)):
        row = rows[i]
        if listed:
            row.code, row.standing = 0, FIXED
            terms[i] = row.weight
        if row.standing == FIXED:
            idle, sound = row.weight == 0.0 and row.held == 0.0, is_sound(row.price)
            if watches and sound and not idle:
                sure = sure and not _near_a_jump(row, rules.max_move)
            row.code = _kept_code(row, rules, session, idle, sound)
            if row.code == 0:
                row.standing = FREE
            else:
                row.standing = REFUSED_SHORT if row.code == NOT_SHORTABLE and sound else FIXED
                keys[fixed] = i
                fixed += 1
            shared = shared or row.code != 0 or not sound
    return possible, shared, sure, fixed


def _kept_code(row: Cells, rules: Numbers, session: Session, idle: bool, sound: bool) -> int:
    if row.fact != 0:
        return row.fact
    if sound and not idle and abs(row.price - row.previous) > rules.max_move * row.previous:
        return PRICE_COLLAR
    if not row.tradable:
        return NOT_TRADABLE
    if not sound:
        return 0 if idle else BAD_PRICE if row.price == row.price else NO_PRICE
    return NOT_SHORTABLE if row.weight < 0.0 and not (session.shorts and row.shortable) else 0


def _near_a_jump(row: Cells, most: float) -> bool:
    return abs(abs(row.price - row.previous) - most * row.previous) <= SUM_NOISE * (row.price + row.previous)


def reserve(rows: Rows, session: Session, places: Column, fixed: int, terms: Column) -> float:
    """Value of the holdings that have no price, which follows from equity where the cash is known.

    Args:
        rows: The book.
        session: Equity and cash.
        places: Those of the first `fixed` rows that do not move freely; what is held without a price is among them.
        fixed: How many these are.
        terms: Room to work in.
    """
    count, unpriced = 0, False
    for at in range(fixed):
        row = rows[int(places[at])]
        unpriced = unpriced or (row.held != 0.0 and not is_sound(row.price))
    if not unpriced or session.cash != session.cash:
        return 0.0
    for i in range(len(rows)):
        if rows[i].held != 0.0 and is_sound(rows[i].price):
            terms[count] = rows[i].held * rows[i].price
            count += 1
    return session.equity - session.cash - pairwise_sum(terms, count)


def _wanted_short(row: Cells, budget: float) -> float:
    """Shares that a refused short would be wanted at, in whole lots, below zero."""
    lot = row.lot / UNIT
    lots = -(row.weight * budget * (1.0 + SNAP) / row.price / lot)
    return -(lots - lots % 1.0) * lot


def final_short(row: Cells, budget: float) -> float:
    """Shares that a refused short ends with: what is short already, as far as its weight says."""
    return min(max(row.held, _wanted_short(row, budget)), 0.0)


def free_refused_shorts(rows: Rows, session: Session, budget: float, places: Column, fixed: int) -> bool:
    """Clear the code of what may not be sold short and yet may trade: it is covered or closed. Whether all is certain.

    What stays of it depends on weights and prices, and on a holding only where it stays: room is the same after
    the fills.
    """
    sure = True
    for at in range(fixed):
        row = rows[int(places[at])]
        if row.standing == REFUSED_SHORT:
            if row.held > 0.0 or (row.held < 0.0 and _wanted_short(row, budget) >= row.held):
                row.code = 0
            sure = sure and not (session.loose != 0 and row.held < 0.0)
    return sure


def wanted_sums(rows: Rows, factor: float, terms: Column) -> tuple[float, float]:
    """Sums of what moving rows are to be, as shares of what is invested: net and gross."""
    moving = 0
    for i in range(len(rows)):
        if rows[i].standing == FREE:
            terms[moving] = rows[i].weight * factor
            moving += 1
    net = pairwise_sum(terms, moving)
    return net, absolute_sum(terms, moving)


def room_share(
    rows: Rows, rules: Numbers, session: Session, investable: float, net_wanted: float, gross_wanted: float,
    places: Column, fixed: int, terms: Column,
) -> tuple[float, bool]:  # fmt: skip
    """Factor that fits the weights of moving rows into the room that the others leave; whether noise moves it little.

    It depends on weights, prices and the quantities that fixed rows end with, so that a plan on the filled
    result finds the same factor. Without any room the factor is 1 and `fit` withholds the buys: what is
    stuck never causes a sale of everything else.
    """
    count, factor = 0, session.factor
    for at in range(fixed):
        row = rows[int(places[at])]
        if is_sound(row.price):
            final = row.held
            if row.standing == REFUSED_SHORT:
                final = final_short(row, investable * factor)
            terms[count] = final * row.price
            count += 1
    net, net_wanted = pairwise_sum(terms, count), net_wanted * investable
    gross, gross_wanted = absolute_sum(terms, count), gross_wanted * investable
    gross_room = investable * rules.max_gross - gross - abs(session.reserved)
    net_room = investable - net - session.reserved
    share = 1.0
    if gross_room > 0.0 and gross_wanted > gross_room:
        share = min(share, gross_room / gross_wanted)
    if net_room > 0.0 and net_wanted > net_room:
        share = min(share, net_room / net_wanted)
    least = 0.05 * investable
    return factor * share / factor, abs(gross_room) > least and abs(net_room) > least
