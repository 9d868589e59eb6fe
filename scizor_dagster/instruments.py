"""What is traded: an instrument is `TICKER.MIC`, with the units it trades in.

What belongs here: identity, currency, lot and tick of a listed share or fund, and what a split makes
of a quantity. What does not: prices, positions, and how a provider spells the name (`market_data`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from scizor_dagster.errors import InputError
from scizor_dagster.exchanges import Exchange, exchange_of

EXCHANGE_MICS = {
    "NASDAQ": "XNAS",
    "NMS": "XNAS",
    "NGM": "XNAS",
    "NCM": "XNAS",
    "NYSE": "XNYS",
    "NYQ": "XNYS",
    "ARCA": "ARCX",
    "NYSEARCA": "ARCX",
    "PCX": "ARCX",
    "BATS": "BATS",
    "BTS": "BATS",
    "AMEX": "XASE",
    "ASE": "XASE",
    "IEX": "IEXG",
    "ASX": "XASX",
}
"""Exchange names as vendors write them to ISO 10383 market identifier codes."""

QUANTITY_STEP = Decimal("0.000000001")
"""Smallest step of a fractional quantity."""

_SYMBOL = re.compile(r"(?!.*\.\.)[A-Z0-9](?:[A-Z0-9.\-/ ]{0,19}[A-Z0-9.\-/])?")
"""Neither a blank at the end nor two points in a row: the one is lost in a file, the other is a way out of a folder."""


def check_symbol(symbol: str) -> str:
    """Return `symbol`, or raise `InputError` if it is not an upper-case ticker."""
    if not _SYMBOL.fullmatch(symbol):
        raise InputError(
            f"'{symbol}' is not a ticker.",
            remedy="Use upper-case letters, digits, '.', '-' and '/' as the exchange writes it.",
        )
    return symbol


def split_quantity(qty: Decimal, ratio: Decimal) -> Decimal:
    """Shares after a split of `ratio` new shares for one, to nine decimals. Ledger and exchange round alike."""
    return (qty * ratio).quantize(QUANTITY_STEP, ROUND_HALF_EVEN).normalize() + 0


@dataclass(frozen=True, slots=True)
class Instrument:
    """A listed share or fund.

    Attributes:
        symbol: Ticker as the exchange writes it, unique within a market.
        mic: ISO 10383 code of the listing exchange.
        currency: ISO 4217 code that prices and cash are in.
        lot: Smallest whole quantity that trades.
        tick: Price step in the highest band of its exchange's table; lower bands keep theirs.
        fractionable: Whether the broker takes fractions of a share.
        shortable: Whether it may be sold short.
        easy_to_borrow: Whether its shares are lent at once; what is hard to borrow is sold short for a day only.
        tradable: Whether orders are taken at all.
    """

    symbol: str
    mic: str
    currency: str
    name: str = ""
    lot: int = 1
    tick: Decimal = Decimal("0.01")
    fractionable: bool = True
    shortable: bool = True
    tradable: bool = True
    easy_to_borrow: bool = True

    @property
    def id(self) -> str:
        return f"{self.symbol}.{self.mic}"

    @property
    def exchange(self) -> Exchange:
        return exchange_of(self.mic)

    def price_step(self, price: Decimal) -> Decimal:
        """Smallest step of a limit or stop price at `price`."""
        table = self.exchange.ticks
        return self.tick if price >= table.top else min(self.tick, table.step_at(price))
