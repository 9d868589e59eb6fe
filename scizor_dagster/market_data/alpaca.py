"""Prices from Alpaca's data API: raw daily bars, newest trades, corporate actions, listings.

What belongs here: the provider's side: which requests, which pages, its fields in our columns. What does
not: HTTP (`brokers.alpaca.transport`), which rows are good (`quality`).

Bars are asked for as traded (`adjustment=raw`) and always with a feed: its default differs between the
API's own documents. `iex` is one exchange's trades: its closes are not the official ones.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from math import ceil
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from scizor_dagster.brokers.alpaca.pacing import Seconds, Wait
from scizor_dagster.brokers.alpaca.rows import Unreadable, decimal, instant, text
from scizor_dagster.brokers.alpaca.settings import AlpacaSettings, Api
from scizor_dagster.brokers.alpaca.transport import Transport
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.instruments import EXCHANGE_MICS
from scizor_dagster.market_data.alpaca_actions import CURRENCY, TYPES, action_rows
from scizor_dagster.market_data.provider import (
    ACTION_COLUMNS,
    Adjustment,
    FailureReason,
    LatestPrice,
    Listing,
    LookupCalls,
    SymbolFailure,
    SymbolReason,
)
from scizor_dagster.market_data.symbol_failures import require_answers
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

POINTS_PER_PAGE = 10_000
SYMBOLS_PER_REQUEST = 500
"""As many as fit into an address of four thousand characters, which servers and proxies take."""
PAGES_PER_BATCH = 10
"""What is under way at a time: a batch of symbols that fills so many pages wastes little of its last one."""
ACTIONS_PER_PAGE = 1000
_ONE_BY_ONE = 10
"""Up to so many symbols are looked up singly; for more the whole list of assets is one message."""
_FIELDS = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
_FOUND = 200
_INVALID = re.compile(r"invalid symbols?\W+(.*)", re.IGNORECASE | re.DOTALL)
_UNREADABLE = (Unreadable, ValueError, ArithmeticError)
T = TypeVar("T")


class AlpacaMarket:
    """See `provider.MarketData`.

    Args:
        calendar: Of the market; dates bars and decides which sessions have closed.
        monotonic: Seconds that only grow; paces requests.
        wait: Called with seconds, returns after them.
    """

    adjustment: Adjustment = "raw"
    synthetic = False
    lookup_calls: LookupCalls = "one"

    def __init__(
        self,
        settings: AlpacaSettings,
        calendar: TradingCalendar,
        *,
        monotonic: Seconds = time.monotonic,
        wait: Wait = time.sleep,
    ) -> None:
        self.name = f"alpaca:{settings.feed}"
        self._feed = settings.feed
        self._calendar = calendar
        self._trading = Transport(Api.TRADING, settings, monotonic, wait)
        self._data = Transport(Api.DATA, settings, monotonic, wait)
        self._pages_read = 0
        self._failed: dict[str, SymbolFailure] = {}
        self._counting = Lock()

    @property
    def calls_made(self) -> int:
        return self._pages_read

    @property
    def failed(self) -> Mapping[str, SymbolFailure]:
        """Symbols that Alpaca refuses to be asked for, or whose bars cannot be read."""
        return dict(self._failed)

    def calls(self, symbols: int, sessions: int) -> int:
        return ceil(symbols * sessions / POINTS_PER_PAGE)

    def symbols_per_batch(self, sessions: int) -> int:
        return max(1, min(SYMBOLS_PER_REQUEST, PAGES_PER_BATCH * POINTS_PER_PAGE // sessions))

    def close(self) -> None:
        """Close the connections."""
        self._trading.close()
        self._data.close()

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """The US share or fund spelt exactly so; an inactive one only where no active one has its name."""
        rows: dict[str, list[Mapping[str, Any]]] = {symbol: [] for symbol in symbols}
        for row in self._assets(symbols):
            symbol = row.get("symbol")
            if symbol in rows and row.get("class") == "us_equity":
                rows[symbol].append(row)
        return {symbol: _read(lambda some=some: _listings(some)) for symbol, some in rows.items()}  # type: ignore[misc]

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        """See `MarketData.daily_bars`; `failed` names those of which nothing can be had.

        Raises:
            BrokerUnavailable: Alpaca does not answer, or nothing of an answer can be read.
        """
        through = min(last, self._calendar.last_settled(now))
        if through < first:
            return
        for symbol in symbols:
            self._failed.pop(symbol, None)
        for batch in _batches(symbols):
            query = {
                "timeframe": "1Day",
                "start": self._midnight(first),
                "end": self._midnight(through),
                "adjustment": "raw",
                "feed": self._feed,
                "limit": POINTS_PER_PAGE,
            }
            for body in self._pages_of_valid(batch, query):
                with self._counting:
                    self._pages_read += 1
                yield from self._readable(_mapping(body, "bars"))
            require_answers(self.name, batch, self.failed)

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """The newest trade of each symbol, with its own time."""
        found: dict[str, LatestPrice] = {}
        for batch in _batches(symbols):
            query = {"symbols": ",".join(batch), "feed": self._feed}
            body = self._data.read("/stocks/trades/latest", query, what="latest trades").body
            for symbol, row in _mapping(body, "trades").items():
                price = _read(lambda symbol=symbol, row=row: self._latest(symbol, row))  # type: ignore[misc]
                if price is not None and price.at <= now:
                    found[symbol] = price
        return tuple(found[symbol] for symbol in symbols if symbol in found)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        import pandas as pd

        for symbol in symbols:
            self._failed.pop(symbol, None)
        rows: list[tuple[Any, ...]] = []
        for batch in _batches(symbols):
            query = {
                "symbols": ",".join(batch),
                "types": ",".join(TYPES),
                "start": first.isoformat(),
                "end": last.isoformat(),
                "limit": ACTIONS_PER_PAGE,
            }
            for body in self._pages("/corporate-actions", query, "corporate actions", version="v1"):
                listed = _mapping(body, "corporate_actions")
                rows.extend(_read(lambda listed=listed: list(action_rows(listed, symbols))))  # type: ignore[misc]
        chosen = [row for row in rows if first <= row[1] <= last]
        frame = pd.DataFrame(chosen, columns=list(ACTION_COLUMNS))
        return frame.astype({"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"})

    def _assets(self, symbols: Sequence[str]) -> list[Mapping[str, Any]]:
        if len(symbols) > _ONE_BY_ONE:
            query = {"asset_class": "us_equity"}
            body = self._trading.read("/assets", query, what="assets").body
            if not isinstance(body, list):
                raise _unreadable(Unreadable("the answer is no list of assets"))
            return body
        replies = [self._trading.read(f"/assets/{symbol}", what="asset", absent=True) for symbol in symbols]
        return [reply.body for reply in replies if reply.status == _FOUND and isinstance(reply.body, Mapping)]

    def _pages(self, path: str, query: Mapping[str, Any], what: str, version: str = "v2") -> Iterator[Any]:
        """Every page of an answer; a token that comes back would be read for ever."""
        token: str | None = None
        seen: set[str] = set()
        while True:
            asked = {**query, "page_token": token} if token else query
            body = self._data.read(path, asked, what=what, version=version).body
            yield body
            if not isinstance(body, Mapping) or "next_page_token" not in body:
                raise _unreadable(Unreadable(f"a page of {what} does not say whether it is the last"))
            token = body["next_page_token"]
            if not token:
                return
            if token in seen:
                raise _unreadable(Unreadable(f"a page of {what} comes twice"))
            seen.add(token)

    def _pages_of_valid(self, symbols: Sequence[str], query: Mapping[str, Any]) -> Iterator[Any]:
        """Pages of bars. One symbol that Alpaca takes for invalid has it refuse the whole list: it is left out."""
        asked = list(symbols)
        while asked:
            try:
                yield from self._pages("/stocks/bars", {**query, "symbols": ",".join(asked)}, "bars")
            except BrokerUnavailable as refusal:
                invalid = [symbol for symbol in asked if symbol in _called_invalid(refusal.problem)]
                if not invalid:
                    raise
                failure = SymbolFailure(FailureReason.REFUSED_QUESTION, refusal.problem)
                self._failed |= dict.fromkeys(invalid, failure)
                asked = [symbol for symbol in asked if symbol not in invalid]
            else:
                return

    def _readable(self, listed: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
        """The bars of a page, without those of symbols of which a row cannot be read, unless that is all."""
        page = [(symbol, row) for symbol, rows in listed.items() for row in rows or ()]
        unread: dict[str, SymbolFailure] = {}
        try:
            if page:
                yield self._bars(page)
            return
        except _UNREADABLE as error:
            problem = error
        for symbol in dict.fromkeys(symbol for symbol, _ in page):
            try:
                self._bars([row for row in page if row[0] == symbol])
            except _UNREADABLE as error:
                unread[symbol] = SymbolFailure(FailureReason.UNREADABLE, str(error))
        left = [row for row in page if row[0] not in unread]
        if not left:
            raise _unreadable(problem) from problem
        self._failed |= unread
        yield self._bars(left)

    def _bars(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        zone = self._calendar.timezone
        sessions = [instant(row, "t").astimezone(zone).date() for _, row in rows]
        return pd.DataFrame(
            {
                "symbol": np.array([symbol for symbol, _ in rows], dtype=object),
                "session": np.array(sessions, dtype="datetime64[s]"),
                **{
                    name: np.array([float(decimal(row, key)) for _, row in rows], dtype="float64")
                    for name, key in _FIELDS.items()
                },
            }
        )

    def _latest(self, symbol: str, row: Any) -> LatestPrice | None:
        if row is None:
            return None
        if not isinstance(row, Mapping):
            raise Unreadable(f"the latest trade of {symbol} is {row!r}")
        return LatestPrice(symbol, decimal(row, "p"), instant(row, "t"), self.name)

    def _midnight(self, day: date) -> str:
        return datetime(day.year, day.month, day.day, tzinfo=self._calendar.timezone).isoformat()


def _called_invalid(problem: str) -> set[str]:
    """Symbols that an error of Alpaca's names as invalid."""
    found = _INVALID.search(problem)
    return set(re.findall(r"[A-Za-z0-9./-]*[A-Za-z0-9]", found[1])) if found else set()


