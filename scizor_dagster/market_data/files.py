"""Prices from files: one long table, or a folder with one file per symbol.

What belongs here: the provider's side: which files, which slice of them. What does not: how a value is
read (`file_tables`), which rows are good (`quality`).

A file is read once for each (path, modification time, size) and kept, sorted by session, in this
process; a changed file is read anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scizor_dagster import config
from scizor_dagster.errors import InputError
from scizor_dagster.market_data.file_tables import FileTable
from scizor_dagster.market_data.provider import (
    ACTION_COLUMNS,
    ACTION_KINDS,
    ADJUSTED_CLOSE,
    PRICE_COLUMNS,
    Adjustment,
    LatestPrice,
    Listing,
    LookupCalls,
)
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (*PRICE_COLUMNS, "volume")
Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Bars:
    """The bars of one file, sorted by session, then symbol; arrays of equal length."""

    symbols: NDArray[np.object_]
    codes: NDArray[np.int64]
    sessions: NDArray[np.datetime64]
    values: dict[str, NDArray[np.float64]]

    def rows(self, symbols: Sequence[str], first: date, last: date) -> NDArray[np.int64]:
        """Indexes of the rows of `symbols` in the sessions from `first` to `last`."""
        lower = np.searchsorted(self.sessions, np.datetime64(first, "s"))
        upper = np.searchsorted(self.sessions, np.datetime64(last, "s"), side="right")
        wanted = np.isin(self.symbols, np.array(list(symbols), dtype=object))
        return lower + np.flatnonzero(wanted[self.codes[lower:upper]])


class FilesMarket:
    """A provider over files whose columns and adjustment the configuration declares.

    Args:
        settings: The `provider` section of a market.
        folder: The configuration's folder, which relative paths start from.
        calendar: Of the market: closes decide what is left out, its time zone dates the timestamps.

    Raises:
        InputError: on first use, a file that is missing, lacks a column or holds an unreadable value.
    """

    lookup_calls: LookupCalls = "none"

    def __init__(self, settings: config.FilesProvider, folder: Path, calendar: TradingCalendar) -> None:
        self._settings = settings
        self._path = folder / settings.path
        self._actions_path = folder / settings.actions if settings.actions else None
        self._calendar = calendar
        self._read: dict[Path, tuple[Stamp, _Bars]] = {}
        self._read_actions: tuple[Stamp, pd.DataFrame] | None = None
        self.name = f"files:{self._path.name}"
        self.adjustment: Adjustment = settings.adjustment
        self.synthetic = settings.synthetic

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """A symbol matches when the files hold a bar of it, spelt exactly so."""
        known = {symbol for bars in self._tables(symbols) for symbol in bars.symbols}
        return {symbol: (Listing(symbol, provider_id=""),) if symbol in known else () for symbol in symbols}

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        through = min(last, self._calendar.last_settled(now))
        for bars in self._tables(symbols):
            rows = bars.rows(symbols, first, through)
            if len(rows):
                yield _frame(bars, rows)

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """Last close of each symbol, at that session's close; rows on days without one are passed over."""
        through = self._calendar.last_settled(now)
        newest: dict[str, LatestPrice] = {}
        for bars in self._tables(symbols):
            closes = bars.values["close"]
            for row in reversed(bars.rows(symbols, self._calendar.first, through)):
                symbol, session = str(bars.symbols[bars.codes[row]]), bars.sessions[row].astype(object).date()
                usable = np.isfinite(closes[row]) and closes[row] > 0 and self._calendar.is_session(session)
                if symbol not in newest and usable:
                    price, at = Decimal(repr(float(closes[row]))), self._calendar.close_at(session)
                    newest[symbol] = LatestPrice(symbol, price, at, self.name)
                if len(newest) == len(symbols):
                    break
        return tuple(newest[symbol] for symbol in symbols if symbol in newest)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        frame = self._actions()
        lower, upper = np.datetime64(first, "s"), np.datetime64(last, "s")
        chosen = frame["symbol"].isin(list(symbols)) & frame["ex_session"].between(lower, upper)
        return frame[chosen].reset_index(drop=True)

    def _tables(self, symbols: Sequence[str]) -> Iterator[_Bars]:
        if self._settings.layout == "long":
            yield self._bars(self._path, None)
            return
        if not self._path.is_dir():
            raise InputError(
                "The folder does not exist.",
                remedy="Create it, or correct `path` of the provider.",
                where=str(self._path),
            )
        for symbol in symbols:
            path = self._path / f"{symbol}.{self._settings.format}"
            # A ticker may hold a slash; it never leads out of the folder.
            if path.parent == self._path and path.is_file():
                yield self._bars(path, symbol)

    def _bars(self, path: Path, symbol: str | None) -> _Bars:
        stamp = _stamp(path)
        kept = self._read.get(path)
        if kept is None or kept[0] != stamp:
            kept = (stamp, _load_bars(path, self._settings, symbol, self._calendar))
            self._read[path] = kept
        return kept[1]

    def _actions(self) -> pd.DataFrame:
        if self._actions_path is None:
            return _empty_actions()
        stamp = _stamp(self._actions_path)
        if self._read_actions is None or self._read_actions[0] != stamp:
            frame = _load_actions(self._actions_path, self._settings, self._calendar)
            self._read_actions = (stamp, frame)
        return self._read_actions[1]


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(
            f"The file cannot be read ({error.strerror}).",
            remedy="Create it, or correct the path.",
            where=str(path),
        ) from error
    return found.st_mtime_ns, found.st_size


