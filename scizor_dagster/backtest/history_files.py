"""A market's history out of a file: bars by row, or a table with a column of closes for each symbol.

What belongs here: which layouts there are, how their headers are spelt, and which rows are believed. What does not:
typed cells with their lines (`market_data.file_tables`), histories out of the lake (`histories`).

    long   symbol, session, close and maybe open, high, low, volume     a row for each bar
    wide   session, AAPL, MSFT, ...                                     closes, a row for each session
    wide   session, close_AAPL, open_AAPL, volume_AAPL, ...             the same with more than closes

Headers are taken in any letter case, with blanks for underscores. A row is judged as a stored bar is: a price of zero
or below, or a close outside of high and low, is no bar; of two rows for one bar that say the same one counts, and of
two that differ none does. Each is said in a note, and nothing is filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from scizor_dagster.backtest.histories import FIELDS, IN_PRICES, Bars, ended, few, in_order
from scizor_dagster.backtest.model import Action, ActionKind, History
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument, check_symbol
from scizor_dagster.market_data.file_tables import FileTable
from scizor_dagster.market_data.reading import PriceKind
from scizor_dagster.planning.listings import NO_MARKET
from scizor_dagster.sessions import TradingCalendar

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
}
"""Our name to the headers that stand for it; the first of them that a file has counts."""
_OF_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "symbol": SPELLINGS["symbol"],
    "ex_session": ("ex_session", "ex_date", *SPELLINGS["session"]),
    "kind": ("kind", "type", "action"),
    "ratio": ("ratio", "split_ratio"),
    "amount": ("amount", "dividend"),
}
_ADJUSTED = ("adj_close", "adjusted_close")
_PREFIXED = re.compile(r"^(open|high|low|close|volume)[_ ](\S+)$", re.IGNORECASE)
_GAP = re.compile(r"[\s_]+")
_UTC = ZoneInfo("UTC")
_SUSPECTED = 2.5
"""A close this many times the last one, or this part of it, is named: it may be a split that nobody lists."""
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class PriceFile:
    """What is known of a file of prices beside its content.

    Attributes:
        kind: Its adjustment; prices of a file are what its owner says that they are.
        actions: A file of splits, dividends and delistings.
        calendar: Whose sessions the dates must be; without one every date of the file is a session.
        instruments: By symbol, where they are known; of any other its defaults hold, in `currency`.
        symbols: Which are wanted; None for all.
        first, last: Sessions outside of these are not read.
    """

    path: Path
    currency: str = "USD"
    kind: PriceKind = "raw"
    actions: Path | None = None
    calendar: TradingCalendar | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    symbols: tuple[str, ...] | None = None
    first: date | None = None
    last: date | None = None


def file_history(file: PriceFile) -> History:
    """Read a file whole.

    Raises:
        InputError: with file, line and value: it cannot be read, lacks a column, or has a cell that is no date, number
            or ticker, or nothing of it is left.
    """
    read = _read(file)
    read.cut(file.first, file.last, file.symbols)
    if not len(read.days):
        raise InputError(
            "Of the file no row is left: none is of these symbols and sessions.",
            remedy="Look at --symbols, --from and --to, or give another file.",
            where=str(file.path),
        )
    sessions, notes = _sessions(read, file)
    symbols = sorted(set(read.symbols[read.codes].tolist()))
    bars, judged = _bars(read, sessions, symbols)
    actions, told = _actions(file, bars)
    missing = sorted(set(file.symbols or ()) - set(symbols))
    notes += [f"No prices in {file.path.name}: {few(missing)}."] if missing else []
    notes += [*judged, *told, *_suspected(bars, file, actions), *ended(bars, actions)]
    instruments = tuple(file.instruments.get(name) or Instrument(name, NO_MARKET, file.currency) for name in symbols)
    other = [item.symbol for item in instruments if item.currency != file.currency]
    if other:
        raise InputError(
            f"The prices are in {file.currency}, and these instruments are not: {few(other)}.",
            remedy="Name the currency of the file with --currency.",
            where=str(file.path),
        )
    known: dict[str, Any] = {name: bars.values[name] for name in FIELDS if name in bars.values}
    return History(
        sessions=tuple(sessions),
        instruments=instruments,
        currency=file.currency,
        adjustment=file.kind,
        actions=actions,
        source=f"file: {file.path.name}",
        notes=tuple(notes),
        **known,
    )


@dataclass
class _Rows:
    """Bars one after the other: of row r symbol `symbols[codes[r]]`, session `days[r]`, and a value for each name."""

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


def _read(file: PriceFile) -> _Rows:
    table = FileTable(file.path, {}, ())
    spelt = _spelt(table.header)
    named = _named(spelt, SPELLINGS)
    adjusted = next((spelt[name] for name in _ADJUSTED if name in spelt), None)
    if file.kind == "total_return" and adjusted is not None:
        # Of such a file the other prices are not adjusted: its closes alone are of this kind.
        named = {ours: name for ours, name in named.items() if ours in ("symbol", "session", "volume")}
        named["close"] = adjusted
    if "session" not in named and _normal(table.header[0]) in ("", "unnamed:_0", "index"):
        # What a frame's index is called that has no name.
        named["session"] = table.header[0]
    zone = file.calendar.timezone if file.calendar is not None else _UTC
    return _long(table, named, zone) if "symbol" in named else _wide(table, named, zone)


def _normal(name: str) -> str:
    return _GAP.sub("_", name.strip().lower())


def _spelt(header: Sequence[str]) -> dict[str, str]:
    """The file's own names by their plain spelling, the first of equal ones."""
    return {_normal(name): name for name in reversed(header)}


