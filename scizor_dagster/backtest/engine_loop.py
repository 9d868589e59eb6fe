"""The loop of a backtest: night, fills, marks and the next plan, session after session.

What belongs here: the order of things, and what is known when. What does not: fills (`engine_orders`), decisions
(`planning.kernel_book`), and actions that need exact arithmetic (`engine_actions`).

A plan is decided after the close of session t on the last closes, for session t + delay; what trades there is known
from that session's own prices only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scizor_dagster.backtest.engine_model import (
    ACTIONS,
    BAD_FILL,
    BAD_PRICE,
    BORROWING,
    DECIDED,
    DIVIDENDS,
    DONE,
    EVENING,
    FEWEST,
    FULL,
    INTEREST,
    LATE,
    MORNING,
    NIGHT,
    WINDOW,
    Account,
    Book,
    Market,
    Output,
    Rates,
    Setting,
)  # fmt: skip
from scizor_dagster.backtest.engine_orders import fill_orders
from scizor_dagster.planning.kernel_book import decide_book
from scizor_dagster.planning.kernel_model import (
    BOUND,
    CODE,
    UNIT,
    Column,
    Numbers,
    Rows,
    Session,
)  # fmt: skip
from scizor_dagster.planning.model import Reason

_CHANGED, _STALE = CODE[Reason.CORPORATE_ACTION], CODE[Reason.STALE_PRICE]
_TOUCHED, _ASIDE = CODE[Reason.OVERRIDE], CODE[Reason.QUARANTINED]
_YEAR = 365.0


def run_sessions(
    cells: Rows, rule: Sequence[Numbers], session: Sequence[Session], terms: Column, keys: Column, market: Market,
    book: Book, rates: Sequence[Rates], account: Sequence[Account], setting: Sequence[Setting], out: Output, until: int,
) -> int:  # fmt: skip
    """Go on from where the account is to session `until`; the reason why it stops.

    Returns:
        `DONE`; `ACTIONS`, `FULL`, `BAD_PRICE` or `BAD_FILL`; or a status of `decide_book` above `BOUND`, which has to
        be settled.
    """
    now, how = account[0], setting[0]
    while now.row < until:
        if now.stage == NIGHT:
            if now.trades + len(book.count) > len(out.trades):
                return FULL
            _pass_night(market, book, rates, now, how, out)
            now.stage = MORNING
            if market.exact[now.row]:
                return ACTIONS
            _pay_dividends(market, book, now, out)
        if now.stage == MORNING:
            if now.pending and now.due == now.row:
                now.place = fill_orders(cells, market, book, rates, now, how, out)
                if now.place >= 0:
                    return BAD_FILL
            now.place = _mark(market, book, now, how)
            if now.place >= 0:
                return BAD_PRICE
            now.stage = EVENING
        if now.stage == EVENING:
            now.equity = _value(book.held, book.last, now.cash)
            now.stage = LATE
            if now.plan < len(market.rows) and market.rows[now.plan] == now.row + how.delay:
                _hand_over(cells, session[0], market, book, now, how)
                now.stage = DECIDED
                status = decide_book(cells, rule, session, terms, keys)
                if status > BOUND:
                    return status
        if now.stage == DECIDED:
            _take(cells, book, now, how, out)
            if how.delay == 0:
                fill_orders(cells, market, book, rates, now, how, out)
                now.equity = _value(book.held, book.last, now.cash)
        _record(book, now, how, out)
        now.row, now.stage = now.row + 1, NIGHT
    return DONE


def _pass_night(
    market: Market, book: Book, rates: Sequence[Rates], now: Account, how: Setting, out: Output
) -> None:  # fmt: skip
    """Interest on cash and fees on shorts, for the nights since the session before, at its last closes."""
    nights, held = float(market.nights[now.row]), book.held
    rate = how.cash_rate if now.cash > 0.0 else how.debit_rate
    earning, shorts, fees = now.cash, 0.0, 0.0
    if (how.borrows or how.pledged) and nights > 0.0:
        for i in range(len(held)):
            if held[i] < 0.0:
                shorts += held[i] * book.last[i]
                fees += held[i] * book.last[i] * rates[i * how.apart].borrow_rate * nights / _YEAR
    if how.pledged and earning > 0.0:
        earning = max(earning + shorts, 0.0)
    interest = earning * rate * nights / _YEAR
    out.income[now.row][INTEREST], out.income[now.row][BORROWING] = interest, fees
    now.cash += interest + fees


def _pay_dividends(market: Market, book: Book, now: Account, out: Output) -> None:
    total = 0.0
    for entry in range(market.paid_from[now.row], market.paid_from[now.row + 1]):
        count = int(book.count[market.paid_column[entry]])
        if count != 0:
            amount, digits = float(market.paid_amount[entry]), int(market.paid_digits[entry])
            total += in_cents(count, amount, digits, int(market.paid_half[entry]))
    out.income[now.row][DIVIDENDS] = total
    now.cash += total


def in_cents(count: int, amount: float, digits: int, half: int) -> float:
    """What a holding is paid, in whole cents: the nearest, the even one of two.

    The float says between which two cents it lies, whole numbers say which is nearer. These may be too large for an
    int64, their difference is not, so that it is right where they wrap around.
    """
    cents = math.floor(count / UNIT * amount * 100.0)
    if half == 0:
        # An amount of so many digits meets no half.
        return math.floor(count / UNIT * amount * 100.0 + 0.5) / 100.0
    above = count * digits - (2 * cents + 1) * half
    if above > 0 or (above == 0 and cents % 2 != 0):
        cents += 1
    return cents / 100.0


def _mark(market: Market, book: Book, now: Account, how: Setting) -> int:
    """Take the session's bars into the book; the place of a price that is none, else -1."""
    close, row, bad = market.close[now.row], now.row, 0
    last, before, seen = book.last, book.before, book.seen
    # One thing at a time, and choices in place of branches: the compiler makes vectors of these loops.
    for i in range(len(close)):
        bad += 1 if (close[i] <= 0.0) | (close[i] == math.inf) else 0
    if bad > 0:
        for i in range(len(close)):
            if close[i] <= 0.0 or close[i] == math.inf:
                return i
    if how.moves:
        for i in range(len(close)):
            before[i] = last[i] if close[i] == close[i] else before[i]
    for i in range(len(close)):
        last[i] = close[i] if close[i] == close[i] else last[i]
        seen[i] = row if close[i] == close[i] else seen[i]
    if how.averages:
        _add_volumes(market.volume[row], close, book)
    return -1


