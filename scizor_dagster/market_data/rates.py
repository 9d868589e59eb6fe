"""Rates between currencies: reading a file of them, and which are believed.

What belongs here: the rules of a rate. What does not: storing and converting (`flow.rates`).

A rate is checked like a price. Currencies trade from Monday to Friday: a row of a weekend is a copy, or a day is
shifted. A day that has not ended in UTC has no closing rate.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isfinite
from pathlib import Path

from scizor_dagster.errors import InputError

SATURDAY = 5
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
        InputError: it cannot be read, lacks a column, or has a value that is no date or no number.
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
        day, rate = row[date_column], row[rate_column]
        try:
            yield Rate(date.fromisoformat((day or "")[:10]), float(rate), where)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"'{day}' with '{rate}' is not a day and a rate.", remedy="Write YYYY-MM-DD and a number.", where=where
            ) from error


def check_rates(
    rows: Sequence[Rate], now: datetime, *, max_jump: float, inverse: Mapping[date, float], max_difference: float
) -> CheckedRates:
    """Part rates into believed ones and others.

    Args:
        rows: Of one pair, in any order.
        now: Aware; its UTC day has not ended.
        max_jump: Largest factor to the last believed rate, either way.
        inverse: Rates of the inverse pair by day.
        max_difference: Largest relative difference from one over the inverse pair's rate of that day.
    """
    good: dict[date, Rate] = {}
    refused: list[RefusedRate] = []
    last: Rate | None = None
    values: dict[date, set[float]] = {}
    for row in rows:
        values.setdefault(row.session, set()).add(row.rate)
    for row in sorted(rows, key=lambda item: item.session):
        if row.session in good:
            continue
        other = inverse.get(row.session)
        reason, detail = "", ""
        if not (isfinite(row.rate) and row.rate > 0):
            reason, detail = "bad_rate", f"the rate is {row.rate}"
        elif row.session.weekday() >= SATURDAY:
            reason, detail = "weekend", f"{row.session:%A}s have no rate"
        elif row.session >= now.date():
            reason, detail = "day_not_over", f"it is {now:%Y-%m-%d %H:%M} UTC"
        elif len(values[row.session]) > 1:
            reason, detail = "conflicting_duplicate", f"the day has {len(values[row.session])} rates"
        elif last is not None and not 1 / max_jump <= row.rate / last.rate <= max_jump:
            reason, detail = "rate_jump", f"{row.rate:g} after {last.rate:g} of {last.session}"
        elif other is not None and abs(row.rate * other - 1) > max_difference:
            reason, detail = "inverse_disagrees", f"{row.rate:g} times {other:g} of the inverse pair is not 1"
        if reason:
            refused.append(RefusedRate(row.session, row.rate, reason, detail, row.where))
            continue
        good[row.session] = last = row
    return CheckedRates(tuple(good.values()), tuple(refused))


def age_in_weekdays(older: date, newer: date) -> int:
    """Weekdays in `(older, newer]`."""
    days = (older + timedelta(days=offset) for offset in range(1, (newer - older).days + 1))
    return sum(day.weekday() < SATURDAY for day in days)
