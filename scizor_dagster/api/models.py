"""What the bodies of requests and answers are made of.

What belongs here: the closed base model, and numbers. What does not: the models of a resource (beside its routes).

Money, quantities and prices of orders are exact and go both ways as JSON *strings* in plain decimal notation
(`"1234.50"`), never as numbers: a JSON number is a float to most who read it. Statistics, weights and bars are numbers.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from scizor_dagster.ledger.tables import exact_text

DECIMAL = r"^-?[0-9]{1,20}(\.[0-9]{1,12})?$"
_DECIMAL = re.compile(DECIMAL[1:-1])


def one_line(text: str) -> str:
    """A text that stands in the ledger, in logs and in tables, as one line of words; raises `ValueError`."""
    if not text.strip():
        raise ValueError("the text is empty")
    return printable(text).strip()


def printable(text: str) -> str:
    """A text without line breaks and the like, which may be empty; raises `ValueError`."""
    if not text.isprintable():
        raise ValueError("the text holds a character that cannot be printed")
    return text


def _is_text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise ValueError('an exact number is a JSON string, such as "12.50"')
    if not _DECIMAL.fullmatch(value):
        raise ValueError('an exact number is written in digits, such as "12.50"')
    return value


Exact = Annotated[
    Decimal,
    BeforeValidator(_is_text),
    PlainSerializer(exact_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": DECIMAL, "examples": ["12.50"]}),
]
"""A `Decimal`, as a string on the wire."""


class Model(BaseModel):
    """Base of every body: closed, finite, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
