"""A market's history out of a file of prices, with the actions that are known beside it.

What belongs here: which rows are believed, and sessions, actions and notes of what is left. What does not: layouts of
files (`price_tables`), histories out of the lake (`histories`).

A row is judged as a stored bar is: a price of zero or below, or a close outside of high and low, is no bar; of two rows
for one bar that say the same one counts, and of two that differ none does. Each is said in a note, and nothing is
filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from scizor_dagster.analytics.report.formats import counted
from scizor_dagster.backtest.histories import FIELDS, IN_PRICES, Bars, ended, few, in_order, without_prices
from scizor_dagster.backtest.model import Action, ActionKind, History
from scizor_dagster.backtest.price_tables import (
    PAID,
    SPELLINGS,
    Rows,
    named_columns,
    read_rows,
    require_columns,
    spelt_header,
)
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.file_tables import FileTable
from scizor_dagster.market_data.reading import PriceKind
from scizor_dagster.planning.listings import NO_MARKET
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OF_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "symbol": SPELLINGS["symbol"],
    "ex_session": ("ex_session", "ex_date", *SPELLINGS["session"]),
    "kind": ("kind", "type", "action"),
    "ratio": ("ratio", "split_ratio"),
    "amount": ("amount", "dividend"),
}
_UTC = ZoneInfo("UTC")
_SUSPECTED = 2.5
"""A close this many times the last one, or this part of it, is named: it may be a split that nobody lists."""
_TOLERANCE = 1e-9
_SPLIT = 1.5
"""A split of this ratio or more, or its inverse, shows in the closes around it, whatever else the session brought."""
_BESIDE = (
    "Splits and dividends that stand beside the prices are applied to holdings. Prices that have them in already need "
    "another kind: split where splits are, total_return where dividends are too (auto_adjust of yfinance)."
)


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
    read = read_rows(file.path, file.kind, file.calendar.timezone if file.calendar is not None else _UTC)
    read.cut(file.first, file.last, file.symbols)
    if not len(read.days):
        raise InputError(
            "Of the file no row is left: none is of these symbols and sessions.",
            remedy="Look at --symbols, --from and --to, or give another file.",
            where=str(file.path),
        )
    sessions, notes = _sessions(read, file)
    symbols = sorted(set(read.symbols[read.codes].tolist()))
    paid = {name: read.values.pop(name) for name in PAID if name in read.values}
    bars, judged = _bars(read, sessions, symbols)
    actions, told = _actions(file, bars, _beside(file, read, bars, paid))
    missing = sorted(set(file.symbols or ()) - set(symbols))
    notes += [f"No prices in {file.path.name}: {few(missing)}."] if missing else []
    _require_moves(bars, file, actions)
    notes += [*judged, *told, *_suspected(bars, file, actions), *without_prices(bars), *ended(bars, actions)]
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


def _sessions(read: Rows, file: PriceFile) -> tuple[list[date], list[str]]:
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
        f"Left out, with {counted(lost, 'bar')}: {counted(len(strange), 'day')} of no session of {file.calendar.code}: "
        f"{few([str(day) for day in strange])}."
    ]


def _bars(read: Rows, sessions: Sequence[date], symbols: Sequence[str]) -> tuple[Bars, list[str]]:
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
        notes.append(f"Said twice and counted once: {counted(twice, 'bar')}.")
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


def _beside(file: PriceFile, read: Rows, bars: Bars, paid: Mapping[str, NDArray[Any]]) -> tuple[Action, ...] | None:
    """Actions of columns beside the prices; None where there are no such columns."""
    if not paid or file.kind == "total_return":
        return None
    place = {name: at for at, name in enumerate(bars.symbols)}
    rows, _ = bars.places(read.days)
    found: dict[Action, None] = {}
    for name, kind in zip(PAID, (ActionKind.DIVIDEND, ActionKind.SPLIT), strict=True):
        values = paid.get(name)
        if values is None or kind in IN_PRICES[file.kind]:
            continue
        for at in np.flatnonzero(np.isfinite(values) & (values > 0)):
            column = place[read.symbols[read.codes[at]]]
            if rows[at] > 0:
                found[Action(kind, int(rows[at]), column, float(values[at]))] = None
    return in_order(list(found))


def _actions(file: PriceFile, bars: Bars, beside: tuple[Action, ...] | None) -> tuple[tuple[Action, ...], list[str]]:
    """Actions of the file that is named for them, else those `beside` the prices, and a note where there are none."""
    if file.actions is None:
        if file.kind == "total_return" or beside is not None:
            return beside or (), [_BESIDE] if beside else []
        missing = "splits and dividends" if file.kind == "raw" else "dividends"
        return (), [f"No actions are known of these {file.kind} prices: {missing} are not applied to holdings."]
    table = FileTable(file.actions, {}, ())
    named = named_columns(spelt_header(table.header), _OF_ACTIONS)
    require_columns(table, named, ("symbol", "ex_session", "kind"), _OF_ACTIONS)
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
    days = table.sessions("ex_session", _UTC, slashed=True).astype("datetime64[D]")
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


def _require_moves(bars: Bars, file: PriceFile, actions: Sequence[Action]) -> None:
    """Refuse raw prices that do not move with a split that is applied to holdings: it would be counted twice."""
    if file.kind != "raw":
        return
    close, ratios = bars.values["close"], dict[tuple[int, int, int], float]()
    for action in actions:
        if action.kind is ActionKind.SPLIT:
            known = np.flatnonzero(~np.isnan(close[:, action.column]))
            at = int(np.searchsorted(known, action.row))
            if 0 < at < len(known):
                place = (int(known[at - 1]), int(known[at]), action.column)
                ratios[place] = ratios.get(place, 1.0) * action.value
    for (before, after, column), ratio in ratios.items():
        move = float(close[after, column] / close[before, column])
        # Nearer to where it was than to where the split brings it.
        if max(ratio, 1 / ratio) >= _SPLIT and abs(np.log(move)) < abs(np.log(move * ratio)):
            raise InputError(
                f"The split of {bars.symbols[column]} on {bars.days[after]}, {ratio:g} for 1, is not in the closes: "
                f"they go from {close[before, column]:g} to {close[after, column]:g}, as where it is taken out.",
                remedy="Say --kind split for prices that are adjusted for splits (yfinance's are), or total_return "
                "for dividends too; else take the split out of the actions.",
                where=str(file.path),
            )


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