def _load_bars(path: Path, settings: config.FilesProvider, symbol: str | None, calendar: TradingCalendar) -> _Bars:
    required = ("session", *_NUMBERS) if symbol else ("symbol", "session", *_NUMBERS)
    table = FileTable(_of_format(path, settings.format), settings.columns, required, (ADJUSTED_CLOSE,))
    numbers = (*_NUMBERS, ADJUSTED_CLOSE) if table.has(ADJUSTED_CLOSE) else _NUMBERS
    sessions = table.sessions("session", calendar.timezone)
    names, codes = ([symbol], np.zeros(len(table), dtype=np.int64)) if symbol else table.text("symbol")
    order = np.lexsort((codes, sessions))
    return _Bars(
        np.array(names, dtype=object),
        codes[order],
        sessions[order],
        {name: table.numbers(name)[order] for name in numbers},
    )


def _of_format(path: Path, declared: str) -> Path:
    if path.suffix.lower() not in (".csv", ".parquet") or path.suffix.lower() == f".{declared}":
        return path
    raise InputError(
        f"The file is declared as {declared}.", remedy="Correct `format` of the provider.", where=str(path)
    )


def _frame(bars: _Bars, rows: NDArray[np.int64]) -> pd.DataFrame:
    import pandas as pd

    values = {name: values[rows] for name, values in bars.values.items()}
    return pd.DataFrame({"symbol": bars.symbols[bars.codes[rows]], "session": bars.sessions[rows], **values})


def _empty_actions() -> pd.DataFrame:
    import pandas as pd

    kinds = {"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"}
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "str")) for name in ACTION_COLUMNS})


def _load_actions(path: Path, settings: config.FilesProvider, calendar: TradingCalendar) -> pd.DataFrame:
    import pandas as pd

    optional = ("ratio", "amount", "currency", "new_symbol")
    table = FileTable(path, settings.actions_columns, ("symbol", "ex_session", "kind"), optional)
    symbols, symbol_codes = table.text("symbol")
    kinds, kind_codes = table.text("kind")
    unknown = [code for code in kind_codes if kinds[code] not in ACTION_KINDS]
    if unknown:
        row = int(np.flatnonzero(kind_codes == unknown[0])[0])
        raise InputError(
            f"'{kinds[unknown[0]]}' is not a kind of corporate action.",
            remedy=f"Use one of {', '.join(ACTION_KINDS)}.",
            where=table.where(row),
        )
    return pd.DataFrame(
        {
            "symbol": np.array(symbols, dtype=object)[symbol_codes],
            "ex_session": table.sessions("ex_session", calendar.timezone),
            "kind": np.array(kinds, dtype=object)[kind_codes],
            "ratio": table.numbers("ratio"),
            "amount": table.numbers("amount"),
            "currency": table.optional_text("currency"),
            "new_symbol": table.optional_text("new_symbol"),
        }
    )
