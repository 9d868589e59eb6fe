"""CSV as text: UTF-8, one stated delimiter, RFC 4180 quotes.

What belongs here: bytes to cells with the line each record begins on. What does not: dialect guessing;
another delimiter or encoding is a named violation, never a second attempt.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from scizor_dagster.signals.containers import foreign
from scizor_dagster.signals.report import Findings, Violation
from scizor_dagster.signals.tables import MAX_COLUMNS, MAX_ROWS, ColumnBuffer, RawTable, ReadResult, TooMuch, too_many

_SPARE_LINES = 10_000
"""Lines beyond the most rows that are forgiven before parsing: blank ones, and breaks inside quotes."""


def read_csv(data: bytes, delimiter: str = ",") -> ReadResult:
    """Read CSV bytes into a table of text.

    Returns:
        The table of all records with as many fields as the header, and a violation for each other one.
        Records without any text are left out.
    """
    problem = foreign(data, "CSV") or _undecodable(data)
    if problem is not None:
        return ReadResult.refused(problem)
    if data.count(b"\n") > MAX_ROWS + _SPARE_LINES:
        return ReadResult.refused(too_many("rows", MAX_ROWS))
    result = ReadResult()
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    try:
        _fill(result, csv.reader(text, strict=True, delimiter=delimiter), delimiter)
    except TooMuch as error:
        result.violations.add(error.violation)
        result.table = None
    table = result.table
    if not data.endswith((b"\n", b"\r")) and table is not None:
        line = table.lines[-1] if table.lines else table.header_line
        table.unfinished = line
        message = "The last line has no line end: it may have been cut off."
        remedy = "Write to another name and rename when done."
        result.warnings.add(Violation("no_final_newline", message, remedy, line=line))
    return result


def _undecodable(data: bytes) -> Violation | None:
    bad = data.find(b"\0")
    try:
        # Only to find the first bad byte; reading decodes in pieces, so that the text is never held whole.
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = error.start if bad < 0 else min(bad, error.start)
    if bad < 0:
        return None
    line = data.count(b"\n", 0, bad) + 1
    value = repr(data[max(0, bad - 10) : bad + 10])
    problem = f"Byte {bad} is not UTF-8 text."
    return Violation("encoding", problem, "Save the file as UTF-8.", line=line, value=value)


def _fill(result: ReadResult, reader: Iterator[list[str]], delimiter: str) -> None:
    buffer: ColumnBuffer | None = None
    header: list[str] = []
    header_line, malformed, named, blank_line = 1, 0, 0, 0
    for line, row in _records(reader, result.violations):
        if not any(map(str.strip, row)):
            continue
        if buffer is None:
            header, header_line = row, line
            named = max(at for at, name in enumerate(header, start=1) if name.strip())
            if len(header) > MAX_COLUMNS:
                raise TooMuch(too_many("columns", MAX_COLUMNS, line))
            buffer = ColumnBuffer(len(header))
        elif len(row) == len(header):
            buffer.add(line, row)
        elif (fitted := _fitted(row, named, len(header))) is not None:
            buffer.add(line, fitted)
            blank_line = blank_line or line
        else:
            malformed += 1
            result.violations.add(_field_count(line, row, len(header), delimiter))
    if blank_line:
        message = "Rows have more or fewer blank fields at their end than the header; they hold nothing."
        result.warnings.add(Violation("blank_fields", message, "Write one field per column.", line=blank_line))
    if buffer is None:
        if not result.violations:
            result.violations.add(Violation("empty_file", "The file has no content.", "Deliver the file again."))
        return
    columns, lines = buffer.finish()
    result.table = RawTable(None, tuple(header), header_line, columns, lines, len(lines) + malformed)


def _records(reader: Iterator[list[str]], violations: Findings) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each begins on; a syntax error ends them, for the rest has no sure meaning."""
    ended = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            remedy = 'Close every quote, double a quote inside quotes (""), and keep fields short.'
            problem = f"The record that begins here is not valid CSV ({error}); nothing after it was read."
            violations.add(Violation("csv_syntax", problem, remedy, line=ended + 1))
            return
        line, ended = ended + 1, int(reader.line_num)  # type: ignore[attr-defined]
        yield line, row


def _fitted(row: list[str], named: int, width: int) -> list[str] | None:
    """The row with as many fields as the header, where only blank ones, or ones without a name, are too many or few."""
    if len(row) > width and not any(map(str.strip, row[width:])):
        return row[:width]
    return [*row, *[""] * (width - len(row))] if named <= len(row) < width else None


def _field_count(line: int, row: list[str], expected: int, delimiter: str) -> Violation:
    problem = f"The row has {len(row)} field(s); the header has {expected}."
    remedy = "Give every row one value per column; put quotes around a value that contains the delimiter."
    return Violation("field_count", problem, remedy, line=line, value=delimiter.join(row)[:200])
