"""Files of prices as rows of bars, whichever way they are laid out.

What belongs here: layouts, and how their headers are spelt. What does not: typed cells with their lines
(`market_data.file_tables`), and which rows are believed (`history_files`).

    long     symbol, session, close and maybe open, high, low, volume     a row for each bar
    single   session, close, ...                                          the same of the symbol that names the file
    folder   AAPL.csv, MSFT.csv, ...                                      a single file for each symbol
    wide     session, AAPL, MSFT, ...                                     closes, a row for each session
    wide     session, close_AAPL, open_AAPL, volume_AAPL, ...             the same with more than closes

Headers are taken in any letter case, with blanks for underscores.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from scizor_dagster.backtest.histories import FIELDS, few
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import check_symbol
from scizor_dagster.market_data.file_tables import FileTable
from scizor_dagster.market_data.reading import PriceKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "session": ("session", "date", "trade_date", "timestamp", "datetime", "day"),
    "symbol": ("symbol", "ticker", "tic", "code", "asset", "asset_id"),
    "open": ("open", "open_price"),
    "high": ("high", "high_price"),
    "low": ("low", "low_price"),
    "close": ("close", "close_price", "price"),
    "volume": ("volume",),
    "dividends": ("dividends", "dividend"),
    "splits": ("stock_splits", "splits"),
}
"""Our name to the headers that stand for it; the first of them that a file has counts."""
PAID = ("dividends", "splits")
"""Columns of actions beside the prices: cash per share, and new shares for one, on their ex session; 0 for none."""
FILES = (".csv", ".parquet")
_ADJUSTED = ("adj_close", "adjusted_close")
_PREFIXED = re.compile(r"^(open|high|low|close|volume)[_ ](\S+)$", re.IGNORECASE)
_GAP = re.compile(r"[\s_]+")


@dataclass
class Rows:
    """Bars one after the other: of row r symbol `symbols[codes[r]]`, session `days[r]`, and a value for each name.

    Names are `histories.FIELDS`, of which `close` is there, and maybe `PAID`.
    """

    symbols: NDArray[Any]
    codes: NDArray[Any]
    days: NDArray[Any]
    values: dict[str, NDArray[Any]]

    def cut(self, first: date | None, last: date | None, symbols: Sequence[str] | None) -> None:
        kept = np.ones(len(self.days), dtype=bool)
        if first is not None:
            kept &= self.days >= np.datetime64(first)
        if last is not None:
            kept &= self.days <= np.datetime64(last)
        if symbols is not None:
            wanted = np.isin(self.symbols, np.array(symbols, dtype=object))
            kept &= wanted[self.codes]
        # A row without a close is none: a wide table has one for each symbol of each session.
        kept &= ~np.isnan(self.values["close"])
        self.keep(kept)

    def keep(self, kept: NDArray[Any]) -> None:
        self.codes, self.days = self.codes[kept], self.days[kept]
        self.values = {name: values[kept] for name, values in self.values.items()}


def read_rows(path: Path, kind: PriceKind, zone: ZoneInfo) -> Rows:
    """Every row of a file, or of the files of a folder.

    Args:
        path: A file, or a folder of one file for each symbol.
        kind: `total_return` takes the adjusted closes of a file that has them.
        zone: Of dates that are instants.

    Raises:
        InputError: with file, line and value.
    """
    if not path.is_dir():
        return _read(path, kind, zone)
    files = sorted(item for item in path.iterdir() if item.suffix.lower() in FILES)
    if not files:
        raise InputError(
            "The folder has no file of prices.", remedy="Put a .csv or .parquet for each symbol there.", where=str(path)
        )
    return _together([_read(item, kind, zone) for item in files])


def _together(parts: Sequence[Rows]) -> Rows:
    names = [name for name in (*FIELDS, *PAID) if any(name in part.values for part in parts)]
    starts = np.cumsum([0, *(len(part.symbols) for part in parts)])
    values = {
        name: np.concatenate([part.values.get(name, np.full(len(part.days), np.nan)) for part in parts])
        for name in names
    }
    return Rows(
        np.concatenate([part.symbols for part in parts]),
        np.concatenate([part.codes + start for part, start in zip(parts, starts[:-1], strict=True)]),
        np.concatenate([part.days for part in parts]),
        values,
    )


def _read(path: Path, kind: PriceKind, zone: ZoneInfo) -> Rows:
    table = FileTable(path, {}, ())
    spelt = spelt_header(table.header)
    named = named_columns(spelt, SPELLINGS)
    adjusted = next((spelt[name] for name in _ADJUSTED if name in spelt), None)
    if kind == "total_return" and adjusted is not None:
        # Of such a file the other prices are not adjusted: its closes alone are of this kind.
        named = {ours: name for ours, name in named.items() if ours in ("symbol", "session", "volume")}
        named["close"] = adjusted
    if "session" not in named and _normal(table.header[0]) in ("", "unnamed:_0", "index"):
        # What a frame's index is called that has no name.
        named["session"] = table.header[0]
    if "symbol" in named:
        return _long(table, named, zone)
    return _single(table, named, zone) if "close" in named else _wide(table, named, zone)


def _normal(name: str) -> str:
    return _GAP.sub("_", name.strip().lower())


def spelt_header(header: Sequence[str]) -> dict[str, str]:
    """The file's own names by their plain spelling, the first of equal ones."""
    return {_normal(name): name for name in reversed(header)}


