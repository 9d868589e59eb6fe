"""Builders that the tests of this package share: frames, a market, a lake, and a provider over a frame."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from scizor_dagster.config import Market, SampleProvider
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import PARTITIONING, TABLES
from scizor_dagster.market_data.provider import ACTION_COLUMNS, BAR_COLUMNS, LatestPrice, Listing
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.sessions import TradingCalendar

XNYS = TradingCalendar("XNYS")
NOW = datetime(2024, 3, 1, 22, 0, tzinfo=UTC)
"""After the close of 2024-03-01."""


def bars_frame(rows: Sequence[tuple]) -> pd.DataFrame:
    """Bars from (symbol, ISO date, open, high, low, close, volume)."""
    frame = pd.DataFrame(list(rows), columns=list(BAR_COLUMNS))
    floats = dict.fromkeys(("open", "high", "low", "close", "volume"), "float64")
    return frame.astype({"symbol": "str", "session": "datetime64[s]", **floats})


def flat_bars(symbols: Sequence[str], sessions: Sequence[date], price: float = 10.0) -> pd.DataFrame:
    """One bar for each symbol and session, all at about one price that rises by a cent each session."""
    return bars_frame(
        [
            (symbol, day, price + 0.01 * i, price + 0.5 + 0.01 * i, price - 0.5, price + 0.01 * i, 1000.0)
            for symbol in symbols
            for i, day in enumerate(sessions)
        ]
    )


def actions_frame(rows: Sequence[tuple]) -> pd.DataFrame:
    """Actions from (symbol, ISO date, kind, ratio, amount, currency, new symbol)."""
    frame = pd.DataFrame(list(rows), columns=list(ACTION_COLUMNS))
    return frame.astype({"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"})


class FrameMarket:
    """A provider whose answers are a frame, and which remembers what it was asked."""

    name = "frame"
    synthetic = False
    lookup_calls = "none"

    def __init__(self, bars: pd.DataFrame, actions: pd.DataFrame | None = None, adjustment: str = "raw") -> None:
        self.bars = bars
        self.actions = actions_frame([]) if actions is None else actions
        self.adjustment = adjustment
        self.listings: dict[str, tuple[Listing, ...]] = {}
        self.asked: list[tuple[tuple[str, ...], date, date]] = []

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        return {symbol: self.listings.get(symbol, (Listing(symbol, f"id:{symbol}"),)) for symbol in symbols}

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        self.asked.append((tuple(symbols), first, last))
        within = self.bars["session"].between(pd.Timestamp(first), pd.Timestamp(last))
        chosen = self.bars[within & self.bars["symbol"].isin(list(symbols))]
        for _symbol, batch in chosen.groupby("symbol"):
            yield batch

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        return ()

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        within = self.actions["ex_session"].between(pd.Timestamp(first), pd.Timestamp(last))
        return self.actions[within & self.actions["symbol"].isin(list(symbols))]


class CountingMarket(FrameMarket):
    """A source that counts its calls: one for each symbol, two symbols at a time. It fails at `broken`."""

    calls_made = 0
    broken: frozenset[str] = frozenset()

    def calls(self, symbols, sessions):
        return symbols

    def symbols_per_batch(self, sessions):
        return 2

    def daily_bars(self, symbols, first, last, now):
        self.calls_made += len(symbols)
        yield from super().daily_bars(symbols, first, last, now)
        if self.broken & set(symbols):
            raise ConnectionError("gone")


def market(first_session: date = date(2024, 1, 2)) -> Market:
    return Market(
        calendar="XNYS", currency="USD", first_session=first_session, universes=("unused.csv",),
        provider=SampleProvider(type="sample"),
    )  # fmt: skip


def entry(symbol: str, sector: str = "Technology", currency: str = "USD", mic: str = "XNAS") -> UniverseEntry:
    return UniverseEntry(Instrument(symbol, mic, currency, name=symbol.title()), sector, "", Path("universe.csv"), 2)


_TABLES = (
    "empty_sessions", "absent_bars", "symbols", "universe_history", "symbol_identities", "bars", "bar_revisions",
    "second_bars", "quarantined_bars", "failed_questions", "early_bars",
    "corporate_actions", "adjustment_factors",
)  # fmt: skip


def new_lake(folder: Path) -> Lake:
    """A lake with the tables of market data alone: each table costs a test milliseconds."""
    lake = Lake(LakeLocation.embedded(folder / "lake"))
    with lake.write() as cursor:
        for name in _TABLES:
            cursor.execute(f"CREATE TABLE {name} ({TABLES[name]})")
        cursor.execute(f"ALTER TABLE bars SET PARTITIONED BY ({PARTITIONING['bars']})")
    return lake


def rows(lake: Lake, query: str) -> list[tuple]:
    with lake.read() as cursor:
        return cursor.execute(query).fetchall()
