"""How a plan's orders fill in their session: prices, costs, and what the cash pays for.

What belongs here: arithmetic of single orders. What does not: all of a session's (`engine_orders`), which orders there
are (the planner), and when (`engine_loop`).

    price = fill price x (1 +- (half spread + slippage + impact x sqrt(quantity / volume)))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scizor_dagster.backtest.engine_model import Rates, Setting
from scizor_dagster.planning.kernel_model import GREATEST_COUNT, SHARE, UNIT, Column, Rows
from scizor_dagster.planning.kernel_rows import cut_to

_GRID = 1e-7
"""Of a price step: what lies as near above a whole one counts as that one."""


def sell_holdings(
    cells: Rows, price: Column, volume: Column, sale: Column, filled: Column, rates: Sequence[Rates], how: Setting
) -> float:  # fmt: skip
    """Fill what sells a holding; returns the cash that it brings."""
    flow = 0.0
    for i in range(len(price)):
        filled[i] = 0
        if sale[i] > 0:
            most = volume_at(volume, how, i)
            filled[i] = _part(cells[i], rates[i * how.apart], how, int(sale[i]), float(price[i]), most)
            if filled[i] > 0:
                shares = filled[i] / UNIT
                paid, fee, _, _, _ = charge(rates[i * how.apart], how, -1.0, shares, float(price[i]), most)
                flow += shares * paid - fee
    return flow


def fill_rest(
    cell: Any, rate: Rates, how: Setting, planned: int, sale: int, filled: int, held: int, reference: float,
    price: float, volume: float, factor: float, record: Any,
) -> tuple[int, float]:  # fmt: skip
    """Fill the rest of an order, and record what it cost with what its sale did.

    Returns:
        Signed units filled, and the cash that comes in beside that of the sale.
    """
    paid, fee, spread, slip, impact, flow = math.nan, 0.0, 0.0, 0.0, 0.0, 0.0
    if filled > 0:
        paid, fee, spread, slip, impact = charge(rate, how, -1.0, filled / UNIT, price, volume)
    rest = _rest(cell, planned + sale, held, factor, reference, how) if filled == sale else 0
    if rest != 0:
        most = _part(cell, rate, how, abs(rest) + filled, price, volume) - filled
        rest = min(most, rest) if rest > 0 else max(-most, rest)
    if rest != 0:
        shares, sign = abs(rest) / UNIT, 1.0 if rest > 0 else -1.0
        each, more, wide, worse, moved = charge(rate, how, sign, shares, price, volume)
        if 0 < -held < rest:
            more = _two_fees(rate, how, -held, rest, each)
        flow = -sign * shares * each - more
        paid = each if filled == 0 else (filled * paid + abs(rest) * each) / (filled + abs(rest))
        fee, spread, slip, impact = fee + more, spread + wide, slip + worse, impact + moved
    record["price"], record["commission"] = paid, fee
    record["spread"], record["slippage"], record["impact"] = spread, slip, impact
    return rest - filled, flow


def volume_at(volume: Column, how: Setting, i: int) -> float:
    """Shares that trade at the fill's price; NaN where nothing asks for them."""
    return float(volume[i]) * how.volume_share if how.volumes else math.nan


def _part(cell: Any, rate: Rates, how: Setting, wanted: int, price: float, volume: float) -> int:
    """Unsigned units of an order that a session's bar fills."""
    if not price > 0.0:
        return 0
    if not how.volumes or (rate.participation == math.inf and rate.impact == 0.0):
        return wanted
    if not volume > 0.0:
        return 0
    most = volume * rate.participation * UNIT
    if not most < wanted:
        return wanted
    return cut_to(int(min(most, 1.0 * GREATEST_COUNT)), _increment(cell, wanted))


def _increment(cell: Any, wanted: int) -> int:
    """Units that an order fills in: whole lots where it is made of them."""
    lot = int(cell.lot)
    return lot if wanted % lot == 0 else 1


def charge(
    rate: Rates, how: Setting, sign: float, shares: float, price: float, volume: float
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """Price that a fill pays, and of it in money: commission, spread, slippage and impact."""
    if rate.half_spread + rate.slippage + rate.impact == 0.0 and how.price_scale == 0.0:
        return price, fee_of(rate, how, sign, shares, shares * price), 0.0, 0.0, 0.0
    return _charge_worse(rate, how, sign, shares, price, volume)


def _charge_worse(
    rate: Rates, how: Setting, sign: float, shares: float, price: float, volume: float
) -> tuple[float, float, float, float, float]:  # fmt: skip
    """The same where a fill pays another price than that of its bar."""
    pressed = rate.impact * math.sqrt(min(1.0, shares / volume)) if rate.impact > 0.0 else 0.0
    paid = price * (1.0 + sign * (rate.half_spread + rate.slippage + pressed))
    if how.price_scale > 0.0:
        steps = paid * how.price_scale
        steps = math.ceil(steps - _GRID) if sign > 0.0 else math.floor(steps + _GRID)
        paid = max(steps, 1.0) / how.price_scale
    spread, impact = shares * price * rate.half_spread, shares * price * pressed
    slip = sign * shares * (paid - price) - spread - impact
    if rate.slippage == 0.0 and how.price_scale == 0.0:
        slip = 0.0
    return paid, fee_of(rate, how, sign, shares, shares * paid), spread, slip, impact


def fee_of(rate: Rates, how: Setting, sign: float, shares: float, value: float) -> float:
    """Commission of one order: `Commission.charge`."""
    charged = max(rate.per_share * shares + rate.share * value, rate.minimum)
    charged = min(charged, rate.maximum * value) * rate.taxed
    # A choice between two numbers is no branch: which orders sell is hard to foresee.
    of_sales = rate.sell_per_share * shares + rate.sell_share * value
    charged += of_sales if sign < 0.0 else 0.0
    return math.ceil(charged * 100.0 - _GRID) / 100.0 if how.cents else charged


def _two_fees(rate: Rates, how: Setting, cover: int, count: int, paid: float) -> float:
    """A purchase that covers a short and goes on is two orders."""
    first, second = cover / UNIT, (count - cover) / UNIT
    return fee_of(rate, how, 1.0, first, first * paid) + fee_of(rate, how, 1.0, second, second * paid)


def _rest(cell: Any, rest: int, held: int, factor: float, reference: float, how: Setting) -> int:
    """Signed units of an order beside what it sells of a holding, scaled where the cash does not pay for it."""
    if rest <= 0 or factor == 1.0:
        return rest
    cover = min(rest, max(-held, 0))
    opening = cut_to(int((rest - cover) * factor), int(cell.step))
    if opening * SHARE * reference < how.minimum:
        opening = 0
    return cover + opening
