"""How a plan's orders fill in their session: prices, costs, and what the cash pays for.

What belongs here: arithmetic of the loop. What does not: which orders there are (the planner), and when (`engine_loop`).

Sales of what is held come first. Then, as `execution.funding` releases in life: covers of shorts go whole, short sales
bring their proceeds at reference prices, and purchases that open are scaled by one factor, rounded down to
increments, to the cash less its buffer. An order that meets no bar ends with its session.

    price = fill price x (1 +- (half spread + slippage + impact x sqrt(quantity / volume)) / 10 000)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scizor_dagster.backtest.engine_model import Account, Book, Market, Output, Rates, Setting
from scizor_dagster.planning.kernel_model import GREATEST_COUNT, SHARE, UNIT, Numbers, Rows
from scizor_dagster.planning.kernel_rows import cut_to

_BPS = 1e4
_GRID = 1e-7
"""Of a price step: what lies as near above a whole one counts as that one."""
_ENOUGH = 1e-12
"""A cash that lacks no more than this share of the purchases pays for them."""


def fill_orders(
    cells: Rows, rule: Sequence[Numbers], market: Market, book: Book, rates: Sequence[Rates],
    now: Account, how: Setting, out: Output,
) -> None:  # fmt: skip
    """Fill the pending plan in session `now.row`; holdings, cash and the trades of `out` change."""
    price = market.fill[now.row]
    flow = 0.0
    for i in range(len(price)):
        book.filled[i] = 0
        if book.sale[i] > 0:
            volume = _volume(market, how, now.row, i)
            book.filled[i] = _part(cells[i], rates[i], how, int(book.sale[i]), float(price[i]), volume)
            if book.filled[i] > 0:
                paid, fee, _, _, _ = _charge(rates[i], how, -int(book.filled[i]), float(price[i]), volume)
                flow += int(book.filled[i]) / UNIT * paid - fee
    now.cash += flow
    factor = _factor(book, rule[0], now, how)
    out.needed[now.waiting] = factor
    for i in range(len(price)):
        if book.planned[i] != 0:
            _trade(cells, market, book, rates, now, how, out, i, factor)
    now.pending = False


def _trade(
    cells: Rows, market: Market, book: Book, rates: Sequence[Rates], now: Account, how: Setting, out: Output,
    i: int, factor: float,
) -> None:  # fmt: skip
    """Fill the rest of one order, and record it with what its sale has filled."""
    price, planned, sale = float(market.fill[now.row][i]), int(book.planned[i]), int(book.sale[i])
    volume = _volume(market, how, now.row, i)
    filled = int(book.filled[i])
    paid, fee, spread, slip, impact = math.nan, 0.0, 0.0, 0.0, 0.0
    value = 0.0
    if filled > 0:
        paid, fee, spread, slip, impact = _charge(rates[i], how, -filled, price, volume)
        value = filled / UNIT * paid
    rest = _rest(cells[i], book, i, factor, how) if filled == sale else 0
    if rest != 0:
        most = _part(cells[i], rates[i], how, abs(rest) + filled, price, volume) - filled
        rest = min(abs(rest), max(most, 0)) * (1 if rest > 0 else -1)
    if rest != 0:
        bought, more, wide, worse, moved = _charge(rates[i], how, rest, price, volume)
        if rest > 0 and 0 < -book.count[i] < rest:
            more = _two_fees(rates[i], how, -int(book.count[i]), rest, bought)
        now.cash -= rest / UNIT * bought + more
        fee, spread, slip, impact = fee + more, spread + wide, slip + worse, impact + moved
        value += abs(rest) / UNIT * bought
        paid = value / ((filled + abs(rest)) / UNIT)
    count = rest - filled
    book.count[i] += count
    record = out.trades[now.trades]
    record["row"], record["column"] = now.row, i
    record["planned"], record["count"] = planned, count
    record["reference"], record["price"] = book.reference[i], paid
    record["commission"], record["spread"], record["slippage"], record["impact"] = fee, spread, slip, impact
    record["code"] = book.code[i]
    now.trades += 1


def _volume(market: Market, how: Setting, row: int, i: int) -> float:
    """Shares that trade at the fill's price; NaN where nothing asks for them."""
    return float(market.volume[row][i]) * how.volume_share if how.volumes else math.nan


