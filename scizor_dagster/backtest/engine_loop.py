"""The loop of a backtest: night, fills, marks and the next plan, session after session.

What belongs here: the order of things, and what is known when. What does not: fills (`engine_fills`), decisions
(`planning.kernel_book`), and actions that need exact arithmetic (`engine_actions`).

A plan is decided after the close of session t on the last closes, for session t + delay; what trades there is known
from that session's own prices only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scizor_dagster.backtest.engine_fills import fill_orders
from scizor_dagster.backtest.engine_model import (
    ACTIONS,
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
_TOUCHED = CODE[Reason.OVERRIDE]
_YEAR = 365.0


def run_sessions(
    cells: Rows, rule: Sequence[Numbers], session: Sequence[Session], terms: Column, keys: Column, market: Market,
    book: Book, rates: Sequence[Rates], account: Sequence[Account], setting: Sequence[Setting], out: Output, until: int,
) -> int:  # fmt: skip
    """Go on from where the account is to session `until`; the reason why it stops.

    Returns:
        `DONE`; `ACTIONS`, `FULL` or `BAD_PRICE`; or a status of `decide_book` above `BOUND`, which has to be settled.
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
                fill_orders(cells, rule, market, book, rates, now, how, out)
            now.place = _mark(market, book, now, how)
            if now.place >= 0:
                return BAD_PRICE
            now.stage = EVENING
        if now.stage == EVENING:
            now.equity = _value(book, now)
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
                fill_orders(cells, rule, market, book, rates, now, how, out)
                now.equity = _value(book, now)
        _record(book, now, how, out)
        now.row, now.stage = now.row + 1, NIGHT
    return DONE


def _pass_night(
    market: Market, book: Book, rates: Sequence[Rates], now: Account, how: Setting, out: Output
) -> None:  # fmt: skip
    """Interest on cash and fees on shorts, for the nights since the session before, at its last closes."""
    nights = float(market.nights[now.row])
    rate = how.cash_rate if now.cash > 0.0 else how.debit_rate
    interest, fees = now.cash * rate * nights / _YEAR, 0.0
    if nights > 0.0:
        for i in range(len(book.count)):
            if book.count[i] < 0 and rates[i].borrow_rate > 0.0:
                fees += book.count[i] / UNIT * book.last[i] * rates[i].borrow_rate * nights / _YEAR
    out.income[now.row][INTEREST], out.income[now.row][BORROWING] = interest, fees
    now.cash += interest + fees


def _pay_dividends(market: Market, book: Book, now: Account, out: Output) -> None:
    total = 0.0
    for entry in range(market.paid_from[now.row], market.paid_from[now.row + 1]):
        count = int(book.count[market.paid_column[entry]])
        if count != 0:
            total += _in_cents(market, entry, count)
    out.income[now.row][DIVIDENDS] = total
    now.cash += total


def _in_cents(market: Market, entry: int, count: int) -> float:
    """What a holding is paid, in whole cents: the nearest, the even one of two.

    The float says between which two cents it lies, whole numbers say which is nearer. These may be too large for an
    int64, their difference is not, so that it is right where they wrap around.
    """
    cents = math.floor(count / UNIT * market.paid_amount[entry] * 100.0)
    half = int(market.paid_half[entry])
    if half == 0:
        return round(count / UNIT * market.paid_amount[entry], 2)
    above = count * int(market.paid_digits[entry]) - (2 * cents + 1) * half
    if above > 0 or (above == 0 and cents % 2 != 0):
        cents += 1
    return cents / 100.0


def _mark(market: Market, book: Book, now: Account, how: Setting) -> int:
    """Take the session's bars into the book; the place of a price that is none, else -1."""
    close = market.close[now.row]
    for i in range(len(close)):
        price = close[i]
        if price == price:
            if not 0.0 < price < math.inf:
                return i
            book.before[i], book.last[i], book.seen[i] = book.last[i], price, now.row
            if how.averages:
                _add_volume(book, i, float(market.volume[now.row][i]))
    return -1


def _add_volume(book: Book, i: int, volume: float) -> None:
    """Put a bar's volume in the place of the oldest one; a bar without one has none."""
    if volume != volume:
        return
    size, ordered = min(int(book.known[i]), WINDOW), book.ordered[i]
    at = int(book.known[i]) % WINDOW
    if size == WINDOW:
        oldest, place = book.window[i][at], 0
        while ordered[place] != oldest:
            place += 1
        for after in range(place, WINDOW - 1):
            ordered[after] = ordered[after + 1]
        size -= 1
    place = size
    while place > 0 and ordered[place - 1] > volume:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = volume
    book.window[i][at] = volume
    book.known[i] += 1


def _average(book: Book, i: int) -> float:
    """Median of the last volumes, in whole shares; NaN where there are too few."""
    size = min(int(book.known[i]), WINDOW)
    if size < FEWEST:
        return math.nan
    upper, lower = book.ordered[i][size // 2], book.ordered[i][(size - 1) // 2]
    return math.floor((upper + lower) / 2.0)


def _value(book: Book, now: Account) -> float:
    """Cash and holdings at the last closes."""
    total = 0.0
    for i in range(len(book.count)):
        if book.count[i] != 0:
            total += book.count[i] / UNIT * book.last[i]
    return now.cash + total


def _hand_over(cells: Rows, session: Session, market: Market, book: Book, now: Account, how: Setting) -> None:
    """Write what the planner reads: what is known after this close of the session that the plan is for."""
    weights, due = market.weights[now.plan], now.row + how.delay
    for entry in range(market.split_from[now.row + 1], market.split_from[due + 1]):
        # It is announced: what is held until then has other units afterwards.
        book.changed[market.split_column[entry]] = due
    for i in range(len(weights)):
        row = cells[i]
        row.weight, row.count, row.price = float(weights[i]), int(book.count[i]), float(book.last[i])
        if how.moves:
            row.previous = float(book.before[i])
        if how.averages:
            row.volume = _average(book, i)
        fact = int(market.facts[i])
        if (fact == 0 or fact == _TOUCHED) and now.row - book.seen[i] > how.oldest and book.seen[i] >= 0:
            fact = _STALE
        if book.changed[i] > book.seen[i]:
            fact = _CHANGED
        row.fact = fact
    session.equity, session.cash = now.equity, now.cash
    session.spare_cash = now.cash - now.equity * how.buffer
    session.factor = session.reserved = math.nan
    session.shorts = now.equity >= how.short_equity


def _take(cells: Rows, book: Book, now: Account, how: Setting, out: Output) -> None:
    """Keep what the planner decided for the session that it is due in."""
    for i in range(len(book.count)):
        row = cells[i]
        book.planned[i], book.sale[i], book.code[i], book.reference[i] = row.trade, row.sale, row.code, row.price
        if how.keep:
            out.codes[now.plan][i] = row.code
    now.reserved = now.equity * how.buffer
    now.pending, now.due, now.waiting = True, now.row + how.delay, now.plan
    now.plan += 1


def _record(book: Book, now: Account, how: Setting, out: Output) -> None:
    out.equity[now.row], out.cash[now.row] = now.equity, now.cash
    if how.keep:
        out.counts[now.row][:] = book.count
