"""What was found wrong with a weight file, as rows a person can act on.

What belongs here: violations, the report of one file, and how both are written out. What does not:
the rules that find violations (`cells`, `columns`, `rules`, `dating`), and exceptions (`errors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from scizor_dagster.errors import SignalHeld, SignalRefused

Status = Literal["accepted", "refused", "held"]
MAX_LISTED_PER_RULE = 1000
"""Findings of one rule that are listed; the rest are counted in one more finding of that rule."""
MAX_VALUE_LENGTH = 120
"""Characters of an offending value that a report repeats."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong, or in a report's warnings, worth knowing.

    Attributes:
        rule: Stable name in snake case, for programs.
        line: Line of the file from 1; the row number in a workbook (from 1, the header is one) and in a Parquet
            file (from 1 below the column names). None for the file as a whole.
        sheet: Worksheet, None where the format has none.
        column: Header of the column as the file writes it.
        value: The offending value as text, shortened to `MAX_VALUE_LENGTH` characters.
        file: Its name, where a strategy has several.
    """

    rule: str
    problem: str
    remedy: str
    line: int | None = None
    sheet: str | None = None
    column: str | None = None
    value: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if self.value is not None and len(self.value) > MAX_VALUE_LENGTH:
            object.__setattr__(self, "value", self.value[:MAX_VALUE_LENGTH] + "...")

    def __str__(self) -> str:
        named = (
            ("file", self.file),
            ("sheet", self.sheet),
            ("line", self.line),
            ("column", self.column),
            ("value", self.value),
        )
        place = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
        return f"{self.rule} ({place}): {self.problem}" if place else f"{self.rule}: {self.problem}"


def about_asset(item: Violation, *, wide: bool) -> Violation:
    """A finding about an identifier; in a wide file, where it is itself the column."""
    return replace(item, column=item.value) if wide and item.column is not None else item


@dataclass(frozen=True, slots=True)
class WeightSum:
    """Sum of the weights of one date, or its range over the dates of a file."""

    lowest: float
    highest: float

    def to_json(self) -> float | dict[str, float]:
        """One number where there is one, rounded to 12 decimals; else `{"min": ..., "max": ...}`."""
        low, high = round(self.lowest, 12), round(self.highest, 12)
        return low if low == high else {"min": low, "max": high}


@dataclass(frozen=True)
class SignalReport:
    """The verdict on one file.

    Attributes:
        status: `held`: in order, but so unusual that a person must approve it; `violations` says why.
        file_hash: SHA-256 of exactly the bytes that were read, hexadecimal; empty when none were.
        rows: Rows below the header, blank ones left out, those in error included.
        dates: Number of distinct weight dates among the readable rows.
        weight_sum: Of the session asked for, else over all dates; None when no row is readable.
        session: The session asked for, with `session_rows`, the number of rows that trade in it.
        rows_hash: What the rows that would trade mean (`guards.rows_hash`); empty where the file is refused.
    """

    status: Status
    strategy: str
    path: str
    file_hash: str
    rows: int
    dates: int
    first_date: date | None
    last_date: date | None
    weight_sum: WeightSum | None
    violations: tuple[Violation, ...]
    warnings: tuple[Violation, ...]
    session: date | None = None
    session_rows: int | None = None
    rows_hash: str = ""

    @property
    def accepted(self) -> bool:
        return self.status == "accepted"

    def to_json(self) -> dict[str, Any]:
        """Plain values only, ready for `json.dumps`; each finding with the name of its file."""
        days = ("first_date", "last_date", "session")
        body = asdict(self) | {name: _iso(getattr(self, name)) for name in days}
        return body | {
            "weight_sum": self.weight_sum.to_json() if self.weight_sum else None,
            "violations": [self._finding(item) for item in self.violations],
            "warnings": [self._finding(item) for item in self.warnings],
        }

    def _finding(self, item: Violation) -> dict[str, Any]:
        return asdict(item) | {"file": item.file or Path(self.path).name or None}

    def refusal(self) -> SignalRefused:
        """The exception that carries this report, of a file that is refused or held."""
        kind = SignalHeld if self.status == "held" else SignalRefused
        return kind(self.strategy, self.path, self.violations, report=self)


class Findings:
    """Findings as they come: of each rule the first `MAX_LISTED_PER_RULE`, and how many more there were.

    Bounded, whatever the file: one that is wrong in every row does not fill the memory with its report.
    """

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __init__(self, findings: Iterable[Violation] = (), unlisted: Mapping[str, int] | None = None) -> None:
        self.kept: list[Violation] = []
        self.unlisted: dict[str, int] = dict(unlisted or {})
        self._listed: dict[str, int] = {}
        self.extend(findings)

    def __bool__(self) -> bool:
        return bool(self.kept)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Findings):
            return NotImplemented
        return (self.kept, self.unlisted) == (other.kept, other.unlisted)

    def add(self, item: Violation) -> None:
        count = self._listed.get(item.rule, 0)
        if count < MAX_LISTED_PER_RULE:
            self.kept.append(item)
            self._listed[item.rule] = count + 1
        else:
            self.unlisted[item.rule] = self.unlisted.get(item.rule, 0) + 1

    def extend(self, findings: Iterable[Violation]) -> None:
        for item in findings:
            self.add(item)

    def absorb(self, other: Findings) -> None:
        """Add what another collection kept, and what it only counted."""
        self.extend(other.kept)
        for rule, count in other.unlisted.items():
            self.unlisted[rule] = self.unlisted.get(rule, 0) + count

    def listed(self) -> tuple[Violation, ...]:
        """All that were kept, by file and line, and one more for each rule that has others."""
        ordered = sorted(self.kept, key=lambda item: (item.file or "", item.line or 0, item.rule))
        last = {item.rule: item for item in ordered}
        for rule, count in self.unlisted.items():
            problem = f"{count} more findings of this rule are not listed."
            ordered.append(Violation(rule, problem, last[rule].remedy, sheet=last[rule].sheet))
        return tuple(ordered)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
