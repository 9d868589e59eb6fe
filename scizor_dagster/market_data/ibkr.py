"""Prices from Interactive Brokers: daily bars, a request for each contract and several at a time, and quotes.

What belongs here: durations and ends of requests, waiting where IBKR asks for it. What does not: what their errors
mean (`ibkr_answers`), the connection and the contracts (`brokers.ibkr`), and which rows are good (`quality`).

The bars are IBKR's TRADES: adjusted for splits, not for dividends. A later split rewrites them, which a
comparison with stored bars shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scizor_dagster.brokers.ibkr.codes import Meaning, meaning
from scizor_dagster.brokers.ibkr.connection import ApiMessage, IbkrConnection, shared_connection
from scizor_dagster.brokers.ibkr.contracts import Contracts, mic_of
from scizor_dagster.brokers.ibkr.orders import exact
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.ibkr_answers import Answered, errors_read
from scizor_dagster.market_data.provider import (
    ACTION_COLUMNS,
    BAR_COLUMNS,
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

WAITS = (15.0, 60.0, 180.0)
"""Seconds to wait after each answer that asks for a pause; after the last one the request has failed."""
DELAY = timedelta(minutes=20)
"""How old a delayed quote is at most."""
_NO_CONTRACT = 200
_DELAYED_TYPES = (3, 4)
_LOOK_BACK = timedelta(days=14)
_DAYS_IN_DAYS = 365
LONGEST = timedelta(days=20 * 365)
"""Most that one request is made for: 20 years are known to be answered, and no limit is published."""
_FEWEST_SESSIONS = 5_000
"""That so many days have at least."""
OPEN_REQUESTS = 12
"""Requests for bars that are open at a time unless the configuration says otherwise; IBKR refuses more than 50."""
SYMBOLS_PER_BATCH = 25


class IbkrMarket:
    """Bars and quotes over the connection of this process to a TWS.

    Args:
        wait: Lets that many seconds pass, before a request that was asked to pause is made again.
        contract_ids: IBKR's id of each symbol's verified contract; a symbol without one is looked up first.
        open_requests: How many requests for bars may be open at a time.
    """

    def __init__(
        self,
        settings: IbkrSettings,
        calendar: TradingCalendar,
        instruments: Mapping[str, Instrument],
        wait: Callable[[float], None],
        connection: IbkrConnection | None = None,
        *,
        contract_ids: Mapping[str, int] = MappingProxyType({}),
        open_requests: int = OPEN_REQUESTS,
    ) -> None:
        self._settings = settings
        self._calendar = calendar
        self._wait = wait
        self._connection = connection or shared_connection(settings)
        self._contracts = Contracts(self._connection, instruments, settings.currency, contract_ids)
        self._open_requests = open_requests
        self._gate: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._sent = 0
        self._refused: dict[str, str] = {}
        self._failed: dict[str, SymbolFailure] = {}

    @property
    def name(self) -> str:
        return "ibkr"

    @property
    def adjustment(self) -> Adjustment:
        return "split"

    @property
    def synthetic(self) -> bool:
        return False

    @property
    def calls_made(self) -> int:
        return self._sent

    @property
    def refused(self) -> Mapping[str, str]:
        """Symbols of exchanges whose data the account has not subscribed to."""
        return dict(self._refused)

    @property
    def failed(self) -> Mapping[str, SymbolFailure]:
        """Symbols that IBKR answered with an error of theirs, or not in time."""
        return dict(self._failed)

    def calls(self, symbols: int, sessions: int) -> int:
        return symbols * ceil(sessions / _FEWEST_SESSIONS)

    def symbols_per_batch(self, sessions: int) -> int:  # noqa: ARG002
        return SYMBOLS_PER_BATCH

    @property
    def lookup_calls(self) -> LookupCalls:
        return "each"

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """The contracts that IBKR lists for each symbol: on its exchange, or if there is none there on any other."""
        return {symbol: self._listings(symbol) for symbol in symbols}

    def _listings(self, symbol: str) -> tuple[Listing, ...]:
        said: list[ApiMessage] = []
        self._connection.listeners.append(said.append)
        try:
            found = self._contracts.details(symbol)
        finally:
            self._connection.listeners.remove(said.append)
        ambiguous = [row.text for row in said if row.code == _NO_CONTRACT and "ambiguous" in row.text.lower()]
        if not found and ambiguous:
            return (Listing(symbol, "", objection=SymbolReason.AMBIGUOUS, note=ambiguous[0]),)
        return tuple(_listing(symbol, row) for row in found or self._contracts.details(symbol, anywhere=True))

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        """One frame for each symbol that has bars; `failed` names those that IBKR said nothing of.

        Raises:
            BrokerUnavailable: IBKR did not answer at all, or not for many symbols in a row.
        """
        last = min(last, self._calendar.last_settled(now))
        if last < first:
            return
        for symbol, bars in self._bars(symbols, first, last, now).items():
            rows = [bar for bar in bars if first <= bar.date <= last]
            if rows:
                yield _frame(symbol, rows)

    def bars_of(self, listing: Listing, first: date, last: date, now: datetime) -> pd.DataFrame:
        """See `provider.Identified`; from here on the symbol's bars are those of that contract."""
        import pandas as pd

        self._contracts.trust(listing.symbol, int(listing.provider_id))
        frames = list(self.daily_bars([listing.symbol], first, last, now))
        silent = self._failed.get(listing.symbol) or self._refused.get(listing.symbol)
        if silent is not None:
            words = silent if isinstance(silent, str) else silent.words
            raise self._connection.unavailable(f"bars of {listing.symbol}: {words}")
        return frames[0] if frames else pd.DataFrame(columns=list(BAR_COLUMNS))

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """The middle of the quote while the exchange is open; else the last close, of its own session."""
        session = self._calendar.current_session(now)
        is_open = self._calendar.open_at(session) <= now
        found = []
        for symbol in symbols:
            price = self._quoted(symbol, now) if is_open else None
            price = price or self._last_close(symbol, now)
            if price is not None:
                found.append(price)
        return tuple(found)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:  # noqa: ARG002
        """None: the API of TWS lists no corporate actions. A split shows in the bars, which it rewrites."""
        import pandas as pd

        return pd.DataFrame({name: pd.Series(dtype=_KINDS.get(name, "str")) for name in ACTION_COLUMNS})

    def _bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> dict[str, list[Any]]:
        """IBKR's bars of at least `first` to `last` by symbol; none where it says that there is no data."""
        found: dict[str, list[Any]] = {symbol: [] for symbol in symbols}
        asked = list(symbols)
        for pause in (*WAITS, None):
            seen = len(self._connection.messages)
            work = partial(self._together, asked, first, last, now, hold=pause is not None)
            # Each answer keeps a limit of its own; this one only finds a loop that is stuck.
            limit = self._settings.timeout * (4 + len(asked))
            answers = self._connection.call(work, f"bars of {_named(asked)}", limit)
            asked = []
            for symbol, answer in answers.items():
                if isinstance(answer, Answered) and answer.retry and pause is not None:
                    asked.append(symbol)
                else:
                    found[symbol] = self._taken(symbol, answer, seen)
            if not asked or pause is None:
                break
            self._wait(pause)
        require_answers(self.name, symbols, self.failed)
        return found

    def _taken(self, symbol: str, answer: list[Any] | Answered, seen: int) -> list[Any]:
        """The bars of one answer; `seen` messages had come before the question."""
        self._refused.pop(symbol, None)
        self._failed.pop(symbol, None)
        if isinstance(answer, Answered):
            if answer.denied:
                self._refused[symbol] = answer.words
            elif answer.failure is not None:
                self._failed[symbol] = SymbolFailure(answer.failure, answer.words)
            elif not answer.empty:
                raise self._connection.unavailable(f"bars of {symbol}: {answer.words}") from answer
            return []
        if not answer:
            said = "; ".join(str(row) for row in self._connection.messages[seen:][-3:]) or "nothing"
            words = f"no answer in time: bars of {symbol}; IBKR said {said}"
            if not self._connection.whole:
                raise self._connection.unavailable(words)
            self._failed[symbol] = SymbolFailure(FailureReason.NO_ANSWER, words)
        return answer

    async def _together(
        self, symbols: Sequence[str], first: date, last: date, now: datetime, *, hold: bool
    ) -> dict[str, list[Any] | Answered]:
        """Every symbol's answer. After one that asks for a pause, `hold` lets no further request go out.

        Raises:
            Exception: that of the first request that failed in another way; all have ended by then.
        """
        gate = self._open_gate()
        paced: list[Answered] = []

        async def one(symbol: str) -> list[Any] | Answered:
            async with gate:
                if hold and paced:
                    return paced[0]
                try:
                    return await self._years(symbol, first, last, now)
                except Answered as answer:
                    if answer.retry:
                        paced.append(answer)
                    return answer
                except BrokerUnavailable as failure:
                    if not isinstance(failure.__cause__, TimeoutError):
                        raise
                    return []

        answers = await asyncio.gather(*(one(symbol) for symbol in symbols), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Answered):
                raise answer
        return {
            symbol: answer
            for symbol, answer in zip(symbols, answers, strict=True)
            if isinstance(answer, list | Answered)
        }

    def _open_gate(self) -> asyncio.Semaphore:
        """What the requests of every caller share; a connection that was closed has another loop afterwards."""
        loop = asyncio.get_running_loop()
        if self._gate is None or self._gate[0] is not loop:
            self._gate = (loop, asyncio.Semaphore(self._open_requests))
        return self._gate[1]

    async def _years(self, symbol: str, first: date, last: date, now: datetime) -> list[Any]:
        """The bars of one symbol in as few requests as its years take, newest first until there are none."""
        found = await self._request(symbol, max(first, last - LONGEST + timedelta(days=1)), last, now)
        end = last - LONGEST
        while found and end >= first:
            try:
                older = await self._request(symbol, max(first, end - LONGEST + timedelta(days=1)), end, now)
            except Answered as answer:
                if not answer.empty:
                    raise
                break
            if not older:
                return []
            # A duration in days counts sessions, and reaches further back than it was asked to.
            begin = min(bar.date for bar in found)
            found, end = [*(bar for bar in older if bar.date < begin), *found], end - LONGEST
        return found

    async def _request(self, symbol: str, first: date, last: date, now: datetime) -> list[Any]:
        """The bars of one symbol; an id of a contract that IBKR does not know any more is looked up anew."""
        try:
            return await self._history(symbol, first, last, now)
        except Answered as answer:
            if meaning(answer.code) is not Meaning.NO_SUCH_CONTRACT or not self._contracts.distrust(symbol):
                raise
        return await self._history(symbol, first, last, now)

    async def _history(self, symbol: str, first: date, last: date, now: datetime) -> list[Any]:
        """One request. An empty list is what the library makes of a time limit that has passed."""
        with errors_read():
            contract = await self._contracts.only_one(symbol)
        if isinstance(contract, list):
            if not contract:
                raise Answered(_NO_CONTRACT, "no such contract", empty=True)
            several = f"{symbol} names {len(contract)} contracts. Give it its listing exchange in the universe file"
            remedy = "and verify it: scizor symbols validate"
            raise Answered(_NO_CONTRACT, f"{several}, {remedy}", failure=FailureReason.AMBIGUOUS)
        end = datetime.combine(last + timedelta(days=1), time(), self._calendar.timezone)
        self._sent += 1
        with errors_read():
            return list(
                await self._connection.ib.reqHistoricalDataAsync(
                    contract,
                    endDateTime=end if end < now else "",
                    durationStr=_duration(first, last),
                    barSizeSetting="1 day",
                    whatToShow="TRADES",
                    useRTH=True,
                    timeout=self._settings.timeout,
                )
            )

    def _quoted(self, symbol: str, now: datetime) -> LatestPrice | None:
        try:
            ticker = self._connection.call(lambda: self._snapshot(symbol), f"quote of {symbol}")
        except Answered as answer:
            if meaning(answer.code) is Meaning.NO_DATA_RIGHTS:
                return None
            raise self._connection.unavailable(f"quote of {symbol}: {answer.words}") from answer
        if ticker is None or not (ticker.bid > 0 and ticker.ask > 0):
            return None
        at = now - DELAY if ticker.marketDataType in _DELAYED_TYPES else now
        return LatestPrice(symbol, (exact(ticker.bid) + exact(ticker.ask)) / Decimal(2), at, "ibkr quote")

    async def _snapshot(self, symbol: str) -> Any:
        contract = await self._contracts.only_one(symbol)
        if isinstance(contract, list):
            return None
        self._connection.ib.reqMarketDataType(_DELAYED_TYPES[0])
        with errors_read():
            tickers = await self._connection.answer(self._connection.ib.reqTickersAsync(contract), f"quote of {symbol}")
        return tickers[0]

    def _last_close(self, symbol: str, now: datetime) -> LatestPrice | None:
        last = self._calendar.last_settled(now)
        bars = [bar for bar in self._bars([symbol], last - _LOOK_BACK, last, now)[symbol] if bar.date <= last]
        if symbol in self._failed:
            # A plan takes "no price" for a reason: an error is none.
            raise self._connection.unavailable(f"last close of {symbol}: {self._failed[symbol].words}")
        if not bars:
            return None
        newest = max(bars, key=lambda bar: bar.date)
        return LatestPrice(symbol, exact(newest.close), self._calendar.close_at(newest.date), "ibkr close")


_PRICES = ("open", "high", "low", "close", "volume")
_KINDS = {"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"}


def _named(symbols: Sequence[str]) -> str:
    return symbols[0] if len(symbols) == 1 else f"{len(symbols)} symbols, {symbols[0]} to {symbols[-1]}"


def _listing(symbol: str, details: Any) -> Listing:
    contract = details.contract
    primary = contract.primaryExchange
    return Listing(symbol, str(contract.conId), mic_of(primary), contract.currency, details.longName, exchange=primary)


def _duration(first: date, last: date) -> str:
    """Days up to a year, else years: IBKR refuses more than 365 days in days."""
    days = (last - first).days + 1
    return f"{days} D" if days <= _DAYS_IN_DAYS else f"{ceil(days / _DAYS_IN_DAYS)} Y"


def _frame(symbol: str, bars: list[Any]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    prices = {name: np.array([getattr(bar, name) for bar in bars], dtype="float64") for name in _PRICES}
    sessions = np.array([bar.date for bar in bars], dtype="datetime64[s]")
    return pd.DataFrame({"symbol": [symbol] * len(bars), "session": sessions, **prices})
