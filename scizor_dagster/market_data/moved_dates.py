"""Series whose answer is what is stored, under dates of one day earlier or later.

What belongs here: proving it beside the stored bars, for however few symbols, and refusing such an answer. What does
not: what the dates of a feed say by themselves (`feed_faults`).

One of the two is dated wrong, and the answer cannot say which. Neither is a correction: taken for one, a bar of the
wrong day would take the place of each right one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from scizor_dagster.market_data.bar_store import Origin
from scizor_dagster.market_data.feed_faults import FeedFault
from scizor_dagster.market_data.provider import PRICE_COLUMNS
from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.market_data.way_out import again_command

if TYPE_CHECKING:
    import pandas as pd

MIN_SESSIONS = 2
_KEY = ["symbol", "session"]
_NOISE = 1e-6
_DAY = timedelta(days=1)


def moved_series(stored: pd.DataFrame, fetched: pd.DataFrame, suspects: Collection[str]) -> dict[str, int]:
    """Those of `suspects`, which differ from what is stored, whose every bar is the stored one of a day beside it.

    At least `MIN_SESSIONS` bars must be so that are not the stored ones of their own day as well: a price that stands
    still looks alike on any day. The number is by how many days the answer is dated early (-1) or late (1).
    """
    if not suspects:
        return {}
    own = fetched[fetched["symbol"].isin(list(suspects))]
    in_place = _beside(own, stored, 0)
    telling = in_place.index[~in_place["same"]]
    found: dict[str, int] = {}
    for shift in (-1, 1):
        both = _beside(own, stored, shift)
        both["telling"] = both.index.isin(telling)
        by_symbol = both.groupby("symbol").agg(same=("same", "all"), telling=("telling", "sum"))
        proven = by_symbol.index[by_symbol["same"] & (by_symbol["telling"] >= MIN_SESSIONS)]
        found |= {str(symbol): shift for symbol in proven if symbol not in found}
    return found


def _beside(own: pd.DataFrame, stored: pd.DataFrame, shift: int) -> pd.DataFrame:
    """Those of `own` that have a stored bar `shift` days before: column same, whether every value is its; own index."""
    moved = own.assign(session=own["session"] - shift * _DAY, row=own.index)
    both = moved.merge(stored, on=_KEY, suffixes=("", "_stored"))
    same = np.ones(len(both), dtype=bool)
    for name in (*PRICE_COLUMNS, "volume"):
        known = both[f"{name}_stored"].to_numpy(dtype=np.float64)
        same &= np.abs(both[name].to_numpy(dtype=np.float64) - known) <= _NOISE * np.abs(known)
    return both.assign(same=same).set_index("row")[["symbol", "same"]]


def refuse_moved(answer: CheckedBars, moved: Mapping[str, int], origin: Origin) -> CheckedBars:
    """Quarantine the bars of `moved` series, and name the fault with both ways out of it."""
    import pandas as pd

    parts, faults = [answer.quarantined], []
    for shift in sorted(set(moved.values())):
        names = [symbol for symbol, by in moved.items() if by == shift]
        rows = answer.good[answer.good["symbol"].isin(names)].copy()
        told = (
            f"the bars are those that are stored of the day {'after' if shift < 0 else 'before'}: correct the time "
            "zone at the source and collect again; or, if it is right and what is stored is not: "
            f"{again_command(origin.market, origin.adjustment, 'SYMBOL')}"
        )
        rows["reason"] = "shifted_day"
        rows["detail"] = [told.replace("SYMBOL", symbol) for symbol in rows["symbol"]]
        parts.append(rows)
        first, last = rows["session"].min().date(), rows["session"].max().date()
        faults.append(FeedFault("shifted_day", first, last, len(names), len(rows), told))
    return replace(
        answer,
        good=answer.good[~answer.good["symbol"].isin(list(moved))],
        quarantined=pd.concat(parts, ignore_index=True),
        faults=answer.faults + tuple(faults),
    )
