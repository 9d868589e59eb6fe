"""Comparing a provider's answer with what is stored: has the source restated a series, or single bars?

What belongs here: one pure comparison. What does not: what a restated series is called (`restated_series`),
what is then done (`refetch`, `session_bars`, `history`).

Sources that adjust their prices rewrite the past after every split (or dividend). New bars must not be put
beside old ones of another basis: where all four prices of every compared session have moved by one factor, or by
factors that change a few times only, the whole series is restated. Any other difference is a restated bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scizor_dagster.market_data.provider import PRICE_COLUMNS
from scizor_dagster.market_data.restated_series import MIN_SESSIONS, Level, Restatement, restatement_of
from scizor_dagster.market_data.rounding import half_step

if TYPE_CHECKING:
    import pandas as pd

_FLOAT_NOISE = 1e-6
_SESSIONS_PER_STEP = 10
"""Dividends and splits come months apart; factors that change more often are single corrections."""

_MOST = 0.6

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
_VALUES = (*PRICE_COLUMNS, "volume")


@dataclass(frozen=True)
class Overlap:
    """What the answer says otherwise than the store.

    Attributes:
        restated: By symbol, series that are on another basis now.
        differing: Symbols of which single bars differ.
        corrected: Those bars: columns symbol, session, and each of open, high, low, close, volume twice,
            ending in `_stored` and `_fetched`.
        compared: Number of bars that both have.
    """

    restated: dict[str, Restatement]
    differing: tuple[str, ...]
    corrected: pd.DataFrame
    compared: int


def compare(stored: pd.DataFrame, fetched: pd.DataFrame) -> Overlap:
    """Compare the sessions that both frames have.

    Prices count as equal within the rounding that they show (half of the last decimal, up to four) and
    float noise of 1e-6. Fewer than `MIN_SESSIONS` sessions prove no factor.

    Args:
        stored: Columns symbol, session, open, high, low, close, volume; one row for each symbol and session.
        fetched: Likewise.
    """
    keys = ["symbol", "session"]
    wanted = [*keys, *_VALUES]
    both = stored[wanted].merge(fetched[wanted], on=keys, suffixes=("_stored", "_fetched"))
    old, new = _matrix(both, "stored"), _matrix(both, "fetched")
    apart = np.asarray((np.abs(new - old) > _FLOAT_NOISE * np.abs(old)).any(axis=1))
    suspects = both[both["symbol"].isin(both.loc[apart, "symbol"].unique())].sort_values(keys)
    restated: dict[str, Restatement] = {}
    differing = []
    for symbol, rows in suspects.groupby("symbol", sort=True):
        found = _restated(rows)
        if found is not None:
            restated[str(symbol)] = found
        else:
            differing.append(str(symbol))
    corrected = both[apart & both["symbol"].isin(differing)].sort_values(keys, ignore_index=True)
    return Overlap(restated, tuple(differing), corrected, len(both))


def _matrix(both: pd.DataFrame, side: str) -> Floats:
    return both[[f"{name}_{side}" for name in _VALUES]].to_numpy(dtype=np.float64)


def _restated(rows: pd.DataFrame) -> Restatement | None:
    """The factors that explain every price of one symbol, if there are any and they are not all 1."""
    old, new = _matrix(rows, "stored"), _matrix(rows, "fetched")
    if len(rows) < MIN_SESSIONS or not (old[:, :4] > 0).all():
        return None
    runs = _runs(old[:, :4], new[:, :4])
    days = rows["session"].to_numpy().astype("datetime64[D]")
    levels = [
        Level(
            run.factor,
            run.most,
            days[run.at[0]].astype(object),
            _volume_factor(old[run.at, 4], new[run.at, 4]),
            len(run.at),
        )
        for run in runs
    ]
    return restatement_of(levels) if levels else None


@dataclass(frozen=True)
class _Run:
    """Sessions with one factor, the highest that rounding leaves room for, and where they are."""

    factor: float
    most: float
    at: Positions


def _runs(old: Floats, new: Floats) -> list[_Run]:
    """Runs of sessions with one factor each; none where single bars explain it better."""
    slack = half_step(new) + np.abs(new[:, -1:] / old[:, -1:]) * half_step(old)
    room = slack + _FLOAT_NOISE * np.abs(new)
    if (np.abs(new - old) <= room).all():
        return []
    runs: list[_Run] = []
    start = 0
    few = max(2, len(old) // _SESSIONS_PER_STEP)
    while start < len(old):
        end, factor, most = _run(old, new, room, start)
        # One bar that moved by itself is a correction: all prices of a thin share are one price.
        if end - start >= MIN_SESSIONS or (np.abs(new[start:end] - old[start:end]) <= room[start:end]).all():
            runs.append(_Run(factor, most, np.arange(start, end)))
        start = end
    still = all((np.abs(new[run.at] - old[run.at]) <= room[run.at]).all() for run in runs)
    if len(runs) > few or still:
        return _usual(old, new, room)
    return runs


def _usual(old: Floats, new: Floats, room: Floats) -> list[_Run]:
    """One factor that explains most sessions, beside which single bars were corrected as well."""
    factor = float(np.median(new[:, -1] / old[:, -1]))
    explained = np.asarray((np.abs(new - factor * old) <= room).all(axis=1))
    unmoved = np.asarray((np.abs(new - old) <= room).all(axis=1))
    enough = explained.sum() >= max(MIN_SESSIONS, _MOST * len(old))
    if not enough or unmoved[explained].all():
        return []
    most = float(((new + room) / old)[explained].min())
    return [_Run(factor, most, np.flatnonzero(explained))]


def _run(old: Floats, new: Floats, room: Floats, start: int) -> tuple[int, float, float]:
    """The end of the longest run from `start` whose every price one factor explains, that factor, and the highest."""
    ratios = new[start:] / old[start:]
    room = room[start:] / old[start:]
    # A factor explains a price where it lies between these; the run lasts while some factor explains all.
    lowest = np.maximum.accumulate((ratios - room).max(axis=1))
    highest = np.minimum.accumulate((ratios + room).min(axis=1))
    broken = np.flatnonzero(lowest > highest)
    length = int(broken[0]) if len(broken) else len(ratios)
    if length == 0:
        return start + 1, float(ratios[0, -1]), float(ratios[0, -1])
    return start + length, float(np.median(ratios[:length])), float(highest[length - 1])


def _volume_factor(old: Floats, new: Floats) -> float | None:
    """The usual ratio of the volumes; None where nothing traded."""
    traded = (old > 0) & (new > 0)
    return float(np.median(new[traded] / old[traded])) if traded.any() else None
