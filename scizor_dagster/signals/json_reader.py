"""JSON: a list of records (long), or an object of date to `{asset: weight}` (wide).

What belongs here: JSON bytes to cells with the number of each record, or date, from 1. What does not: other shapes
of JSON; they are refused, never guessed.

Records are decoded one at a time, so that each fault has its record and key, and all are named at once. Text that is
no JSON ends the reading at a line of the text.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scizor_dagster.signals.containers import foreign
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.tables import MAX_COLUMNS, Cell, ColumnBuffer, RawTable, ReadResult, TooMuch, too_many

_PLAIN = frozenset({str, int, float})
_BLANK = re.compile(r"[ \t\r\n]*")
_SHAPES = {
    "long": 'a list of records such as [{"trade_date": "2026-11-20", "asset_id": "SPY", "target_weight": 0.5}]',
    "wide": 'an object such as {"2026-11-20": {"SPY": 0.5, "AGG": 0.4}}',
}


class _Refused(Exception):
    """JSON that cannot be taken at all; becomes a violation. Never leaves this module.

    `number` is the record that shows it; without one it is told by the line of the text.
    """

    def __init__(
        self, rule: str, problem: str, remedy: str, value: str | None = None, number: int | None = None
    ) -> None:
        super().__init__(problem)
        self.violation = Violation(rule, problem, remedy, line=number, value=value)


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
        result.table = (_wide if wide else _long)(scanner, spec, result.violations)
    except TooMuch as error:
        result.violations.add(error.violation)
    except _Refused as error:
        line = scanner.line if error.violation.line is None else error.violation.line
        result.violations.add(replace(error.violation, line=line))
        result.table = None
    return result


class _Scanner:
    """A place in the text, and the line it is on."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._counted, self.line = text, 0, 0, 1
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_object, parse_constant=_Constant, parse_int=_whole, strict=True
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


def _long(scanner: _Scanner, spec: ReadSpec, found: Findings) -> RawTable:
    """A list of records: with a key per column, or with layout wide per asset."""
    if not scanner.take("["):
        raise _shape(spec.layout)
    header: list[str] = []
    buffer, faults = ColumnBuffer(0), _Faults()
    for number, _ in enumerate(scanner.items("]"), start=1):
        record = scanner.value()
        if not isinstance(record, dict):
            raise _too_deep() if isinstance(record, list) else _shape(spec.layout, number)
        if not record.keys() <= set(header):
            header += [name for name in record if name not in header]
            if len(header) > MAX_COLUMNS:
                raise TooMuch(too_many("columns", MAX_COLUMNS, number))
            buffer.widen(len(header))
        for name in _keys_twice(record):
            faults.add(name, number, _twice(name), always=True)
        cells: list[Any] = list(map(record.get, header))
        if not _PLAIN.issuperset(map(type, cells)):
            cells = [_cell(value, name, number, faults) for name, value in zip(header, cells, strict=True)]
        buffer.add(number, cells)
    scanner.finish()
    columns, lines = buffer.finish()
    spec = spec.settled(header)
    faulty = faults.tell(found, [name for name in header if spec.needs(name)])
    return _without(faulty, RawTable(None, tuple(header), None, columns, lines, len(lines), typed=True))


def _wide(scanner: _Scanner, spec: ReadSpec, found: Findings) -> RawTable:
    """Rows of date, asset and weight: an asset that a date does not name has no row on it."""
    scanner.take("{")
    buffer, faults = ColumnBuffer(3), _Faults()
    seen: set[str] = set()
    header = tuple(spec.columns[ours] for ours in ("trade_date", "asset_id", "target_weight"))
    for number, _ in enumerate(scanner.items("}"), start=1):
        day = scanner.value()
        if not isinstance(day, str) or not scanner.take(":"):
            raise scanner.syntax("a key in quotes and ':' are missing")
        weights = scanner.value()
        if not isinstance(weights, dict):
            raise _shape(spec.layout, number)
        # The ways to write one day are one key.
        written = day.strip().replace("T", " ").removesuffix("Z").removesuffix(" 00:00:00")
        if written in seen:
            faults.add(header[0], number, replace(_twice(day), value=day), always=True)
        seen.add(written)
        if not weights:
            remedy = "Write the assets, or remove the date."
            found.add(Violation("no_rows", f"The date '{day}' has no weights.", remedy, line=number, value=day))
        for name in _keys_twice(weights):
            faults.add(name, number, _twice(name), always=True)
        for name, value in weights.items():
            buffer.add(number, (day, name, _cell(value, name, number, faults)))
    scanner.finish()
    columns, lines = buffer.finish()
    faulty = faults.tell(found, faults.columns)
    return _without(faulty, RawTable(None, header, None, columns, lines, len(lines), typed=True, unpivoted=True))


