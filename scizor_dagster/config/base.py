"""The words that all configuration models are made of.

What belongs here: the base model, its number types, and the error of a value that is wrong only together
with others. What does not: any key.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scizor_dagster.currencies import check_currency
from scizor_dagster.errors import InputError
from scizor_dagster.strict_yaml import Key

UNLIMITED: Final = "unlimited"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Limit = Positive | Literal["unlimited"]
SUM_TOLERANCE = 0.002


def _is_currency(code: str) -> str:
    try:
        return check_currency(code)
    except InputError as error:
        raise ValueError(f"{error.problem} {error.remedy}") from error


CurrencyCode = Annotated[str, AfterValidator(_is_currency)]


class MisplacedValue(ValueError):
    """A value that is wrong only together with others; `key` is where it stands."""

    def __init__(self, problem: str, *key: str | int) -> None:
        self.key: Key = key
        super().__init__(problem)


class Model(BaseModel):
    """Base of all configuration: closed, frozen, finite, and no coercion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
