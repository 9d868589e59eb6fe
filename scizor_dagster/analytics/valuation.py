"""What holdings are worth at last closes.

What belongs here: money times quantity, once. What does not: which quantities a portfolio owns
(`ledger.holdings`), and what the value did over time (`performance`).

No price, no value: a holding without a close is named and left out, never valued at zero or cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Close:
    """A last close and the session it is of, in the instrument's currency."""

    price: Decimal
    session: date


@dataclass(frozen=True, slots=True)
class ValuationLine:
    """One holding at its last close. `weight` is its share of the equity, None when that is not positive."""

    symbol: str
    qty: Decimal
    price: Decimal
    price_session: date
    value: Decimal
    weight: Decimal | None


@dataclass(frozen=True, slots=True)
class Valuation:
    """A portfolio's worth.

    Attributes:
        equity: Cash plus the value of what has a price.
        market_value: Signed: short positions count negative.
        unpriced: Symbols held without any close; their value is not in `equity`.
        stale: Symbols whose last close is older than `priced_on`, valued at it.
        priced_on: Newest session among the closes; None without any.
        notes: One sentence per holding that is unpriced or stale.
    """

    equity: Decimal
    cash: Decimal
    market_value: Decimal
    lines: tuple[ValuationLine, ...]
    unpriced: tuple[str, ...]
    stale: tuple[str, ...]
    priced_on: date | None
    notes: tuple[str, ...]


def closes_of(frame: pd.DataFrame) -> dict[str, Close]:
    """Closes by symbol from a frame with the columns symbol, session and close."""
    return {
        str(symbol): Close(Decimal(repr(float(close))), session)
        for symbol, session, close in zip(frame["symbol"], frame["session"], frame["close"], strict=True)
    }


def value_portfolio(
    holdings: Mapping[str, Decimal], cash: Decimal, closes: pd.DataFrame, priced_on: date | None = None
) -> Valuation:
    """Value signed quantities and cash at the last closes.

    Args:
        holdings: Signed shares by symbol; zeros are passed over.
        cash: In the currency of the closes.
        closes: One row per symbol with symbol, session and close (price per share).
        priced_on: Session that a close must be of to be fresh; by default the newest among `closes`.
    """
    prices = closes_of(closes)
    newest = max((close.session for close in prices.values()), default=None)
    fresh = priced_on or newest
    held = {symbol: qty for symbol, qty in sorted(holdings.items()) if qty != 0}
    unpriced = tuple(symbol for symbol in held if symbol not in prices)
    priced = {symbol: qty for symbol, qty in held.items() if symbol in prices}
    stale = tuple(symbol for symbol in priced if fresh is not None and prices[symbol].session < fresh)
    market_value = sum((qty * prices[symbol].price for symbol, qty in priced.items()), ZERO)
    equity = cash + market_value
    return Valuation(
        equity=equity,
        cash=cash,
        market_value=market_value,
        lines=tuple(_line(symbol, qty, prices[symbol], equity) for symbol, qty in priced.items()),
        unpriced=unpriced,
        stale=stale,
        priced_on=fresh,
        notes=_notes(held, prices, unpriced, stale),
    )


def _line(symbol: str, qty: Decimal, close: Close, equity: Decimal) -> ValuationLine:
    value = qty * close.price
    return ValuationLine(symbol, qty, close.price, close.session, value, value / equity if equity > 0 else None)


def _notes(
    held: Mapping[str, Decimal],
    prices: Mapping[str, Close],
    unpriced: tuple[str, ...],
    stale: tuple[str, ...],
) -> tuple[str, ...]:
    missing = [f"{symbol}: {held[symbol]:f} shares have no price and are left out." for symbol in unpriced]
    old = [
        f"{symbol}: valued at {prices[symbol].price:f} of {prices[symbol].session}, its last close." for symbol in stale
    ]
    return (*missing, *old)
