"""Portfolios: the section `portfolios`.

What belongs here: one portfolio's keys. What does not: the sections it shares with the others, which have modules
of their own.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scizor_dagster.config.base import CurrencyCode, Model, Name, Positive
from scizor_dagster.config.execution import ExecutionRules, Idempotency, WeightRules
from scizor_dagster.config.planning import PlanningChoices
from scizor_dagster.config.reconciliation import ReconciliationRules
from scizor_dagster.config.risk import RiskRules
from scizor_dagster.config.signals import SignalChoice


class Capital(Model):
    """What a portfolio begins with: an amount, or a share of the account's `initial_cash`.

    Either grows or shrinks with the portfolio's own fills alone.

    Attributes:
        currency: Of the amount, where it is not the market's.
        converted_on: The day whose rate turns such an amount into the market's currency, once and for all: the newest
            rate known before it.
    """

    amount: Positive | None = None
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    currency: CurrencyCode | None = None
    converted_on: date | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Capital:
        if (self.amount is None) == (self.share is None):
            raise ValueError("give exactly one of 'amount' and 'share'")
        if self.currency is not None and self.amount is None:
            raise ValueError("a share is of the account's cash, and 'currency' goes with 'amount'")
        if (self.currency is None) != (self.converted_on is None):
            raise ValueError("'currency' and 'converted_on' go together: which day's rate converts the amount")
        return self


class Portfolio(Model):
    """One portfolio. Its `risk`, `planning`, `execution`, `weights` and the like replace the keys they name above.

    Attributes:
        approval: `manual` carries out only plans that a person has approved, each for itself.
        manual_orders: What is done with orders that a person places. `refuse` takes none. `absorb` takes them, and the
            next rebalance trades what they brought back to the targets. `keep` sets apart what they bought: no
            rebalance sells it or counts it toward a target, until a manual order takes it back.
        benchmark: `TICKER.MIC` of the market's universe that returns are compared with; nothing is traded by it.
    """

    market: Name
    account: Name
    capital: Capital
    signals: SignalChoice
    approval: Literal["auto", "manual"] = "auto"
    manual_orders: Literal["refuse", "keep", "absorb"] = "refuse"
    risk: RiskRules
    planning: PlanningChoices = PlanningChoices()
    execution: ExecutionRules
    weights: WeightRules
    idempotency: Idempotency
    reconciliation: ReconciliationRules = ReconciliationRules()
    benchmark: Annotated[str, Field(pattern=r"^\S.*\.[A-Z0-9]{4}$")] | None = None
