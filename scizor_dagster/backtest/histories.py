"""A market's history out of the lake, as the arrays that a backtest runs on.

What belongs here: stored bars and corporate actions to a `History`, and what is said of those that are not in it. What
does not: histories from files (`history_files`), and what actions do to a portfolio (the engine).

Only what the lake believes is here: a bar that is quarantined is no bar, and one of a session that has not closed was
never stored. Prices are of one kind, `raw` wherever the source gives that. Actions come along as far as the prices do
not know them already: splits and dividends of raw prices, dividends of split-adjusted ones, and every delisting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.backtest.model import Action, ActionKind, History
from scizor_dagster.errors import DataError, InputError, PriceUnavailable
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.reading import NO_SESSION, PriceKind
from scizor_dagster.market_data.way_out import again_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELDS = ("open", "high", "low", "close", "volume")
IN_PRICES: Mapping[str, tuple[str, ...]] = {"raw": (), "split": ("split",), "total_return": ("split", "dividend")}
"""Kinds of actions that prices of an adjustment know already."""
ORDER = {ActionKind.SPLIT: 0, ActionKind.DIVIDEND: 1, ActionKind.DELISTING: 2}
_SHOWN = 8
_PRICE_FACTOR = {
    "raw": "CASE WHEN b.adjustment = 'raw' THEN 1.0 END",
    "split": "CASE b.adjustment WHEN 'raw' THEN f.split_factor WHEN 'split' THEN 1.0 END",
    "total_return": "CASE b.adjustment WHEN 'total_return' THEN 1.0 ELSE f.total_return_factor END",
}
_SHARES_FACTOR = "CASE b.adjustment WHEN 'raw' THEN f.split_factor ELSE 1.0 END"
_FACTORS = (
    "ASOF LEFT JOIN (FROM adjustment_factors) f "
    "ON b.market = f.market AND b.symbol = f.symbol AND b.session >= f.first_session"
)
_NAMED = (
    "JOIN (SELECT unnest($symbols) AS symbol, unnest(range(len($symbols))) AS place) n ON n.symbol = b.symbol "
    "WHERE b.market = $market AND b.session BETWEEN $first AND $last"
)
_RENAMED = "renames without prices under the old name, whose holding ends in cash at the last close"
_FOREIGN = "dividends in another currency, which are not paid"
_UNPAID = "spin-offs and rights, of which nothing is paid"
_KINDS = "('split', 'dividend', 'delisting', 'rename', 'spin_off', 'rights')"


@dataclass
class Bars:
    """T x N arrays that are being filled, NaN where nothing is known yet."""

    days: NDArray[Any]
    symbols: tuple[str, ...]
    values: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def empty(cls, sessions: Sequence[date], symbols: Sequence[str], names: Sequence[str]) -> Bars:
        days = np.array(sessions, dtype="datetime64[D]")
        shape = (len(days), len(symbols))
        return cls(days, tuple(symbols), {name: np.full(shape, np.nan) for name in names})

    def places(self, days: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The row of each of `days`, and whether it is a session at all."""
        rows = np.minimum(np.searchsorted(self.days, days), max(len(self.days) - 1, 0))
        return rows, self.days[rows] == days


