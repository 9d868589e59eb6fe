"""Stored bars that were fetched before the prices of their session were final.

What belongs here: finding them, and putting what the source says now in their place. What does not: when a session's
prices are final (`sessions`), and asking (`filling`).

Such a bar lacks the closing auction and late trades. It is asked for once more, kept as a revision, and replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from scizor_dagster.market_data.revisions import take_out

if TYPE_CHECKING:
    import pandas as pd

_KEY = ["symbol", "session"]
_VALUES = ("open", "high", "low", "close", "volume")


def unsettled_bars(
    cursor: duckdb.DuckDBPyConnection,
    market: str,
    symbols: Sequence[str],
    sessions: Sequence[date],
    settled_at: Callable[[date], datetime],
) -> pd.DataFrame:
    """Stored bars of `sessions`, ascending, that were fetched too early: columns symbol, session (`datetime64`)."""
    import pandas as pd

    # Most bars were fetched days later; the calendar is asked about the other sessions alone.
    chosen = "market = $market AND session BETWEEN $first AND $last AND symbol IN (SELECT unnest($symbols))"
    key = {"market": market, "first": sessions[0], "last": sessions[-1], "symbols": list(symbols)}
    earliest = cursor.execute(
        f"SELECT session, min(fetched_at) AS earliest FROM bars WHERE {chosen} "
        "GROUP BY session HAVING earliest < session + INTERVAL 2 DAY",
        key,
    ).fetchall()
    known = set(sessions)
    finals = {day: settled_at(day) for day, fetched in earliest if day in known and fetched < settled_at(day)}
    if not finals:
        return pd.DataFrame({"symbol": pd.Series(dtype="str"), "session": pd.Series(dtype="datetime64[us]")})
    return cursor.execute(
        "WITH finals AS (SELECT unnest($days::DATE[]) AS session, unnest($finals::TIMESTAMPTZ[]) AS final) "
        f"SELECT symbol, session FROM bars JOIN finals USING (session) WHERE {chosen} AND fetched_at < final",
        key | {"days": list(finals), "finals": list(finals.values())},
    ).df()


def without(bars: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """The rows of `bars` whose symbol and session are not in `keys`."""
    return bars[~_among(bars, keys)] if len(keys) else bars


def withdraw(
    cursor: duckdb.DuckDBPyConnection,
    market: str,
    stored: pd.DataFrame,
    early: pd.DataFrame,
    good: pd.DataFrame,
) -> tuple[int, int]:
    """Take out the bars of `early` that `good` has, and is to put back; how many, and how many have other values."""
    taken = good[_among(good, early)]
    if taken.empty:
        return 0, 0
    both = taken.merge(stored, on=_KEY, suffixes=("", "_stored"))
    differ = np.zeros(len(both), dtype=bool)
    for name in _VALUES:
        differ |= (both[name] != both[f"{name}_stored"]).to_numpy(dtype=bool)
    take_out(cursor, market, taken, "fetched_early")
    return len(taken), int(differ.sum())


def _among(bars: pd.DataFrame, keys: pd.DataFrame) -> np.ndarray:
    import pandas as pd

    if bars.empty or keys.empty:
        return np.zeros(len(bars), dtype=bool)
    wanted = pd.MultiIndex.from_frame(keys.astype({"session": bars["session"].dtype}))
    return np.asarray(pd.MultiIndex.from_frame(bars[_KEY]).isin(wanted))
