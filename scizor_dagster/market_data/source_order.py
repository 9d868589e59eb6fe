"""Bars of several sources in one series: whose stay, whose make way, and which may be compared.

What belongs here: parting an answer by the sources of its bars and of the stored ones; pure. What does not: asking
(`fallback`), what a difference means (`overlap`), writing (`bar_store`).

A bar of a later source stands in where nothing else is known: it never takes the place of an earlier source's, and
makes way as soon as an earlier one gives its own. Neither is a restatement, because nobody has changed his mind. A
source that is configured no more comes after all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.market_data.overlap import compare
from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.market_data.restated_series import MIN_SESSIONS, Restatement

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["symbol", "session"]


@dataclass(frozen=True)
class Parted:
    """An answer beside what is stored.

    Attributes:
        answer: It, without the rows of later sources in sessions of which an earlier one's bar is stored.
        same: Stored bars without those of another source than the answer's of that session.
        preferred: Good rows of the answer that take the place of a later source's bar.
        displaced: The stored bars whose place those take.
    """

    answer: CheckedBars
    same: pd.DataFrame
    preferred: pd.DataFrame
    displaced: pd.DataFrame


def part_by_source(stored: pd.DataFrame, answer: CheckedBars, order: Sequence[str]) -> Parted:
    """Part `answer` by the rank of its sources.

    Args:
        stored: Stored bars, with `source`; one row for each symbol and session.
        answer: Its rows are from `order[0]` where they have no column `source`.
        order: Names of the sources, the preferred one first.
    """
    good = _against(stored, answer.good, order)
    refused = _against(stored, answer.quarantined, order)
    left = replace(
        answer,
        good=answer.good[~good.later] if good.later.any() else answer.good,
        quarantined=answer.quarantined[~refused.later] if refused.later.any() else answer.quarantined,
    )
    same = stored.drop(index=stored.index[good.other]) if len(good.other) else stored
    return Parted(left, same, answer.good[good.earlier], stored.loc[stored.index[good.displaced]])


@dataclass(frozen=True)
class _Against:
    """Marks of fetched rows, and positions of stored ones of the same session that another source gave."""

    later: np.ndarray
    earlier: np.ndarray
    other: np.ndarray
    displaced: np.ndarray


def _against(stored: pd.DataFrame, fetched: pd.DataFrame, order: Sequence[str]) -> _Against:
    later, earlier = np.zeros(len(fetched), dtype=bool), np.zeros(len(fetched), dtype=bool)
    nothing = np.array([], dtype=np.int64)
    if "source" not in fetched.columns and (stored["source"] == order[0]).all():
        return _Against(later, earlier, nothing, nothing)
    ranks = {name: rank for rank, name in enumerate(order)}
    sources = fetched["source"] if "source" in fetched.columns else order[0]
    new = fetched[_KEY].assign(source=sources, at=np.arange(len(fetched)))
    both = new.merge(stored[[*_KEY, "source"]].assign(at=np.arange(len(stored))), on=_KEY, suffixes=("", "_stored"))
    rank, before = (both[name].map(ranks).fillna(len(order)).to_numpy() for name in ("source", "source_stored"))
    at, at_stored = both["at"].to_numpy(), both["at_stored"].to_numpy()
    later[at[rank > before]] = True
    earlier[at[rank < before]] = True
    return _Against(later, earlier, at_stored[rank != before], at_stored[rank < before])


def on_another_basis(parted: Parted, tolerance: float) -> dict[str, Restatement]:
    """Series whose preferred source differs from a later one's bars by a factor beyond `tolerance`.

    Only of symbols of which no two sessions of one source can be compared: else its own bars tell. The volumes are
    left out, because sources count different trades; so no split is seen here, and the series is fetched whole.
    """
    fetched = parted.answer.good
    both = parted.displaced.merge(parted.preferred[[*_KEY, "close"]], on=_KEY, suffixes=("", "_preferred"))
    ratios = (both["close_preferred"] / both["close"]).groupby(both["symbol"]).median()
    own = parted.same[_KEY].merge(fetched[_KEY], on=_KEY)["symbol"].value_counts()
    apart = [
        symbol for symbol, ratio in ratios.items() if abs(ratio - 1.0) > tolerance and own.get(symbol, 0) < MIN_SESSIONS
    ]
    if not apart:
        return {}
    old = parted.displaced[parted.displaced["symbol"].isin(apart)].assign(volume=0.0)
    moved = compare(old, parted.preferred.assign(volume=0.0)).restated
    return {symbol: replace(seen, between_sources=True) for symbol, seen in moved.items()}
