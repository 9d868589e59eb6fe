"""Prices from Yahoo Finance by the package yfinance: what is to be had for the ASX without a subscription.

What belongs here: tickers, and yfinance's answers in our columns. What does not: pace, failures and repetition
(`yahoo_wire`), which rows are good (`quality`).

Prices are adjusted for splits and not for dividends; Yahoo has no raw ones. Its dividends are on the same basis.
Capital gains of funds are left out: Yahoo counts many of them among the dividends already. One request brings a
symbol's bars, actions and description together, from the first session asked for up to now.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from scizor_dagster.errors import BrokerUnavailable, ConfigError
from scizor_dagster.instruments import Instrument
from scizor_dagster.market_data.provider import (
    ACTION_COLUMNS,
    BAR_COLUMNS,
    Adjustment,
    FailureReason,
    LatestPrice,
    Listing,
    SymbolFailure,
)
from scizor_dagster.market_data.symbol_failures import require_answers
from scizor_dagster.market_data.yahoo_wire import NoSense, NothingThere, Seconds, Wait, Wire, open_session
from scizor_dagster.sessions import Clock, TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger("scizor.market_data")
_US = ("XNYS", "XNAS", "ARCX", "BATS", "XASE", "IEXG")
_SUFFIXES = {"XASX": ".AX", **dict.fromkeys(_US, "")}
_MICS = {
    "ASX": "XASX",
    "NYQ": "XNYS",
    "PCX": "ARCX",
    "ASE": "XASE",
    "BTS": "BATS",
    **dict.fromkeys(("NMS", "NGM", "NCM", "NAS"), "XNAS"),
}
"""Yahoo's codes of exchanges; over-the-counter markets are none."""
_COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
_TIMEOUT = 30
_CRUMB = re.compile(r"crumb=[^&\s]+")
_SHOWN = 200
_KEPT_SECONDS = 300.0
_SYMBOLS_PER_BATCH = 25


@dataclass(frozen=True)
class _Answer:
    """What Yahoo said of one ticker: every bar and action since `first`, with `closed` the last closed session."""

    frame: pd.DataFrame
    meta: Mapping[str, Any]
    first: date
    closed: date
    at: float


