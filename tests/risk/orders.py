"""Orders and contexts for the tests of the pre-trade check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.risk.facts import MarketFacts
from scizor_dagster.risk.pre_trade import PreTradeContext
from tests.execution.scenario import UNLIMITED

D = Decimal
TEN, FIVE = D(10), D(5)
BUY, SHORT = PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_OPEN
SELL, COVER = PositionIntent.SELL_TO_CLOSE, PositionIntent.BUY_TO_CLOSE
FREE = PreTradeContext(owned={}, closing={}, session_notional=D(0), opening_notional=D(0), buying_power=D(10**12))


@dataclass(frozen=True)
class Order:
    """Ten shares at 5 by default: 50 in money."""

    symbol: str = "AAA"
    intent: PositionIntent = BUY
    qty: Decimal = TEN
    price_used: Decimal = FIVE
    limit_price: Decimal | None = None
    batch_id: str = "1"

    @property
    def side(self) -> Side:
        return Side.BUY if self.intent in (BUY, COVER) else Side.SELL

    @property
    def notional(self) -> Decimal:
        return self.qty * self.price_used


def limits(**numbers: Any) -> Any:
    """No limit but those named; numbers as text."""
    exact = {name: D(value) if type(value) is str else value for name, value in numbers.items()}
    return replace(UNLIMITED, **exact)


def knowing(**facts: Any) -> PreTradeContext:
    """The free context with facts of the market."""
    return replace(FREE, facts=MarketFacts(**facts))