def _part(cell: object, rate: Rates, how: Setting, wanted: int, price: float, volume: float) -> int:
    """Unsigned units of an order that a session's bar fills."""
    if not price > 0.0:
        return 0
    if not how.volumes or (rate.participation == math.inf and rate.impact_bps == 0.0):
        return wanted
    if not volume > 0.0:
        return 0
    most = volume * rate.participation * UNIT
    if not most < wanted:
        return wanted
    return cut_to(int(min(most, 1.0 * GREATEST_COUNT)), _increment(cell, wanted))


def _increment(cell: object, wanted: int) -> int:
    """Units that an order fills in: whole lots where it is made of them."""
    lot = int(cell.lot)  # type: ignore[attr-defined]
    return lot if wanted % lot == 0 else 1


def _charge(
    rate: Rates, how: Setting, count: int, price: float, volume: float
) -> tuple[float, float, float, float, float]:
    """Price that a fill of signed units pays, and of it in money: commission, spread, slippage and impact."""
    shares, sign = abs(count) / UNIT, 1.0 if count > 0 else -1.0
    pressed = rate.impact_bps * math.sqrt(min(1.0, shares / volume)) if rate.impact_bps > 0.0 else 0.0
    paid = price * (1.0 + sign * (rate.half_spread_bps + rate.slippage_bps + pressed) / _BPS)
    if how.price_scale > 0.0:
        steps = paid * how.price_scale
        steps = math.ceil(steps - _GRID) if sign > 0.0 else math.floor(steps + _GRID)
        paid = max(steps, 1.0) / how.price_scale
    spread, impact = shares * price * rate.half_spread_bps / _BPS, shares * price * pressed / _BPS
    slip = sign * shares * (paid - price) - spread - impact
    if rate.slippage_bps == 0.0 and how.price_scale == 0.0:
        slip = 0.0
    return paid, _fee(rate, how, sign, shares, shares * paid), spread, slip, impact


def _fee(rate: Rates, how: Setting, sign: float, shares: float, value: float) -> float:
    """Commission of one order: `Commission.charge`."""
    charged = max(rate.per_share * shares + rate.bps * value / _BPS, rate.minimum)
    charged = min(charged, rate.maximum_bps * value / _BPS) * (1.0 + rate.tax)
    if sign < 0.0:
        charged += rate.sell_per_share * shares + rate.sell_bps * value / _BPS
    return math.ceil(charged * 100.0 - _GRID) / 100.0 if how.cents else charged


def _two_fees(rate: Rates, how: Setting, cover: int, count: int, paid: float) -> float:
    """A purchase that covers a short and goes on is two orders."""
    first, second = cover / UNIT, (count - cover) / UNIT
    return _fee(rate, how, 1.0, first, first * paid) + _fee(rate, how, 1.0, second, second * paid)


def _rest(cell: object, book: Book, i: int, factor: float, how: Setting) -> int:
    """Signed units of an order beside what it sells of a holding, scaled where the cash does not pay for it."""
    rest = int(book.planned[i]) + int(book.sale[i])
    if rest <= 0 or factor == 1.0:
        return rest
    cover = min(rest, max(-int(book.count[i]), 0))
    step = int(cell.step)  # type: ignore[attr-defined]
    opening = cut_to(int((rest - cover) * factor), step)
    if opening * SHARE * book.reference[i] < how.minimum:
        opening = 0
    return cover + opening


def _factor(book: Book, rules: Numbers, now: Account, how: Setting) -> float:
    """Share of the purchases that open which the cash pays for, to twelve decimals, rounded down."""
    room, needed = now.cash - now.reserved, 0.0
    for i in range(len(book.planned)):
        rest = int(book.planned[i]) + int(book.sale[i])
        if rest > 0:
            cover = min(rest, max(-int(book.count[i]), 0))
            room -= cover / UNIT * book.reference[i]
            needed += (rest - cover) / UNIT * book.reference[i]
        elif rest < 0 and book.filled[i] == book.sale[i]:
            room -= rest / UNIT * book.reference[i]
    if needed <= 0.0 or room >= needed * (1.0 - _ENOUGH):
        return 1.0
    return math.floor(max(room, 0.0) / needed * 1e12) / 1e12
