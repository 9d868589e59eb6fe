"""Fetching bars, checking them, and what is done about a source that has restated what is stored.

What belongs here: what history and a single session do alike before and while they write. What does not: SQL
(`bar_store`, `revisions`), rules (`quality`), ranges (`history`, `session_bars`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.bar_store import Origin, Stored, delete_series, insert_missing, rewritten, stored_bars
from scizor_dagster.market_data.fallback import source_names
from scizor_dagster.market_data.judging import Judge
from scizor_dagster.market_data.observed_dividends import ObservedDividend, forget_dividends, store_dividends
from scizor_dagster.market_data.observed_splits import ObservedSplit, store_observed
from scizor_dagster.market_data.overlap import Overlap, compare
from scizor_dagster.market_data.provider import ACTION_COLUMNS, BAR_COLUMNS, Adjustment, MarketData, SymbolFailure
from scizor_dagster.market_data.quality import CheckedBars, check_bars
from scizor_dagster.market_data.reports import RestatedBar, SuspectedSplit
from scizor_dagster.market_data.restated_series import Restatement
from scizor_dagster.market_data.revisions import Reason, keep_series, take_out
from scizor_dagster.market_data.source_order import part_by_source
from scizor_dagster.market_data.symbol_failures import failed_symbols
from scizor_dagster.market_data.way_out import again_command
from scizor_dagster.sessions import TradingCalendar

if TYPE_CHECKING:
    import pandas as pd

RESTATED = "restated_source"
UNIT_ERROR = "unit_error"
_KEY = ["symbol", "session"]


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
    """Whole series that replace the stored ones, and those that do not.

    Attributes:
        stored: The bars that they replace.
        held: By symbol of those that do not, why, with the remedy.
        splits: What the replaced series show as splits; `listed`: what the provider lists.
        dividends: What their adjusted closes show and nobody lists.
    """

    bars: pd.DataFrame
    stored: pd.DataFrame
    replaced: tuple[str, ...]
    held: Mapping[str, str]
    suspected: tuple[SuspectedSplit, ...]
    splits: tuple[ObservedSplit, ...]
    listed: pd.DataFrame
    dividends: tuple[ObservedDividend, ...] = ()


def refetch_restated(
    lake: Lake, market: str, source: Source, restated: Mapping[str, Restatement], first: date, last: date
) -> Refetched:
    """Fetch the whole of every restated series; one that lacks a stored session is held, not replaced.

    A session that is not believed counts as lacking, and so does one that only a later source than that of the
    stored bar has. Held as well: a series in another unit of the currency, and one that a source of its declared
    adjustment never moves so: any in raw prices, dividends in those that are adjusted for splits alone. What the
    overlap shows to be so is not even asked for.
    """
    adjustment = source.provider.adjustment
    asked = [symbol for symbol in sorted(restated) if restated[symbol].permitted(adjustment)]
    if not restated:
        return Refetched(_joined([]), _joined([]), (), {}, (), (), _no_actions())
    answer = source.fetch(asked, first, last) if asked else check_bars(_joined([]), source.calendar, source.now, ())
    with lake.read() as cursor:
        stored = stored_bars(cursor, market, asked, date.min, date.max)
    judged = source.judge.part(answer, _joined([]))
    parted = part_by_source(stored, judged, source_names(source.provider))
    fetched = parted.answer.good
    lacking = stored[~_keys(stored).isin(_keys(fetched))]
    # The whole series says more than the overlap: each of its splits and after which session, and its dividends.
    whole = {**restated, **compare(parted.same, fetched).restated}
    failed = failed_symbols(source.provider, asked)
    held = {
        str(symbol): _not_whole(str(symbol), whole[str(symbol)], own, failed, adjustment, market)
        for symbol, own in lacking.groupby("symbol")["session"]
    }
    held |= {
        symbol: _not_permitted(seen, adjustment, market, symbol)
        for symbol, seen in whole.items()
        if not seen.permitted(adjustment)
    }
    replaced = tuple(symbol for symbol in asked if symbol not in held)
    splits = _observed(source, whole, replaced, stored)
    split = sorted({seen.symbol for seen in splits})
    listed = source.provider.corporate_actions(split, first, last) if split else _no_actions()
    return Refetched(
        fetched[fetched["symbol"].isin(replaced)],
        stored[stored["symbol"].isin(replaced)],
        replaced,
        held,
        tuple(_suspected(symbol, restated[symbol], whole[symbol], symbol not in held) for symbol in sorted(restated)),
        splits,
        listed,
        tuple(dividend for dividend in judged.dividends if dividend.symbol in replaced),
    )


def _keys(bars: pd.DataFrame) -> pd.MultiIndex:
    import pandas as pd

    return pd.MultiIndex.from_frame(bars[_KEY])


def _not_whole(
    symbol: str,
    seen: Restatement,
    lacking: pd.Series[pd.Timestamp],
    failed: Mapping[str, SymbolFailure],
    adjustment: Adjustment,
    market: str,
) -> str:
    if symbol in failed:
        return (
            f"{seen.told}; the source failed when it was asked for the whole series ({failed[symbol].words}); run again"
        )
    return (
        f"{seen.told}; of the stored sessions {len(lacking)} could not be had anew and believed, the first of "
        f"{lacking.min():%Y-%m-%d}; to take the new series without them: {again_command(market, adjustment, symbol)}"
    )


def _not_permitted(seen: Restatement, adjustment: Adjustment, market: str, symbol: str) -> str:
    again = again_command(market, adjustment, symbol)
    if seen.kind == "currency_unit":
        return f"{seen.told}; mend the source, or, if it is right now, take the new prices with: {again}"
    return (
        f"{seen.told}; {adjustment} prices do not change like that: correct the adjustment of the source, or, if it is "
        f"right, take the new prices with: {again}"
    )


def _no_actions() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=list(ACTION_COLUMNS))


def _suspected(symbol: str, seen: Restatement, whole: Restatement, refetched: bool) -> SuspectedSplit:
    ratios = tuple(split.ratio for split in whole.splits)
    return SuspectedSplit(symbol, seen.factor, seen.sessions, refetched, whole.kind, ratios)


def _observed(
    source: Source, restated: Mapping[str, Restatement], symbols: Iterable[str], stored: pd.DataFrame
) -> tuple[ObservedSplit, ...]:
    newest = stored.groupby("symbol")["session"].max()
    return tuple(
        ObservedSplit(symbol, split.ex_session, split.ratio)
        if split.ex_session
        else ObservedSplit(
            symbol, source.calendar.next_session(newest[symbol].date()), split.ratio, latest=source.now.date()
        )
        for symbol in symbols
        for split in restated[symbol].splits
    )


def store_anew(cursor: duckdb.DuckDBPyConnection, anew: Refetched, origin: Origin) -> Stored:
    """Replace restated series in the caller's transaction, keeping the old bars; new splits go to the actions."""
    if not anew.replaced:
        return Stored(0, anew.bars, anew.bars)
    keep_series(cursor, origin.market, anew.replaced)
    delete_series(cursor, origin.market, anew.replaced)
    written = insert_missing(cursor, anew.bars, origin)
    forget_dividends(cursor, origin.market, anew.replaced)
    store_dividends(cursor, origin.market, origin.source, anew.dividends, origin.fetched_at)
    store_observed(cursor, origin.market, origin.source, anew.splits, anew.listed, origin.fetched_at)
    return replace(rewritten(anew.stored, anew.bars, origin), inserted=written - len(anew.stored))


