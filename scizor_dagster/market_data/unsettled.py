"""Stored bars that were fetched before the prices of their session were final.

What belongs here: finding them, putting what the source says now in their place, and remembering those that it has
not any more. What does not: when a session's prices are final (`sessions`), and asking (`filling`).

Such a bar lacks the closing auction and late trades. It is asked for once more, kept as a revision, and replaced. One
that the source has not any more stays as it is; a source that counts its calls is asked for it again after a week.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.market_data.bar_store import Origin, Stored, rewritten
from scizor_dagster.market_data.revisions import take_out

if TYPE_CHECKING:
    import pandas as pd

EARLY_REST = timedelta(days=7)
_KEY = ["symbol", "session"]


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


def due(cursor: duckdb.DuckDBPyConnection, origin: Origin, early: pd.DataFrame, recent: date | None) -> pd.DataFrame:
    """Those of `early` that are asked for: without those before `recent` that the source lately did not have."""
    if early.empty or recent is None:
        return early
    resting = cursor.execute(
        "SELECT symbol, session FROM early_bars WHERE market = ? AND source = ? AND session < ? AND fetched_at > ?",
        [origin.market, origin.names, recent, origin.fetched_at - EARLY_REST],
    ).df()
    return without(early, resting)


def note_gone(cursor: duckdb.DuckDBPyConnection, origin: Origin, bars: pd.DataFrame) -> None:
    """Keep that the source was asked again for `bars`, which were fetched too early, and had none of them."""
    if bars.empty:
        return
    cursor.register("early_keys", bars[_KEY])
    try:
        replace_rows(
            cursor,
            "early_bars",
            bars[_KEY].assign(market=origin.market, source=origin.names, fetched_at=origin.fetched_at),
            "market = ? AND (symbol, session) IN (SELECT (symbol, CAST(session AS DATE)) FROM early_keys)",
            [origin.market],
        )
    finally:
        cursor.unregister("early_keys")


def without(bars: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """The rows of `bars` whose symbol and session are not in `keys`."""
    return bars[~_among(bars, keys)] if len(keys) else bars


def withdraw(
    cursor: duckdb.DuckDBPyConnection, origin: Origin, stored: pd.DataFrame, early: pd.DataFrame, good: pd.DataFrame
) -> Stored:
    """Take out the bars of `early` that `good` has, and is to put back: as many fewer are then inserted."""
    taken = good[_among(good, early)]
    if taken.empty:
        return Stored(0, taken, taken)
    take_out(cursor, origin.market, taken, "fetched_early")
    done = rewritten(stored, taken, origin)
    return replace(done, inserted=-len(taken))


def _among(bars: pd.DataFrame, keys: pd.DataFrame) -> np.ndarray:
    import pandas as pd

    if bars.empty or keys.empty:
        return np.zeros(len(bars), dtype=bool)
    wanted = pd.MultiIndex.from_frame(keys[_KEY].astype({"session": bars["session"].dtype}))
    return np.asarray(pd.MultiIndex.from_frame(bars[_KEY]).isin(wanted))
