"""Rates between currencies: reading a file of them, and which are believed.

What belongs here: the rules of a rate. What does not: storing and converting (`flow.rates`).

A rate is checked like a price. Currencies trade from Monday to Friday: a row of a weekend is a copy, or a day is
shifted. A day that has not ended in UTC has no closing rate. A rate that jumps is out, and those after it are too until
they agree with the last believed one; a week of them at one new level, less than twofold and not the inverse, is a move
that has happened. Any other waits for a person.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from math import isfinite, nan
from pathlib import Path
from statistics import median_low
from types import MappingProxyType

from scizor_dagster.errors import InputError

SATURDAY = 5
MOVED = 5
"""So many rates in a row at a new level are a move that has happened."""
MAX_MOVE = 2.0
"""Beyond this factor they are another unit before they are a move."""
JUDGED = ("rate_jump", "inverse_disagrees")
"""Reasons that a person may overrule; what is refused for any other is no rate."""
REASONS = (
    "bad_rate",
    "weekend",
    "day_not_over",
    "conflicting_duplicate",
    "rate_jump",
    "inverse_disagrees",
)


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of one currency for one of another, on one day, and where it stands."""

    session: date
    rate: float
    where: str
    text: str = ""
    """What stands there, where it is no number; the rate is then NaN."""


@dataclass(frozen=True, slots=True)
class RefusedRate:
    session: date
    rate: float
    reason: str
    detail: str
    where: str


@dataclass(frozen=True, slots=True)
class CheckedRates:
    """Believed rates by ascending day, and the others."""

    good: tuple[Rate, ...]
    refused: tuple[RefusedRate, ...]


