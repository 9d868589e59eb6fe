"""The words that all configuration models are made of.

What belongs here: the base model, its number types, and the error of a value that is wrong only together
with others. What does not: any key.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from scizor_dagster.strict_yaml import Key

UNLIMITED: Final = "unlimited"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Limit = Positive | Literal["unlimited"]
SUM_TOLERANCE = 0.002


class MisplacedValue(ValueError):
    """A value that is wrong only together with others; `key` is where it stands."""

    def __init__(self, problem: str, *key: str | int) -> None:
        self.key: Key = key
        super().__init__(problem)


class Model(BaseModel):
    """Base of all configuration: closed, frozen, finite, and no coercion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
