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
    """Take the volumes of a session's bars into the averages.

    Each name's window is kept in order: without the oldest volume it is `rest`, and the newest one stands between the
    two of `rest` that it lies between. Places that no bar has taken yet are infinite. Name by name this would be a
    search with jumps that no processor foresees; place by place it is the same few choices for all names at once.
    """
    window, known, newest, oldest, lower = book.window, book.known, book.turn[0], book.turn[1], book.turn[2]
    for i in range(len(close)):
        fresh = (close[i] == close[i]) & (volume[i] == volume[i])
        at = known[i] % WINDOW
        newest[i] = volume[i] if fresh else math.nan
        oldest[i] = window[at][i]
        window[at][i] = volume[i] if fresh else oldest[i]
        known[i] += 1 if fresh else 0
        lower[i] = -math.inf
    for place in range(WINDOW):
        _put_in_order(book.ordered[place], book.ordered[place + 1], newest, oldest, lower)
    low, high, average = book.ordered[(WINDOW - 1) // 2], book.ordered[WINDOW // 2], book.average
    few = 0
    for i in range(len(close)):
        average[i] = math.floor((low[i] + high[i]) / 2.0) if known[i] >= WINDOW else math.nan
        few += 1 if known[i] < WINDOW else 0
    if few > 0:
        for i in range(len(close)):
            if known[i] < WINDOW:
                average[i] = average_of(book.ordered, i, int(known[i]))


def _put_in_order(here: Column, above: Column, newest: Column, oldest: Column, lower: Column) -> None:
    """Set one place of every name's window; `lower` is what the rest has below it."""
    for i in range(len(here)):
        rest = here[i] if here[i] < oldest[i] else above[i]
        least = newest[i] if newest[i] < rest else rest
        middle = lower[i] if lower[i] > least else least
        here[i] = middle if newest[i] == newest[i] else here[i]
        lower[i] = rest


def average_of(ordered: Sequence[Column], name: int, known: int) -> float:
    """Median of a name's last volumes, in whole shares; NaN where there are too few."""
    size = min(known, WINDOW)
    if size < FEWEST:
        return math.nan
    middle: float = 1.0 * math.floor((ordered[size // 2][name] + ordered[(size - 1) // 2][name]) / 2.0)
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
