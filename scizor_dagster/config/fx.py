"""Rates between currencies: the section `fx`.

What belongs here: names, types and defaults. What does not: reading and judging rates (`market_data.rates`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from scizor_dagster.config.base import CurrencyCode, Model


class RateFile(Model):
    """A CSV file of daily rates of one pair; the path is relative to the configuration.

    Attributes:
        base: The currency of which one unit is priced.
        quote: The currency that it is priced in: AUD in USD is base AUD, quote USD, such as 0.66.
        date_column: Dates as YYYY-MM-DD.
        rate_column: Units of `quote` for one of `base`.
    """

    base: CurrencyCode
    quote: CurrencyCode
    path: Annotated[str, Field(min_length=1)]
    date_column: str = "date"
    rate_column: str = "rate"

    @model_validator(mode="after")
    def _two_currencies(self) -> RateFile:
        if self.base == self.quote:
            raise ValueError(f"{self.base} to itself is 1 and needs no file")
        return self


class FxRules(Model):
    """Where rates come from, and when one is not believed.

    Attributes:
        max_age_sessions: Weekdays that a rate may be old when money is converted by it.
        max_jump: Largest factor between two rates in a row, either way.
        max_inverse_difference: Largest relative difference between a rate and one over that of the inverse pair.
    """

    files: tuple[RateFile, ...] = ()
    max_age_sessions: Annotated[int, Field(ge=1, le=30)] = 3
    max_jump: Annotated[float, Field(gt=1.0)] = 1.1
    max_inverse_difference: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.005

    @model_validator(mode="after")
    def _each_pair_once(self) -> FxRules:
        pairs = [(item.base, item.quote) for item in self.files]
        for pair in pairs:
            if pairs.count(pair) > 1:
                raise ValueError(f"the pair {pair[0]}/{pair[1]} stands twice; name one file for each")
        return self

    def knows(self, one: str, other: str) -> bool:
        """Whether money of the one currency can be converted into the other."""
        return one == other or any({item.base, item.quote} == {one, other} for item in self.files)
