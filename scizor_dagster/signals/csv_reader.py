"""CSV as text: UTF-8, comma, RFC 4180 quotes.

What belongs here: bytes to cells with the line each record begins on. What does not: dialect guessing;
another delimiter or encoding is a named violation, never a second attempt.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from scizor_dagster.signals.readers import MAX_COLUMNS, MAX_ROWS, RawTable, ReadResult, too_many
from scizor_dagster.signals.report import Violation

_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Excel workbook",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x1f\x8b": "a gzip archive",
}


def read_csv(data: bytes) -> ReadResult:
    """Read CSV bytes into a table of text.

    Returns:
        The table of all records with as many fields as the header, and a violation for each other one.
        Records without any text are left out.
    """
    text, problem = _decoded(data)
    if text is None:
        return ReadResult(None, (problem,) if problem else ())
    return _table(csv.reader(io.StringIO(text, newline=""), strict=True), _warnings(text))


def _decoded(data: bytes) -> tuple[str | None, Violation | None]:
    for magic, kind in _FOREIGN.items():
        if data.startswith(magic):
            remedy = "Save it as CSV in UTF-8, or correct 'format' in the strategy manifest."
            return None, Violation("wrong_format", f"The file is {kind}, not CSV.", remedy)
    bad = data.find(b"\0")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = error.start if bad < 0 else min(bad, error.start)
        text = ""
    if bad < 0:
        return text, None
    line = data.count(b"\n", 0, bad) + 1
    value = repr(data[max(0, bad - 10) : bad + 10])
    return None, Violation(
        "encoding", f"Byte {bad} is not UTF-8 text.", "Save the file as UTF-8.", line=line, value=value
    )


def _warnings(text: str) -> tuple[Violation, ...]:
    if text.endswith(("\n", "\r")):
        return ()
    line = len(text.splitlines()) or 1
    problem = "The last line has no line end: it may have been cut off."
    return (Violation("no_final_newline", problem, "Write to another name and rename when done.", line=line),)


def _table(reader: Iterator[list[str]], warnings: tuple[Violation, ...]) -> ReadResult:
    violations: list[Violation] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    header: list[str] | None = None
    header_line, found = 1, 0
    for line, row in _records(reader, violations):
        if not any(row):
            continue
        if header is None:
            header, header_line = row, line
            if len(header) > MAX_COLUMNS:
                return ReadResult(None, (too_many("columns", MAX_COLUMNS, line),), warnings)
            continue
        found += 1
        if found > MAX_ROWS:
            return ReadResult(None, (*violations, too_many("rows", MAX_ROWS, line)), warnings)
        if len(row) == len(header):
            rows.append(row)
            lines.append(line)
        else:
            violations.append(_field_count(line, row, len(header)))
    if header is None:
        if not violations:
            violations.append(Violation("empty_file", "The file has no content.", "Deliver the file again."))
        return ReadResult(None, tuple(violations), warnings)
    columns = tuple(zip(*rows, strict=True)) if rows else ((),) * len(header)
    table = RawTable(None, tuple(header), header_line, columns, lines, found)
    return ReadResult(table, tuple(violations), warnings)


def _records(reader: Iterator[list[str]], violations: list[Violation]) -> Iterator[tuple[int, list[str]]]:
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
            violations.append(Violation("csv_syntax", problem, remedy, line=ended + 1))
            return
        line, ended = ended + 1, int(reader.line_num)  # type: ignore[attr-defined]
        yield line, row


def _field_count(line: int, row: list[str], expected: int) -> Violation:
    problem = f"The row has {len(row)} field(s); the header has {expected}."
    remedy = "Give every row one value per column; put quotes around a value with a comma."
    return Violation("field_count", problem, remedy, line=line, value=",".join(row))
