"""The positions as they would be once every opening order under way has filled.

What belongs here: sums over positions, kept up to date order by order, so that a check costs the same
however many orders came before. What does not: whether a sum is allowed (`pre_trade`).

An order that closes takes nothing off here before it has filled: what may stay is counted as there. A
holding without any price is in no sum and is named: what opens waits for its price, see `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Book:
    """Values by symbol and their sums, in the portfolio's currency; shorts are negative.

    Attributes:
        gross: Sum of absolute values.
        net: Sum of signed values.
        by_sector: Gross value by sector.
        unpriced: Symbols that are held and have no price.
    """

    values: Mapping[str, Decimal] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)
    gross: Decimal = ZERO
    net: Decimal = ZERO
    by_sector: Mapping[str, Decimal] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()

    @classmethod
    def of(cls, quantities: Mapping[str, Decimal], prices: Mapping[str, Decimal], sectors: Mapping[str, str]) -> Book:
        """The book of signed quantities at prices."""
        book = cls(sectors=sectors, unpriced=unpriced(quantities, prices))
        for symbol, qty in quantities.items():
            if symbol in prices:
                book = book.after(symbol, qty * prices[symbol])
        return book

    def gross_after(self, symbol: str, value: Decimal) -> Decimal:
        return self.gross + self._change(symbol, value)

    def sector_after(self, symbol: str, value: Decimal) -> Decimal | None:
        """Gross value of the symbol's sector; None for an instrument without one."""
        sector = self.sectors.get(symbol)
        return None if sector is None else self.by_sector.get(sector, ZERO) + self._change(symbol, value)

    def after(self, symbol: str, value: Decimal) -> Book:
        """The book with a signed value added to a symbol."""
        in_sector = self.sector_after(symbol, value)
        return Book(
            values={**self.values, symbol: self.values.get(symbol, ZERO) + value},
            sectors=self.sectors,
            gross=self.gross_after(symbol, value),
            net=self.net + value,
            by_sector=self.by_sector if in_sector is None else {**self.by_sector, self.sectors[symbol]: in_sector},
            unpriced=self.unpriced,
        )

    def _change(self, symbol: str, value: Decimal) -> Decimal:
        before = self.values.get(symbol, ZERO)
        return abs(before + value) - abs(before)


def unpriced(quantities: Mapping[str, Decimal], prices: Mapping[str, Decimal]) -> tuple[str, ...]:
    """Symbols that are held and have no price."""
    return tuple(sorted(symbol for symbol, qty in quantities.items() if qty and symbol not in prices))