def _named(spelt: Mapping[str, str], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {ours: spelt[name] for ours, names in spellings.items() for name in reversed(names) if name in spelt}


def _require(table: FileTable, named: Mapping[str, str], required: Sequence[str], spellings: Any = SPELLINGS) -> None:
    missing = [f"{name} ({', '.join(spellings[name])})" for name in required if name not in named]
    if missing:
        raise InputError(
            f"There is no column of {' and none of '.join(missing)}; the file has {few(table.header)}.",
            remedy="Name its columns so.",
            where=str(table.path),
        )


def _long(table: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> _Rows:
    _require(table, named, ("symbol", "session", "close"))
    read = table.under(named)
    names, codes = read.text("symbol")
    _check_symbols(names, table.path)
    values = {name: read.numbers(name) for name in FIELDS if name in named}
    return _Rows(np.array(names, dtype=object), codes, read.sessions("session", zone).astype("datetime64[D]"), values)


def _wide(table: FileTable, named: Mapping[str, str], zone: ZoneInfo) -> _Rows:
    _require(table, named, ("session",))
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
    days = table.under(named).sessions("session", zone).astype("datetime64[D]")
    nothing = np.full(len(days), np.nan)
    values = {
        name: np.stack([_column(table, of, symbol, nothing) for symbol in symbols], axis=1).reshape(-1)
        for name, of in fields.items()
    }
    codes = np.tile(np.arange(len(symbols)), len(days))
    return _Rows(np.array(symbols, dtype=object), codes, np.repeat(days, len(symbols)), values)


def _column(table: FileTable, of: Mapping[str, str], symbol: str, nothing: NDArray[Any]) -> NDArray[Any]:
    return table.under({symbol: of[symbol]}).numbers(symbol) if symbol in of else nothing


def _check_symbols(names: Sequence[str], path: Path) -> None:
    for name in names:
        try:
            check_symbol(name)
        except InputError as error:
            raise InputError(error.problem, remedy=error.remedy, where=str(path)) from error


def _sessions(read: _Rows, file: PriceFile) -> tuple[list[date], list[str]]:
    """Every session from the first row to the last; rows of other days are taken out, with a note."""
    days = np.unique(read.days)
    found: list[date] = days.tolist()
    if file.calendar is None:
        return found, ["No calendar was given: the dates of the file are taken for all sessions that there were."]
    sessions = file.calendar.sessions(found[0], found[-1])
    strange = sorted(set(found) - set(sessions))
    if not strange:
        return sessions, []
    kept = np.isin(read.days, np.array(sessions, dtype="datetime64[D]"))
    lost = int((~kept).sum())
    read.keep(kept)
    if not sessions or not len(read.days):
        raise InputError(
            f"No date of the file is a session of {file.calendar.code}.",
            remedy="Name another with --calendar, or none.",
            where=str(file.path),
        )
    return sessions, [
        f"{lost} rows are of {len(strange)} days that are no sessions of {file.calendar.code} and are left out: "
        f"{few([str(day) for day in strange])}."
    ]


def _bars(read: _Rows, sessions: Sequence[date], symbols: Sequence[str]) -> tuple[Bars, list[str]]:
    bars = Bars.empty(sessions, symbols, tuple(read.values))
    rows, _ = bars.places(read.days)
    place = {name: at for at, name in enumerate(symbols)}
    columns = np.array([place.get(name, -1) for name in read.symbols], dtype=np.int64)[read.codes]
    bad = _impossible(read.values)
    twice, differing = _repeated(rows * len(symbols) + columns, read.values)
    kept = ~bad & ~differing
    for name, values in read.values.items():
        bars.values[name][rows[kept], columns[kept]] = values[kept]
    notes = []
    for marks, what in (
        (bad & ~differing, "prices that no bar can have (not above zero, or outside of high and low) are left out"),
        (differing, "rows say different things of the same bar and are left out"),
    ):
        if marks.any():
            named = [f"{symbols[columns[at]]} ({read.days[at]})" for at in np.flatnonzero(marks)]
            notes.append(f"{int(marks.sum())} {what}: {few(list(dict.fromkeys(named)))}.")
    if twice:
        notes.append(f"{twice} rows stand twice and count once.")
    return bars, notes


def _impossible(values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    close = values["close"]
    bad: NDArray[Any] = ~np.isfinite(close) | (close <= 0)
    with np.errstate(invalid="ignore"):
        for name in ("open", "high", "low"):
            if name in values:
                bad |= np.isinf(values[name]) | (values[name] <= 0)
        if "volume" in values:
            bad |= np.isinf(values["volume"]) | (values["volume"] < 0)
        if "high" in values and "low" in values:
            room = np.abs(values["high"]) * _TOLERANCE
            bad |= values["low"] > values["high"] + room
            for name in ("open", "close"):
                if name in values:
                    bad |= (values[name] > values["high"] + room) | (values[name] < values["low"] - room)
    return bad


def _repeated(keys: NDArray[Any], values: Mapping[str, NDArray[Any]]) -> tuple[int, NDArray[Any]]:
    """How many rows repeat another one in everything, and which rows contradict another one."""
    differing = np.zeros(len(keys), dtype=bool)
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    if not same.any():
        return 0, differing
    equal = np.ones(len(same), dtype=bool)
    for column in values.values():
        ordered = column[order]
        equal &= (ordered[1:] == ordered[:-1]) | (np.isnan(ordered[1:]) & np.isnan(ordered[:-1]))
    contradicted = np.unique(keys[order][1:][same & ~equal])
    return int((same & equal).sum()), np.isin(keys, contradicted)


def _actions(file: PriceFile, bars: Bars) -> tuple[tuple[Action, ...], list[str]]:
    if file.actions is None:
        if file.kind == "total_return":
            return (), []
        missing = "Splits and dividends" if file.kind == "raw" else "Dividends"
        return (), [f"No actions are known of these {file.kind} prices: {missing} are not applied to holdings."]
    table = FileTable(file.actions, {}, ())
    named = _named(_spelt(table.header), _OF_ACTIONS)
    _require(table, named, ("symbol", "ex_session", "kind"), _OF_ACTIONS)
    table = table.under(named)
    names, codes = table.text("symbol")
    kinds, kind_codes = table.text("kind")
    unknown = [at for at, code in enumerate(kind_codes) if kinds[code] not in tuple(ActionKind)]
    if unknown:
        raise InputError(
            f"'{kinds[kind_codes[unknown[0]]]}' is not a kind of action that a backtest knows.",
            remedy=f"Use one of {', '.join(ActionKind)}.",
            where=table.where(unknown[0]),
        )
    days = table.sessions("ex_session", _UTC).astype("datetime64[D]")
    nothing = np.full(len(table), np.nan)
    ratio, amount = (table.numbers(name) if name in named else nothing for name in ("ratio", "amount"))
    place = {name: at for at, name in enumerate(bars.symbols)}
    found: dict[Action, None] = {}
    for at, day in enumerate(days):
        symbol, kind = names[codes[at]], ActionKind(kinds[kind_codes[at]])
        row = int(np.searchsorted(bars.days, day))
        if symbol not in place or not 0 < row < len(bars.days) or kind in IN_PRICES[file.kind]:
            continue
        value = float(ratio[at] if kind is ActionKind.SPLIT else amount[at])
        if kind is not ActionKind.DELISTING and not (np.isfinite(value) and value > 0):
            column = "ratio" if kind is ActionKind.SPLIT else "amount"
            raise InputError(
                f"The {kind} of {symbol} on {day} has no {column} above zero.",
                remedy="Fill it, or remove the row.",
                where=table.where(at),
            )
        found[Action(kind, row, place[symbol], value)] = None
    return in_order(list(found)), []


def _suspected(bars: Bars, file: PriceFile, actions: Sequence[Action]) -> list[str]:
    """Jumps of raw prices that may be splits which nobody lists."""
    if file.kind != "raw":
        return []
    close = bars.values["close"]
    listed = {(action.row, action.column) for action in actions if action.kind is ActionKind.SPLIT}
    with np.errstate(invalid="ignore", divide="ignore"):
        move = close[1:] / close[:-1]
        rows, columns = np.nonzero((move > _SUSPECTED) | (move < 1 / _SUSPECTED))
    named = [
        f"{bars.symbols[column]} ({bars.days[row + 1]}, times {move[row, column]:.3g})"
        for row, column in zip(rows, columns, strict=True)
        if (int(row) + 1, int(column)) not in listed
    ]
    return [f"Closes that jump as by a split that no action explains: {few(named)}."] if named else []