def lake_history(
    lake: Lake,
    market: str,
    sessions: Sequence[date],
    instruments: Mapping[str, Instrument],
    currency: str,
    kind: PriceKind | None = None,
) -> History:
    """Bars and actions of `instruments` in `sessions`.

    Args:
        lake: Read at one state of it.
        market: By its name in the configuration.
        sessions: Closed sessions of the market's calendar, each of them, in order.
        instruments: By symbol; those without any bar are left out, with a note.
        currency: Of the market. An instrument in another one is refused.
        kind: Of the prices; None is the least adjusted that the source gives.

    Raises:
        PriceUnavailable: there are no prices of this kind in these sessions.
        DataError: the lake has two bars of one instrument and session.
        InputError: an instrument's currency is another one.
    """
    _require_currency(instruments, currency, market)
    with lake.pinned() as pinned:
        with pinned.read() as cursor:
            chosen, notes = _kind(cursor, market, sessions, sorted(instruments), kind)
        symbols = _with_bars(pinned, market, sessions, sorted(instruments))
        bars = _bars(pinned, market, sessions, symbols, chosen)
        notes += _without_factors(bars, market, chosen)
        actions, told = _actions(pinned, market, bars, instruments, chosen)
        quarantined = _quarantined(pinned, market, sessions, symbols)
    missing = sorted(set(instruments) - set(symbols))
    if missing:
        notes.append(f"No prices from {sessions[0]} to {sessions[-1]}: {few(missing)}.")
    notes += [*told, *quarantined, *without_prices(bars), *ended(bars, actions)]
    return History(
        sessions=tuple(sessions),
        instruments=tuple(instruments[symbol] for symbol in symbols),
        currency=currency,
        adjustment=chosen,
        close=bars.values["close"],
        open=bars.values["open"],
        high=bars.values["high"],
        low=bars.values["low"],
        volume=bars.values["volume"],
        actions=actions,
        source=f"lake: market {market}",
        notes=tuple(notes),
    )


