"""A second source's prices, for the limit that compares two.

What belongs here: finding the closes that a configuration has twice. What does not: the comparison (`risk.checks`).

A market has one provider and the lake one bar per market, instrument and session. A second source of the same
instruments is therefore a market of its own, with the same calendar and currency.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.planning.rules import exact

if TYPE_CHECKING:
    import pandas as pd


def second_prices(desk: Desk, lake: Lake, market: str, closes: pd.DataFrame, priced_on: date) -> dict[str, Decimal]:
    """Closes of the same instruments and sessions in other markets of the configuration, by symbol.

    Made-up prices, and those of another adjustment, say nothing about the first. Of several, the one that lies
    farthest off counts. `closes` are those of `market` on `priced_on`, as `last_closes` gives them.
    """
    first = {row["symbol"]: row for row in closes.to_dict("records") if not row["synthetic"]}
    found: dict[str, Decimal] = {}
    for name in _beside(desk, market) if first else ():
        instruments, ours = desk.instruments(name), desk.instruments(market)
        for row in last_closes(lake, name, priced_on).to_dict("records"):
            symbol = row["symbol"]
            same = symbol in first and symbol in instruments and symbol in ours
            if not same or row["synthetic"] or instruments[symbol].id != ours[symbol].id:
                continue
            if (row["session"], row["adjustment"]) == (first[symbol]["session"], first[symbol]["adjustment"]):
                price, close = exact(float(row["close"])), exact(float(first[symbol]["close"]))
                found[symbol] = max(price, found.get(symbol, price), key=lambda each: abs(each - close))
    return found


def _beside(desk: Desk, market: str) -> list[str]:
    """Other markets with the same sessions and money."""
    own = desk.market(market)
    return [
        name
        for name, other in desk.config.markets.items()
        if name != market and (other.calendar, other.currency) == (own.calendar, own.currency)
    ]
