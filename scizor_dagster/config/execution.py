"""Order types, what a target may look like, and order ids: `execution`, `weights`, `idempotency`.

What belongs here: names, types and defaults. What does not: how orders are written (`planning.orders`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import UNLIMITED, Fraction, Model, Positive


class ExecutionRules(Model):
    """Order types for whole quantities; a fraction is always a market order for the day.

    Attributes:
        mode_on_buy: `moo` and `moc` are market orders for the opening and the closing auction.
        tp_atr: Distance of a bracket's take-profit in average true ranges; it takes the place of `tp_pct`.
        sl_atr: Distance of a bracket's stop in average true ranges; it takes the place of `sl_pct`.
        wait_seconds: How long one run waits for fills in an open session, at a broker; 0 looks once.
        poll_seconds: How long it waits between two looks, where the broker says nothing before.
        sells_within_minutes: How long sales may rest while buys wait for them, before they are canceled.
    """

    mode_on_buy: Literal["market", "limit", "bracket", "moo", "moc"] = "market"
    mode_on_sell: Literal["market", "limit", "moo", "moc"] = "market"
    limit_offset_pct: Fraction = 0.002
    tp_pct: Positive = 0.05
    sl_pct: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.03
    tp_atr: Positive | None = None
    sl_atr: Positive | None = None
    time_in_force: Literal["DAY"] = "DAY"
    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 120
    poll_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    sells_within_minutes: Annotated[int, Field(ge=1, le=480)] | None = None


class WeightRules(Model):
    """What a target may look like before it is believed."""

    allow_short: bool = False
    max_weight: Annotated[float, Field(gt=0.0, le=1.0)] | Literal["unlimited"] = UNLIMITED
    blacklist: tuple[str, ...] = ()


class Idempotency(Model):
    client_order_id_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,6}$")] = "SCZ"
