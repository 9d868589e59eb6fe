"""What a replay finds: stored numbers beside those that they must be.

What belongs here: findings, and comparing rows field by field. What does not: reading stores and making plans again
(`flow.replaying`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

Row = Mapping[str, Any]
Kind = Literal["difference", "information"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be, or that is worth knowing.

    Attributes:
        table: Table of the lake or the ledger, or a file.
        key: Which row of it, in words.
        field: Which column; empty for a whole row.
        stored: What is there now.
        expected: What the other side says.
        kind: `difference`: somebody changed it, or code did; `information`: what happened since in the open.
        remark: Why it is expected, or what it means.
    """

    table: str
    key: str
    field: str
    stored: str
    expected: str
    kind: Kind = "difference"
    remark: str = ""

    @property
    def sentence(self) -> str:
        name = f" {self.field}" if self.field else ""
        said = f"{self.table}: {self.key}:{name} is {self.stored}, and must be {self.expected}."
        if self.kind == "information":
            said = f"{self.table}: {self.key}:{name} was {self.expected}, and is {self.stored} now."
        return f"{said} {self.remark}".rstrip()

    def to_json(self) -> dict[str, str]:
        names = ("kind", "table", "key", "field", "stored", "expected", "remark")
        return {name: getattr(self, name) for name in names} | {"sentence": self.sentence}


@dataclass(frozen=True)
class SessionReplay:
    """One session's plan, made again and compared.

    Attributes:
        equal: Whether the plan made again is the stored one, byte for byte.
        stored_sha256: Of the stored plan's canonical text; `made_sha256` of the one made again, None where none was.
        code_version: Of the plan; `code_version_now` is this program's.
        findings: Differences first.
        notes: What was compared and what could not be.
    """

    portfolio: str
    session: date
    plan_id: str
    lake_snapshot: int | None
    code_version: str
    code_version_now: str
    equal: bool
    stored_sha256: str
    made_sha256: str | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def differences(self) -> tuple[Finding, ...]:
        return tuple(item for item in self.findings if item.kind == "difference")

    @property
    def agrees(self) -> bool:
        """Whether the plan is equal, and every store it came from says what it said."""
        return self.equal and not self.differences

    def to_json(self) -> dict[str, Any]:
        names = ("portfolio", "plan_id", "lake_snapshot", "code_version", "code_version_now", "equal", "stored_sha256",
                 "made_sha256")  # fmt: skip
        return {
            **{name: getattr(self, name) for name in names},
            "session": self.session.isoformat(),
            "agrees": self.agrees,
            "findings": [item.to_json() for item in self.findings],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class NotReplayed:
    """A session whose plan cannot be made again, and why; `remedy` is what to do about it."""

    session: date
    plan_id: str
    problem: str
    remedy: str

    @property
    def sentence(self) -> str:
        return f"{self.session}: plan {self.plan_id[:12]} cannot be made again. {self.problem} {self.remedy}"

    def to_json(self) -> dict[str, str]:
        names = ("plan_id", "problem", "remedy")
        return {"session": self.session.isoformat()} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Replays:
    """The sessions of a range: at least one that was replayed, and those that could not be."""

    sessions: tuple[SessionReplay, ...]
    missing: tuple[NotReplayed, ...]

    @property
    def agree(self) -> bool:
        """Whether every one that was replayed does."""
        return all(item.agrees for item in self.sessions)


def canonical(tables: Mapping[str, Sequence[Row]]) -> str:
    """Rows of several tables as one text: the same rows give the same bytes, whatever order they were stored in."""
    plain = {name: sorted(json.dumps(_texts(row), sort_keys=True) for row in rows) for name, rows in tables.items()}
    return json.dumps(plain, sort_keys=True)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def compared(table: str, key: Sequence[str], stored: Sequence[Row], expected: Sequence[Row]) -> Iterator[Finding]:
    """Every field of `stored` that is not as `expected`, and rows that only one of them has, by `key`."""
    there, wanted = _by_key(key, stored), _by_key(key, expected)
    for name in sorted(there.keys() | wanted.keys()):
        rows, want = there.get(name, []), wanted.get(name)
        words = " ".join(name)
        if want is None:
            yield Finding(table, words, "", "there", "absent", remark="Nothing has put this row there.")
        elif not rows:
            yield Finding(table, words, "", "absent", "there", remark="The row was taken out.")
        elif len(rows) > 1:
            yield Finding(table, words, "", f"there {len(rows)} times", "there once")
        else:
            yield from different(table, words, rows[0], want[0])


def different(table: str, key: str, stored: Row, expected: Row) -> Iterator[Finding]:
    """Every field of `expected` that `stored` has otherwise."""
    for field, value in expected.items():
        if text_of(stored.get(field)) != text_of(value):
            yield Finding(table, key, field, text_of(stored.get(field)), text_of(value))


def text_of(value: Any) -> str:
    """A value as it is compared and shown; what is empty is `none`."""
    if value is None or value != value:
        return "none"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return json.dumps([text_of(item) for item in value])
    return str(value)


def _texts(row: Row) -> dict[str, str]:
    return {name: text_of(value) for name, value in row.items()}


def _by_key(key: Sequence[str], rows: Sequence[Row]) -> dict[tuple[str, ...], list[Row]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(text_of(row[name]) for name in key), []).append(row)
    return found
