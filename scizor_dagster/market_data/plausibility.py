"""Which good-looking bars are not believed yet: judged beside the bars before them, as array operations.

What belongs here: rules over a series: a jump that no corporate action explains, a normally traded
instrument without volume, a price that stands still. What does not: rules of a single bar (`quality`), and
where bars, actions and acceptances come from (`judging`).

A bar that is not believed is quarantined until a corporate action agrees, a person accepts it, or (for a
jump of less than tenfold, in history) twenty sessions have held the new level. docs/prices.md says how often
each rule speaks on real prices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scizor_dagster.config import PriceQuality
from scizor_dagster.market_data.feed_faults import FeedFault, copied_faults, partial_fault
from scizor_dagster.market_data.jumps import Action, Jumps, outside
from scizor_dagster.market_data.provider import PRICE_COLUMNS

REASONS = (
    "partial_day",
    "copied_day",
    "unit_error",
    "suspected_split",
    "price_jump",
    "no_volume",
    "repeated_bar",
    "unchanged_price",
)
"""Reason codes in order of precedence; the only ones that a person can accept."""
LOOK_BACK_DAYS = 90
"""An earlier bar says nothing about a price after it for longer than this."""
NORMAL_SESSIONS = 20
QUIET_SHARE = 0.1
NORMAL_SHARE = 0.9
MIN_NORMAL_SESSIONS = 10

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Accepted = Mapping[tuple[str, date], float]
"""Close by symbol and session that a person has accepted: another value there is not accepted."""
NOTHING_ACCEPTED: Accepted = MappingProxyType({})
ActionsOf = Callable[[Sequence[str]], Mapping[str, Sequence[Action]]]
JUMPS = ("unit_error", "suspected_split", "price_jump")
_EPOCH = date(1970, 1, 1)


def _full(_session: date) -> float:
    return 1.0


@dataclass(frozen=True)
class Series:
    """Judged bars and their context, sorted by symbol and session; arrays of equal length.

    Attributes:
        names: Symbols; `codes` are indexes into it.
        days: Sessions as days since 1970.
        rows: Position in the judged frame; -1 for context, which is believed.
        first: Index of the first bar of each bar's symbol.
    """

    names: NDArray[np.object_]
    codes: NDArray[np.int64]
    days: NDArray[np.int64]
    values: Mapping[str, Floats]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, judged: pd.DataFrame, context: pd.DataFrame) -> Series:
        """Both frames with the columns symbol, session, open, high, low, close, volume; no key in both."""
        columns = ["symbol", "session", *PRICE_COLUMNS, "volume"]
        parts = [frame[columns] for frame in (judged, context) if len(frame)]
        bars = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
        codes, names = pd.factorize(bars["symbol"])
        days = bars["session"].to_numpy().astype("datetime64[D]").astype(np.int64)
        order = np.lexsort((days, codes))
        codes, indexes = codes[order].astype(np.int64), np.arange(len(order))
        rows = np.where(order < len(judged), order, -1)
        values = {name: bars[name].to_numpy(dtype=np.float64)[order] for name in columns[2:]}
        begins = np.concatenate(([True], codes[1:] != codes[:-1]))
        first = np.maximum.accumulate(np.where(begins, indexes, 0))
        return cls(np.asarray(names, dtype=object), codes, days[order], values, rows, first)

    def before(self, name: str) -> Floats:
        """The value one bar earlier; NaN at the first bar of a symbol and after a long pause."""
        earlier = np.concatenate(([np.nan], self.values[name][:-1]))
        pause = np.diff(self.days, prepend=self.days[:1]) > LOOK_BACK_DAYS
        earlier[pause | (self.first == np.arange(len(self.codes)))] = np.nan
        return earlier


@dataclass(frozen=True)
class Doubts:
    """By row of the judged frame: an index into `REASONS` or -1, and one sentence fragment for each doubt.

    `faults` are those of the feed as a whole; each of their bars is doubted as well.
    """

    reasons: NDArray[np.int8]
    details: Mapping[int, str]
    faults: tuple[FeedFault, ...] = ()


def doubt(
    judged: pd.DataFrame,
    context: pd.DataFrame,
    quality: PriceQuality,
    actions_of: ActionsOf,
    watched: frozenset[str],
    accepted: Accepted,
    length_of: Callable[[date], float] = _full,
) -> Doubts:
    """Which of the judged bars are not believed.

    Args:
        judged: Bars that passed `quality`: columns symbol, session, open, high, low, close, volume.
        context: Bars before and after them that are believed; no key of `judged`.
        quality: Limits of the market.
        actions_of: Known corporate actions of some symbols; asked for suspects only.
        watched: Symbols with a split in the range: their price must have moved with it.
        accepted: What a person has accepted.
        length_of: Length of a session per usual length: early closes are short.
    """
    reasons = np.full(len(judged), -1, dtype=np.int8)
    if judged.empty:
        return Doubts(reasons, {})
    series = Series.of(judged, context)
    believed = (series.rows < 0) | _accepted(series, accepted)
    repeated = _repeated(series)
    partial, unfinished = _partial(series, length_of)
    copied = copied_faults("copied_day", series.days[list(repeated)], series.days)
    copies = {(fault.first - _EPOCH).days for fault in copied}
    jumps = _jumps(series, quality, actions_of, watched, believed)
    found = {
        "partial_day": partial,
        "copied_day": {index: detail for index, detail in repeated.items() if int(series.days[index]) in copies},
        **{name: {i: said for i, (why, said) in jumps.items() if why == name} for name in JUMPS},
        "no_volume": _without_volume(series),
        "repeated_bar": repeated,
        "unchanged_price": _unchanged(series, quality.max_unchanged_sessions),
    }
    details: dict[int, str] = {}
    for position in reversed(range(len(REASONS))):
        for index, detail in found[REASONS[position]].items():
            if not believed[index]:
                reasons[series.rows[index]] = position
                details[int(series.rows[index])] = detail
    return Doubts(reasons, details, unfinished + copied)


def _partial(series: Series, length_of: Callable[[date], float]) -> tuple[dict[int, str], tuple[FeedFault, ...]]:
    """Bars of a last day that the source took before its close: most of the feed has little volume at once.

    What is stored of that day is of the same feed.
    """
    volume = series.values["volume"]
    last = np.flatnonzero(np.append(series.codes[1:] != series.codes[:-1], True))
    known = last[last - NORMAL_SESSIONS >= series.first[last]]
    if len(known) == 0:
        return {}, ()
    window = volume[known[:, None] - np.arange(1, NORMAL_SESSIONS + 1)]
    usual = np.median(window, axis=1)
    steady = (usual > 0) & (window.min(axis=1) >= QUIET_SHARE * usual)
    shares = volume[known[steady]] / usual[steady]
    found: dict[int, str] = {}
    faults = []
    for day in np.unique(series.days[known[steady]]).tolist():
        of_day = series.days[known[steady]] == day
        answered = of_day & (series.rows[known[steady]] >= 0)
        fault = partial_fault(day, shares[of_day], shares[answered], length_of(_EPOCH + timedelta(days=day)))
        if fault is not None:
            rows = [int(index) for index in last if series.days[index] == day and series.rows[index] >= 0]
            found |= dict.fromkeys(rows, fault.told)
            faults += [replace(fault, symbols=len(rows), bars=len(rows))] if rows else []
    return found, tuple(faults)


def _accepted(series: Series, accepted: Accepted) -> Marks:
    marks = np.zeros(len(series.codes), dtype=bool)
    for (symbol, session), close in accepted.items():
        day = np.datetime64(session, "D").astype(np.int64)
        found = np.flatnonzero((series.days == day) & (series.names[series.codes] == symbol))
        marks[found] = np.isclose(series.values["close"][found], close, rtol=1e-9)
    return marks


def _jumps(
    series: Series, quality: PriceQuality, actions_of: ActionsOf, watched: frozenset[str], believed: Marks
) -> dict[int, tuple[str, str]]:
    if quality.max_price_jump == "unlimited":
        return {}
    low, high, close = (series.values[name] for name in ("low", "high", "close"))
    marks = outside(low, high, close, series.before("close"), quality.max_price_jump)
    names = {str(name) for name in series.names[np.unique(series.codes[marks])]}
    names |= watched & set(series.names)
    if not names:
        return {}
    actions = actions_of(sorted(names))
    volume = series.values["volume"]
    found: dict[int, tuple[str, str]] = {}
    for name in sorted(names):
        code = int(np.flatnonzero(series.names == name)[0])
        indexes = np.flatnonzero(series.codes == code)
        jumps = Jumps(
            series.days[indexes], low[indexes], high[indexes], close[indexes], volume[indexes],
            believed[indexes],
            tuple(actions.get(name, ())), quality.max_price_jump, LOOK_BACK_DAYS,
        )  # fmt: skip
        found |= {int(indexes[position]): detail for position, detail in jumps.found().items()}
    return found


def _without_volume(series: Series) -> dict[int, str]:
    """Bars without volume of instruments whose quietest session of late was near their usual ones.

    Thin instruments have sessions without a trade, and quiet ones around them.
    """
    volume = series.values["volume"]
    none = volume == 0.0
    start = _run_starts(series, none)
    indexes = np.flatnonzero(none & (start - NORMAL_SESSIONS >= series.first))
    window = volume[start[indexes][:, None] - np.arange(1, NORMAL_SESSIONS + 1)]
    usual = np.median(window, axis=1)
    steady = (usual > 0) & (window.min(axis=1) >= QUIET_SHARE * usual)
    said = "volume 0; the median of the {} sessions before is {:g}"
    found = zip(indexes[steady], usual[steady], strict=True)
    return {int(index): said.format(NORMAL_SESSIONS, median) for index, median in found}


def _repeated(series: Series) -> dict[int, str]:
    """Bars that say again what the bar before them said, volume included: a source that stands still."""
    volume = series.values["volume"]
    marks = (volume > 0) & (series.values["high"] > series.values["low"])
    for name in (*PRICE_COLUMNS, "volume"):
        marks &= series.values[name] == series.before(name)
    said = "every value is that of the bar before it, volume {:g} too"
    return {int(index): said.format(volume[index]) for index in np.flatnonzero(marks)}


def _unchanged(series: Series, sessions: int) -> dict[int, str]:
    """Bars of one and the same price for `sessions` sessions, of instruments whose price normally moves."""
    close = series.values["close"]
    still = close == series.before("close")
    for name in ("open", "high", "low"):
        still &= series.values[name] == close
    start = _run_starts(series, still)
    length = np.arange(len(close)) - start + 1
    marks = still & (length >= sessions) & _normal(series, still, start)
    said = "close {:g} unchanged for {} sessions"
    return {int(index): said.format(close[index], length[index]) for index in np.flatnonzero(marks)}


def _run_starts(series: Series, marks: Marks) -> NDArray[np.int64]:
    """For each marked bar the index at which its unbroken run began."""
    indexes = np.arange(len(marks))
    breaks = ~marks | (series.first == indexes)
    last = np.maximum.accumulate(np.where(breaks, indexes, -1))
    return np.where(marks & (last == indexes), indexes, np.minimum(last + 1, indexes))


def _normal(series: Series, marks: Marks, start: NDArray[np.int64]) -> Marks:
    """Whether nearly all of the bars before the run were not marked, and enough of them are known."""
    lower = np.maximum(start - NORMAL_SESSIONS, series.first)
    total = np.concatenate(([0], np.cumsum(marks)))
    known = start - lower
    unmarked = known - (total[start] - total[lower])
    normal: Marks = (known >= MIN_NORMAL_SESSIONS) & (unmarked >= NORMAL_SHARE * known)
    return normal
