"""Rules that shape a plan beside the sizing itself: the section `planning`.

What belongs here: names, types and defaults. What does not: what the rules do (`planning`), limits that stop an
order (`risk`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from scizor_dagster.config.base import UNLIMITED, Fraction, Limit, Model
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import check_symbol

Share = Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["unlimited"]
Override = Literal["no_buy", "no_sell", "reduce_only", "never_touch"]


class PlanningChoices(Model):
    """Left out, every rule is off, but for two that only ever withhold an order: price jumps and first parcels.

    Attributes:
        band_absolute: No order within this distance of the target, a share of equity; 0 for no such band.
        band_relative: The same as a share of the target's own value. Where both are given, the narrower counts.
        trade_to: Outside a band, trade to the target or to the band's nearer edge.
        max_turnover: Largest value of all orders of a plan together, a share of equity.
        max_participation: Largest order of an instrument, a share of its average daily volume.
        max_price_move: Largest move of a reference price since the session before it, a fraction of that price.
        price_collar: Largest distance of a limit price from the reference price, a fraction of it.
        slippage_allowance_pct: Cash is set aside for fills that are worse than the reference by this fraction.
        first_parcel: Whether the smallest first purchase of venues that have one is respected.
        manage_foreign: Whether a plan may trade what the account holds and no portfolio owns.
        overrides: What may not be done with single instruments.
    """

    band_absolute: Fraction = 0.0
    band_relative: Fraction = 0.0
    trade_to: Literal["target", "edge"] = "target"
    max_turnover: Limit = UNLIMITED
    max_participation: Share = UNLIMITED
    max_price_move: Share = 0.5
    price_collar: Share = UNLIMITED
    slippage_allowance_pct: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    first_parcel: bool = True
    manage_foreign: bool = False
    overrides: dict[str, Override] = Field(default_factory=dict)

    @field_validator("overrides")
    @classmethod
    def _are_tickers(cls, overrides: dict[str, Override]) -> dict[str, Override]:
        for symbol in overrides:
            try:
                check_symbol(symbol)
            except InputError as error:
                raise ValueError(f"{error.problem} {error.remedy}") from error
        return overrides
