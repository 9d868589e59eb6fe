"""How all orders of a session fill: each whole where the cash surely pays for them, else in turn.

What belongs here: the order of things, and the share of purchases that the cash pays for. What does not: price and
costs of one order (`engine_fills`).

Sales of what is held come first. Then, as `execution.funding` releases in life: covers of shorts go whole, short sales
bring their proceeds at reference prices, and purchases that open are scaled by one factor, rounded down to
increments, to the cash less its buffer. An order that meets no bar ends with its session.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scizor_dagster.backtest.engine_fills import charge, fee_of, fill_rest, sell_holdings, volume_at
from scizor_dagster.backtest.engine_model import Account, Book, Market, Output, Rates, Setting
from scizor_dagster.planning.kernel_model import PLAIN_NOISE, SHARE, UNIT, Column, Rows

_OPENED, _COVERED, _FREED, _GAINED, _VALUE, _PAID, _FEE, _SPREAD, _SLIP, _IMPACT = range(10)
"""Rows of `Book.room`: money that each order takes at reference prices to open, or else; that it brings by selling a
holding, or else; its value, price, fee, and what it pays beside its price."""
_ENOUGH = 1e-12
"""A cash that lacks no more than this share of the purchases pays for them."""


def fill_orders(
    cells: Rows, market: Market, book: Book, rates: Sequence[Rates], now: Account, how: Setting, out: Output
) -> int:  # fmt: skip
    """Fill the pending plan in session `now.row`; holdings, cash and the trades of `out` change.

    Returns:
        -1; or the place of a price that is none, and nothing has changed.
    """
    price, planned, bad = market.fill[now.row], book.planned, 0
    for i in range(len(price)):
        bad += 1 if (planned[i] != 0) & ((price[i] <= 0.0) | (price[i] == math.inf)) else 0
    if bad > 0:
        for i in range(len(price)):
            if planned[i] != 0 and price[i] == price[i] and not 0.0 < price[i] < math.inf:
                return i
    if how.volumes or not _fill_whole(price, book, rates, now, how, out):
        _fill_in_turn(cells, price, market.volume[now.row] if how.volumes else price, book, rates, now, how, out)
    now.pending = False
    return -1


def _fill_whole(price: Column, book: Book, rates: Sequence[Rates], now: Account, how: Setting, out: Output) -> bool:
    """Fill every order whole; False, and nothing has changed, where that may not be all there is to it.

    That is where one of them is two orders, or where the cash does not pay by more than these sums may be off.
    """
    planned, count, held = book.planned, book.count, book.held
    if _weigh(book) > 0:
        return False
    _charge_all(price, book, rates, how)
    freed, gained, needed, covered, value = 0.0, 0.0, 0.0, 0.0, 0.0
    room = book.room
    opened, closed, ours, theirs, values = room[_OPENED], room[_COVERED], room[_FREED], room[_GAINED], room[_VALUE]
    for i in range(len(price)):
        needed += opened[i]
        covered += closed[i]
        freed += ours[i]
        gained += theirs[i]
        value += values[i]
    if needed > 0.0 and not now.cash + freed - now.reserved - covered >= needed * (1.0 + PLAIN_NOISE):
        return False
    spent = out.spent[now.row]
    spent[0] += value
    for part in range(4):
        cost, total = room[_FEE + part], 0.0
        if part == 0 or not _as_priced(rates, how):
            for i in range(len(price)):
                total += cost[i]
        spent[1 + part] += total
    if how.records:
        _write_records(price, book, now, out)
    for i in range(len(price)):
        count[i] += planned[i] if price[i] > 0.0 else 0
        held[i] = count[i] / UNIT
    out.needed[now.waiting] = 1.0
    now.cash += freed + gained
    return True


def _weigh(book: Book) -> int:
    """Write what each order takes of the cash at reference prices; how many orders are two."""
    planned, sale, count, reference = book.planned, book.sale, book.count, book.reference
    opened, covered, two = book.room[_OPENED], book.room[_COVERED], 0
    for i in range(len(planned)):
        traded, sold, before = int(planned[i]), int(sale[i]), int(count[i])
        rest = traded + sold
        two += 1 if ((sold != 0) & (rest != 0)) | ((before < 0) & (-before < rest)) else 0
        cost = rest * SHARE * reference[i] if traded != 0 else 0.0
        opens = (rest > 0) & (before >= 0)
        opened[i], covered[i] = cost if opens else 0.0, 0.0 if opens else cost
    return two


def _as_priced(rates: Sequence[Rates], how: Setting) -> bool:
    """Whether all fills pay the price of their bar, and fees by the same rates."""
    rate = rates[0]
    return how.apart == 0 and rate.half_spread + rate.slippage + rate.impact == 0.0 and how.price_scale == 0.0


def _charge_all(price: Column, book: Book, rates: Sequence[Rates], how: Setting) -> None:
    """Write what every order pays and brings, filled whole."""
    planned, sale, room = book.planned, book.sale, book.room
    if _as_priced(rates, how):
        _charge_as_priced(price, planned, sale, rates[0], how, room)
        return
    for i in range(len(price)):
        traded, each, value, flow = int(planned[i]), float(price[i]), 0.0, 0.0
        paid, fee, spread, slip, impact = math.nan, 0.0, 0.0, 0.0, 0.0
        if traded != 0 and each > 0.0:
            sign, shares = 1.0 if traded > 0 else -1.0, abs(traded) / UNIT
            paid, fee, spread, slip, impact = charge(rates[i * how.apart], how, sign, shares, each, math.nan)
            value = shares * paid
            flow = -sign * value - fee
        room[_FREED][i], room[_GAINED][i] = flow if sale[i] != 0 else 0.0, 0.0 if sale[i] != 0 else flow
        room[_VALUE][i], room[_PAID][i], room[_FEE][i] = value, paid, fee
        room[_SPREAD][i], room[_SLIP][i], room[_IMPACT][i] = spread, slip, impact


def _charge_as_priced(
    price: Column, planned: Column, sale: Column, rate: Rates, how: Setting, room: Sequence[Column]
) -> None:  # fmt: skip
    """The same where a fill pays the price of its bar: one thing at a time, for vectors."""
    freed, gained, values, paid, fees = room[_FREED], room[_GAINED], room[_VALUE], room[_PAID], room[_FEE]
    for i in range(len(price)):
        traded, each = int(planned[i]), float(price[i])
        fills, sign, shares = (traded != 0) & (each > 0.0), 1.0 if traded > 0 else -1.0, abs(traded) / UNIT
        value = shares * each if fills else 0.0
        charged = fee_of(rate, how, sign, shares, value)
        fee = charged if fills else 0.0
        flow = -sign * value - fee
        freed[i], gained[i] = flow if sale[i] != 0 else 0.0, 0.0 if sale[i] != 0 else flow
        values[i], fees[i], paid[i] = value, fee, each if fills else math.nan


def _write_records(price: Column, book: Book, now: Account, out: Output) -> None:
    planned, code, reference, room, at = book.planned, book.code, book.reference, book.room, now.trades
    for i in range(len(price)):
        if planned[i] != 0:
            record = out.trades[at]
            record["row"], record["column"], record["code"] = now.row, i, code[i]
            record["planned"], record["count"] = planned[i], planned[i] if price[i] > 0.0 else 0
            record["reference"], record["price"], record["commission"] = reference[i], room[_PAID][i], room[_FEE][i]
            record["spread"], record["slippage"] = room[_SPREAD][i], room[_SLIP][i]
            record["impact"] = room[_IMPACT][i]
            at += 1
    now.trades = at


def _fill_in_turn(
    cells: Rows, price: Column, volume: Column, book: Book, rates: Sequence[Rates], now: Account, how: Setting,
    out: Output,
) -> None:  # fmt: skip
    """Fill sales, then the rest as the cash pays for it, order by order."""
    planned, sale, filled, count, reference = book.planned, book.sale, book.filled, book.count, book.reference
    now.cash += sell_holdings(cells, price, volume, sale, filled, rates, how)
    factor = _factor(planned, sale, filled, count, reference, now.cash - now.reserved)
    out.needed[now.waiting] = factor
    spent = out.spent[now.row]
    for i in range(len(price)):
        if planned[i] != 0:
            record = out.trades[now.trades]
            record["row"], record["column"], record["code"] = now.row, i, book.code[i]
            record["planned"], record["reference"] = planned[i], reference[i]
            traded, flow = fill_rest(
                cells[i], rates[i * how.apart], how, int(planned[i]), int(sale[i]), int(filled[i]), int(count[i]),
                float(reference[i]), float(price[i]), volume_at(volume, how, i), factor, record,
            )  # fmt: skip
            record["count"] = traded
            _add(spent, record)
            count[i] += traded
            book.held[i] = count[i] / UNIT
            now.cash += flow
            if how.records:
                now.trades += 1


def _add(spent: Column, record: Any) -> None:
    """A record's money to the sums of its session."""
    if record["count"] != 0:
        spent[0] += abs(record["count"]) / UNIT * record["price"]
        spent[1] += record["commission"]
        spent[2] += record["spread"]
        spent[3] += record["slippage"]
        spent[4] += record["impact"]


def _factor(
    planned: Column, sale: Column, filled: Column, held: Column, reference: Column, room: float
) -> float:  # fmt: skip
    """Share of the purchases that open which the cash pays for, to twelve decimals, rounded down."""
    needed = 0.0
    for i in range(len(planned)):
        rest = planned[i] + sale[i]
        if rest > 0:
            cover = min(rest, -held[i]) if held[i] < 0 else 0
            room -= cover / UNIT * reference[i]
            needed += (rest - cover) / UNIT * reference[i]
        elif rest < 0 and filled[i] == sale[i]:
            room -= rest / UNIT * reference[i]
    if needed <= 0.0 or room >= needed * (1.0 - _ENOUGH):
        return 1.0
    return math.floor(max(room, 0.0) / needed * 1e12) / 1e12
