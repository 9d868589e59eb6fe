"""An exchange with ten years behind it and both doors open, whose calls are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from scizor_dagster.brokers.alpaca.settings import AlpacaSettings
from scizor_dagster.brokers.ibkr.connection import IbkrConnection
from scizor_dagster.brokers.ibkr.settings import IbkrSettings
from scizor_dagster.config import Market
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.market_data.alpaca import AlpacaMarket
from scizor_dagster.market_data.collect import collect_history, collect_session, collect_symbols
from scizor_dagster.market_data.ibkr import IbkrMarket
from scizor_dagster.market_data.provider import MarketData
from scizor_dagster.market_data.reports import HistoryReport, SessionReport, SymbolsReport
from scizor_dagster.market_data.universe import UniverseEntry
from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from scizor_dagster.paper_exchange.data import SessionBar
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from scizor_dagster.paper_exchange.venue import Fault
from scizor_dagster.paper_exchange.venue_orders import House
from scizor_dagster.sessions import TradingCalendar
from tests.market_data.support import market, new_lake
from tests.paper_exchange.alpaca.support import KEY, SECRET, UNLIMITED
from tests.paper_exchange.floor import Floor

XNYS = TradingCalendar("XNYS")
FIRST, LAST = date(2014, 3, 4), date(2024, 3, 4)
END = date(2024, 4, 30)
"""The exchange knows what will trade up to here, and shows what has."""
ACCOUNTS = {"ibkr": "DU1000000", "alpaca": "main"}
_PATHS = 20
BARS, CONTRACTS = ("tws", "req_historical_data"), ("tws", "req_contract_details")
PAGES = ("alpaca", "list_bars")


class Counting:
    """Counts every call at a door, and lets all of them pass.

    Attributes:
        alarm: A kind of call with a number: `reached` is set when so many have come.
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.alarm: tuple[tuple[str, str], int] | None = None
        self.reached = Event()
        self._lock = Lock()

    def next(self, door: str, call: str) -> Fault | None:
        with self._lock:
            self.calls[door, call] += 1
            if self.alarm is not None and self.calls[self.alarm[0]] >= self.alarm[1]:
                self.reached.set()
        return None


@cache
def path(number: int) -> Mapping[date, SessionBar]:
    """A random walk over all sessions; symbols share a few of them."""
    days = XNYS.sessions(FIRST, END)
    chance = np.random.default_rng(number)
    close = 50 * np.exp(np.cumsum(chance.normal(0, 0.01, len(days))))
    opened = close * np.exp(chance.normal(0, 0.004, len(days)))
    volume = chance.integers(100_000, 900_000, len(days))
    found = {}
    for index, day in enumerate(days):
        prices = [Decimal(f"{value:.2f}") for value in (opened[index], close[index])]
        spread = Decimal("0.25")
        high, low = max(prices) + spread, min(prices) - spread
        found[day] = SessionBar(prices[0], high, low, prices[1], Decimal(int(volume[index])))
    return found


@dataclass
class Trading:
    """What trades: every symbol from its listing on, less what is missing at the source."""

    names: tuple[str, ...]
    listed: dict[str, date] = field(default_factory=dict)
    missing: set[tuple[str, date]] = field(default_factory=set)

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        found = {name: rows[session] for name in self.names if session in (rows := self._rows(name))}
        return found or None

    def history(self, symbols: Collection[str], first: date, last: date) -> Mapping[str, Mapping[date, SessionBar]]:
        known = [name for name in self.names if name in set(symbols)]
        found = {name: {day: row for day, row in self._rows(name).items() if first <= day <= last} for name in known}
        return {name: rows for name, rows in found.items() if rows}

    def _rows(self, name: str) -> Mapping[date, SessionBar]:
        rows = path(self.names.index(name) % _PATHS)
        since = self.listed.get(name, FIRST)
        if since == FIRST and not self.missing:
            return rows
        return {day: row for day, row in rows.items() if day >= since and (name, day) not in self.missing}


