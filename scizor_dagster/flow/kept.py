"""What manual orders have bought and a portfolio keeps apart from its weights, with its value.

What belongs here: whether the portfolio keeps anything now, and what it is worth. What does not: following it through
fills and splits (`ledger.set_apart`), and what a plan makes of it (`planning.planner`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.money import Book
from scizor_dagster.ledger.manual_orders import ABSORB
from scizor_dagster.ledger.set_apart import set_apart

ZERO = Decimal(0)
A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Kept:
    """Signed quantities by symbol, and what they are worth in the market's currency at the closes of their book."""

    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    value: Decimal = ZERO


NOTHING_KEPT = Kept()


def kept_apart(desk: Desk, portfolio: str, book: Book, session: date, *, through: bool) -> Kept:
    """What of `book` is set apart: before `session`, or `through` it.

    A portfolio that absorbs manual orders keeps nothing, also of what was bought while it did. What has no price is in
    no equity, so that nothing is taken off it.
    """
    settings = desk.portfolio(portfolio)
    if settings.manual_orders == ABSORB:
        return NOTHING_KEPT
    with desk.ledger.read() as connection:
        found = set_apart(connection, settings.account, portfolio, last=session if through else session - A_DAY)
    if not found:
        return NOTHING_KEPT
    prices = {line.symbol: line.price for line in book.valuation.lines}
    return Kept(found, sum((qty * prices.get(symbol, ZERO) for symbol, qty in found.items()), ZERO))