class YahooMarket:
    """See `provider.MarketData`.

    Args:
        calendar: Of the market; decides which sessions have closed.
        instruments: By symbol; their exchanges say which of Yahoo's tickers is meant.
        currency: Of the market. Prices in another one, pence among them, are not handed on.
        cache: Folder for what yfinance keeps: cookies, and the time zone of each ticker.
        clock: The time, which says whether a bar was complete when it was fetched.
        monotonic: Seconds that only grow.
        wait: Called with seconds, returns after them.

    Raises:
        ConfigError: yfinance is not installed, or the exchange is none whose tickers are known.
    """

    name = "yahoo"
    adjustment: Adjustment = "split"
    synthetic = False
    lookup_calls: Literal["each"] = "each"

    def __init__(
        self,
        calendar: TradingCalendar,
        instruments: Mapping[str, Instrument],
        currency: str,
        cache: Path,
        where: str,
        *,
        clock: Clock = lambda: datetime.now(UTC),
        monotonic: Seconds = time.monotonic,
        wait: Wait = time.sleep,
    ) -> None:
        self._calendar = calendar
        self._instruments = instruments
        self._currency = currency
        self._clock = clock
        self._monotonic = monotonic
        self._wire = Wire(monotonic, wait)
        self._answers: dict[str, _Answer] = {}
        self._failed: dict[str, SymbolFailure] = {}
        self._one_by_one = Lock()
        for mic in {calendar.code, *(item.mic for item in instruments.values())}:
            if mic not in _SUFFIXES:
                raise ConfigError(
                    f"Yahoo's tickers of exchange {mic} are not known.",
                    remedy="Use another provider; Yahoo serves the ASX and the exchanges of the US.",
                    where=where,
                )
        self._yfinance, self._session = _load(self._wire, cache, where)

    @property
    def calls_made(self) -> int:
        """Requests sent so far, repetitions and those for cookies included."""
        return self._wire.calls

    @property
    def failed(self) -> Mapping[str, SymbolFailure]:
        """Symbols whose answer made no sense."""
        return dict(self._failed)

    def calls(self, symbols: int, sessions: int) -> int:  # noqa: ARG002
        """One for each symbol, whatever the range; the first ever for a symbol takes one more."""
        return symbols

    def symbols_per_batch(self, sessions: int) -> int:  # noqa: ARG002
        """How many symbols to ask for at a time."""
        return _SYMBOLS_PER_BATCH

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """One match, by the ticker's own exchange and currency, or none."""
        found: dict[str, tuple[Listing, ...]] = {}
        for symbol in symbols:
            meta = self._described(symbol)
            mic = _MICS.get(str(meta.get("exchangeName")))
            name = str(meta.get("longName") or meta.get("shortName") or "")
            listing = Listing(symbol, self._ticker(symbol), mic, meta.get("currency"), name)
            found[symbol] = (listing,) if mic else ()
        return found

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        """See `MarketData.daily_bars`.

        Raises:
            BrokerUnavailable: Yahoo does not answer, or many answers in a row make no sense: one that has no bar of a
                symbol that has traded since `first`, as it says itself, makes none.
        """
        through = min(last, self._calendar.last_settled(now))
        if through < first:
            return
        for symbol, answer in self._each(symbols, first, through):
            bars = self._bars(symbol, answer, first, through)
            if len(bars):
                yield bars
            elif self._has_traded(answer, first, through):
                words = f"Yahoo has no bar of {symbol} from {first} to {through}, and says that it has traded since"
                self._failed[symbol] = SymbolFailure(FailureReason.UNREADABLE, words)

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        found = []
        for symbol in symbols:
            meta = self._described(symbol)
            price, at = meta.get("regularMarketPrice"), meta.get("regularMarketTime")
            if not price or at is None or not self._is_ours(symbol, meta):
                continue
            latest = LatestPrice(symbol, Decimal(str(price)), _instant(at), self.name)
            if latest.at <= now:
                found.append(latest)
        return tuple(found)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for symbol, answer in self._each(symbols, first, last):
            if answer is not None:
                rows.extend(self._actions(symbol, answer.frame, first, last))
        frame = pd.DataFrame(rows, columns=list(ACTION_COLUMNS))
        return frame.astype({"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"})

    def _ticker(self, symbol: str) -> str:
        instrument = self._instruments.get(symbol)
        suffix = _SUFFIXES[instrument.mic if instrument else self._calendar.code]
        return symbol.replace(".", "-").replace("/", "-").replace(" ", "-") + suffix

    def _described(self, symbol: str) -> Mapping[str, Any]:
        """Yahoo's description of the ticker, with its newest price; empty where there is none."""
        ticker = self._ticker(symbol)
        # A symbol that has not traded for days has a description and no bars.
        with suppress(_NoBars):
            if self._ask(ticker, period="5d") is None:
                return {}
        return self._wire.meta[ticker]

    def _each(self, symbols: Sequence[str], first: date, through: date) -> Iterator[tuple[str, _Answer | None]]:
        """What Yahoo says of each symbol; one whose answer makes no sense is left out, and named in `failed`."""
        for number, symbol in enumerate(symbols, start=1):
            self._failed.pop(symbol, None)
            try:
                answer = self._ours(symbol, first, through)
            except NoSense as error:
                self._failed[symbol] = SymbolFailure(FailureReason.UNREADABLE, error.problem)
            else:
                yield symbol, answer
            require_answers(self.name, symbols[:number], self.failed)

    def _ours(self, symbol: str, first: date, through: date) -> _Answer | None:
        """The bars and actions since `first`, where the ticker is a security of this market."""
        answer = self._answer(symbol, first, through)
        return answer if answer is not None and self._is_ours(symbol, answer.meta) else None

    def _answer(self, symbol: str, first: date, through: date) -> _Answer | None:
        """The bars and actions since `first`: those of a few minutes ago, where they reach as far."""
        ticker = self._ticker(symbol)
        kept = self._answers.get(ticker)
        now = self._calendar.last_settled(self._clock())
        fresh = kept is not None and self._monotonic() - kept.at < _KEPT_SECONDS
        if kept is not None and fresh and kept.first <= first and kept.closed >= min(through, now):
            return kept
        try:
            frame = self._ask(ticker, start=first.isoformat())
        except _NoBars as error:
            frame = error.frame
        if frame is None:
            return None
        answer = _Answer(frame, self._wire.meta[ticker], first, now, self._monotonic())
        self._answers[ticker] = answer
        return answer

    def _ask(self, ticker: str, **span: str) -> pd.DataFrame | None:
        """One question to Yahoo; None where it knows no such ticker.

        An end is never named: yfinance would answer it from memory for as long as the process lives.
        """
        errors = self._yfinance.exceptions
        try:
            asked = self._yfinance.Ticker(ticker, session=self._session)
            with self._one_by_one:
                frame: pd.DataFrame = asked.history(
                    interval="1d", auto_adjust=False, actions=True, keepna=True, timeout=_TIMEOUT, **span
                )
        except NothingThere:
            return None
        except BrokerUnavailable:
            raise
        except errors.YFPricesMissingError as error:
            if error.yahoo_reason is None and self._wire.meta.get(ticker):
                raise _NoBars(_empty()) from error
            raise _unreadable(ticker, error) from error
        except Exception as error:
            # What yfinance does not understand ends in whatever its parsing stumbles over.
            raise _unreadable(ticker, error) from error
        return frame

    def _bars(self, symbol: str, answer: _Answer | None, first: date, through: date) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        if answer is None:
            return pd.DataFrame(columns=list(BAR_COLUMNS))
        days = _dates(answer.frame)
        wanted = np.array([first <= day <= min(through, answer.closed) for day in days], dtype=bool)
        chosen = answer.frame[wanted]
        return pd.DataFrame(
            {
                "symbol": np.full(len(chosen), symbol, dtype=object),
                "session": np.array([day for day, take in zip(days, wanted, strict=True) if take], "datetime64[s]"),
                **{ours: chosen[theirs].to_numpy(dtype="float64") for ours, theirs in _COLUMNS.items()},
            }
        )

    def _actions(self, symbol: str, frame: pd.DataFrame, first: date, last: date) -> Iterator[tuple[Any, ...]]:
        ticker = self._ticker(symbol)
        paid_in = {
            at.astimezone(self._calendar.timezone).date(): currency
            for (paid, at), currency in self._wire.paid_in.items()
            if paid == ticker
        }
        for day, ratio, amount in zip(_dates(frame), frame["Stock Splits"], frame["Dividends"], strict=True):
            if not first <= day <= last:
                continue
            if ratio > 0:
                yield (symbol, day, "split", float(ratio), None, None, None)
            if amount > 0:
                yield (symbol, day, "dividend", None, float(amount), paid_in.get(day, self._currency), None)

    def _is_ours(self, symbol: str, meta: Mapping[str, Any]) -> bool:
        """Whether the ticker is a security of this market; prices in pence are none in pounds."""
        exchange, currency = str(meta.get("exchangeName")), meta.get("currency")
        if exchange in _MICS and currency == self._currency:
            return True
        LOG.warning(
            "yahoo: %s is a ticker of %s in %s, and the market is in %s; nothing of it is taken",
            symbol, exchange, currency, self._currency,
        )  # fmt: skip
        return False

    def _has_traded(self, answer: _Answer | None, first: date, through: date) -> bool:
        """Whether Yahoo itself says that there was a trade in the range of which it has no bar."""
        at = answer.meta.get("regularMarketTime") if answer is not None else None
        return at is not None and first <= _instant(at).astimezone(self._calendar.timezone).date() <= through


