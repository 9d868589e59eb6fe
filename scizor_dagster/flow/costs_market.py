"""What the market did around a session's orders: its bar, splits and dividends, volume, volatility, spread.

What belongs here: reading them for some symbols, once for all of them. What does not: the orders (`costs_orders`), the
estimators (`analytics.costs_spreads`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from scizor_dagster.analytics.costs import Known
from scizor_dagster.analytics.costs_spreads import SESSIONS, abdi_ranaldo, daily_volatility
from scizor_dagster.config import PaperAccount
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.reading import LOOK_BACK
from scizor_dagster.market_data.trading_facts import average_volumes

ONE = Decimal(1)
_BASIS_POINTS = 10_000
_SPREAD_STEP = Decimal("0.0001")
_NO_SPREAD = Known(None, "there is no quote, and no estimate from daily bars stands out of the noise")


@dataclass(frozen=True, slots=True)
class SymbolMarket:
    """One symbol around a session.

    Attributes:
        bar: open, high, low and close of the session as stored now; empty without a bar.
        closes: Stored closes of the sessions before.
        splits: Ex session and new shares for one old, of every session that is stored.
        dividends: Ex session and amount per share, in the market's currency.
        adv: Median volume of the sessions before, in shares that trade in the one before.
        volatility: Standard deviation of the daily return before the session, a fraction.
        half_spread_bps: Half the spread, and how it is known.
    """

    bar: Mapping[str, Decimal] = field(default_factory=dict)
    adjustment: str = "raw"
    synthetic: bool = False
    closes: Mapping[date, Decimal] = field(default_factory=dict)
    splits: Sequence[tuple[date, Decimal]] = ()
    dividends: Sequence[tuple[date, Decimal]] = ()
    adv: float | None = None
    volatility: float | None = None
    half_spread_bps: Known = _NO_SPREAD

    def split_ratio(self, after: date, through: date = date.max) -> Decimal:
        """New shares for one old by the splits after `after`, up to and with `through`."""
        ratio = ONE
        for ex_session, one in self.splits:
            if after < ex_session <= through:
                ratio *= one
        return ratio


def markets_of(desk: Desk, portfolio: str, symbols: Sequence[str], session: date) -> dict[str, SymbolMarket]:
    """The market around `session` for each of `symbols`."""
    settings = desk.portfolio(portfolio)
    name = settings.market
    before = desk.calendar(name).previous_session(session)
    with desk.lake.read() as cursor:
        bars = cursor.execute(
            "SELECT symbol, session, open, high, low, close, adjustment, synthetic FROM bars WHERE market = ? "
            "AND session BETWEEN ? AND ? AND symbol IN (SELECT unnest(?)) ORDER BY symbol, session",
            [name, session - LOOK_BACK, session, list(symbols)],
        ).fetchall()
        actions = cursor.execute(
            f"SELECT symbol, ex_session, kind, ratio, amount FROM {whole('corporate_actions')} WHERE market = ? "
            "AND ex_session > ? AND (kind = 'split' AND ratio > 0 OR kind = 'dividend' AND amount > 0 "
            "AND coalesce(currency, ?) = ?) AND symbol IN (SELECT unnest(?)) ORDER BY ex_session",
            [name, session - LOOK_BACK, desk.market(name).currency, desk.market(name).currency, list(symbols)],
        ).fetchall()
    volumes = average_volumes(desk.lake, name, before)
    series: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    happened: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for symbol, *bar in bars:
        series[symbol].append(tuple(bar))
    for symbol, *action in actions:
        happened[symbol].append(tuple(action))
    venue = _venue_spread(desk, portfolio)
    return {
        symbol: _market(desk, name, symbol, session, series[symbol], happened[symbol], volumes.get(symbol), venue)
        for symbol in symbols
    }


def _market(
    desk: Desk,
    market: str,
    symbol: str,
    session: date,
    bars: Sequence[tuple[Any, ...]],
    actions: Sequence[tuple[Any, ...]],
    volume: Decimal | None,
    venue: Known | None,
) -> SymbolMarket:
    splits = [(day, _exact(ratio)) for day, kind, ratio, _ in actions if kind == "split"]
    today = next((bar for bar in bars if bar[0] == session), None)
    earlier = [bar for bar in bars if bar[0] < session][-SESSIONS - 1 :]
    high, low, close = _in_last_units(earlier, splits)
    spread = abdi_ranaldo(high, low, close)
    found = SymbolMarket(
        bar={} if today is None else dict(zip(("open", "high", "low", "close"), map(_exact, today[1:5]), strict=True)),
        adjustment=(today or (earlier[-1] if earlier else (None,) * 5 + ("raw", False)))[5],
        synthetic=any(bool(bar[6]) for bar in bars),
        closes={bar[0]: _exact(bar[4]) for bar in earlier},
        splits=splits,
        dividends=[(day, _exact(amount)) for day, kind, _, amount in actions if kind == "dividend"],
        adv=None if volume is None else float(volume),
        volatility=daily_volatility(close),
        half_spread_bps=venue or _estimated(spread),
    )
    if venue is not None or spread is not None or not earlier:
        return found
    return _with_tick(desk, market, symbol, found, _exact(earlier[-1][4]))


def _in_last_units(bars: Sequence[tuple[Any, ...]], splits: Sequence[tuple[date, Decimal]]) -> tuple[Any, Any, Any]:
    """Highs, lows and closes in the units of the last of the bars."""
    if not bars:
        empty = np.array([])
        return empty, empty, empty
    values = np.array([bar[2:5] for bar in bars], dtype=float)
    last = bars[-1][0]
    for ex_session, ratio in splits:
        if ex_session <= last:
            older = np.array([bar[0] < ex_session and bar[5] == "raw" for bar in bars])
            values[older] /= float(ratio)
    return values[:, 0], values[:, 1], values[:, 2]


def _venue_spread(desk: Desk, portfolio: str) -> Known | None:
    """Half the spread that the embedded exchange charges; None elsewhere."""
    account = desk.account(desk.portfolio(portfolio).account)
    if not isinstance(account, PaperAccount):
        return None
    return Known(_exact(account.exchange.half_spread_bps), "venue")


def _estimated(spread: float | None) -> Known:
    if spread is None:
        return _NO_SPREAD
    return Known(Decimal(spread / 2 * _BASIS_POINTS).quantize(_SPREAD_STEP), "estimated")


def _with_tick(desk: Desk, market: str, symbol: str, found: SymbolMarket, last: Decimal) -> SymbolMarket:
    """Half a price step as half the spread: no quote is ever narrower than that."""
    instrument = desk.instruments(market).get(symbol)
    if instrument is None:
        return found
    half = (instrument.price_step(last) / 2 / last * _BASIS_POINTS).quantize(_SPREAD_STEP)
    return replace(found, half_spread_bps=Known(half, "tick"))


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value)))
