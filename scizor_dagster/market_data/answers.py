"""An answer's rows by what was asked: those of the days that were, and of which symbols it says all.

What belongs here: pure functions over frames and batches. What does not: asking and storing (`filling`), what is then
remembered (`missing`, `remembered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from scizor_dagster.market_data.quality import CheckedBars
from scizor_dagster.market_data.spans import Batch

if TYPE_CHECKING:
    import pandas as pd

Answer = tuple[Batch, CheckedBars]


def rows_before(bars: pd.DataFrame, end: date) -> pd.DataFrame:
    """The rows of sessions before `end`."""
    return bars[bars["session"] < datetime.combine(end, datetime.min.time())]


def rows_outside(bars: pd.DataFrame, days: tuple[date, date] | None) -> pd.DataFrame:
    """The rows before the first and after the last of `days`; all where there are none."""
    if days is None:
        return bars
    first, last = (datetime.combine(day, datetime.min.time()) for day in days)
    return bars[(bars["session"] < first) | (bars["session"] > last)]


def rows_within(bars: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """The rows on the days that a symbol was asked for; what was answered unasked, on the days of any."""
    first, last = kept["first"].min(), kept["last"].max()
    if (kept["first"] == first).all() and (kept["last"] == last).all():
        return bars[bars["session"].between(first, last)]
    ranges = kept.set_index("symbol")
    lower = bars["symbol"].map(ranges["first"]).fillna(first)
    upper = bars["symbol"].map(ranges["last"]).fillna(last)
    return bars[(bars["session"] >= lower) & (bars["session"] <= upper)]


def day_ranges(kept: pd.DataFrame, quarantined: pd.DataFrame) -> pd.DataFrame:
    """The days whose quarantined rows are replaced: those asked for, and of what was answered unasked, each."""
    import pandas as pd

    others = quarantined[~quarantined["symbol"].isin(kept["symbol"])]
    if others.empty:
        return kept
    named = {"first": ("session", "min"), "last": ("session", "max")}
    return pd.concat([kept, others.groupby("symbol").agg(**named).reset_index()], ignore_index=True)


def asked_ranges(part: Sequence[Answer], sessions: Sequence[date], stored: pd.DataFrame) -> pd.DataFrame:
    """The days that symbols were asked for whose answer can be trusted to be all that there is.

    Symbols are asked together for more days than one of them lacks, and what it has of the others is not kept.

    Args:
        part: No symbol is in two of these answers.
        sessions: Those that may be asked for, ascending.
        stored: Bars around the answers: columns symbol, session.

    Returns:
        Columns symbol, first, last, and lacking: whether a session of these days is without a good bar.
    """
    import numpy as np
    import pandas as pd

    days = np.array(sessions, dtype="datetime64[D]")
    found = []
    for batch, answer in part:
        own = batch.kept[batch.kept["symbol"].isin(_trusted(batch, answer, stored))]
        first, last = (own[name].to_numpy().astype("datetime64[D]") for name in ("first", "last"))
        asked = np.searchsorted(days, last, side="right") - np.searchsorted(days, first)
        good = rows_within(answer.good, batch.kept)["symbol"].value_counts()
        found.append(own.assign(lacking=own["symbol"].map(good).fillna(0).to_numpy() < asked))
    return pd.concat(found, ignore_index=True)


def _trusted(batch: Batch, answer: CheckedBars, stored: pd.DataFrame) -> list[str]:
    """Symbols whose answer can be trusted to be all that there is.

    One that is wholly empty cannot, where bars of the same days are stored: something else is wrong with it.
    """
    import pandas as pd

    within = stored["session"].between(pd.Timestamp(batch.begin), pd.Timestamp(batch.end))
    doubtful = set(stored.loc[within, "symbol"].unique())
    doubtful -= {*answer.good["symbol"].unique(), *answer.quarantined["symbol"].unique()}
    return [symbol for symbol in batch.symbols if symbol not in doubtful]
