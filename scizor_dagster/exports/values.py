"""Values of the lake and of the ledger's history as a table has them.

What belongs here: text and floats to exact numbers, instants to UTC. What does not: any meaning.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


def as_decimal(value: Any) -> Decimal | None:
    """An exact number from its text, or the shortest decimal that means the float; None for what is no number."""
    if value is None or value == "" or value != value:
        return None
    return Decimal(repr(value) if isinstance(value, float) else str(value))


def as_text(value: Any) -> str | None:
    """A word for a flag, None for nothing."""
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_instant(value: Any) -> datetime | None:
    """An aware instant in UTC, from itself or from its text."""
    if value is None:
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