def read_rates(file: Path, date_column: str, rate_column: str) -> list[Rate]:
    """Every row of a CSV file.

    Raises:
        InputError: it cannot be read, lacks a column, or has a row without a date. What is no number is NaN.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return list(_rows(csv.DictReader(lines), file, date_column, rate_column))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The file of rates cannot be read ({error}).", remedy="Create or correct it.", where=str(file)
        ) from error


def _rows(reader: csv.DictReader[str], file: Path, date_column: str, rate_column: str) -> Iterator[Rate]:
    header = reader.fieldnames or []
    missing = [name for name in (date_column, rate_column) if name not in header]
    if missing:
        raise InputError(
            f"The file of rates lacks the column(s) {', '.join(missing)}; it has {', '.join(header) or 'none'}.",
            remedy="Name them with date_column and rate_column.",
            where=f"{file}:1",
        )
    for row in reader:
        where = f"{file}:{reader.line_num}"
        day, text = row[date_column] or "", row[rate_column] or ""
        try:
            session = date.fromisoformat(day[:10])
        except ValueError as error:
            raise InputError(f"'{day}' is not a day.", remedy="Write YYYY-MM-DD.", where=where) from error
        try:
            yield Rate(session, float(text), where)
        except ValueError:
            # Many files have a blank or a dot on holidays: that row has no rate, and the others have.
            yield Rate(session, nan, where, text.strip() or "blank")


def check_rates(
    rows: Sequence[Rate],
    now: datetime,
    *,
    max_jump: float,
    inverse: Mapping[date, float],
    max_difference: float,
    stored: Mapping[date, float] = MappingProxyType({}),
    accepted: Mapping[date, float] = MappingProxyType({}),
) -> CheckedRates:
    """Part rates into believed ones and others.

    Args:
        rows: Of one pair, in any order.
        now: Aware; its UTC day has not ended.
        max_jump: Largest factor to the last believed rate, either way.
        inverse: Rates of the inverse pair by day.
        max_difference: Largest relative difference from one over the inverse pair's rate of that day.
        stored: Rates that were believed earlier, by day: the new ones are judged beside them.
        accepted: Rates that a person believes, by day; each for that value alone.
    """
    possible, refused = _possible(rows, now)
    sessions = sorted(possible.keys() | stored.keys())
    first = [stored[day] if day in stored else possible[day].rate for day in sessions[:MOVED]]
    level = _Level(max_jump, _start(first, max_jump))
    for session in sessions:
        row, known = possible.get(session), stored.get(session)
        if row is not None and row.rate in (known, accepted.get(session)):
            level.believe(row)
            continue
        if row is not None:
            other, doubt = inverse.get(session), level.doubt(row)
            apart = other is not None and abs(row.rate * other - 1) > max_difference
            if doubt:
                level.wait(row, doubt, alone=apart or known is not None)
            elif apart:
                detail = f"{row.rate:g} times {other:g} of the inverse pair is not 1"
                refused.append(_refusal(row, "inverse_disagrees", detail))
            else:
                level.believe(row)
        if known is not None:
            level.go_on_from(known, session)
    refused += level.refused
    return CheckedRates(tuple(level.good.values()), tuple(sorted(refused, key=lambda item: item.session)))


class _Level:
    """The last believed rate, and those that stand elsewhere and wait for others to agree with them."""

    def __init__(self, max_jump: float, start: float | None) -> None:
        self._max_jump = max_jump
        self._rate, self._of = start, "most of the first rows"
        self._waiting: list[Rate] = []
        self.good: dict[date, Rate] = {}
        self.refused: list[RefusedRate] = []

    def doubt(self, row: Rate) -> str:
        """Why the rate may not follow the last one; empty where it may."""
        if self._rate is None or _near(row.rate, self._rate, self._max_jump):
            return ""
        return f"{row.rate:g} after {self._rate:g} of {self._of}"

    def believe(self, row: Rate) -> None:
        self.good[row.session] = row
        self.go_on_from(row.rate, row.session)

    def go_on_from(self, rate: float, session: date) -> None:
        """The next one is judged beside this rate; those that waited stay out."""
        self._rate, self._of, self._waiting = rate, str(session), []

    def wait(self, row: Rate, doubt: str, *, alone: bool) -> None:
        """Refuse a rate until enough others follow it; one that stands `alone` is no part of a move."""
        self.refused.append(_refusal(row, "rate_jump", doubt))
        if alone:
            self._waiting = []
            return
        follows = bool(self._waiting) and _near(row.rate, self._waiting[-1].rate, self._max_jump)
        self._waiting = [*self._waiting, row] if follows else [row]
        if len(self._waiting) < MOVED or not self._may_have_moved(self._waiting[0].rate):
            return
        moved = {item.session: item for item in self._waiting}
        self.refused = [item for item in self.refused if item.session not in moved]
        self.good |= moved
        self.believe(row)

    def _may_have_moved(self, rate: float) -> bool:
        assert self._rate is not None
        inverted = _near(rate, 1 / self._rate, self._max_jump)
        return _near(rate, self._rate, MAX_MOVE) and not inverted


def _possible(rows: Sequence[Rate], now: datetime) -> tuple[dict[date, Rate], list[RefusedRate]]:
    """What can be a rate, by ascending day, and what never is."""
    values: dict[date, set[float]] = {}
    for row in rows:
        if isfinite(row.rate):
            values.setdefault(row.session, set()).add(row.rate)
    possible: dict[date, Rate] = {}
    refused = []
    for row in sorted(rows, key=lambda item: item.session):
        if not (isfinite(row.rate) and row.rate > 0):
            refused.append(_refusal(row, "bad_rate", f"the rate is {row.text or row.rate}"))
        elif row.session.weekday() >= SATURDAY:
            refused.append(_refusal(row, "weekend", f"{row.session:%A}s have no rate"))
        elif row.session >= now.date():
            refused.append(_refusal(row, "day_not_over", f"it is {now:%Y-%m-%d %H:%M} UTC"))
        elif len(values[row.session]) > 1:
            refused.append(_refusal(row, "conflicting_duplicate", f"the day has {len(values[row.session])} rates"))
        else:
            possible.setdefault(row.session, row)
    return possible, refused


def _start(first: Sequence[float], max_jump: float) -> float | None:
    """What the first rate must agree with, where the first ones do not agree with each other."""
    steady = all(_near(later, earlier, max_jump) for earlier, later in pairwise(first))
    return None if steady else median_low(first)


def _near(one: float, other: float, factor: float) -> bool:
    return 1 / factor <= one / other <= factor


def _refusal(row: Rate, reason: str, detail: str) -> RefusedRate:
    return RefusedRate(row.session, row.rate, reason, detail, row.where)


def age_in_weekdays(older: date, newer: date) -> int:
    """Weekdays in `(older, newer]`."""
    days = (older + timedelta(days=offset) for offset in range(1, (newer - older).days + 1))
    return sum(day.weekday() < SATURDAY for day in days)
