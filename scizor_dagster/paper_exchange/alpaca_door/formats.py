"""How Alpaca spells numbers, dates and instants.

What belongs here: one value to its text or JSON number, and back. What does not: which fields there
are (`render_*`), and what a request means (`tickets`).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
MONEY_STEP = Decimal("0.000001")
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""What lies before or after is read as one of them."""
CENT = Decimal("0.01")
RATIO_STEP = Decimal("0.00001")


def number(value: Decimal) -> str:
    """A number without padding and without an exponent: `1`, `78.19`, `0.057436865`."""
    return f"{value.normalize() + 0:f}"


def number_or_none(value: Decimal | None) -> str | None:
    return None if value is None else number(value)


def money(value: Decimal) -> str:
    return number(value.quantize(MONEY_STEP, ROUND_HALF_EVEN))


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_EVEN)


def ratio(value: Decimal) -> str:
    return number(value.quantize(RATIO_STEP, ROUND_HALF_EVEN))


def plain(value: Decimal) -> int | float:
    """A JSON number as the data side sends it: whole ones without a point."""
    return int(value) if value == value.to_integral_value() else float(value)


def instant(value: datetime) -> str:
    """UTC with `Z`; as many decimals as needed, none for a whole second."""
    text = value.astimezone(UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"


def instant_or_none(value: datetime | None) -> str | None:
    return None if value is None else instant(value)


def new_york(value: datetime) -> str:
    """With the offset of New York, as the clock has it."""
    return value.astimezone(NEW_YORK).isoformat()


def midnight(day: date) -> datetime:
    """The instant in New York that a day begins with: 04:00Z in summer, 05:00Z in winter."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def new_york_date(at: datetime) -> date:
    return at.astimezone(NEW_YORK).date()


def read_number(value: object) -> Decimal | None:
    """The number of a JSON value: text or number, exact as it is written. None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else repr(value)
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_instant(text: str) -> datetime | None:
    """An instant with `Z` or an offset, up to nine decimals (cut at six); a date is its midnight UTC."""
    if len(text) == 10:
        text += "T00:00:00Z"
    head, point, tail = text.replace(" ", "+").partition(".")
    if point:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[: min(digits, 6)]}{tail[digits:]}"
    else:
        text = head
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _within(found if found.tzinfo else found.replace(tzinfo=UTC))


def read_date(text: str) -> date | None:
    """The date of a date or an instant, in New York."""
    if len(text) == 10:
        try:
            return min(max(date.fromisoformat(text), EARLIEST.date()), LATEST.date())
        except ValueError:
            return None
    found = read_instant(text)
    return found.astimezone(NEW_YORK).date() if found else None


def _within(at: datetime) -> datetime:
    """Far bounds mean all that there is; nothing has to reckon with the ends of the calendar."""
    if at.year < EARLIEST.year:
        return EARLIEST
    return LATEST if at.year > LATEST.year else at
