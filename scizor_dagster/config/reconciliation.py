"""How plan, ledger and broker are compared: the section `reconciliation`.

What belongs here: names, types and defaults. What does not: the comparison (`reconciliation`), and what an open break
stops (`risk.breaks`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model

NotNegative = Annotated[float, Field(ge=0.0)]


class ReconciliationRules(Model):
    """Differences up to a tolerance are named and are no break.

    Attributes:
        source: Whom the first pass asks: `broker`, or `logs` for what the ledger has of its words. The second pass
            always asks the broker.
        quantity_tolerance: In shares.
        cash_tolerance: In the account's currency.
        price_tolerance_bps: Of a fill's price, in basis points of the recorded one.
        max_open_breaks: How many breaks may be open while the portfolio trades.
        max_break_value_pct: What they may be worth together, as a share of equity.
    """

    source: Literal["broker", "logs"] = "broker"
    quantity_tolerance: NotNegative = 0.0001
    cash_tolerance: NotNegative = 0.01
    price_tolerance_bps: NotNegative = 0.0
    max_open_breaks: Annotated[int, Field(ge=0)] | Literal["unlimited"] = 3
    max_break_value_pct: NotNegative | Literal["unlimited"] = 0.02
