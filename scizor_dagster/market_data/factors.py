"""Adjustment factors of one symbol, from its corporate actions: pure arithmetic.

What belongs here: the formula. What does not: where actions and closes come from (`adjustment`).

Prices before an ex session are multiplied by its factor. A split of `ratio` new shares per old one has
the factor `1 / ratio`. A cash dividend has `1 - amount / close`, where `close` is the last close before
the ex session, restated for splits since (CRSP, "CRSP Calculations: Adjustment Factors"; the same as
Yahoo Finance's and LEAN's). A factor applies from `first_session` on, until the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from scizor_dagster.market_data.reports import SkippedAction

BEGINNING = date(1900, 1, 1)
LONGEST_PAUSE = timedelta(days=30)
"""A close that is older than that says nothing about what a dividend took from the price."""


@dataclass(frozen=True, slots=True)
class ExDay:
    """Everything of one symbol that takes effect in one session.

    Attributes:
        ratio: New shares per old share; 1 where nothing splits.
        amount: Cash per share, after a split of the same session; 0 where nothing is paid.
        previous_session: Of the last bar before `ex_session`; None if there is none.
        previous_close: That bar's close as traded.
    """

    symbol: str
    ex_session: date
    ratio: float
    amount: float
    previous_session: date | None
    previous_close: float | None


@dataclass(frozen=True, slots=True)
class Factor:
    """What prices from `first_session` on are multiplied with. `total_return` includes the splits."""

    first_session: date
    split: float
    total_return: float


def symbol_factors(days: Sequence[ExDay]) -> tuple[list[Factor], list[SkippedAction]]:
    """Factors of one symbol, ascending from `BEGINNING`, and the dividends that none was made from."""
    ordered = sorted(days, key=lambda day: day.ex_session)
    factors: list[Factor] = []
    skipped: list[SkippedAction] = []
    split = total = 1.0
    for day in reversed(ordered):
        factors.append(Factor(day.ex_session, split, total))
        split /= day.ratio
        total /= day.ratio
        if day.amount:
            close = _comparable_close(day, ordered)
            if close is None or day.amount >= close:
                known = (
                    f"the last close before it is of {day.previous_session}"
                    if day.previous_session
                    else "no bar before it"
                )
                reason = known if close is None else f"it pays {day.amount:g} on a close of {close:g}"
                skipped.append(SkippedAction(day.symbol, day.ex_session, reason))
            else:
                total *= 1.0 - day.amount / close
    factors.append(Factor(BEGINNING, split, total))
    return factors[::-1], skipped[::-1]


def _comparable_close(day: ExDay, ordered: Sequence[ExDay]) -> float | None:
    """The close before `day`, in the shares that trade on it; None where there is none of late."""
    if day.previous_close is None or day.previous_session is None:
        return None
    if day.ex_session - day.previous_session > LONGEST_PAUSE:
        return None
    close = day.previous_close
    for other in ordered:
        if day.previous_session < other.ex_session <= day.ex_session:
            close /= other.ratio
    return close