def _batches(symbols: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(symbols), SYMBOLS_PER_REQUEST):
        yield symbols[start : start + SYMBOLS_PER_REQUEST]


def _listings(rows: Sequence[Mapping[str, Any]]) -> tuple[Listing, ...]:
    active = [row for row in rows if row.get("status") == "active"]
    return tuple(_listing(row) for row in active or rows)


def _listing(row: Mapping[str, Any]) -> Listing:
    inactive = row.get("status") != "active"
    exchange = str(row.get("exchange") or "")
    return Listing(
        text(row, "symbol"),
        text(row, "id"),
        EXCHANGE_MICS.get(exchange),
        CURRENCY,
        str(row.get("name") or ""),
        objection=SymbolReason.INACTIVE if inactive else None,
        note=f"Alpaca's asset is {row.get('status')}" if inactive else "",
        tradable=_flag(row, "tradable"),
        shortable=_flag(row, "shortable"),
        fractionable=_flag(row, "fractionable"),
        exchange=exchange,
    )


def _flag(row: Mapping[str, Any], name: str) -> bool | None:
    value = row.get(name)
    return value if isinstance(value, bool) else None


def _mapping(body: Any, name: str) -> Mapping[str, Any]:
    found = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping):
        raise _unreadable(Unreadable(f"'{name}' is missing"))
    return found


def _read(make: Callable[[], T]) -> T:
    try:
        return make()
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"Alpaca's prices cannot be read: {error}.",
        remedy="Nothing was stored from the answer. Run again; if it stays so, the API has changed.",
    )
