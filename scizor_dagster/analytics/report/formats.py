"""Numbers, days and times as the page spells them.

What belongs here: spelling. What is not known is `UNKNOWN`, never 0.
"""

from __future__ import annotations

import shlex
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.report.model import Cell, Tone

UNKNOWN = "not known"
_SHORT = 12


def known(value: Any) -> bool:
    """Whether it is a value: neither None nor NaN nor NaT."""
    return value is not None and bool(value == value)


def money(value: Decimal | float | str | None) -> str:
    """In whole cents."""
    if value is None or not known(number := Decimal(str(value))):
        return UNKNOWN
    text = f"{number:,.2f}"
    return "0.00" if text == "-0.00" else text


def gain(value: Decimal | float | str | None) -> Cell:
    """Money that is good news above zero and bad below."""
    text = money(value)
    if text == UNKNOWN:
        return Cell(text)
    tone: Tone = "" if text == "0.00" else "bad" if text.startswith("-") else "good"
    return Cell(text if tone != "good" else f"+{text}", tone)


def rate(value: float | None, digits: int = 2) -> str:
    """A fraction in percent."""
    if value is None or not known(value):
        return UNKNOWN
    text = f"{value * 100:.{digits}f}"
    return f"{'0.' + '0' * digits if float(text) == 0 else text} %"


def growth(value: float | None) -> Cell:
    """A return: good news above zero and bad below."""
    text = rate(value)
    if text == UNKNOWN or value is None:
        return Cell(text)
    if text.startswith("0.00"):
        return Cell(text)
    return Cell(f"+{text}", "good") if value > 0 else Cell(text, "bad")


def plain(value: float | None) -> str:
    return UNKNOWN if value is None or not known(value) else f"{value:.2f}"


def bps(value: Decimal | float | None) -> str:
    return UNKNOWN if value is None or not known(value) else f"{float(value):.1f} bp"


def quantity(value: Decimal | str | None) -> str:
    """Without trailing zeros."""
    if value is None:
        return UNKNOWN
    number = Decimal(str(value))
    return f"{number.normalize() + Decimal(0):,f}"


def price(value: Decimal | float | str | None) -> str:
    """As many digits as there are, at least two and at most six after the point."""
    if value is None or not known(number := Decimal(str(value))):
        return UNKNOWN
    digits = -int(number.normalize().as_tuple().exponent)
    return f"{number:,.{min(max(digits, 2), 6)}f}"


def clock_time(value: datetime, zone: tzinfo) -> str:
    """An instant as the exchange's clock shows it, to the second."""
    return value.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def short(digest: str | None) -> str:
    """The beginning of a hash or an id."""
    return UNKNOWN if not digest else digest[:_SHORT]


def sessions_old(age: int | None) -> Cell:
    if age is None:
        return Cell(UNKNOWN, "warn")
    return Cell("this session") if age == 0 else Cell(f"{age} session{'s' if age > 1 else ''} old", "warn")


def words(name: Any) -> str:
    """A code such as `nothing_to_do` as words."""
    return str(name).replace("_", " ")


def command(*words: str) -> str:
    """What a person types, or copies: no word of a file does anything in a shell."""
    return shlex.join(("scizor", *words))


def counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
