"""A mapping table as text: CSV to rows of identifier, ticker and the dates between which they belong together.

What belongs here: reading and checking the file by line. What does not: what an identifier means on a
day (`mapping`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scizor_dagster.config import MappingTable
from scizor_dagster.errors import ConfigError

MAX_BYTES = 64 * 1024 * 1024
_ISO_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_VALIDITY = re.compile(r"(valid|effective|start|end)_?(from|to|until|date|day)?|from|to|until")


@dataclass(frozen=True, slots=True)
class MappedTicker:
    """One row: `asset_id` is `symbol` from `valid_from` on and before `valid_to`; None is open."""

    asset_id: str
    symbol: str
    valid_from: date | None = None
    valid_to: date | None = None

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the columns stand; None for a date column that the table does not have."""

    asset_id: int
    symbol: int
    valid_from: int | None
    valid_to: int | None
    width: int


def mapping_rows(settings: MappingTable) -> Iterator[MappedTicker]:
    """The rows of a table in their order.

    Raises:
        ConfigError: with file and line: the table is missing, unreadable or empty, lacks a column, or has a row
            with a blank id or ticker, a date that is none, or an end that is not after its beginning.
    """
    reader = csv.reader(io.StringIO(_text(settings.file), newline=""), strict=True)
    places: _Places | None = None
    try:
        for row in reader:
            if not any(row):
                continue
            where = f"{settings.file}:{reader.line_num}"
            if places is None:
                places = _columns(settings, row, where)
            else:
                yield _row(row, places, where)
    except csv.Error as error:
        where = f"{settings.file}:{reader.line_num}"
        raise ConfigError(f"The line is not valid CSV ({error}).", remedy="Mend the line.", where=where) from error
    if places is None:
        raise ConfigError("The mapping table is empty.", remedy="Fill it.", where=settings.file)


def _row(row: list[str], places: _Places, where: str) -> MappedTicker:
    if len(row) != places.width:
        raise ConfigError(
            f"The row has {len(row)} fields, and the header has {places.width}.", remedy="Mend the row.", where=where
        )
    asset_id, symbol = row[places.asset_id].strip(), row[places.symbol].strip()
    if not asset_id or not symbol:
        raise ConfigError("The row has a blank identifier or ticker.", remedy="Fill it in.", where=where)
    first, end = _day(row, places.valid_from, where), _day(row, places.valid_to, where)
    if first is not None and end is not None and end <= first:
        raise ConfigError(
            f"'{asset_id}' is '{symbol}' from {first} and no more from {end} on: on no day at all.",
            remedy="The end is the first day on which it does not hold any more; correct the dates.",
            where=where,
        )
    return MappedTicker(asset_id, symbol, first, end)


def _day(row: list[str], place: int | None, where: str) -> date | None:
    text = "" if place is None else row[place].strip()
    if not text:
        return None
    try:
        # fromisoformat alone would take 20210104 and 2021-W01-1 as well.
        return date.fromisoformat(text if _ISO_DATE.match(text) else "")
    except ValueError as error:
        raise ConfigError(
            f"'{text}' is not a date.", remedy="Write it as YYYY-MM-DD, or leave it blank for no limit.", where=where
        ) from error


def _columns(settings: MappingTable, header: list[str], where: str) -> _Places:
    names = [name.strip() for name in header]
    given = settings.model_fields_set
    _refuse_unread_dates(settings, names, where)
    return _Places(
        _place(settings.id_column, names, where),
        _place(settings.symbol_column, names, where),
        # A name that was not chosen is one that the table need not have.
        _place(settings.from_column, names, where) if "from_column" in given or settings.from_column in names else None,
        _place(settings.to_column, names, where) if "to_column" in given or settings.to_column in names else None,
        len(names),
    )


def _refuse_unread_dates(settings: MappingTable, names: list[str], where: str) -> None:
    """A column that looks like the validity of a row and is not read would make each row valid for ever."""
    for name in names:
        plain = name.casefold().replace(" ", "_").replace("-", "_")
        if name not in (settings.from_column, settings.to_column) and _VALIDITY.fullmatch(plain):
            raise ConfigError(
                f"The column '{name}' looks like the dates between which a row holds, and it is not read.",
                remedy=f"Call it '{settings.from_column}' or '{settings.to_column}', or name it as from_column or "
                "to_column of 'mapping' in the strategy manifest.",
                where=where,
            )


def _place(wanted: str, names: list[str], where: str) -> int:
    if names.count(wanted) != 1:
        found = "twice" if wanted in names else "not"
        raise ConfigError(
            f"The column '{wanted}' is {found} in the header ({', '.join(names)}).",
            remedy="Correct the columns of 'mapping' in the strategy manifest.",
            where=where,
        )
    return names.index(wanted)


def _text(file: str) -> str:
    try:
        path = Path(file)
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError("The mapping table is too large.", remedy="Keep what is needed.", where=file)
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"The mapping table cannot be read ({error.strerror}).",
            remedy="Create it, or correct mapping.file in the strategy manifest.",
            where=file,
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError("The mapping table is not UTF-8.", remedy="Save it as UTF-8.", where=file) from error
