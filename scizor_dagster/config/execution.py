"""Order types, what a target may look like, and order ids: `execution`, `weights`, `idempotency`.

What belongs here: names, types and defaults. What does not: how orders are written (`planning.orders`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import UNLIMITED, Fraction, Model, Positive


class ExecutionRules(Model):
    """Order types for whole quantities; a fraction is always a market order."""

    mode_on_buy: Literal["market", "limit", "bracket"] = "market"
    mode_on_sell: Literal["market", "limit"] = "market"
    limit_offset_pct: Fraction = 0.002
    tp_pct: Positive = 0.05
    sl_pct: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.03
    time_in_force: Literal["DAY"] = "DAY"


class WeightRules(Model):
    """What a target may look like before it is believed."""

    allow_short: bool = False
    max_weight: Annotated[float, Field(gt=0.0, le=1.0)] | Literal["unlimited"] = UNLIMITED
    blacklist: tuple[str, ...] = ()


class Idempotency(Model):
    client_order_id_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,6}$")] = "SCZ"