def named_columns(spelt: Mapping[str, str], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {ours: spelt[name] for ours, names in spellings.items() for name in reversed(names) if name in spelt}


def require_columns(
    table: FileTable, named: Mapping[str, str], required: Sequence[str], spellings: Any = SPELLINGS
) -> None:
    missing = [f"{name} ({', '.join(spellings[name])})" for name in required if name not in named]
    if missing:
        raise InputError(
            f"There is no column of {' and none of '.join(missing)}; the file has {few(table.header)}.",
            remedy="Name its columns so.",
            where=str(table.path),
        )


def _long(table: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> Rows:
    require_columns(table, named, ("symbol", "session", "close"))
    read = table.under(named)
    names, codes = read.text("symbol")
    _check_symbols(names, table.path)
    return Rows(np.array(names, dtype=object), codes, *_cells(read, named, zone))


def _cells(read: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    values = {name: read.numbers(name) for name in (*FIELDS, *PAID) if name in named}
    return read.sessions("session", zone, slashed=True).astype("datetime64[D]"), values


def _single(table: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> Rows:
    """Bars of the symbol that the file is named by."""
    require_columns(table, named, ("session",))
    _check_symbols([table.path.stem], table.path)
    codes = np.zeros(len(table), dtype=np.int64)
    return Rows(np.array([table.path.stem], dtype=object), codes, *_cells(table.under(named), named, zone))


def _wide(table: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> Rows:
    require_columns(table, named, ("session",))
    columns = [name for name in table.header if name != named["session"]]
    prefixed = [found for found in map(_PREFIXED.match, columns) if found is not None]
    fields: dict[str, dict[str, str]] = {}
    if len(prefixed) == len(columns):
        for found in prefixed:
            fields.setdefault(found.group(1).lower(), {})[found.group(2)] = found.group(0)
    else:
        fields["close"] = {name.strip(): name for name in columns}
    symbols = sorted(fields.get("close", {}))
    if not symbols:
        raise InputError(
            "There is no column of closes beside the sessions.",
            remedy="Give a column for each symbol, or the columns symbol and close.",
            where=str(table.path),
        )
    _check_symbols(symbols, table.path)
    days = table.under(named).sessions("session", zone, slashed=True).astype("datetime64[D]")
    nothing = np.full(len(days), np.nan)
    values = {
        name: np.stack([_column(table, of, symbol, nothing) for symbol in symbols], axis=1).reshape(-1)
        for name, of in fields.items()
    }
    codes = np.tile(np.arange(len(symbols)), len(days))
    return Rows(np.array(symbols, dtype=object), codes, np.repeat(days, len(symbols)), values)


def _column(table: FileTable, of: Mapping[str, str], symbol: str, nothing: NDArray[Any]) -> NDArray[Any]:
    return table.under({symbol: of[symbol]}).numbers(symbol) if symbol in of else nothing


def _check_symbols(names: Sequence[str], path: Path) -> None:
    for name in names:
        try:
            check_symbol(name)
        except InputError as error:
            raise InputError(error.problem, remedy=error.remedy, where=str(path)) from error
