"""Several sources of one market, asked in a stated order.

What belongs here: which source is asked for what, and when another one's prices may stand in. What does not: the
sources, and how bars are compared with their own past (`overlap`).

A later source is asked for what those before it could not give: all of it where one does not answer, and otherwise
the sessions that a symbol lacks from its first bar on. What an earlier source has given is never replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.market_data.provider import (
    BAR_COLUMNS,
    Adjustment,
    FailureReason,
    Identified,
    LatestPrice,
    Listing,
    LookupCalls,
    MarketData,
    Metered,
    Refusing,
    SymbolFailure,
)
from scizor_dagster.market_data.symbol_failures import failed_symbols
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
LOG = logging.getLogger("scizor.market_data")
COMPARED = timedelta(days=10)
"""How far before a question another source's bars are looked at, beside those that are stored."""

Stored = Callable[[Sequence[str], date, date], "pd.DataFrame"]
"""Stored bars of symbols in a range of sessions: columns symbol, session, close, source."""


def nothing_stored(symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:  # noqa: ARG001
    """Of a lake without bars."""
    import pandas as pd

    return pd.DataFrame({"symbol": [], "session": pd.Series(dtype="datetime64[s]"), "close": [], "source": []})


def unheard(provider: MarketData) -> frozenset[str]:
    """Symbols whose missing sessions prove nothing, because one of several sources was silent."""
    return provider.half_heard if isinstance(provider, FallbackMarket) else frozenset()


def source_names(provider: MarketData) -> tuple[str, ...]:
    """The sources that a provider's bars may be from, the preferred one first."""
    sources = provider.sources if isinstance(provider, FallbackMarket) else (provider,)
    return tuple(source.name for source in sources)


class FallbackMarket:
    """See `provider.MarketData`. Its name, what its prices are, and what it knows of symbols are its first source's.

    Args:
        sources: In the order in which they are asked; all give prices of one adjustment.
        calendar: Of the market; says which sessions a symbol should have.
        tolerance: Usual difference of the closes of two sources, relative, up to which one stands in for the other.
        stored: What the lake holds.

    Attributes:
        outages: What a source said when it was asked last and did not answer, by its name.
        unfit: Why another source's bars of a symbol were not taken, by symbol.
    """

    def __init__(
        self, sources: Sequence[MarketData], calendar: TradingCalendar, tolerance: float, stored: Stored
    ) -> None:
        assert len({(source.adjustment, source.synthetic) for source in sources}) == 1, "the configuration is checked"
        self._sources = tuple(sources)
        self._calendar = calendar
        self._tolerance = tolerance
        self._stored = stored
        self._failed: dict[str, SymbolFailure] = {}
        self._refused: dict[str, str] = {}
        self._half_heard: set[str] = set()
        self.outages: dict[str, str] = {}
        self.unfit: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self._sources[0].name

    @property
    def adjustment(self) -> Adjustment:
        return self._sources[0].adjustment

    @property
    def synthetic(self) -> bool:
        return self._sources[0].synthetic

    @property
    def lookup_calls(self) -> LookupCalls:
        return self._sources[0].lookup_calls

    @property
    def sources(self) -> tuple[MarketData, ...]:
        """In the order in which they are asked."""
        return self._sources

    @property
    def failed(self) -> Mapping[str, SymbolFailure]:
        """Symbols that lack something, and of which a source that was asked for it has said nothing."""
        return dict(self._failed)

    @property
    def refused(self) -> Mapping[str, str]:
        """Symbols that the first source does not show to the account, and no later one has a bar of."""
        return dict(self._refused)

    @property
    def half_heard(self) -> frozenset[str]:
        """Symbols that lack a session and of which not every source has spoken: what they lack may be there."""
        return frozenset(self._half_heard)

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """By the first source alone: another one's word would verify what that does not know, under no id of its.

        Raises:
            BrokerUnavailable: the first source does not answer.
        """
        return self._sources[0].lookup(symbols)

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        """See `MarketData.daily_bars`; every bar names the source that it came from.

        Raises:
            BrokerUnavailable: no source answers.
        """
        have = _Taken(self._calendar.sessions(first, min(last, self._calendar.last_settled(now))))
        silent: dict[str, SymbolFailure] = {}

        def ask(source: MarketData, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
            if source is not self._sources[0]:
                yield from self._standing_in(source, wanted, have, first, last, now, silent)
                return
            for batch in source.daily_bars(wanted, first, last, now):
                yield have.take(batch, source.name)

        yield from self._in_order(symbols, ask, lambda: have.lacking(symbols), silent)
        lacking = have.lacking(symbols)
        self._settle(symbols, lacking, silent)
        refused = self._sources[0].refused if isinstance(self._sources[0], Refusing) else {}
        self._half_heard.difference_update(symbols)
        self._half_heard.update(name for name in have.short_of(symbols) if name in silent or name in refused)
        for symbol in symbols:
            self._refused.pop(symbol, None)
            if symbol in refused and symbol in lacking and symbol not in silent and not have.any_of(symbol):
                self._refused[symbol] = refused[symbol]

    def bars_of(self, listing: Listing, first: date, last: date, now: datetime) -> pd.DataFrame:
        """By the first source, for ids are its own; none where it gives no bars by id."""
        import pandas as pd

        source = self._sources[0]
        if isinstance(source, Identified):
            return source.bars_of(listing, first, last, now)
        return pd.DataFrame(columns=list(BAR_COLUMNS))

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """By the first source that has one; each says which."""
        found: dict[str, LatestPrice] = {}

        def ask(source: MarketData, wanted: Sequence[str]) -> Iterable[LatestPrice]:
            return source.latest_prices(wanted, now)

        for price in self._in_order(symbols, ask, lambda: [name for name in symbols if name not in found]):
            found[price.symbol] = price
        return tuple(found[symbol] for symbol in symbols if symbol in found)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Each symbol's by the first source that has any, named in the column `source`.

        Two lists of one split would count it twice.
        """
        import pandas as pd

        parts: list[pd.DataFrame] = []
        known: set[str] = set()
        silent: dict[str, SymbolFailure] = {}

        def ask(source: MarketData, wanted: Sequence[str]) -> Iterable[pd.DataFrame]:
            return (source.corporate_actions(wanted, first, last).assign(source=source.name),)

        def lacking() -> list[str]:
            return [symbol for symbol in symbols if symbol not in known]

        for part in self._in_order(symbols, ask, lacking, silent):
            parts.append(part)
            known.update(part["symbol"])
        self._settle(symbols, lacking(), silent)
        filled = [part for part in parts if len(part)]
        return pd.concat(filled, ignore_index=True) if filled else parts[0]

    def _in_order(
        self,
        symbols: Sequence[str],
        ask: Callable[[MarketData, Sequence[str]], Iterable[T]],
        lacking: Callable[[], list[str]],
        silent: dict[str, SymbolFailure] | None = None,
    ) -> Iterator[T]:
        """What one source after the other answers: the first for all symbols, each later one for those still lacking.

        `silent` takes the symbols of which a source said nothing.

        Raises:
            BrokerUnavailable: no source answers.
        """
        failures: list[BrokerUnavailable] = []
        unanswered: dict[str, SymbolFailure] = {}
        for source in self._sources:
            wanted = list(symbols) if source is self._sources[0] else lacking()
            if not wanted and source is not self._sources[0]:
                break
            try:
                yield from ask(source, wanted)
            except BrokerUnavailable as error:
                self._note(source, error)
                failures.append(error)
                words = f"{source.name} does not answer: {error.problem}"
                unanswered |= dict.fromkeys(wanted, SymbolFailure(FailureReason.NO_ANSWER, words))
            else:
                self.outages.pop(source.name, None)
                unanswered |= failed_symbols(source, wanted)
        if len(failures) == len(self._sources):
            raise self._none_answers(failures)
        if silent is not None:
            silent |= unanswered

    def _settle(self, symbols: Sequence[str], lacking: Sequence[str], silent: Mapping[str, SymbolFailure]) -> None:
        """Keep of which symbols nobody can say that what they lack is nowhere."""
        for symbol in symbols:
            self._failed.pop(symbol, None)
        self._failed |= {symbol: silent[symbol] for symbol in lacking if symbol in silent}

    def _standing_in(
        self,
        source: MarketData,
        wanted: Sequence[str],
        have: _Taken,
        first: date,
        last: date,
        now: datetime,
        silent: dict[str, SymbolFailure],
    ) -> Iterator[pd.DataFrame]:
        """The bars of a later source in the sessions that are lacking, where its prices are of the same size."""
        import pandas as pd

        # A page that shares no session with other sources' bars is judged by those that do.
        pages = list(source.daily_bars(wanted, first - COMPARED, last, now))
        if not pages:
            return
        answer = pd.concat(pages, ignore_index=True)
        factors = self._factors(source, sorted(set(answer["symbol"])), answer, have)
        for symbol, factor in factors.items():
            self.unfit[symbol] = f"the prices of {source.name} are {factor:g} of the others'"
            silent[symbol] = SymbolFailure(FailureReason.OTHER_BASIS, self.unfit[symbol])
            LOG.warning("%s: %s; nothing of it is taken", symbol, self.unfit[symbol])
        fitting = answer[~answer["symbol"].isin(list(factors))]
        for symbol in set(fitting["symbol"]):
            self.unfit.pop(symbol, None)
        taken = have.take(have.missing_from(fitting, first), source.name)
        if len(taken):
            LOG.warning("%d bar(s) are from %s", len(taken), source.name)
            yield taken

    def _factors(
        self, source: MarketData, symbols: Sequence[str], batch: pd.DataFrame, have: _Taken
    ) -> dict[str, float]:
        """By symbol, the usual ratio of the source's closes to other sources', where it is not about 1."""
        import pandas as pd

        first, last = batch["session"].min().date(), batch["session"].max().date()
        stored = self._stored(symbols, first, last)
        # What the source itself said earlier is compared elsewhere: it restates its own past after a split.
        parts = [stored[stored["source"] != source.name], *have.batches]
        columns = ["symbol", "session", "close"]
        filled = [part[columns] for part in parts if len(part)]
        if not filled:
            return {}
        others = pd.concat(filled, ignore_index=True).drop_duplicates(["symbol", "session"], keep="last")
        both = batch[columns].merge(others, on=["symbol", "session"], suffixes=("", "_other"))
        ratios = (both["close"] / both["close_other"]).groupby(both["symbol"]).median()
        return {str(symbol): float(ratio) for symbol, ratio in ratios.items() if abs(ratio - 1) > self._tolerance}

    def _note(self, source: MarketData, error: BrokerUnavailable) -> None:
        self.outages[source.name] = error.problem
        LOG.warning("%s does not answer: %s", source.name, error.problem)

    def _none_answers(self, failures: Sequence[BrokerUnavailable]) -> BrokerUnavailable:
        said = " ".join(
            f"{source.name}: {error.problem}" for source, error in zip(self._sources, failures, strict=True)
        )
        return BrokerUnavailable(f"No source of prices answers. {said}", remedy=failures[0].remedy)


class MeteredFallbackMarket(FallbackMarket):
    """One whose first source limits how often it is asked: so do all of them together, in its batches."""

    @property
    def calls_made(self) -> int:
        """Requests for bars that its sources have counted, those of the fall-backs included."""
        return sum(source.calls_made for source in self._sources if isinstance(source, Metered))

    def calls(self, symbols: int, sessions: int) -> int:
        """Of the first source; what it lacks costs more."""
        return self._metered.calls(symbols, sessions)

    def symbols_per_batch(self, sessions: int) -> int:
        return self._metered.symbols_per_batch(sessions)

    @property
    def _metered(self) -> Metered:
        first = self._sources[0]
        assert isinstance(first, Metered), "with_fallbacks has chosen this class"
        return first


def with_fallbacks(
    sources: Sequence[MarketData], calendar: TradingCalendar, tolerance: float, stored: Stored
) -> FallbackMarket:
    """Several sources as one, which is asked as its first one is to be asked; see `FallbackMarket`."""
    kind = MeteredFallbackMarket if isinstance(sources[0], Metered) else FallbackMarket
    return kind(sources, calendar, tolerance, stored)


class _Taken:
    """What has been taken so far of one question's sessions."""

    def __init__(self, sessions: Sequence[date]) -> None:
        self._sessions = set(sessions)
        self._days: dict[str, set[date]] = {}
        self.batches: list[pd.DataFrame] = []

    def take(self, batch: pd.DataFrame, source: str) -> pd.DataFrame:
        """The batch with its source, once it is counted."""
        for symbol, days in batch.groupby("symbol")["session"]:
            self._days.setdefault(str(symbol), set()).update(days.dt.date)
        named = batch.loc[:, list(BAR_COLUMNS)].assign(source=source)
        self.batches.append(named)
        return named

    def lacking(self, symbols: Sequence[str]) -> list[str]:
        """Symbols without a bar of every session from their first one on."""
        return [symbol for symbol in symbols if self._missing(symbol)]

    def short_of(self, symbols: Sequence[str]) -> list[str]:
        """Symbols without a bar of every session."""
        return [symbol for symbol in symbols if self._sessions - self._days.get(symbol, set())]

    def any_of(self, symbol: str) -> bool:
        return symbol in self._days

    def missing_from(self, batch: pd.DataFrame, first: date) -> pd.DataFrame:
        """The rows of the batch in sessions that its symbols lack, and on days that are no sessions."""
        within = batch[batch["session"] >= datetime.combine(first, time())]
        missing = {symbol: self._missing(symbol) for symbol in set(within["symbol"])}
        rows = zip(within["symbol"], within["session"].dt.date, strict=True)
        wanted = [day in missing[symbol] or day not in self._sessions for symbol, day in rows]
        return within[np.array(wanted, dtype=bool)]

    def _missing(self, symbol: str) -> set[date]:
        days = self._days.get(symbol)
        return {day for day in self._sessions - days if day > min(days)} if days else self._sessions
