"""The strategy of the demonstration: a weight file made from prices that were known at the time.

What belongs here: a plain momentum rule that writes a file as any outside strategy would. What does
not: a way around signal intake; the file is read, checked and refused like every other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from scizor_dagster.errors import PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.reading import close_matrix
from scizor_dagster.tabular.spreadsheet import csv_line

LOOKBACK_SESSIONS = 120
NAMES = 25
INVESTED = 0.95


def write_momentum_weights(desk: Desk, portfolio: str, rebalances: Sequence[date]) -> Path:
    """Write equal weights of the strongest names for each rebalance, from closes before the first one.

    A later rebalance drops the weakest two of the names and takes the next two, so that the file asks
    for something to do without looking at prices that were not known when it was delivered.

    Raises:
        PriceUnavailable: too little history has been collected.
    """
    market = desk.portfolio(portfolio).market
    ranking = _ranking(desk, market, rebalances[0])
    path = Path(desk.manifest.strategy(desk.portfolio(portfolio).signals.ids[0]).path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        stream.write(csv_line(["date", "ticker", "weight"]))
        for index, session in enumerate(rebalances):
            chosen = ranking[2 * index : 2 * index + NAMES]
            weight = f"{INVESTED / len(chosen):.6f}"
            stream.writelines(csv_line([session.isoformat(), symbol, weight]) for symbol in sorted(chosen))
    os.replace(partial, path)
    return path


def _ranking(desk: Desk, market: str, before: date) -> list[str]:
    calendar = desk.calendar(market)
    last = calendar.previous_session(before)
    sessions = calendar.sessions(last - timedelta(days=2 * LOOKBACK_SESSIONS), last)[-LOOKBACK_SESSIONS:]
    symbols = sorted(desk.instruments(market))
    closes = close_matrix(desk.lake, market, symbols, sessions[0], last, kind="total_return")
    complete = closes.dropna(axis="columns", how="any")
    if len(closes) < LOOKBACK_SESSIONS or complete.shape[1] < NAMES:
        raise PriceUnavailable(
            f"Only {len(closes)} sessions and {complete.shape[1]} complete names are stored before {before}.",
            remedy="Collect history first: scizor collect history.",
            where=f"market {market}",
        )
    momentum = complete.iloc[-1] / complete.iloc[0] - 1.0
    return [str(name) for name in momentum.sort_values(ascending=False, kind="stable").index]
