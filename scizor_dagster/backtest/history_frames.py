"""A market's history of frames that are in memory already, as a notebook has them.

What belongs here: frames of sessions by symbols to a `History`. What does not: files (`history_files`), the lake
(`histories`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.backtest.histories import Bars, ended
from scizor_dagster.backtest.model import History
from scizor_dagster.backtest.schedules import days_of
from scizor_dagster.errors import InputError
from scizor_dagster.instruments import Instrument, check_symbol
from scizor_dagster.market_data.reading import PriceKind
from scizor_dagster.planning.listings import NO_MARKET

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def history_of_frame(
    close: pd.DataFrame, *, kind: PriceKind = "raw", currency: str = "USD", **others: pd.DataFrame
) -> History:
    """A history of a frame of closes with a row for each session and a column for each symbol.

    Args:
        close: Its index holds every session that traded, as dates or midnights, ascending; NaN where there is no bar.
        kind: What the prices know already.
        currency: Of all of them.
        others: `open`, `high`, `low` and `volume`, of the same rows and columns.

    Raises:
        InputError: a column is no ticker, the index is not of ascending dates, a frame is not like that of closes, or a
            volume is infinite or below zero.
    """
    unknown = sorted(set(others) - {"open", "high", "low", "volume"})
    if unknown:
        raise InputError(f"There are no prices called {unknown[0]}.", remedy="Give open, high, low or volume.")
    sessions = days_of(close, "closes")
    if any(before >= after for before, after in pairwise(sessions)):
        raise InputError("The index of the closes is not of ascending dates.", remedy="Sort it, each session once.")
    symbols = [check_symbol(str(name)) for name in close.columns]
    order = sorted(range(len(symbols)), key=lambda at: symbols[at])
    arrays: dict[str, Any] = {}
    for name, frame in {"close": close, **others}.items():
        if not frame.index.equals(close.index) or list(frame.columns) != list(close.columns):
            raise InputError(f"The frame of {name} has other rows or columns than the closes.", remedy="Align them.")
        arrays[name] = np.ascontiguousarray(frame.to_numpy(dtype=np.float64, na_value=np.nan)[:, order])
    if "volume" in arrays:
        _check_volumes(arrays["volume"], sessions, [symbols[at] for at in order])
    named = tuple(symbols[at] for at in order)
    bars = Bars(np.array(sessions, dtype="datetime64[D]"), named, {"close": arrays["close"]})
    return History(
        sessions=tuple(sessions),
        instruments=tuple(Instrument(name, NO_MARKET, currency) for name in named),
        currency=currency,
        adjustment=kind,
        source="frames",
        notes=tuple(ended(bars, ())),
        **arrays,
    )


def _check_volumes(volume: NDArray[Any], sessions: Sequence[date], symbols: Sequence[str]) -> None:
    for row, column in np.argwhere(np.isinf(volume) | (volume < 0))[:1].tolist():
        raise InputError(
            f"The volume of {symbols[column]} on {sessions[row]} is {volume[row, column]}.",
            remedy="Give a number of shares of 0 or more, or none (NaN) where it is not known.",
        )
