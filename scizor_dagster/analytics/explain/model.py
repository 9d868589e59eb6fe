"""The chain as a value: an explanation of links, each with the store that it was read from.

What belongs here: the shape, and its form in JSON. What does not: reading stores (`flow.explaining`), and lines for a
terminal (`text`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Step(StrEnum):
    """What a link is about: stable names, in the order of the chain."""

    REQUEST = "request"
    FILE = "file"
    MAPPING = "mapping"
    BLEND = "blend"
    TARGET = "target"
    PLAN = "plan"
    CAPITAL = "capital"
    PRICE = "price"
    SIZING = "sizing"
    REASON = "reason"
    ORDER = "order"
    CHECKS = "checks"
    PERMISSION = "permission"
    EVENTS = "events"
    FILLS = "fills"
    HISTORY = "history"
    POSITION = "position"
    RECONCILIATION = "reconciliation"
    CONSEQUENCE = "consequence"


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Attributes:
        source: Where it was read: a table of `lake` or `ledger`, or a file.
        sentences: What it says, for a person.
        facts: The same for a program: names are stable, numbers are exact text.
        rows: A table, where there are several of something.
        missing: What should be there and is not, and what to do; the chain goes on behind it.
    """

    step: Step
    title: str
    source: str
    sentences: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Mapping[str, Any], ...] = ()
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """Every key in every link."""
        return {
            "step": self.step.value,
            "title": self.title,
            "source": self.source,
            "sentences": list(self.sentences),
            "facts": plain_values(self.facts),
            "rows": [plain_values(row) for row in self.rows],
            "missing": self.missing or None,
        }


@dataclass(frozen=True)
class Explanation:
    """How one thing came about, from its cause down to what became of it.

    Attributes:
        kind: `order`, `fill`, `line` (an instrument of a plan), `position` or `file_line`.
        subject: Its name: an id, a ticker, or file and line.
        portfolio: Whose it is; empty for a fill that is nobody's.
        lake_snapshot: State of the lake that all of it was read from.
    """

    kind: str
    subject: str
    portfolio: str
    account: str
    session: date | None
    lake_snapshot: int | None
    links: tuple[Link, ...]

    def of(self, step: Step) -> tuple[Link, ...]:
        """Its links of one step."""
        return tuple(link for link in self.links if link.step is step)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "portfolio": self.portfolio,
            "account": self.account,
            "session": None if self.session is None else self.session.isoformat(),
            "lake_snapshot": self.lake_snapshot,
            "complete": not any(link.missing for link in self.links),
            "links": [link.to_json() for link in self.links],
        }


def plain_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON has it: decimals as exact text, dates and instants in ISO 8601."""
    return {name: _plain(value) for name, value in row.items()}


def number(value: Decimal | None) -> str:
    """An exact number without zeros at its end; empty where there is none."""
    if value is None:
        return ""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact_amount(value: Decimal) -> str:
    """An exact amount with separators: what a person computes with."""
    text = f"{value:,f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def moment(at: datetime) -> str:
    """An instant to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def money(value: Decimal) -> str:
    """An amount to the cent, with separators."""
    return f"{value:,.2f}"


def sentences(*parts: str) -> tuple[str, ...]:
    """Those that are not empty."""
    return tuple(part for part in parts if part)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of all rows, in the order in which they come first."""
    return tuple(dict.fromkeys(name for row in rows for name in row))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return plain_values(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
