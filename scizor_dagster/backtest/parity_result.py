"""A backtest with a model of fills as one side of a comparison, and a recorded run in the same words.

What belongs here: `Result` to `Told`, and orders of one instrument as one. What does not: the comparison (`parity`) and
the split of money (`parity_split`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from scizor_dagster.backtest.model import Result
from scizor_dagster.backtest.parity import Deal, Key, Told, ToldDay, ToldOrder
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.planning.columns import quantity_of
from scizor_dagster.planning.kernel_model import REASONS

ZERO = Decimal(0)


def told_of_result(result: Result, first: int, closes: Sequence[Mapping[str, Decimal]], before: ToldDay) -> Told:
    """A backtest as one side, from the session of row `first` on.

    Args:
        result: With positions and trades kept.
        first: Row of its first session; nothing is held before it.
        closes: Prices at the close of each session from there on.
        before: The day before it.
    """
    sessions, symbols = result.history.sessions, [item.symbol for item in result.history.instruments]
    orders = [_order(record, sessions[record["row"]], symbols[record["column"]]) for record in result.trades]
    days = []
    for at, prices in enumerate(closes, start=first):
        held = {symbol: quantity_of(int(count)) for symbol, count in zip(symbols, result.counts[at], strict=True)}
        cash, equity, income = (
            _exact(value) for value in (result.cash[at], result.equity[at], result.income[at].sum())
        )
        holdings = {symbol: qty for symbol, qty in held.items() if qty}
        days.append(ToldDay(sessions[at], cash, equity, holdings, prices, income))
    return Told(tuple(orders), (before, *days))


def by_instrument(run: Told) -> Told:
    """The run with all legs and slices of one instrument and side of a session as one order, of no phase."""
    made: dict[Key, ToldOrder] = {}
    for order in run.orders:
        key = order.key._replace(leg=1, slice=1, batch=1)
        known = made.get(key)
        made[key] = replace(order, key=key, phase=0) if known is None else _both(known, order)
    return Told(tuple(made.values()), run.days)


def _both(one: ToldOrder, other: ToldOrder) -> ToldOrder:
    sent = None if one.final is None and other.final is None else (one.final or ZERO) + (other.final or ZERO)
    return replace(
        one,
        planned=one.planned + other.planned,
        final=sent,
        state=one.state if one.state == other.state else f"{one.state}, {other.state}",
        deals=(*one.deals, *other.deals),
        note=one.note or other.note,
    )


def _order(record: Any, session: Any, symbol: str) -> ToldOrder:
    """One record of `TRADE_FIELDS`. What its price was before costs is the market's price."""
    planned, filled = int(record["planned"]), int(record["count"])
    side = Side.BUY if planned > 0 else Side.SELL
    deals: tuple[Deal, ...] = ()
    if filled:
        qty = quantity_of(abs(filled))
        costs = sum(_exact(record[name]) for name in ("spread", "slippage", "impact")) / qty
        price = _exact(record["price"])
        deals = (Deal(qty, price, _exact(record["commission"]), price - side.sign * costs),)
    return ToldOrder(
        key=Key(session, symbol, side, 1, 1),
        phase=0,
        reason=REASONS[int(record["code"])].value,
        reference=_exact(record["reference"]),
        planned=quantity_of(abs(planned)),
        final=quantity_of(abs(planned)),
        state="filled" if filled == planned else "expired",
        deals=deals,
    )


def _exact(value: Any) -> Decimal:
    return Decimal(repr(float(value)))