def restated_bars(overlap: Overlap, judged: CheckedBars) -> tuple[pd.DataFrame, tuple[RestatedBar, ...]]:
    """The bars that replace stored ones because their source gives them otherwise now, and the report on all."""
    import pandas as pd

    corrected = overlap.corrected
    if corrected.empty:
        return judged.good.iloc[:0], ()
    keys = pd.MultiIndex.from_frame(corrected[_KEY])
    taken = judged.good[pd.MultiIndex.from_frame(judged.good[_KEY]).isin(keys)]
    stored = keys.isin(pd.MultiIndex.from_frame(taken[_KEY]))
    values = corrected[["close_stored", "close_fetched", "volume_stored", "volume_fetched"]].to_numpy().tolist()
    days = [stamp.date() for stamp in corrected["session"].dt.to_pydatetime()]
    rows = zip(corrected["symbol"].tolist(), days, values, stored.tolist(), strict=True)
    report = tuple(RestatedBar(symbol, day, kept, *numbers) for symbol, day, numbers, kept in rows)
    return taken, report


def store_in_place(cursor: duckdb.DuckDBPyConnection, bars: pd.DataFrame, origin: Origin, reason: Reason) -> None:
    """Put `bars` in the place of the stored ones, which are kept as revisions."""
    take_out(cursor, origin.market, bars, reason)
    insert_missing(cursor, bars, origin)


def hold_back(checked: CheckedBars, held: Mapping[str, str], restated: Mapping[str, Restatement]) -> CheckedBars:
    """Quarantine the bars of series that were restated and could not be replaced."""
    import pandas as pd

    marks = checked.good["symbol"].isin(list(held))
    if not marks.any():
        return checked
    rows = checked.good[marks].copy()
    rows["reason"] = rows["symbol"].map(
        {s: UNIT_ERROR if restated[s].kind == "currency_unit" else RESTATED for s in held}
    )
    rows["detail"] = rows["symbol"].map(
        {s: f"the source's prices are {restated[s].factor:g} of the stored ones: {why}" for s, why in held.items()}
    )
    quarantined = pd.concat([checked.quarantined, rows], ignore_index=True)
    return replace(checked, good=checked.good[~marks], quarantined=quarantined)


def context_of(stored: pd.DataFrame, anew: Refetched, overlap: Overlap) -> pd.DataFrame:
    """Stored bars that new ones are judged by.

    A restated series is judged by its new self, or not at all; a restated bar is judged like a new one.
    """
    import pandas as pd

    if len(overlap.corrected):
        keys = pd.MultiIndex.from_frame(overlap.corrected[_KEY])
        stored = stored[~pd.MultiIndex.from_frame(stored[_KEY]).isin(keys)]
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
