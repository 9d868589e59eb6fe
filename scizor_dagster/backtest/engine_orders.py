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

from scizor_dagster.backtest.engine_fills import charge, fill_rest, sell_holdings, volume_at
from scizor_dagster.backtest.engine_model import Account, Book, Market, Output, Rates, Setting
from scizor_dagster.planning.kernel_model import PLAIN_NOISE, SHARE, UNIT, Column, Rows

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
    """Fill every order whole, in one pass; False, and nothing has changed, where that may not be all there is to it.

    That is where one of them is two orders, or where the cash does not pay by more than these sums may be off.
    """
    planned, sale, count, held, reference = book.planned, book.sale, book.count, book.held, book.reference
    freed, gained, needed, covered, at = 0.0, 0.0, 0.0, 0.0, now.trades
    value, fees, spreads, slips, impacts = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(price)):
        if planned[i] == 0:
            continue
        traded, sold, each = int(planned[i]), int(sale[i]), float(price[i])
        rest, before = traded + sold, int(count[i])
        if (sold != 0 and rest != 0) or 0 < -before < rest:
            return False
        cost = rest * SHARE * reference[i]
        opens = (rest > 0) & (before >= 0)
        needed += cost if opens else 0.0
        covered += 0.0 if opens else cost
        paid, fee, spread, slip, impact = math.nan, 0.0, 0.0, 0.0, 0.0
        if each > 0.0:
            sign, shares = 1.0 if traded > 0 else -1.0, abs(traded) / UNIT
            paid, fee, spread, slip, impact = charge(rates[i * how.apart], how, sign, shares, each, math.nan)
            flow = -sign * shares * paid - fee
            freed += flow if sold != 0 else 0.0
            gained += 0.0 if sold != 0 else flow
            value += shares * paid
            fees += fee
            spreads += spread
            slips += slip
            impacts += impact
        else:
            traded = 0
        if how.records:
            record = out.trades[at]
            record["row"], record["column"], record["code"] = now.row, i, book.code[i]
            record["planned"], record["count"] = planned[i], traded
            record["reference"], record["price"], record["commission"] = reference[i], paid, fee
            record["spread"], record["slippage"], record["impact"] = spread, slip, impact
            at += 1
    if needed > 0.0 and not now.cash + freed - now.reserved - covered >= needed * (1.0 + PLAIN_NOISE):
        return False
    for i in range(len(price)):
        count[i] += planned[i] if price[i] > 0.0 else 0
        held[i] = count[i] / UNIT
    spent = out.spent[now.row]
    spent[0] += value
    spent[1] += fees
    spent[2] += spreads
    spent[3] += slips
    spent[4] += impacts
    out.needed[now.waiting] = 1.0
    now.cash += freed + gained
    now.trades = at
    return True


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
