"""From a file to a table of text cells with line numbers. Nothing is guessed.

What belongs here: reading the bytes once, size limits, the table that both formats become. What does
not: the formats (`csv_reader`, `xlsx_reader`), which column means what (`columns`), and what a value
may be (`cells`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scizor_dagster.errors import ScizorError, SignalRefused
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import Violation

MAX_FILE_BYTES = 128 * 1024 * 1024
"""Largest weight file that is opened; the largest real one seen has 17 MB (1,800 dates x 214 assets)."""
MAX_ROWS = 3_000_000
MAX_COLUMNS = 2_000

Cell = str | date
"""Text as written, or the day of a true date cell of a workbook."""


class WeightFileMissing(SignalRefused):
    """There is no weight file where the manifest, or the caller, says (exit code 2)."""

    exit_code = 2

    def __init__(self, strategy: str, path: str, problem: str) -> None:
        super().__init__(strategy, path, ())
        remedy = "Deliver the file, or correct 'path' in the strategy manifest."
        ScizorError.__init__(self, f"Strategy '{strategy}': {problem}", remedy=remedy, where=path)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """The bytes of one file, read once, and their SHA-256 in hexadecimal."""

    path: str
    data: bytes
    file_hash: str


@dataclass(frozen=True, slots=True)
class RawTable:
    """A header and columns of equal length below it.

    Attributes:
        sheet: Worksheet name; None for a CSV.
        header: Cells of the header row, as written.
        columns: One list of cells per header cell.
        lines: Line (CSV) or row number (workbook) of each row, from 1.
        rows: Rows found, those left out of `columns` because they are malformed included.
    """

    sheet: str | None
    header: tuple[str, ...]
    header_line: int
    columns: tuple[Sequence[Cell], ...]
    lines: Sequence[int]
    rows: int


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The table, None where the container itself is unusable, and what was found while reading."""

    table: RawTable | None
    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()


def read_bytes(entry: StrategyEntry, path: Path) -> tuple[WeightFile, tuple[Violation, ...]]:
    """Read a file whole, once.

    Returns:
        The file and what forbids using it: too large (then nothing was read), or still being written.

    Raises:
        WeightFileMissing: it does not exist, is no regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise WeightFileMissing(entry.id, str(path), "the weight file is not a regular file.")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            return WeightFile(str(path), b"", ""), (_too_large(size),)
        with path.open("rb") as handle:
            before = os.fstat(handle.fileno())
            data = handle.read(MAX_FILE_BYTES + 1)
            after = os.fstat(handle.fileno())
    except OSError as error:
        problem = f"the weight file cannot be read ({error.strerror})."
        raise WeightFileMissing(entry.id, str(path), problem) from error
    file = WeightFile(str(path), data, hashlib.sha256(data).hexdigest())
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed or len(data) != before.st_size:
        return file, (_being_written(),)
    return file, ()


def read_table(entry: StrategyEntry, file: WeightFile) -> ReadResult:
    """Turn the bytes into a table, in the format that the manifest states. Raises nothing."""
    if not file.data:
        remedy = "Deliver the file again; to sell everything, write the assets with weight 0."
        return ReadResult(None, (Violation("empty_file", "The file has no content.", remedy),))
    if entry.format == "csv":
        from scizor_dagster.signals.csv_reader import read_csv

        return read_csv(file.data)
    from scizor_dagster.signals.xlsx_reader import read_xlsx

    return read_xlsx(file.data, entry.sheet)


def too_many(what: str, limit: int, line: int | None = None, sheet: str | None = None) -> Violation:
    """The violation of `MAX_ROWS` or `MAX_COLUMNS`."""
    problem = f"The table has more than {limit} {what}."
    return Violation("too_large", problem, "Deliver only the dates that still matter.", line=line, sheet=sheet)


def _too_large(size: int) -> Violation:
    problem = f"The file has {size} bytes; {MAX_FILE_BYTES} are allowed."
    return Violation("too_large", problem, "Deliver only the dates that still matter.", value=str(size))


def _being_written() -> Violation:
    remedy = "Write to another name and rename when done; then try again."
    return Violation("still_being_written", "The file changed while it was read.", remedy)
