"""The money-weighted return: what the owner's money earned, when it came and went.

What belongs here: the internal rate of return of flows and values. What does not: time-weighted returns
(`performance`).

The rate r solves  0 = sum(amount * (1 + r) ** -(days since the first day / 365)),  where the value at the start and
what comes in count as paid (negative), what goes out and the value at the end as received (XIRR, by `pyxirr`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

DAYS_A_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class MoneyWeighted:
    """Rates of return as fractions; NaN where none solves it, as over no day or after everything was lost."""

    annual: float
    period: float


def money_weighted(
    start: date, value: float, flows: Sequence[tuple[date, float]], end: date, value_at_end: float
) -> MoneyWeighted:
    """The internal rate of return from the close of `start` to that of `end`, a year and over the whole period.

    `flows` are positive where money came in, each at the close of its day; amounts are in one currency.
    """
    from pyxirr import InvalidPaymentsError, xirr

    days = (end - start).days
    paid = [(start, -value), *((day, -amount) for day, amount in flows), (end, value_at_end)]
    try:
        annual = xirr([day for day, _ in paid], [amount for _, amount in paid]) if days > 0 else None
    except InvalidPaymentsError:
        annual = None
    if annual is None or not math.isfinite(annual) or annual <= -1:
        return MoneyWeighted(math.nan, math.nan)
    return MoneyWeighted(annual, math.expm1(days / DAYS_A_YEAR * math.log1p(annual)))
