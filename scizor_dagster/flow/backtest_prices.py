"""Which prices a backtest runs on: of a market of the lake, or of a file.

What belongs here: from a request to a history, and the returns of its benchmark. What does not: reading them
(`backtest.histories`, `backtest.history_files`).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.backtest.histories import few, lake_history
from scizor_dagster.backtest.history_files import PriceFile, file_history
from scizor_dagster.backtest.model import History
from scizor_dagster.backtest.request import BacktestRequest
from scizor_dagster.errors import InputError, PriceUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.reading import instruments, prices
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVERY_DAY = "24/7"
"""The calendar of a file that nobody named one for: each of its dates is a session."""
DEFAULT_CURRENCY = "USD"


@dataclass(frozen=True)
class PriceSource:
    """Where prices come from, before they are read.

    Attributes:
        market: Of the lake; None for a file.
        instruments: By symbol; None where every ticker is one.
    """

    request: BacktestRequest
    desk: Desk
    market: str | None
    calendar: TradingCalendar
    instruments: Mapping[str, Instrument] | None

    def history(self, symbols: frozenset[str] | None, first: date | None, lead: int) -> History:
        """Prices of `symbols` (None: of all) from `lead` sessions before the session `first` on.

        Raises:
            PriceUnavailable: there are none.
            InputError: the file cannot be read, or no symbol is left.
        """
        request = self.request
        wanted = _wanted(request, symbols)
        begins = request.first or first
        if request.prices is not None:
            read = file_history(self._file(wanted, None))
            return _from(read, begins, lead)
        assert self.market is not None
        assert self.instruments is not None
        return lake_history(
            self.desk.lake,
            self.market,
            self._sessions(begins, lead),
            self._chosen(wanted),
            self.desk.market(self.market).currency,
            request.kind,
        )

    def _chosen(self, wanted: frozenset[str] | None) -> dict[str, Instrument]:
        assert self.instruments is not None
        if wanted is None:
            return dict(self.instruments)
        unknown = sorted(set(self.request.symbols) - set(self.instruments))
        if unknown:
            raise InputError(
                f"Market '{self.market}' does not know {few(unknown)}.",
                remedy="Correct --symbols, or add them to its universe and collect them.",
                where="--symbols",
            )
        found = {name: self.instruments[name] for name in sorted(wanted) if name in self.instruments}
        if not found:
            raise InputError(
                "No symbol is left to trade.", remedy="Look at --symbols and at the weights.", where="--symbols"
            )
        return found

    def _sessions(self, begins: date | None, lead: int) -> list[date]:
        """Closed and stored sessions, as many as `lead` before the first."""
        desk, market = self.desk, self.market
        assert market is not None
        stored = _stored_span(desk, market)
        if stored is None:
            raise PriceUnavailable(
                f"The lake has no prices of market '{market}'.",
                remedy=f"Collect them: scizor collect history --market {market}.",
                where=f"market {market}",
            )
        last = min(stored[1], self.calendar.last_closed(desk.clock()), self.request.last or date.max)
        # What is before the first stored bar is no past without gains: it is not known.
        before = self.calendar.sessions(stored[0], begins) if begins is not None else []
        start = before[-1 - min(lead, len(before) - 1)] if before else stored[0]
        sessions = self.calendar.sessions(start, last)
        if not sessions:
            raise InputError(
                f"No session of {start} to {last} is left.", remedy="Look at --from and --to.", where="--from, --to"
            )
        return sessions

    def _file(self, symbols: frozenset[str] | None, kind: Any) -> PriceFile:
        request = self.request
        assert request.prices is not None
        return PriceFile(
            path=Path(request.prices),
            currency=request.currency or DEFAULT_CURRENCY,
            kind=kind or request.kind or "raw",
            actions=Path(request.actions) if request.actions is not None else None,
            calendar=None if self.calendar.code == EVERY_DAY else self.calendar,
            symbols=None if symbols is None else tuple(sorted(symbols)),
            last=request.last,
        )

    def require_benchmark(self, name: str) -> None:
        """Before anything is run.

        Raises:
            InputError: nobody knows this symbol; with those that are spelled nearly so.
        """
        if self.request.prices is not None:
            if self._of_file(name) is not None:
                return
            known: Collection[str] = [item.symbol for item in file_history(self._file(None, None)).instruments]
            where = "the file of prices"
        else:
            known, where = self.instruments or {}, f"market '{self.market}'"
            if {name, name.rpartition(".")[0]} & set(known):
                return
        near = difflib.get_close_matches(name.upper(), known, n=3)
        raise InputError(
            f"The benchmark {name} is not in {where}.",
            remedy=f"Did you mean {' or '.join(near)}?" if near else "Name one that has prices, or leave it out.",
            where="--benchmark",
        )

    def _of_file(self, name: str) -> History | None:
        # A ticker of a file may have a point in it, as BRK.B has; an instrument's id has one before its exchange.
        return self._read_one(name) or self._read_one(name.rpartition(".")[0])

    def benchmark(self, name: str, sessions: tuple[date, ...]) -> tuple[NDArray[Any] | None, str]:
        """Returns of a symbol from each of `sessions` to the next, NaN where one is not known, and what is to be said.

        Total returns where the lake has them; of a file as its prices are.
        """
        if self.request.prices is not None:
            read = self._of_file(name)
            if read is None:
                return None, f"The benchmark {name} has no prices in the file; nothing is compared."
            closes = dict(zip(read.sessions, read.close[:, 0].tolist(), strict=True))
            said = f"The benchmark {name} is compared by {read.adjustment} closes of the file."
        else:
            assert self.market is not None
            known = self.instruments or {}
            symbol = name if name in known or "." not in name else name.rpartition(".")[0]
            stored = prices(self.desk.lake, self.market, [symbol], sessions[0], sessions[-1])
            closes = dict(zip(stored["session"], stored["total_return_close"].astype(float), strict=True))
            said = ""
        values = np.array([closes.get(day, np.nan) for day in sessions], dtype=np.float64)
        if np.isnan(values).all():
            return None, f"The benchmark {name} has no total-return prices in the lake; nothing is compared."
        with np.errstate(invalid="ignore"):
            return values[1:] / values[:-1] - 1, said

    def _read_one(self, symbol: str) -> History | None:
        try:
            return file_history(self._file(frozenset({symbol}), None)) if symbol else None
        except InputError:
            return None


def _stored_span(desk: Desk, market: str) -> tuple[date, date] | None:
    """First and last session of which the market has any bar."""
    if not desk.has_lake:
        return None
    with desk.lake.read() as cursor:
        row = cursor.execute("SELECT min(session), max(session) FROM bars WHERE market = ?", [market]).fetchone()
    return row if row is not None and row[0] is not None else None


def _wanted(request: BacktestRequest, symbols: frozenset[str] | None) -> frozenset[str] | None:
    chosen = frozenset(request.symbols)
    if symbols is None:
        return chosen or None
    return symbols & chosen if chosen else symbols


def _from(history: History, begins: date | None, lead: int) -> History:
    """The history from `lead` rows before the first session that trades."""
    from scizor_dagster.backtest.model import Action

    if begins is None:
        return history
    row = next((at for at, day in enumerate(history.sessions) if day >= begins), len(history.sessions) - 1)
    start = max(row - lead, 0)
    if start == 0:
        return history
    cut = {
        name: None if getattr(history, name) is None else getattr(history, name)[start:]
        for name in ("open", "high", "low", "close", "volume")
    }
    actions = tuple(
        Action(one.kind, one.row - start, one.column, one.value) for one in history.actions if one.row > start
    )
    known: Any = cut | {"sessions": history.sessions[start:], "actions": actions}
    return History(
        instruments=history.instruments,
        currency=history.currency,
        adjustment=history.adjustment,
        source=history.source,
        notes=history.notes,
        **known,
    )


def price_source(desk: Desk, request: BacktestRequest) -> PriceSource:
    """Where the request's prices are.

    Raises:
        ConfigError: there is no such market, portfolio or calendar.
        InputError: the portfolio trades in another currency than the file's prices are in.
    """
    if request.prices is not None:
        _require_same_currency(desk, request)
        of_portfolio = desk.portfolio(request.portfolio).market if request.portfolio is not None else None
        if request.calendar is None and of_portfolio is not None:
            return PriceSource(request, desk, None, desk.calendar(of_portfolio), None)
        return PriceSource(request, desk, None, TradingCalendar(request.calendar or EVERY_DAY), None)
    market = request.market
    if market is None:
        portfolio = request.portfolio
        market = desk.portfolio(portfolio).market if portfolio is not None else next(iter(desk.config.markets))
    settings = desk.market(market)
    if request.currency not in (None, settings.currency):
        raise InputError(
            f"--currency is {request.currency}, and market '{market}' trades in {settings.currency}.",
            remedy="Leave it out: it is for prices of a file.",
            where="--currency",
        )
    at = request.first or settings.first_session
    known = {item.symbol: item for item in instruments(desk.lake, market, at)} if desk.has_lake else {}
    return PriceSource(request, desk, market, desk.calendar(market), known or dict(desk.instruments(market)))


def _require_same_currency(desk: Desk, request: BacktestRequest) -> None:
    if request.portfolio is None:
        return
    currency, stated = desk.market(desk.portfolio(request.portfolio).market).currency, request.currency
    if currency != (stated or DEFAULT_CURRENCY):
        raise InputError(
            f"Portfolio '{request.portfolio}' trades in {currency}, and the prices of the file are in "
            f"{stated or DEFAULT_CURRENCY}.",
            remedy=f"Say --currency {currency} where they are, or leave the portfolio out.",
            where="--currency",
        )