@dataclass
class Collecting:
    """One market with its source over a wire, a lake, and the counted calls."""

    wire: str
    venue: Floor
    trading: Trading
    counted: Counting
    provider: MarketData
    lake: Lake
    entries: tuple[UniverseEntry, ...]
    market: Market

    def now(self) -> datetime:
        return self.venue.now()

    def validate(self) -> SymbolsReport:
        return collect_symbols(self.lake, "us", self.market, self.entries, self.provider, self.now())

    def history(self, **more: Any) -> HistoryReport:
        common = (self.lake, "us", self.market, self.provider, XNYS, self.trading.names)
        return collect_history(*common, FIRST.year, self.now().year, self.now(), **more)

    def daily(self, session: date, **more: Any) -> SessionReport:
        common = (self.lake, "us", self.market, self.provider, XNYS, self.trading.names)
        return collect_session(*common, session, self.now(), **more)

    def calls(self) -> int:
        """Requests for bars since the last question, at the door."""
        return self.counted.calls.pop(BARS if self.wire == "ibkr" else PAGES, 0)


@contextmanager
def exchange(folder: Path, wire: str, symbols: int) -> Iterator[tuple[Floor, Trading, Counting, int | str]]:
    """The exchange at the close of `LAST` with one door open: its port (IBKR) or address (Alpaca)."""
    names = tuple(f"S{number:03}" for number in range(symbols))
    rows = [Instrument(name, "XNYS", "USD", name) for name in names]
    house = House(wire)
    venue = Floor(folder, rows, now=XNYS.settled_at(LAST), accounts=(ACCOUNTS[wire],), house=house)
    trading, counted = Trading(names), Counting()
    venue.market_data.bars = trading.bars  # type: ignore[method-assign]
    venue.market_data.history = trading.history  # type: ignore[method-assign]
    if wire == "ibkr":
        with serve_tws(venue, faults=counted) as tws:
            yield venue, trading, counted, tws.port
    else:
        with serve_alpaca(venue, {KEY: (SECRET, ACCOUNTS[wire])}, rules=UNLIMITED, faults=counted) as alpaca:
            yield venue, trading, counted, alpaca.url


@contextmanager
def source(wire: str, place: int | str, names: tuple[str, ...]) -> Iterator[MarketData]:
    """A provider at a door that is open."""
    instruments = {name: Instrument(name, "XNYS", "USD", name) for name in names}
    if wire == "ibkr":
        connection = IbkrConnection(IbkrSettings("127.0.0.1", int(place), 5, ACCOUNTS[wire], timeout=120.0))
        yield IbkrMarket(connection.settings, XNYS, instruments, lambda _seconds: None, connection)
        connection.close()
    else:
        provider = AlpacaMarket(AlpacaSettings(KEY, SECRET, str(place), requests_per_minute=100_000), XNYS)
        yield provider
        provider.close()


@contextmanager
def collecting(folder: Path, wire: str, symbols: int) -> Iterator[Collecting]:
    """Everything for one market over one wire, with an empty lake."""
    with exchange(folder, wire, symbols) as (venue, trading, counted, place):
        lake = new_lake(folder)
        entries = tuple(
            UniverseEntry(Instrument(name, "XNYS", "USD", name), "Technology", "", Path("universe.csv"), 2)
            for name in trading.names
        )
        with source(wire, place, trading.names) as provider:
            yield Collecting(wire, venue, trading, counted, provider, lake, entries, market(FIRST))
        lake.close()


def collect_elsewhere(
    wire: str, place: int | str, names: tuple[str, ...], location: LakeLocation, since: date, now: datetime
) -> None:
    """Body of another process: the history of `names` into the lake."""
    lake = Lake(location)
    with source(wire, place, names) as provider:
        years = (since.year, now.year)
        collect_history(lake, "us", market(FIRST), provider, XNYS, names, *years, now, since=since)
