"""What the planner's rules ask of past bars: the close before the last, average volume, average true range.

What belongs here: numbers by symbol in the units that trade after the last bar. What does not: the rules
that use them (`planning`), and the closes themselves (`reading`).

Prices and volumes from before a split are brought to the units of the symbol's last bar where the source is raw.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.reading import LOOK_BACK

Floats = npt.NDArray[np.float64]
VOLUME_SESSIONS = 20
FEWEST_VOLUMES = 5
MOVE_SESSIONS = 20
FEWEST_MOVES = 10
RANGE_SESSIONS = 14
_SMOOTHED_OVER = timedelta(days=200)
"""Long enough for a smoothed range to have forgotten where it began."""
_PRICE_STEP = Decimal("0.000001")


def previous_closes(lake: Lake, market: str, through: date) -> dict[str, Decimal]:
    """Close of the bar before each symbol's last one."""
    rows = _answer(
        lake,
        market,
        through,
        LOOK_BACK,
        "SELECT symbol, close FROM adjusted QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY session DESC) = 2",
    )
    return {symbol: _exact(close) for symbol, close in rows}


def average_volumes(lake: Lake, market: str, through: date) -> dict[str, Decimal]:
    """Average daily volume: the median of each symbol's last 20 bars, in whole shares.

    The one definition, for what a plan may order and for what a limit stops. A bar without trading counts as 0. A
    symbol with fewer than 20 bars has the median of those, and one with fewer than 5 is left out.
    """
    rows = _answer(
        lake,
        market,
        through,
        LOOK_BACK,
        "SELECT symbol, median(volume) FROM (SELECT symbol, volume FROM adjusted QUALIFY row_number() OVER "
        f"(PARTITION BY symbol ORDER BY session DESC) <= {VOLUME_SESSIONS}) "
        f"GROUP BY symbol HAVING count(volume) >= {FEWEST_VOLUMES}",
    )
    return {symbol: Decimal(int(volume)) for symbol, volume in rows}


def usual_moves(lake: Lake, market: str, through: date) -> dict[str, float]:
    """Mean absolute logarithm of close over close, of each symbol's last 20 bars; with fewer than 10 it is left out."""
    rows = _answer(
        lake,
        market,
        through,
        LOOK_BACK,
        "SELECT symbol, avg(abs(ln(close / before))) FROM (SELECT symbol, close, "
        "lag(close) OVER (PARTITION BY symbol ORDER BY session) AS before, "
        "row_number() OVER (PARTITION BY symbol ORDER BY session DESC) AS back FROM adjusted) "
        f"WHERE back <= {MOVE_SESSIONS} AND close > 0 AND before > 0 "
        f"GROUP BY symbol HAVING count(*) >= {FEWEST_MOVES}",
    )
    return {symbol: float(move) for symbol, move in rows}


def true_ranges(lake: Lake, market: str, through: date) -> dict[str, Decimal]:
    """Wilder's average true range over 14 bars, smoothed over 200 days; a symbol with fewer than 15 is left out."""
    rows = _answer(
        lake,
        market,
        through,
        _SMOOTHED_OVER,
        "SELECT symbol, list(high ORDER BY session), list(low ORDER BY session), list(close ORDER BY session) "
        "FROM adjusted GROUP BY symbol",
    )
    found = {
        symbol: average_true_range(np.array(high), np.array(low), np.array(close))
        for symbol, high, low, close in rows
        if len(close) > RANGE_SESSIONS
    }
    return {symbol: _exact(spread) for symbol, spread in found.items() if spread >= float(_PRICE_STEP)}


def _answer(lake: Lake, market: str, through: date, back: timedelta, question: str) -> list[tuple[Any, ...]]:
    """Ask the table `adjusted`: bars by symbol and session, in the units of each symbol's last bar."""
    with lake.read() as cursor:
        return cursor.execute(
            "WITH recent AS (SELECT symbol, session, high, low, close, volume, adjustment, "
            "max(session) OVER (PARTITION BY symbol) AS last FROM bars WHERE market = ? AND session BETWEEN ? AND ?), "
            f"splits AS (SELECT symbol, ex_session, ratio FROM {whole('corporate_actions')} "
            "WHERE market = ? AND kind = 'split' AND ratio > 0), "
            "factors AS (SELECT r.symbol, r.session, product(s.ratio) AS factor FROM recent r JOIN splits s "
            "ON s.symbol = r.symbol AND s.ex_session > r.session AND s.ex_session <= r.last "
            "WHERE r.adjustment = 'raw' GROUP BY r.symbol, r.session), "
            "adjusted AS (SELECT symbol, session, high / coalesce(factor, 1.0) AS high, "
            "low / coalesce(factor, 1.0) AS low, close / coalesce(factor, 1.0) AS close, "
            "volume * coalesce(factor, 1.0) AS volume FROM recent LEFT JOIN factors USING (symbol, session)) "
            f"{question}",
            [market, through - back, through, market],
        ).fetchall()


def average_true_range(high: Floats, low: Floats, close: Floats) -> float:
    """Wilder's smoothing: the mean of the first 14 ranges, then each new one with a weight of 1 in 14."""
    before = close[:-1]
    ranges = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    average = float(ranges[:RANGE_SESSIONS].mean())
    for spread in ranges[RANGE_SESSIONS:].tolist():
        average += (spread - average) / RANGE_SESSIONS
    return average


def _exact(value: float) -> Decimal:
    return Decimal(repr(float(value))).quantize(_PRICE_STEP)
