"""What the market and the measured sessions say about a portfolio, as the limits need it.

What belongs here: the value object that is handed in. What does not: reading it from the lake (`flow.risk`),
and facts that the ledger or the broker know (`execution.context`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """Before one session. A figure that is None, or a symbol that is absent, is not known; it is not zero.

    Attributes:
        equity: Of the portfolio, at the prices of the last closed session.
        equity_before: Of the session measured before that one.
        prices: Reference prices by symbol.
        price_ages: Sessions since each of them.
        second_prices: Prices of another source, where there is one.
        daily_volumes: Average daily volume in shares.
        sectors: Sector by symbol; an instrument without one is absent.
        doubted: Why an instrument may be in other units than its orders, or another one; by symbol.
    """

    equity: Decimal | None = None
    equity_before: Decimal | None = None
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    price_ages: Mapping[str, int] = field(default_factory=dict)
    second_prices: Mapping[str, Decimal] = field(default_factory=dict)
    daily_volumes: Mapping[str, Decimal] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)
    doubted: Mapping[str, str] = field(default_factory=dict)


FactsOf = Callable[[date], MarketFacts]
"""The facts before a session; asked once per check, outside of any transaction."""


def nothing_known(_: date) -> MarketFacts:
    return MarketFacts()