class _Twice(dict[str, Any]):
    """An object in which keys stand more than once; `keys_twice` are those."""

    keys_twice: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    names = [name for name, _ in pairs]
    twice = _Twice(record)
    twice.keys_twice = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return twice


def _keys_twice(record: dict[str, Any]) -> tuple[str, ...]:
    return record.keys_twice if isinstance(record, _Twice) else ()


class _Constant(str):
    """`NaN` or `Infinity`, which JSON does not have."""

    __slots__ = ()


class _Faults:
    """What no table can hold, by column: it is no matter in one that is not read."""

    def __init__(self) -> None:
        self._always = Findings()
        self._found: dict[str, Findings] = {}
        self._records: dict[str, array[int]] = {}
        self._broken: set[int] = set()

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._found)

    def add(self, column: str, number: int, violation: Violation, *, always: bool = False) -> None:
        item = replace(violation, line=number, column=column)
        if always:
            self._always.add(item)
            self._broken.add(number)
            return
        self._found.setdefault(column, Findings()).add(item)
        self._records.setdefault(column, array("q")).append(number)

    def tell(self, found: Findings, needed: Sequence[str]) -> set[int]:
        """Add the findings in the columns that are read; the numbers of the records that have one."""
        found.absorb(self._always)
        for name in needed:
            found.absorb(self._found.get(name, Findings()))
        return self._broken.union(*(self._records.get(name, ()) for name in needed))


def _without(faulty: set[int], table: RawTable) -> RawTable:
    """The table without the records that have a fault, which count as its rows."""
    if not faulty:
        return table
    kept = [index for index, line in enumerate(table.lines) if line not in faulty]
    columns = tuple([column[index] for index in kept] for column in table.columns)
    return replace(table, columns=columns, lines=[table.lines[index] for index in kept])


def _cell(value: Any, name: str, number: int, faults: _Faults) -> Cell:
    if isinstance(value, _Constant):
        remedy = "Write a number; to hold none of an asset, write 0."
        problem = f"{value} is no number of JSON."
        faults.add(name, number, Violation("json_constant", problem, remedy, value=str(value)))
    elif type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    elif isinstance(value, bool):
        text = str(value).lower()
        remedy = "Write a number, or put a ticker in quotes."
        faults.add(name, number, Violation("json_boolean", f"'{name}' is the boolean {text}.", remedy, value=text))
    elif value is not None:
        problem = f"'{name}' is a list or an object where a plain value belongs."
        remedy = "Write one flat record per date and asset."
        kind = "[...]" if isinstance(value, list) else "{...}"
        faults.add(name, number, Violation("too_deep", problem, remedy, value=kind))
    return ""


def _twice(name: str) -> Violation:
    return Violation("duplicate_key", f"The key '{name}' stands twice.", "Keep one of the two.", value=name)


def _whole(text: str) -> int | float:
    # Python refuses to convert very long integers; as a float one is infinite, which has its own rule.
    return int(text) if len(text) < 300 else float(text)


def _shape(layout: str, number: int | None = None) -> _Refused:
    wanted = " or ".join(_SHAPES.values()) if layout != "long" else _SHAPES["long"]
    return _Refused("wrong_shape", f"The file must be {wanted}.", "Write it so.", number=number)


def _too_deep() -> _Refused:
    problem = "Lists or objects are nested deeper than records of plain values."
    return _Refused("too_deep", problem, "Write one flat record per date and asset.")
