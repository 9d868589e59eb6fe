"""What an order will cost, estimated before it is sent.

What belongs here: the model, its assumptions and what brokers charge. What does not: learning its parameters from
recorded orders (`costs_fit`), and keeping them (`costs_store`).

    cost in basis points = half spread + Y sigma sqrt(Q / ADV) + commission

with the day's volatility sigma in basis points, the order's shares Q and the average daily volume ADV. The square root
and a Y of one are Grinold and Kahn's rule, that to trade a day's volume costs about a day's volatility ("Active
Portfolio Management", 2nd edition, 2000, chapter 16). Almgren, Thum, Hauptmann and Li, "Direct Estimation of Equity
Market Impact" (2005), measured less: about 0.4 for a tenth of the day's volume in half a day, with a power of 0.6.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from scizor_dagster.brokers.protocol import Side

Floats = npt.NDArray[np.float64]
BASIS_POINTS = 10_000.0


@dataclass(frozen=True, slots=True)
class Commission:
    """What a broker takes for one order, in the instrument's currency.

    Attributes:
        per_share: Money per share.
        bps: Of the order's value.
        minimum: Per order.
        maximum_bps: Of the order's value, before tax and what sales pay.
        sell_per_share: What a sale pays on top, per share.
        sell_bps: The same, of its value.
        tax: Share of the commission that is added to it.
    """

    per_share: float = 0.0
    bps: float = 0.0
    minimum: float = 0.0
    maximum_bps: float = BASIS_POINTS
    sell_per_share: float = 0.0
    sell_bps: float = 0.0
    tax: float = 0.0

    def charge(self, sign: Floats, qty: Floats, value: Floats) -> Floats:
        """Money for orders of `qty` shares worth `value`; `sign` is -1 for a sale."""
        charged = np.maximum(self.per_share * qty + self.bps * value / BASIS_POINTS, self.minimum)
        charged = np.minimum(charged, self.maximum_bps * value / BASIS_POINTS) * (1 + self.tax)
        on_sales = self.sell_per_share * qty + self.sell_bps * value / BASIS_POINTS
        return charged + np.where(sign < 0, on_sales, 0.0)

    def text(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Commission:
        return cls(**json.loads(text))


FREE = Commission()
# SEC: 27.80 USD per million sold; FINRA's trading activity fee. Both change by the year; live accounts alone pay them.
_US_SALES: dict[str, Any] = {"sell_bps": 0.278, "sell_per_share": 0.000166}
IBKR_US = Commission(per_share=0.005, minimum=1.0, maximum_bps=100.0, **_US_SALES)
"""Fixed pricing: interactivebrokers.com, Commissions Stocks, United States."""
IBKR_AUSTRALIA = Commission(bps=8.0, minimum=6.0, tax=0.1)
"""Fixed pricing: interactivebrokers.com.au, Commissions Stocks, Australia; with goods and services tax."""
ALPACA = Commission(**_US_SALES)


def commission_of(broker: str, currency: str, *, live: bool = True) -> Commission:
    """What a broker charges for shares in a currency: `FREE` at the embedded exchange, and at Alpaca on paper."""
    if broker == "ibkr":
        return IBKR_AUSTRALIA if currency == "AUD" else IBKR_US
    return ALPACA if broker == "alpaca" and live else FREE


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Estimated cost of one or many orders, in money; positive is a cost. NaN: a figure that it needs is not known.

    Attributes:
        value: Shares times price.
    """

    value: Floats
    spread: Floats
    impact: Floats
    fees: Floats

    @property
    def total(self) -> Floats:
        return np.asarray(self.spread + self.impact + self.fees)

    def bps(self, amount: Floats) -> Floats:
        """An amount of this estimate in basis points of the orders' value; NaN where that is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(self.value > 0, amount * BASIS_POINTS / self.value, np.nan))

    @property
    def total_bps(self) -> Floats:
        return self.bps(self.total)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Parameters of the model, with how sure they are.

    Attributes:
        half_spread_bps: Used for an order of which no spread is given.
        impact_coefficient: Y, without a unit.
        half_spread_error: Standard error of `half_spread_bps`, that of the assumption where nothing was fitted.
        impact_error: The same of `impact_coefficient`.
        orders: How many recorded orders it was fitted to; 0 for the bare assumption.
        session: Last session whose orders it knows; None for the bare assumption.
        note: One sentence: what it rests on.
    """

    half_spread_bps: float
    impact_coefficient: float
    half_spread_error: float
    impact_error: float
    commission: Commission = FREE
    orders: int = 0
    sessions: int = 0
    session: date | None = None
    fitted: bool = False
    note: str = ""

    def estimate(
        self,
        side: Side | npt.ArrayLike,
        qty: npt.ArrayLike,
        price: npt.ArrayLike,
        adv: npt.ArrayLike,
        volatility: npt.ArrayLike,
        spread: npt.ArrayLike = np.nan,
    ) -> CostEstimate:
        """Estimate orders, one or arrays of them that broadcast together.

        Args:
            side: A `Side`, or signs: 1 buys, -1 sells.
            qty: Unsigned shares.
            price: Per share, in the instrument's currency.
            adv: Average daily volume in shares; NaN where it is not known. Zero makes the impact infinite.
            volatility: Standard deviation of the daily return, a fraction; NaN where it is not known.
            spread: The whole bid-ask spread as a fraction of the price; NaN takes `half_spread_bps`.
        """
        signs = np.asarray(side.sign if isinstance(side, Side) else side, dtype=float)
        shares, each, volumes, sigma, wide = (
            np.asarray(item, dtype=float) for item in (qty, price, adv, volatility, spread)
        )
        value = shares * each
        half = np.where(np.isnan(wide), self.half_spread_bps / BASIS_POINTS, wide / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            impact = np.where(shares == 0, 0.0, self.impact_coefficient * sigma * np.sqrt(shares / volumes) * value)
        fees = np.where(shares == 0, 0.0, self.commission.charge(signs, shares, value))
        return CostEstimate(*np.broadcast_arrays(value, half * value, impact, fees))


ASSUMED = CostModel(
    half_spread_bps=2.5,
    impact_coefficient=1.0,
    half_spread_error=5.0,
    impact_error=0.5,
    note="Assumed, not measured: half a spread of a large company's share, and Grinold and Kahn's rule.",
)
"""Where there is nothing to learn from; its errors say how far recorded orders may move it."""
