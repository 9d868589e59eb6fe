"""From what is missing to what a source is asked: spans of sessions, and batches of symbols.

What belongs here: pure planning of questions. What does not: what is missing (`missing`), asking and
storing (`filling`).

A symbol is asked once, from its first gap to its last, with a few sessions on either side where something is stored
there already: that shows whether the source has restated its series.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.market_data.provider import MarketData, Metered

if TYPE_CHECKING:
    import pandas as pd

OVERLAP_SESSIONS = 5
POINTS_PER_BATCH = 2_000_000
"""Bars of one batch where the source does not count what it is asked: what is read, judged and written at once."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Batch:
    """One question: `symbols` from `begin` to `end`.

    Attributes:
        kept: Columns symbol, first, last: the days that answer a gap of each symbol; the rest is for comparison.
    """

    symbols: tuple[str, ...]
    begin: date
    end: date
    kept: pd.DataFrame


@dataclass(frozen=True)
class Span:
    """Symbols whose questions cover the sessions `sessions[begin]` to `sessions[end]`; indexes, both included."""

    symbols: tuple[str, ...]
    begin: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.begin + 1


def batches(missing: pd.DataFrame, sessions: Sequence[date], provider: MarketData) -> list[Batch]:
    """Questions that cover every gap, in as few calls as the source's own limits allow.

    Args:
        missing: One row for each symbol with a gap: columns symbol, first, last (its gaps), older and newer (whether
            something is stored before them and after them).
        sessions: Every session that may be asked for, ascending.
        provider: Says what a question costs, where it counts them.
    """
    import pandas as pd

    days = np.array(sessions, dtype="datetime64[D]")
    lower, upper = (_index(days, missing[name]) for name in ("first", "last"))
    older, newer = (missing[name].to_numpy(dtype=bool) for name in ("older", "newer"))
    begin = np.where(older, np.maximum(lower - OVERLAP_SESSIONS, 0), lower)
    end = np.where(newer, np.minimum(upper + OVERLAP_SESSIONS, len(days) - 1), upper)
    kept = pd.DataFrame(
        {
            "symbol": missing["symbol"].to_numpy(),
            "first": np.where(lower > 0, days[np.maximum(lower - 1, 0)] + np.timedelta64(1, "D"), days[lower]),
            "last": days[upper],
        }
    ).astype({"first": "datetime64[s]", "last": "datetime64[s]"})
    spans = _merged(_grouped(missing["symbol"].tolist(), begin.tolist(), end.tolist()), provider)
    ranges = kept.set_index("symbol", drop=False)
    return [
        Batch(part, _after(sessions, span.begin), sessions[span.end], ranges.loc[list(part)].reset_index(drop=True))
        for span in spans
        for part in _parts(span, provider)
    ]


def beside(sessions: Sequence[date], wanted: Sequence[date]) -> tuple[Sequence[date], Sequence[date]]:
    """The sessions that an overlap may reach before and after those that are `wanted`; both ascend."""
    lower, upper = bisect_left(sessions, wanted[0]), bisect_right(sessions, wanted[-1])
    return sessions[max(lower - OVERLAP_SESSIONS, 0) : lower], sessions[upper : upper + OVERLAP_SESSIONS]


def _index(days: np.ndarray, column: pd.Series) -> np.ndarray:
    return np.searchsorted(days, column.to_numpy().astype("datetime64[D]"))


def _after(sessions: Sequence[date], index: int) -> date:
    """The day after the session before: bars on days without a session in between show."""
    return sessions[index - 1] + _DAY if index else sessions[0]


def _grouped(symbols: Sequence[str], begin: Sequence[int], end: Sequence[int]) -> list[Span]:
    groups: dict[tuple[int, int], list[str]] = {}
    for symbol, *key in zip(symbols, begin, end, strict=True):
        groups.setdefault((key[0], key[1]), []).append(symbol)
    return [Span(tuple(sorted(names)), *key) for key, names in sorted(groups.items())]


def _merged(spans: Sequence[Span], provider: MarketData) -> list[Span]:
    """Neighbouring spans asked together wherever that makes fewer calls."""
    if not isinstance(provider, Metered) or not spans:
        return list(spans)
    found = [spans[0]]
    for span in spans[1:]:
        last = found[-1]
        both = Span((*last.symbols, *span.symbols), min(last.begin, span.begin), max(last.end, span.end))
        apart = provider.calls(len(last.symbols), last.length) + provider.calls(len(span.symbols), span.length)
        if provider.calls(len(both.symbols), both.length) < apart:
            found[-1] = both
        else:
            found.append(span)
    return found


def _parts(span: Span, provider: MarketData) -> Iterator[tuple[str, ...]]:
    count = len(span.symbols)
    if isinstance(provider, Metered):
        size = provider.symbols_per_batch(span.length)
    else:
        size = max(1, POINTS_PER_BATCH // span.length)
    start = 0
    for part in _sizes(count, size, span.length, provider):
        yield span.symbols[start : start + part]
        start += part


def _sizes(count: int, size: int, length: int, provider: MarketData) -> list[int]:
    """How many symbols each question is to ask for: a feed is judged by each answer, and few symbols prove little."""
    full, rest = divmod(count, size)
    packed = [size] * full + [rest] * (rest > 0)
    least, more = divmod(count, len(packed))
    even = [least + 1] * more + [least] * (len(packed) - more)
    if not isinstance(provider, Metered):
        return even
    costs = [sum(provider.calls(each, length) for each in sizes) for sizes in (even, packed)]
    return even if costs[0] <= costs[1] else packed