class _NoBars(Exception):
    """A ticker that Yahoo describes, without a bar in the range; `frame` is an empty one."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        super().__init__()


def _load(wire: Wire, cache: Path, where: str) -> tuple[Any, Any]:
    """The package, told where it may write and to keep quiet, and a session for it."""
    try:
        import yfinance
        import yfinance.exceptions

        session = open_session(wire)
    except ImportError as error:
        raise ConfigError(
            f"Prices from Yahoo need a package that is not installed ({error.name}).",
            remedy="Install it: pip install 'scizor[yahoo]'.",
            where=where,
        ) from error
    yfinance.set_tz_cache_location(str(cache))
    yfinance.config.debug.hide_exceptions = False
    # Every failure is an exception here; a second report of it on the terminal says nothing more.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL + 1)
    return yfinance, session


def _empty() -> pd.DataFrame:
    import pandas as pd

    columns = [*_COLUMNS.values(), "Stock Splits", "Dividends"]
    return pd.DataFrame({name: pd.Series(dtype="float64") for name in columns}, index=pd.DatetimeIndex([]))


def _dates(frame: pd.DataFrame) -> list[date]:
    """Dates at the exchange: the index is its midnights, in its own time zone."""
    return [stamp.date() for stamp in frame.index]


def _instant(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    found: datetime = value.to_pydatetime()
    return found


def _unreadable(ticker: str, error: Exception) -> NoSense:
    # An address in an error of the library may hold the crumb of its cookie.
    words = _CRUMB.sub("crumb=...", " ".join(str(error).split()))[:_SHOWN]
    return NoSense(
        f"Yahoo's answer about {ticker} cannot be read: {type(error).__name__}: {words}.",
        remedy="Nothing was stored from it. Run again; if it stays so, update yfinance.",
    )
