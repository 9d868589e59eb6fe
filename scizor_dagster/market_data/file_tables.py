"""Reading one price or action file into typed columns, with every unreadable value named.

What belongs here: CSV and Parquet into text, dates and numbers. What does not: which symbols and
sessions are asked for (`files`), which rows are good (`quality`).

A CSV is read as text throughout, so that the tickers `TRUE`, `NA` and `1E5` survive. An empty number
is a missing one (NaN; the quality rules quarantine it), any other text that is no number is refused.

How a value becomes a session date:

- a date, or text `2024-01-02` or `20240102`: that date;
- a timestamp without an offset: its date if it is midnight, otherwise it is refused, because its zone
  would be a guess;
- a timestamp with an offset: the date in exchange time; midnight UTC is taken as a date's label;
- where `slashed` dates are taken, `3/13/2004` and `13/3/2004`: if a number above twelve in the column shows which of
  the two is the month; a column without one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = (";", "\t", "|")
"""What separates the columns of a file that is no comma-separated one."""
_SLASHED = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*")
_MONTHS = 12


class FileTable:
    """The columns of one file under our names.

    Args:
        columns: Our name to the file's; a name that is left out is the same in the file.

    Raises:
        InputError: the file is missing, unreadable, or lacks a column of `required`.
    """

    def __init__(
        self, path: Path, columns: Mapping[str, str], required: Sequence[str], optional: Sequence[str] = ()
    ) -> None:
        self.path = path
        self._theirs = {ours: columns.get(ours, ours) for ours in (*required, *optional)}
        self.is_csv = path.suffix.lower() != ".parquet"
        self._table = _read(path, self.is_csv)
        present = self._table.column_names
        missing = [f"'{self._theirs[ours]}' (for {ours})" for ours in required if self._theirs[ours] not in present]
        missing += [
            f"'{columns[ours]}' (for {ours})"
            for ours in optional
            if columns.get(ours, ours) not in present and ours in columns
        ]
        if missing:
            raise InputError(
                f"The file lacks the column(s) {', '.join(missing)}; it has {', '.join(present) or 'none'}.",
                remedy="Correct the column mapping: our name to the file's.",
                where=str(path),
            )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @property
    def header(self) -> tuple[str, ...]:
        """The file's own names of its columns."""
        return tuple(self._table.column_names)

    def under(self, columns: Mapping[str, str]) -> FileTable:
        """The same rows, read once, with columns of its header under these names of ours."""
        found = copy(self)
        found._theirs = dict(columns)
        return found

    def has(self, ours: str) -> bool:
        return self._theirs.get(ours) in self._table.column_names

    def text(self, ours: str) -> tuple[list[str], NDArray[np.int64]]:
        """Values of a text column, stripped, and each row's index into them; a blank one is refused."""
        values, codes = self._distinct(ours)
        cleaned = [None if value is None else str(value).strip() for value in values]
        self._refuse(ours, values, codes, [value in (None, "") for value in cleaned], "is not a name")
        return [value or "" for value in cleaned], codes

    def optional_text(self, ours: str) -> list[str | None]:
        """A text column by row, None where it is blank or the file does not have it."""
        if not self.has(ours):
            return [None] * len(self)
        return [str(value).strip() or None if value is not None else None for value in self._column(ours).to_pylist()]

    def sessions(self, ours: str, zone: ZoneInfo, *, slashed: bool = False) -> NDArray[np.datetime64]:
        """A column of session dates as `datetime64[s]` at midnight; see the module for the rules."""
        values, codes = self._distinct(ours)
        days = (_slashed_dates(values) if slashed else None) or [_session_date(value, zone) for value in values]
        what = "is not a session date: give a date, or a timestamp with its offset"
        if slashed:
            what += " (2004-03-13, or 3/13/2004 where a day above twelve in the column shows which number is the month)"
        self._refuse(ours, values, codes, [day is None for day in days], what)
        return np.array(days, dtype="datetime64[s]")[codes]

    def numbers(self, ours: str) -> NDArray[np.float64]:
        """A column of numbers as float64, NaN where a value is missing."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self.has(ours):
            return np.full(len(self), np.nan)
        column = self._column(ours)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.equal(column, ""), None, column)
        try:
            cast = pc.cast(column, pa.float64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._unreadable_number(ours, column) from error
        return np.asarray(cast.to_numpy(zero_copy_only=False), dtype=np.float64)

    def where(self, row: int) -> str:
        """`file:line` of a row of a CSV; `file, row n` of a Parquet file (rows from 1)."""
        if not self.is_csv:
            return f"{self.path}, row {row + 1}"
        with self.path.open(encoding="utf-8-sig") as lines:
            filled = (number for number, line in enumerate(lines, start=1) if line.strip())
            return f"{self.path}:{next(number for index, number in enumerate(filled) if index == row + 1)}"

    def _column(self, ours: str) -> Any:
        return self._table.column(self._theirs[ours])

    def _distinct(self, ours: str) -> tuple[list[Any], NDArray[np.int64]]:
        column = self._column(ours)
        encoded = column.combine_chunks() if _is_dictionary(column.type) else None
        if encoded is None:
            encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        values = encoded.dictionary.to_pylist()
        if (codes < 0).any():
            codes = np.where(codes < 0, len(values), codes)
            values.append(None)
        return values, codes

    def _refuse(self, ours: str, values: list[Any], codes: NDArray[np.int64], bad: list[bool], what: str) -> None:
        marks = np.array(bad, dtype=bool)
        if not marks.any() or not len(codes):
            return
        rows = np.flatnonzero(marks[codes])
        if len(rows) == 0:
            return
        more = f" ({len(rows) - 1} more row(s) like it)" if len(rows) > 1 else ""
        row = int(rows[0])
        shown = "" if values[codes[row]] is None else str(values[codes[row]])
        raise InputError(
            f"'{shown}' in column '{self._theirs[ours]}' {what}{more}.",
            remedy="Mend the value; nothing was read from the file.",
            where=self.where(row),
        )

    def _unreadable_number(self, ours: str, column: Any) -> InputError:
        row = next(index for index, value in enumerate(column) if not _is_number(value))
        return InputError(
            f"'{column[row].as_py()}' in column '{self._theirs[ours]}' is not a number.",
            remedy="Mend the value; nothing was read from the file.",
            where=self.where(row),
        )


def _is_number(value: Any) -> bool:
    import pyarrow as pa

    try:
        value.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _is_dictionary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind))


def _read(path: Path, is_csv: bool) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise InputError(
            "The path is a folder; one file is read here.",
            remedy="For one file per symbol use `layout: per_symbol` (see docs/configuration.md), or name the file.",
            where=str(path),
        )
    if not path.is_file():
        raise InputError("The file does not exist.", remedy="Create it, or correct the path.", where=str(path))
    try:
        # ParquetFile, not read_table: the latter would take meaning from the folder's name.
        return _read_csv(path) if is_csv else pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "CSV" if is_csv else "Parquet"
        raise InputError(
            f"The file cannot be read as {kind}: {str(error).strip().splitlines()[0]}.",
            remedy="Mend it, or correct `format` of the provider.",
            where=str(path),
        ) from error


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    with path.open(encoding="utf-8-sig") as lines:
        header = lines.readline()
    if not header.strip():
        raise InputError("The file is empty.", remedy="Deliver it with a header and rows.", where=str(path))
    names = _csv_cells(header)
    separator = next((mark for mark in SEPARATORS if len(names) == 1 and mark in names[0]), None)
    if separator is not None:
        raise InputError(
            f"The separator of the file seems to be {separator!r}; a comma is expected.",
            remedy="Save it with commas between the columns and a point in decimal numbers.",
            where=f"{path}:1",
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"The column(s) {', '.join(twice)} stand twice.", remedy="Keep one of each.", where=f"{path}:1"
        )
    return csv.read_csv(
        path,
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def _csv_cells(line: str) -> list[str]:
    import csv

    return next(csv.reader([line]))


def _slashed_dates(values: Sequence[Any]) -> list[date | None] | None:
    """Dates of a column that is written with slashes throughout and shows its order; else None."""
    found = [_SLASHED.fullmatch(value) if isinstance(value, str) else None for value in values]
    parts = [tuple(map(int, match.groups())) for match in found if match is not None]
    if not parts or len(parts) < len(values):
        return None
    first, second = max(one for one, _, _ in parts), max(two for _, two, _ in parts)
    if (first > _MONTHS) == (second > _MONTHS):
        return None
    month_first = second > _MONTHS
    return [_day(year, *((one, two) if month_first else (two, one))) for one, two, year in parts]


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _session_date(value: Any, zone: ZoneInfo) -> date | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return _date_of_instant(value, zone)
    return value if isinstance(value, date) else None


def _date_of_instant(instant: datetime, zone: ZoneInfo) -> date | None:
    labelled = instant.astimezone(UTC) if instant.tzinfo else instant
    if (labelled.hour, labelled.minute, labelled.second, labelled.microsecond) == (0, 0, 0, 0):
        return labelled.date()
    return instant.astimezone(zone).date() if instant.tzinfo else None
