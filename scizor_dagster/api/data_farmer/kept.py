"""What the data farmer keeps in memory between requests: histories, and answers as they were sent.

What belongs here: how much, for how long, and reading once for all who wait. What does not: what a history is
(`market_data.price_histories`), and its forms (`encoding`).

The lake is asked whether a table has changed (`lake.versions`), and of which symbols. Those that were asked for since
the last change are read again together with what is asked for now, because fifty symbols cost hardly more than one.
When it is asked is the business of `freshness`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from scizor_dagster.api.context import Context
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.versions import TableVersions
from scizor_dagster.market_data.price_histories import TABLES, changed_symbols, price_histories

if TYPE_CHECKING:
    import pyarrow as pa

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
MIB = 1024 * 1024
HISTORIES_BYTES = 64 * MIB
ANSWERS_BYTES = 64 * MIB
MOST_AT_ONCE = 250
"""Symbols of one reading, beside those that are waited for."""


class Kept(Generic[K, T]):
    """Values by key up to a number of bytes in all; the one that was asked for longest ago goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._guard = Lock()
        self._items: OrderedDict[K, tuple[T, int]] = OrderedDict()

    def get(self, key: K) -> T | None:
        with self._guard:
            found = self._items.get(key)
            if found is None:
                return None
            self._items.move_to_end(key)
            return found[0]

    def put(self, key: K, value: T, size: int) -> None:
        """Keep it, unless it alone is too large."""
        with self._guard:
            before = self._items.pop(key, None)
            self._bytes -= before[1] if before is not None else 0
            if size > self._most:
                return
            self._items[key] = (value, size)
            self._bytes += size
            while self._bytes > self._most:
                _, (_, gone) = self._items.popitem(last=False)
                self._bytes -= gone

    def newest_first(self) -> list[tuple[K, T]]:
        """All of them; the one that was asked for last is the first."""
        with self._guard:
            return [(key, value) for key, (value, _) in reversed(self._items.items())]


@dataclass
class History:
    """Everything stored of one symbol.

    Attributes:
        digest: Of its content: the same in every process, and for as long as nothing of it changes.
        checked: Version of the tables that it is at least as new as.
        asked: Whether it was asked for since then.
    """

    table: pa.Table
    digest: str
    checked: int
    asked: bool = True


class Histories:
    """The histories that were asked for of late. Safe to share between threads."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.versions = TableVersions(lake)
        self._kept = Kept[tuple[str, str], History](HISTORIES_BYTES)
        self._guard = Lock()
        self._reading: defaultdict[str, Lock] = defaultdict(Lock)
        self._wanted: defaultdict[str, set[str]] = defaultdict(set)
        self._refreshed: int | None = None

    def at_hand(self, market: str, symbol: str) -> History | None:
        """The history of `symbol`, where it is as new as the last `refresh`. Asks nobody."""
        return self._current(market, symbol, self._refreshed) if self._refreshed is not None else None

    def refresh(self) -> None:
        """Bring up to date whatever was asked for of late, as of this moment or later."""
        version = self.versions.newest(*TABLES)
        if version == self._refreshed:
            return
        for market in {market for (market, _), _ in self._kept.newest_first()}:
            with self._reading_of(market):
                self._renewed(market, ())
        self._refreshed = version

    def of(self, market: str, symbol: str) -> History:
        """The history of `symbol`, as of this moment or later."""
        version = self.versions.newest(*TABLES)
        found = self._current(market, symbol, version)
        if found is not None:
            return found
        with self._guard:
            self._wanted[market].add(symbol)
        with self._reading_of(market):
            # Whoever was here before may have read it along.
            found = self._current(market, symbol, version)
            return found if found is not None else self._renewed(market, [symbol])[symbol]

    def _reading_of(self, market: str) -> Lock:
        with self._guard:
            return self._reading[market]

    def _current(self, market: str, symbol: str, version: int) -> History | None:
        found = self._kept.get((market, symbol))
        if found is None or found.checked < version:
            return None
        found.asked = True
        return found

    def _renewed(self, market: str, symbols: Collection[str]) -> dict[str, History]:
        """What is kept of a market, by name; `symbols` and those that were asked for since they were read as of now."""
        with self._guard:
            wanted = {*symbols, *self._wanted.pop(market, ())}
        version = self.versions.newest(*TABLES)
        held = {name: item for (place, name), item in self._kept.newest_first() if place == market}
        recent = [name for name, item in held.items() if item.asked and name not in wanted]
        due = self._confirmed(market, {name: held.get(name) for name in (*wanted, *recent[:MOST_AT_ONCE])}, version)
        tables = price_histories(self.lake, market, due) if due else {}
        for name, table in tables.items():
            held[name] = History(table, _digest(table), version, name in wanted)
            self._kept.put((market, name), held[name], table.nbytes)
        return held

    def _confirmed(self, market: str, known: Mapping[str, History | None], version: int) -> list[str]:
        """Note of those that have not changed that they are as new as `version`; the names of the others."""
        since = min((item.checked for item in known.values() if item is not None), default=version)
        changed = changed_symbols(self.lake, market, since, version)
        due = []
        for name, item in known.items():
            if item is None or changed is None or name in changed:
                due.append(name)
            else:
                item.checked = max(item.checked, version)
        return due


def _digest(table: pa.Table) -> str:
    hashed = hashlib.sha256()
    for batch in table.to_batches():
        hashed.update(batch.serialize())
    return hashed.hexdigest()


class Shelf:
    """Everything that is kept for one application."""

    def __init__(self) -> None:
        self.answers = Kept[Hashable, bytes](ANSWERS_BYTES)
        self._guard = Lock()
        self._histories: Histories | None = None

    def at_hand(self, market: str, symbol: str) -> History | None:
        """The history of `symbol`, where it is kept; see `Histories.at_hand`."""
        return self._histories.at_hand(market, symbol) if self._histories is not None else None

    def histories(self, lake: Lake) -> Histories:
        """Those of `lake`, which is the same as long as the application is there."""
        with self._guard:
            if self._histories is None or self._histories.lake is not lake:
                self._histories = Histories(lake)
            return self._histories


def shelf_of(context: Context) -> Shelf:
    """The shelf of the application."""
    return context.part(Shelf)
