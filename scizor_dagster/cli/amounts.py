"""Amounts of the command line: money, prices and shares, as `Decimal`, exactly as they are written.

What belongs here: reading and refusing a number that a person has typed. What does not: what it is used for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from scizor_dagster.errors import InputError

_NUMBER = re.compile(r"[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")
"""A comma parts thousands and nothing else: 1,5 would be read as 15 by one and as one and a half by the other."""
Sign = Literal["positive", "nonzero", "any"]
_FITS: dict[Sign, Callable[[Decimal], bool]] = {
    "positive": lambda amount: amount > 0,
    "nonzero": lambda amount: amount != 0,
    "any": lambda _: True,
}
_WANTED: dict[Sign, str] = {
    "positive": "an amount above zero and",
    "nonzero": "a number other than zero,",
    "any": "a number",
}
LIMIT = Decimal("1e15")
"""No amount of money or shares is as large; beyond it a zero too many is likelier than a fortune."""


def parse_amount(text: str, option: str, *, example: str, sign: Sign = "positive") -> Decimal:
    """Read an amount: digits, a point, and thousands apart by commas where somebody likes them.

    Args:
        text: What was typed.
        option: Its option, for the error.
        example: How one looks.
        sign: Whether less than nothing is an amount too (`nonzero`), and nothing as well (`any`).

    Raises:
        InputError: it is no number, too large, or has a sign that makes no sense.
    """
    amount = _number(text)
    if amount is None or abs(amount) >= LIMIT or not _FITS[sign](amount):
        wanted = f"Give {_WANTED[sign]} below 1e15, such as {example}."
        raise InputError(f"'{text}' is no amount.", remedy=wanted, where=option)
    return amount


def parse_ratio(text: str, option: str) -> Decimal:
    """Read `NEW:OLD` of a split: how many new shares there are for one old.

    Raises:
        InputError: it is not two amounts above zero that differ.
    """
    first, _, second = text.partition(":")
    new, old = _number(first), _number(second)
    if new is None or old is None or min(new, old) <= 0 or new == old:
        raise InputError(f"'{text}' is no split.", remedy="New shares to old ones, as 2:1.", where=option)
    return new / old


def _number(text: str) -> Decimal | None:
    return Decimal(text.strip().replace(",", "")) if _NUMBER.fullmatch(text.strip()) else None