def few(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def in_order(actions: Sequence[Action]) -> tuple[Action, ...]:
    """By session, splits before dividends before delistings."""
    return tuple(sorted(actions, key=lambda one: (one.row, ORDER[one.kind], one.column)))


def without_prices(bars: Bars) -> list[str]:
    """A sentence on sessions in which nothing has a price."""
    empty = np.isnan(bars.values["close"]).all(axis=1)
    if not empty.any():
        return []
    named = [str(bars.days[at]) for at in np.flatnonzero(empty)]
    return [f"{len(named)} sessions without any price, in which nothing fills: {few(named)}."]


def ended(bars: Bars, actions: Sequence[Action]) -> list[str]:
    """A sentence on instruments whose prices end before the history does, without a delisting that says why."""
    known = ~np.isnan(bars.values["close"])
    size = len(bars.days)
    last = np.where(known.any(axis=0), size - 1 - known[::-1].argmax(axis=0), size)
    delisted = {action.column for action in actions if action.kind is ActionKind.DELISTING}
    gone = [
        f"{bars.symbols[at]} ({bars.days[last[at]]})" for at in np.flatnonzero(last < size - 1) if at not in delisted
    ]
    if not gone:
        return []
    return [
        f"Prices that end before the last session, without a known delisting, so that a holding stays at its last "
        f"close: {few(gone)}."
    ]


def _require_currency(instruments: Mapping[str, Instrument], currency: str, market: str) -> None:
    other = [f"{item.symbol} ({item.currency})" for item in instruments.values() if item.currency != currency]
    if other:
        raise InputError(
            f"A backtest is in one currency; market '{market}' is in {currency}, and these are not: {few(other)}.",
            remedy="Leave them out with --symbols, or run them on a market of their own currency.",
            where=f"market {market}",
        )


def _kind(
    cursor: Any, market: str, sessions: Sequence[date], symbols: Sequence[str], wanted: PriceKind | None
) -> tuple[PriceKind, list[str]]:
    """The kind of prices, and sentences on what they are."""
    rows = cursor.execute(
        "SELECT adjustment, count(*), bool_or(synthetic) FROM bars WHERE market = ? AND session BETWEEN ? AND ? "
        "AND symbol IN (SELECT unnest(?)) GROUP BY adjustment",
        [market, sessions[0], sessions[-1], list(symbols)],
    ).fetchall()
    if not rows:
        raise PriceUnavailable(
            f"The lake has no prices of market '{market}' from {sessions[0]} to {sessions[-1]}.",
            remedy=f"Collect them: scizor collect history --market {market}.",
            where=f"market {market}",
        )
    given: dict[PriceKind, int] = {row[0]: row[1] for row in rows}
    order: tuple[PriceKind, ...] = ("total_return", "split", "raw")
    least: PriceKind = next(name for name in order if name in given)
    chosen = least if wanted is None else wanted
    lost = sum(count for name, count in given.items() if order.index(name) < order.index(chosen))
    if lost == sum(given.values()):
        raise PriceUnavailable(
            f"The source gives no {chosen} prices of market '{market}', only {' and '.join(sorted(given))} ones.",
            remedy="Choose another kind with --kind, or leave it out.",
            where=f"market {market}",
        )
    notes = [f"{lost} bars are more adjusted than {chosen} and are left out."] if lost else []
    if chosen != "raw":
        known = "splits" if chosen == "split" else "splits and dividends"
        notes.append(f"Prices know their {known} already: quantities are in the units of the newest price.")
    if any(row[2] for row in rows):
        notes.append("Prices are synthetic: these figures say nothing of any market.")
    return chosen, notes


def _with_bars(lake: Lake, market: str, sessions: Sequence[date], symbols: Sequence[str]) -> tuple[str, ...]:
    with lake.read() as cursor:
        rows = cursor.execute(
            "SELECT DISTINCT symbol FROM bars WHERE market = ? AND session BETWEEN ? AND ?",
            [market, sessions[0], sessions[-1]],
        ).fetchall()
    there = {row[0] for row in rows}
    return tuple(symbol for symbol in symbols if symbol in there)


def _bars(lake: Lake, market: str, sessions: Sequence[date], symbols: Sequence[str], kind: PriceKind) -> Bars:
    bars = Bars.empty(sessions, symbols, FIELDS)
    for first, last in _years(sessions):
        _fill(lake, market, bars, first, last, kind)
    return bars


def _without_factors(bars: Bars, market: str, kind: PriceKind) -> list[str]:
    """A sentence on symbols whose bars give no price of this kind."""
    nothing = np.isnan(bars.values["close"]).all(axis=0)
    if nothing.all():
        raise PriceUnavailable(
            f"The lake has bars of market '{market}' and none of their {kind} prices: the factors are not computed.",
            remedy=f"Compute them: scizor collect history --market {market}, or materialize {market}/prices.",
            where=f"market {market}",
        )
    lost = [bars.symbols[at] for at in np.flatnonzero(nothing)]
    return [f"No {kind} prices, though there are bars: {few(lost)}."] if lost else []


def _years(sessions: Sequence[date]) -> Iterator[tuple[date, date]]:
    """A year at once: bars are stored by it, and no more of them are in memory twice."""
    for _, days in groupby(sessions, key=lambda day: day.year):
        of_year = list(days)
        yield of_year[0], of_year[-1]


def _fill(lake: Lake, market: str, bars: Bars, first: date, last: date, kind: PriceKind) -> None:
    price = _PRICE_FACTOR[kind]
    shares, joined = ("1.0", "") if kind == "raw" else (_SHARES_FACTOR, _FACTORS)
    prices = ", ".join(f"b.{name} * {price} AS {name}" for name in FIELDS[:-1])
    asked = {"symbols": list(bars.symbols), "market": market, "first": first, "last": last}
    with lake.read() as cursor:
        found = cursor.execute(
            f"SELECT place, b.session, {prices}, b.volume / ({shares}) AS volume FROM bars b {joined} {_NAMED}", asked
        ).fetchnumpy()
    days = np.asarray(found["session"]).astype("datetime64[D]")
    rows, held = bars.places(days)
    places = np.asarray(found["place"], dtype=np.int64)
    _require_once(market, bars, rows[held], places[held])
    for name, values in bars.values.items():
        given = np.ma.filled(np.ma.masked_invalid(found[name]), np.nan)
        values[rows[held], places[held]] = given[held]
    # What has no close of this kind has no bar.
    missing = np.isnan(bars.values["close"][rows[held], places[held]])
    for values in bars.values.values():
        values[rows[held][missing], places[held][missing]] = np.nan


def _require_once(market: str, bars: Bars, rows: NDArray[Any], places: NDArray[Any]) -> None:
    if not len(rows):
        return
    low, width = int(rows.min()), len(bars.symbols)
    taken = np.bincount((rows - low) * width + places)
    if taken.max() > 1:
        row, place = divmod(int(taken.argmax()), width)
        raise DataError(
            f"The lake holds {int(taken.max())} bars of {bars.symbols[place]} in session {bars.days[low + row]}.",
            remedy=f"Collect its series anew: {again_command(market, 'raw', bars.symbols[place])}.",
            where="bars",
        )


def _actions(
    lake: Lake, market: str, bars: Bars, instruments: Mapping[str, Instrument], kind: PriceKind
) -> tuple[tuple[Action, ...], list[str]]:
    """Actions after the first session, in the units of the prices, and sentences on those that have no effect."""
    factor = "f.split_factor" if kind == "split" else "1.0"
    joined = _FACTORS.replace("b.session", "b.ex_session") if kind == "split" else ""
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT DISTINCT b.symbol, b.ex_session, b.kind, b.ratio, b.amount * coalesce({factor}, 1.0), b.currency, "
            f"b.new_symbol FROM {whole('corporate_actions', 'b')} {joined} WHERE b.market = ? "
            f"AND b.ex_session > ? AND b.ex_session <= ? AND b.kind IN {_KINDS} "
            "ORDER BY b.symbol, b.ex_session, b.kind",
            [market, bars.days[0].item(), bars.days[-1].item()],
        ).fetchall()
    columns = {symbol: at for at, symbol in enumerate(bars.symbols)}
    found: list[Action] = []
    unknown: dict[str, list[str]] = {}
    for symbol, ex_session, name, ratio, amount, paid_in, _ in rows:
        column = columns.get(symbol)
        if column is None or name in IN_PRICES[kind]:
            continue
        row = int(np.searchsorted(bars.days, np.datetime64(ex_session)))
        action = _action(name, row, column, ratio, amount)
        foreign = name == "dividend" and paid_in not in (None, instruments[symbol].currency)
        if name == "rename" and not _goes_on(bars, column, row):
            unknown.setdefault(_RENAMED, []).append(f"{symbol} ({ex_session})")
            action = Action(ActionKind.DELISTING, row, column, float("nan"))
        elif foreign:
            unknown.setdefault("dividends in another currency, which are not paid", []).append(
                f"{symbol} ({ex_session})"
            )
            continue
        elif action is None and name in ("spin_off", "rights"):
            unknown.setdefault(_UNPAID, []).append(f"{symbol} ({ex_session})")
        if action is not None:
            found.append(action)
    notes = [f"{len(names)} {what}: {few(names)}." for what, names in unknown.items()]
    return in_order(found), notes


