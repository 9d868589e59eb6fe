"""Symbols that a portfolio holds or means to hold, and that are tracked no more.

What belongs here: finding them in ledger and lake. What does not: retiring (`symbols`), what a plan does with them
(`planning`).

A retired symbol leaves the coverage of prices: without this it would be out of sight with money in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.market_data.symbol_reading import symbol_rows


@dataclass(frozen=True, slots=True)
class RetiredInUse:
    """A retired symbol in a portfolio. `use` is `held` or `targeted`, `reason` a `SymbolReason`."""

    symbol: str
    portfolio: str
    use: str
    retired_on: date
    reason: str
    note: str

    def __str__(self) -> str:
        return f"{self.symbol} ({self.use} by {self.portfolio}; {self.reason} since {self.retired_on})"


def retired_in_use(desk: Desk, market: str) -> tuple[RetiredInUse, ...]:
    """Retired symbols of `market` that its portfolios own, or that their newest targets give a weight."""
    retired = {row.symbol: row for row in symbol_rows(desk.lake, market) if row.retired_on is not None}
    found = []
    for name, portfolio in desk.config.portfolios.items():
        if not retired or portfolio.market != market:
            continue
        uses = dict.fromkeys(_targeted(desk, name), "targeted") | dict.fromkeys(_held(desk, name), "held")
        for symbol in sorted(retired.keys() & uses.keys()):
            row = retired[symbol]
            assert row.retired_on is not None
            found.append(RetiredInUse(symbol, name, uses[symbol], row.retired_on, row.reason or "retired", row.note))
    return tuple(found)


def _held(desk: Desk, portfolio: str) -> list[str]:
    if not desk.has_ledger:
        return []
    with desk.ledger.read() as connection:
        return list(owned(connection, desk.portfolio(portfolio).account, portfolio))


def _targeted(desk: Desk, portfolio: str) -> list[str]:
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT symbol FROM target_weights WHERE portfolio = $portfolio AND CAST(target_weight AS DOUBLE) <> 0 "
            "AND session = (SELECT max(session) FROM target_weights WHERE portfolio = $portfolio)",
            {"portfolio": portfolio},
        ).fetchall()
    return [str(symbol) for (symbol,) in rows]
