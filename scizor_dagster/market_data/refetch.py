"""Fetching bars, checking them, and fetching a restated series anew.

What belongs here: what history and a single session do alike before they write. What does not: SQL
(`bar_store`), rules (`quality`), ranges (`history`, `session_bars`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import stored_bars
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.overlap import Restatement
from scizor_dagster.market_data.provider import BAR_COLUMNS, MarketData
from scizor_dagster.market_data.quality import CheckedBars, check_bars
from scizor_dagster.market_data.reports import SuspectedSplit
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

RESTATED = "restated_source"


@dataclass(frozen=True)
class Source:
    """A provider with the calendar, symbols, instant and judge that one collection uses throughout."""

    provider: MarketData
    calendar: TradingCalendar
    symbols: tuple[str, ...]
    now: datetime
    judge: Judge

    def fetch(self, symbols: Sequence[str], first: date, last: date) -> CheckedBars:
        """Every bar of `symbols` from `first` to `last`, checked."""
        batches = list(self.provider.daily_bars(symbols, first, last, self.now))
        return check_bars(_joined(batches), self.calendar, self.now, self.symbols)


@dataclass(frozen=True)
class Refetched:
    """Whole series that replace the stored ones, and those that could not be had whole."""

    bars: pd.DataFrame
    replaced: tuple[str, ...]
    held: tuple[str, ...]
    suspected: tuple[SuspectedSplit, ...]


def refetch_restated(
    lake: Lake, market: str, source: Source, restated: Mapping[str, Restatement], first: date, last: date
) -> Refetched:
    """Fetch the whole of every restated series; one that lacks a stored session is held, not replaced.

    A session that is not believed counts as lacking.
    """
    if not restated:
        return Refetched(_joined([]), (), (), ())
    symbols = sorted(restated)
    fetched = source.judge.part(source.fetch(symbols, first, last), _joined([])).good
    with lake.read() as cursor:
        stored = stored_bars(cursor, market, symbols, date.min, date.max)
    have = set(zip(fetched["symbol"], fetched["session"], strict=True))
    need = set(zip(stored["symbol"], stored["session"], strict=True))
    held = {symbol for symbol, _session in need - have}
    replaced = tuple(symbol for symbol in symbols if symbol not in held)
    suspected = tuple(
        SuspectedSplit(symbol, restated[symbol].factor, restated[symbol].sessions, refetched=symbol not in held)
        for symbol in symbols
    )
    return Refetched(fetched[fetched["symbol"].isin(replaced)], replaced, tuple(sorted(held)), suspected)


def hold_back(checked: CheckedBars, held: Sequence[str], restated: Mapping[str, Restatement]) -> CheckedBars:
    """Quarantine the bars of series that were restated and could not be replaced."""
    import pandas as pd

    marks = checked.good["symbol"].isin(list(held))
    if not marks.any():
        return checked
    rows = checked.good[marks].copy()
    rows["reason"] = RESTATED
    rows["detail"] = rows["symbol"].map(
        {s: f"the source's prices are {restated[s].factor:g} of the stored ones" for s in held}
    )
    quarantined = pd.concat([checked.quarantined, rows], ignore_index=True)
    return CheckedBars(checked.good[~marks], quarantined, checked.collapsed)


def context_of(stored: pd.DataFrame, anew: Refetched) -> pd.DataFrame:
    """Stored bars that new ones are judged by: a restated series is judged by its new self, or not at all."""
    import pandas as pd

    restated = [split.symbol for split in anew.suspected]
    if not restated:
        return stored
    parts = [stored[~stored["symbol"].isin(restated)], anew.bars]
    filled = [frame for frame in parts if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else stored.iloc[:0]


def _joined(batches: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    if len(batches) == 1:
        return batches[0]
    if batches:
        return pd.concat(batches, ignore_index=True)
    kinds = {"symbol": "str", "session": "datetime64[s]"}
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "float64")) for name in BAR_COLUMNS})
