"""JSON: a list of records (long), or an object of date to `{asset: weight}` (wide).

What belongs here: JSON bytes to cells with the line each record begins on. What does not: other shapes
of JSON; they are refused, never guessed.

Records are decoded one at a time, so that a record has a line, and a duplicate key or a NaN a place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from scizor_dagster.signals.containers import foreign
from scizor_dagster.signals.report import Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.tables import MAX_COLUMNS, Cell, ColumnBuffer, RawTable, ReadResult, TooMuch, too_many

_BLANK = re.compile(r"[ \t\r\n]*")
_SHAPES = {
    "long": 'a list of records such as [{"trade_date": "2026-11-20", "asset_id": "SPY", "target_weight": 0.5}]',
    "wide": 'an object such as {"2026-11-20": {"SPY": 0.5, "AGG": 0.4}}',
}


class _Refused(Exception):
    """JSON that cannot be taken; becomes a violation with its line. Never leaves this module."""

    def __init__(self, rule: str, problem: str, remedy: str, value: str | None = None) -> None:
        super().__init__(problem)
        self.args = (rule, problem, remedy, value)


def read_json(data: bytes, spec: ReadSpec) -> ReadResult:
    """Read JSON bytes into a table of text and numbers."""
    problem = foreign(data, "JSON")
    if problem is not None:
        return ReadResult.refused(problem)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return ReadResult.refused(
            Violation("encoding", f"Byte {error.start} is not UTF-8 text.", "Save it as UTF-8.", line=line)
        )
    scanner = _Scanner(text)
    result = ReadResult()
    try:
        wide = spec.layout != "long" and scanner.begins("{")
        result.table = _wide(scanner, spec) if wide else _long(scanner, spec)
    except TooMuch as error:
        result.violations.add(error.violation)
    except _Refused as error:
        rule, message, remedy, value = error.args
        result.violations.add(Violation(rule, message, remedy, line=scanner.line, value=value))
        result.table = None
    return result


class _Scanner:
    """A place in the text, and the line it is on."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._counted, self.line = text, 0, 0, 1
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, strict=True
        )
        self._skip()

    def begins(self, sign: str) -> bool:
        """Whether a sign stands here."""
        return self._text.startswith(sign, self._at)

    def take(self, sign: str) -> bool:
        """Step over one sign and the blanks after it, if it stands here."""
        if not self.begins(sign):
            return False
        self._at += 1
        self._skip()
        return True

    def value(self) -> Any:
        """Decode the value that stands here."""
        try:
            value, end = self._decoder.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._move(error.pos)
            raise self.syntax(error.msg) from error
        except RecursionError as error:
            raise _too_deep() from error
        self._move(end)
        self._skip()
        return value

    def items(self, closing: str) -> Iterator[None]:
        """Step through the items of a list or an object whose opening sign was taken."""
        if self.take(closing):
            return
        while True:
            yield
            if self.take(closing):
                return
            if not self.take(","):
                raise self.syntax(f"',' or '{closing}' is missing")

    def syntax(self, problem: str) -> _Refused:
        near = self._text[self._at : self._at + 40]
        remedy = "Deliver the file again, whole."
        return _Refused("json_syntax", f"The file is not valid JSON ({problem}).", remedy, near)

    def finish(self) -> None:
        if self._at < len(self._text):
            raise self.syntax("there is more after its end")

    def _skip(self) -> None:
        match = _BLANK.match(self._text, self._at)
        self._move(match.end() if match else self._at)

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._counted, to)
        self._at = self._counted = to


def _long(scanner: _Scanner, spec: ReadSpec) -> RawTable:
    """A list of records: with a key per column, or with layout wide per asset."""
    if not scanner.take("["):
        raise _shape(spec.layout)
    header: list[str] = []
    buffer = ColumnBuffer(0)
    for _ in scanner.items("]"):
        line, record = scanner.line, scanner.value()
        if not isinstance(record, dict):
            raise _too_deep() if isinstance(record, list) else _shape(spec.layout)
        if not record.keys() <= set(header):
            header += [name for name in record if name not in header]
            if len(header) > MAX_COLUMNS:
                raise TooMuch(too_many("columns", MAX_COLUMNS, line))
            buffer.widen(len(header))
        buffer.add(line, [_cell(record.get(name), name) for name in header])
    scanner.finish()
    columns, lines = buffer.finish()
    return RawTable(None, tuple(header), None, columns, lines, len(lines), typed=True)


def _wide(scanner: _Scanner, spec: ReadSpec) -> RawTable:
    """Rows of date, asset and weight: an asset that a date does not name has no row on it."""
    scanner.take("{")
    buffer = ColumnBuffer(3)
    seen: set[str] = set()
    for _ in scanner.items("}"):
        line, day = scanner.line, scanner.value()
        if not isinstance(day, str) or not scanner.take(":"):
            raise scanner.syntax("a key in quotes and ':' are missing")
        # The two ways to write one day are one key.
        written = day.strip().replace("T", " ").removesuffix(" 00:00:00")
        if written in seen:
            raise _duplicate(day)
        seen.add(written)
        weights = scanner.value()
        if not isinstance(weights, dict):
            raise _shape(spec.layout)
        if not weights:
            raise _Refused("no_rows", f"The date '{day}' has no weights.", "Write the assets, or remove the date.")
        for name, value in weights.items():
            buffer.add(line, (day, name, _cell(value, name)))
    scanner.finish()
    header = tuple(spec.columns[ours] for ours in ("trade_date", "asset_id", "target_weight"))
    columns, lines = buffer.finish()
    return RawTable(None, header, None, columns, lines, len(lines), typed=True, unpivoted=True)


def _cell(value: Any, name: str) -> Cell:
    if isinstance(value, str | float) or type(value) is int:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        text = str(value).lower()
        raise _Refused("json_boolean", f"'{name}' is the boolean {text}.", "Put a ticker in quotes.", text)
    raise _too_deep()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise _duplicate(next(name for name in names if names.count(name) > 1))
    return record


def _no_constant(text: str) -> None:
    problem = f"{text} is no number of JSON."
    raise _Refused("json_constant", problem, "Write a number; to hold none of an asset, write 0.", text)


def _whole(text: str) -> int | float:
    # Python refuses to convert very long integers; as a float one is infinite, which has its own rule.
    return int(text) if len(text) < 300 else float(text)


def _duplicate(name: str) -> _Refused:
    return _Refused("duplicate_key", f"The key '{name}' stands twice.", "Keep one of the two.", name)


def _shape(layout: str) -> _Refused:
    wanted = " or ".join(_SHAPES.values()) if layout != "long" else _SHAPES["long"]
    return _Refused("wrong_shape", f"The file must be {wanted}.", "Write it so.")


def _too_deep() -> _Refused:
    problem = "Lists or objects are nested deeper than records of plain values."
    return _Refused("too_deep", problem, "Write one flat record per date and asset.")
