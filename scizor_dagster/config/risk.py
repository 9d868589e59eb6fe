"""Sizing rules and limits: the section `risk`.

What belongs here: names, types and defaults. What does not: how they shape a plan (`planning.rules`) or stop an
order (`risk.limits`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scizor_dagster.config.base import Fraction, Limit, Model, Positive
from scizor_dagster.config.limits import DEFAULT_LIMITS, LimitRules, Protection


class FractionalShares(Model):
    enabled: bool
    min_order_notional: Annotated[float, Field(ge=0.0)]
    quantity_precision: Annotated[int, Field(ge=0, le=9)]
    max_total_weight: Positive
    adjust_for_overflow: bool


class RiskRules(Model):
    """Sizing rules and limits. `max_notional_per_order` splits an order; the others stop it."""

    fractional_shares: FractionalShares
    max_notional_per_order: Limit
    max_share_per_order: Limit
    max_total_notional: Limit
    min_cash_buffer_pct: Fraction
    limits: LimitRules = DEFAULT_LIMITS
    protections: tuple[Protection, ...] = ()