def _add_volumes(volume: Column, close: Column, book: Book) -> None:
    """Take the volumes of a session's bars into the averages."""
    window, ordered, known, average = book.window, book.ordered, book.known, book.average
    for i in range(len(close)):
        if close[i] == close[i] and volume[i] == volume[i]:
            at, latest = int(known[i]), float(volume[i])
            known[i] = at + 1
            # In the place of its equal nothing moves.
            if at < WINDOW or window[at % WINDOW][i] != latest:
                _add_volume(ordered[i], at, float(window[at % WINDOW][i]), latest)
                window[at % WINDOW][i] = latest
                average[i] = average_of(ordered[i], at + 1)


def _add_volume(ordered: Column, known: int, oldest: float, volume: float) -> None:
    """Put a bar's volume in the place of the oldest one."""
    size = min(known, WINDOW)
    place = size
    if size == WINDOW:
        place = 0
        while ordered[place] != oldest:
            place += 1
        while place < WINDOW - 1 and ordered[place + 1] < volume:
            ordered[place] = ordered[place + 1]
            place += 1
    while place > 0 and ordered[place - 1] > volume:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = volume


def average_of(ordered: Column, known: int) -> float:
    """Median of the last volumes, in whole shares; NaN where there are too few."""
    size = min(known, WINDOW)
    if size < FEWEST:
        return math.nan
    middle: float = 1.0 * math.floor((ordered[size // 2] + ordered[(size - 1) // 2]) / 2.0)
    return middle


def _value(held: Column, last: Column, cash: float) -> float:
    """Cash and holdings at the last closes."""
    total = 0.0
    for i in range(len(held)):
        if held[i] != 0.0:
            total += held[i] * last[i]
    return cash + total


def _hand_over(cells: Rows, session: Session, market: Market, book: Book, now: Account, how: Setting) -> None:
    """Write what the planner reads: what is known after this close of the session that the plan is for."""
    weights, facts, due = market.weights[now.plan], market.facts, now.row + how.delay
    count, last, seen, changed = book.count, book.last, book.seen, book.changed
    for entry in range(market.split_from[now.row + 1], market.split_from[due + 1]):
        # It is announced: what is held until then has other units afterwards.
        changed[market.split_column[entry]] = due
    oldest = now.row - how.oldest
    for i in range(len(weights)):
        row = cells[i]
        row.weight, row.count, row.price = float(weights[i]), int(count[i]), float(last[i])
        fact = int(facts[i])
        fact = _STALE if (seen[i] < oldest) & (seen[i] >= 0) & ((fact == 0) | (fact == _TOUCHED)) else fact
        row.fact = _CHANGED if changed[i] > seen[i] else fact
    if how.stays:
        kept = market.kept[now.plan]
        for i in range(len(weights)):
            row = cells[i]
            row.fact = _ASIDE if kept[i] else row.fact
    if how.moves:
        before = book.before
        for i in range(len(weights)):
            cells[i].previous = float(before[i])
    if how.averages:
        average = book.average
        for i in range(len(weights)):
            cells[i].volume = float(average[i])
    session.equity, session.cash = now.equity, now.cash
    session.spare_cash = now.cash - now.equity * how.buffer
    session.factor = session.reserved = math.nan
    session.shorts = now.equity >= how.short_equity


def _take(cells: Rows, book: Book, now: Account, how: Setting, out: Output) -> None:
    """Keep what the planner decided for the session that it is due in."""
    planned, sale, code, reference = book.planned, book.sale, book.code, book.reference
    for i in range(len(planned)):
        planned[i], sale[i] = cells[i].trade, cells[i].sale
    for i in range(len(planned)):
        code[i], reference[i] = cells[i].code, cells[i].price
    if how.keep:
        kept = out.codes[now.plan]
        for i in range(len(code)):
            kept[i] = code[i]
    now.reserved = now.equity * how.buffer
    now.pending, now.due, now.waiting = True, now.row + how.delay, now.plan
    now.plan += 1


def _record(book: Book, now: Account, how: Setting, out: Output) -> None:
    out.equity[now.row], out.cash[now.row] = now.equity, now.cash
    if how.keep:
        counts, count = out.counts[now.row], book.count
        for i in range(len(count)):
            counts[i] = count[i]
