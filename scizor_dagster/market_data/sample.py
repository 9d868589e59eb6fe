"""The synthetic market: a provider that needs no account, labelled synthetic wherever it shows.

What belongs here: the provider's side, over the paths of `sample_paths`. What does not: how a path is
drawn. Prices are `raw`: a split shows as a jump in price beside its corporate action.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.market_data.provider import ACTION_COLUMNS, Adjustment, LatestPrice, Listing, LookupCalls
from scizor_dagster.market_data.sample_paths import Path, PathMaker
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 64


class SampleMarket:
    """Deterministic prices for the instruments of a universe, from `first_session` on.

    Args:
        entries: The universe; a symbol outside it is unknown.
        seed: Two markets with the same seed and first session have the same bars.
        first_session: Where every path begins, at its own price.
    """

    name = "sample"
    adjustment: Adjustment = "raw"
    synthetic = True
    lookup_calls: LookupCalls = "none"

    def __init__(
        self, entries: Sequence[UniverseEntry], calendar: TradingCalendar, seed: int, first_session: date
    ) -> None:
        self._entries = {entry.instrument.symbol: entry for entry in entries}
        self._calendar = calendar
        self._seed = seed
        self._first_session = first_session
        self._paths: dict[str, Path] = {}

    @cached_property
    def _maker(self) -> PathMaker:
        sessions = self._calendar.sessions(self._first_session, self._calendar.last)
        return PathMaker(self._seed, np.array(sessions, dtype="datetime64[D]"))

    def _path(self, symbol: str) -> Path:
        if symbol not in self._paths:
            self._paths[symbol] = self._maker.path(symbol, self._entries[symbol].sector)
        return self._paths[symbol]

    def _range(self, first: date, last: date) -> slice:
        sessions = self._maker.sessions
        lower = np.searchsorted(sessions, np.datetime64(first, "D"))
        return slice(int(lower), int(np.searchsorted(sessions, np.datetime64(last, "D"), side="right")))

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        return {symbol: self._listings(symbol) for symbol in symbols}

    def _listings(self, symbol: str) -> tuple[Listing, ...]:
        if symbol not in self._entries:
            return ()
        instrument = self._entries[symbol].instrument
        listing = Listing(
            symbol,
            provider_id="",
            mic=instrument.mic,
            currency=instrument.currency,
            name=instrument.name,
        )
        return (listing,)

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        span = self._range(first, min(last, self._calendar.last_settled(now)))
        known = [symbol for symbol in symbols if symbol in self._entries]
        for start in range(0, len(known), _BATCH):
            frame = self._bars(known[start : start + _BATCH], span)
            if not frame.empty:
                yield frame

    def _bars(self, symbols: Sequence[str], span: slice) -> pd.DataFrame:
        import pandas as pd

        sessions = self._maker.sessions[span].astype("datetime64[s]")
        paths = [self._path(symbol) for symbol in symbols]
        masks = [path.printed[span] for path in paths]
        counts = [int(mask.sum()) for mask in masks]
        columns = {
            name: np.concatenate([getattr(path, name)[span][mask] for path, mask in zip(paths, masks, strict=True)])
            for name in ("open", "high", "low", "close", "volume")
        }
        return pd.DataFrame(
            {
                "symbol": np.repeat(np.array(symbols, dtype=object), counts),
                "session": np.concatenate([sessions[mask] for mask in masks]),
                **columns,
            }
        )

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """Close of each symbol's last printed session, at that session's close."""
        end = self._range(self._first_session, self._calendar.last_settled(now)).stop
        found = []
        for symbol in symbols:
            if symbol not in self._entries:
                continue
            printed = np.flatnonzero(self._path(symbol).printed[:end])
            if printed.size == 0:
                continue
            index = int(printed[-1])
            session: date = self._maker.sessions[index].astype(object)
            price = Decimal(f"{self._path(symbol).close[index]:.2f}")
            found.append(LatestPrice(symbol, price, self._calendar.close_at(session), self.name))
        return tuple(found)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        import pandas as pd

        span = self._range(first, last)
        sessions = self._maker.sessions.astype("datetime64[s]")
        rows = [
            (
                symbol,
                sessions[action.index],
                action.kind,
                action.ratio,
                action.amount,
                self._entries[symbol].instrument.currency if action.kind == "dividend" else None,
                None,
            )
            for symbol in symbols
            if symbol in self._entries
            for action in self._path(symbol).actions
            if span.start <= action.index < span.stop
        ]
        frame = pd.DataFrame(rows, columns=list(ACTION_COLUMNS))
        return frame.astype({"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"})
