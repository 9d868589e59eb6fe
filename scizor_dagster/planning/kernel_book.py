"""The kernel for a whole book: every rule in its order, in one call.

What belongs here: the order of the parts and what they leave for the exact rules. What does not: the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from scizor_dagster.planning.kernel_fit import fit
from scizor_dagster.planning.kernel_model import (
    BEYOND,
    FITS,
    FLAGGED,
    GREATEST,
    LAST_ORDERING,
    LEAST,
    LEFT,
    LOOSE,
    NOISE,
    NONE,
    PLAIN_NOISE,
    REBALANCE,
    REFUSED,
    ROOM,
    SHARE,
    SUM_NOISE,
    UNSURE,
    Column,
    Numbers,
    Rows,
    Session,
)  # fmt: skip
from scizor_dagster.planning.kernel_plain import decide_plain_rows
from scizor_dagster.planning.kernel_room import (
    block_sum,
    free_refused_shorts,
    keep,
    overflow,
    pairwise_sum,
    reserve,
    room_share,
    wanted_sums,
)  # fmt: skip
from scizor_dagster.planning.kernel_rows import decide_row
from scizor_dagster.planning.kernel_turnover import cap_turnover


def decide_book(rows: Rows, rule: Sequence[Numbers], session: Sequence[Session], terms: Column, keys: Column) -> int:
    """Decide every row and, where none is left for the exact rules, hold the laws of the book.

    Args:
        rows: The book; decisions are written into it.
        rule: The rules, in a sequence of one.
        session: The session, in a sequence of one; what is found is written into it.
        terms: Room for one number per row, and `STACK` more.
        keys: As much room again.

    Returns:
        `FITS` or `BOUND` where all is decided; `FLAGGED` where rows marked `BEYOND` or `NEAR` have to be settled before
        `hold_laws`; `UNSURE` or `REFUSED`.
    """
    status = size_book(rows, rule, session, terms, keys)
    if status != FITS:
        return status
    flagged = 0
    if decide_plain_rows(rows, rule[0], session[0]) > 0:
        for i in range(len(rows)):
            if rows[i].mark == LEFT:
                decide_row(rows[i], rule[0], session[0])
                if rows[i].mark >= BEYOND:
                    flagged += 1
    return FLAGGED if flagged > 0 else hold_laws(rows, rule, session, terms, keys)


def size_book(rows: Rows, rule: Sequence[Numbers], session: Sequence[Session], terms: Column, keys: Column) -> int:
    """Codes of the rows that keep their holding, and the money that the weights of all others are shares of."""
    rules, now = rule[0], session[0]
    now.loose, now.share, now.upper_share = 0, 1.0, 1.0
    possible, shared, sure, fixed = keep(rows, rules, now, terms, keys)
    if now.factor != now.factor:
        possible = overflow(rules, now, len(rows), terms) and possible
    if not possible:
        return REFUSED
    if shared:
        if now.reserved != now.reserved:
            now.reserved = reserve(rows, now, keys, fixed, terms)
            if now.reserved != 0.0:
                now.loose = ROOM
        lower, upper = now.equity * (1.0 - rules.sizing_buffer), now.equity * (1.0 - rules.buffer)
        sure = free_refused_shorts(rows, now, lower * now.factor, keys, fixed) and sure
        net, gross = wanted_sums(rows, now.factor, terms)
        now.share, steady = room_share(rows, rules, now, lower, net, gross, keys, fixed, terms)
        if rules.slippage > 0.0:
            now.upper_share, upper_steady = room_share(rows, rules, now, upper, net, gross, keys, fixed, terms)
            steady = steady and upper_steady
        sure = sure and (steady or now.loose == 0)
    now.near = LOOSE if now.loose != 0 else NOISE
    now.band = rules.band_absolute * now.equity
    now.lower_full = now.equity * rules.sizing_invests * now.factor
    now.upper_full = now.equity * rules.invests * now.factor if rules.slippage > 0.0 else 0.0
    now.lower, now.upper = now.lower_full * now.share, now.upper_full * now.upper_share
    return FITS if sure else UNSURE


def hold_laws(rows: Rows, rule: Sequence[Numbers], session: Sequence[Session], terms: Column, keys: Column) -> int:
    """The laws of the whole book over decided rows, and what is traded in the end; `FITS`, `BOUND` or `UNSURE`."""
    rules = rule[0]
    if _trade(rows, rules, session[0], terms, keys):
        return FITS
    capped = cap_turnover(rows, rules, session[0].equity, terms, keys)
    if capped == UNSURE:
        return UNSURE
    fitted = fit(rows, rules, session[0], terms, keys)
    if fitted == UNSURE:
        return UNSURE
    _trade(rows, rules, session[0], terms, keys)
    if rules.max_total < NONE:
        for i in range(len(rows)):
            terms[i] = abs(rows[i].trade) * SHARE * rows[i].price if rows[i].trade != 0 else 0.0
        total = pairwise_sum(terms, len(rows))
        if total > rules.max_total - SUM_NOISE * total:
            return UNSURE
    return max(capped, fitted)


def _trade(rows: Rows, rules: Numbers, session: Session, terms: Column, keys: Column) -> bool:
    """Write what orders trade by the decisions as they are; whether they keep all laws of the book, as most books do.

    It says so only where they keep them by far more than sums of less than 2**22 terms may be off.
    """
    known, size = session.spare_cash == session.spare_cash, len(rows)
    for i in range(size):
        row = rows[i]
        code, delta, count, price = row.code, row.delta, row.count, row.price
        trade = delta if (code >= REBALANCE) & (code <= LAST_ORDERING) else 0
        sold = count if count < -trade else -trade
        row.trade, row.sale = trade, sold if sold > 0 else 0
        share = SHARE * price if (price >= LEAST) & (price <= GREATEST) else 0.0
        terms[i], keys[i] = abs(trade) * share, abs(count + trade) * share
    traded, gross = block_sum(terms, 0, size), block_sum(keys, 0, size)
    for i in range(size):
        row = rows[i]
        price, trade = row.price, row.trade
        share = SHARE * price if (price >= LEAST) & (price <= GREATEST) else 0.0
        terms[i] = (trade if known else row.count + trade) * share
    net = block_sum(terms, 0, size)
    investable = session.equity - session.equity * rules.buffer
    room, limit = session.spare_cash if known else investable, rules.max_gross * investable
    spare = PLAIN_NOISE * (2.0 * gross + traded + abs(room) + limit + session.equity)
    return (
        gross <= limit - spare
        and net + rules.slippage * traded <= room - spare
        and traded <= 0.999 * rules.max_turnover * session.equity
        and traded <= 0.999 * rules.max_total
    )