def _action(name: str, row: int, column: int, ratio: float | None, amount: float | None) -> Action | None:
    if name == "split" and ratio and ratio > 0:
        return Action(ActionKind.SPLIT, row, column, float(ratio))
    if name == "dividend" and amount and amount > 0:
        return Action(ActionKind.DIVIDEND, row, column, float(amount))
    if name == "delisting":
        return Action(ActionKind.DELISTING, row, column, float("nan"))
    return None


def _goes_on(bars: Bars, column: int, row: int) -> bool:
    """Whether the column has prices from `row` on: another company has the ticker, or the rename was undone."""
    return not np.isnan(bars.values["close"][row:, column]).all()


def _quarantined(lake: Lake, market: str, sessions: Sequence[date], symbols: Sequence[str]) -> list[str]:
    """A sentence on bars that are not believed, and so are not here."""
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT symbol, session FROM {whole('quarantined_bars')} WHERE market = ? AND session BETWEEN ? AND ? "
            "AND symbol IN (SELECT unnest(?)) AND reason NOT IN (SELECT unnest(?)) ORDER BY session, symbol",
            [market, sessions[0], sessions[-1], list(symbols), list(NO_SESSION)],
        ).fetchall()
    if not rows:
        return []
    return [f"{len(rows)} prices are quarantined and not used: {few([f'{name} ({day})' for name, day in rows])}."]
