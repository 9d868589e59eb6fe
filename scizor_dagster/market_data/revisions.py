"""What was believed of a bar, and when: the bars that others have replaced.

What belongs here: keeping a bar that is about to be replaced, replacing single bars, and reading one bar's history.
What does not: deciding that a bar has changed (`overlap`, `bar_store`).

The table `bar_revisions` outlives the lake's snapshots: time travel answers for as long as a snapshot is kept, the
table for good. `stored_at` and `replaced_at` bound the time in which a bar was believed: the times of the writes by the
lake's own clock, as of its snapshots, because a run may have asked long before. `last_snapshot` is the newest snapshot
that held it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from scizor_dagster.lake.connection import Lake
from scizor_dagster.market_data.provider import Adjustment

if TYPE_CHECKING:
    import pandas as pd

Reason = Literal["restated_bar", "restated_series", "collected_again", "preferred_source", "fetched_early", "set_aside"]
_BAR = "market, symbol, session, open, high, low, close, volume, adjustment, synthetic, source, fetched_at"
STORED_AT = "coalesce(stored_at, fetched_at)"
"""When a bar was written; what an earlier version wrote has the time of its run alone."""


@dataclass(frozen=True, slots=True)
class Belief:
    """One value of a bar, and when it was the one that everything read.

    Attributes:
        fetched_at: When the run began that asked for it.
        stored_at: Believed from then on.
        replaced_at: Until then; None for what is believed now.
        last_snapshot: Newest snapshot of the lake with it; None for what is believed now.
        reason: Why it was replaced; empty for what is believed now.
    """

    open: float
    high: float
    low: float
    close: float
    volume: float
    adjustment: Adjustment
    synthetic: bool
    source: str
    fetched_at: datetime
    stored_at: datetime
    replaced_at: datetime | None
    last_snapshot: int | None
    reason: str


def revisions(lake: Lake, market: str, symbol: str, session: date) -> tuple[Belief, ...]:
    """What was believed of the bar of `symbol` in `session`, oldest first; the last one is believed now.

    The last one has a `replaced_at` where the bar was withdrawn. Empty where there never was a bar.
    """
    values = f"open, high, low, close, volume, adjustment, synthetic, source, fetched_at, {STORED_AT}"
    where = "market = $market AND symbol = $symbol AND session = $session"
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT {values}, replaced_at, last_snapshot, reason FROM bar_revisions WHERE {where} "
            f"UNION ALL SELECT {values}, NULL, NULL, '' FROM bars WHERE {where} ORDER BY replaced_at NULLS LAST",
            {"market": market, "symbol": symbol, "session": session},
        ).fetchall()
    return tuple(Belief(*row) for row in rows)


def keep_series(cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str]) -> None:
    """Keep every stored bar of `symbols`, before the series is replaced."""
    _keep(cursor, "restated_series", "market = ? AND symbol IN (SELECT unnest(?))", [market, list(symbols)])


def withdraw_series(cursor: duckdb.DuckDBPyConnection, market: str, symbols: Sequence[str]) -> int:
    """Keep every stored bar of `symbols` and delete it: nothing takes its place yet; how many there were."""
    where, parameters = "market = ? AND symbol IN (SELECT unnest(?))", [market, list(symbols)]
    _keep(cursor, "set_aside", where, parameters)
    row = cursor.execute(f"DELETE FROM bars WHERE {where}", parameters).fetchone()
    return int(row[0]) if row else 0


def take_out(cursor: duckdb.DuckDBPyConnection, market: str, bars: pd.DataFrame, reason: Reason) -> None:
    """Keep the stored bars that have the keys of `bars`, and delete them: their successors are inserted next."""
    if bars.empty:
        return
    cursor.register("taken_out", bars[["symbol", "session"]])
    keys = "SELECT (symbol, CAST(session AS DATE)) FROM taken_out"
    where = f"market = ? AND session BETWEEN ? AND ? AND (symbol, session) IN ({keys})"
    parameters = [market, bars["session"].min().date(), bars["session"].max().date()]
    try:
        _keep(cursor, reason, where, parameters)
        cursor.execute(f"DELETE FROM bars WHERE {where}", parameters)
    finally:
        cursor.unregister("taken_out")


def _keep(cursor: duckdb.DuckDBPyConnection, reason: Reason, where: str, parameters: Sequence[Any]) -> None:
    row = cursor.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    assert row is not None
    cursor.execute(
        f"INSERT INTO bar_revisions ({_BAR}, stored_at, replaced_at, last_snapshot, reason) "
        f"SELECT {_BAR}, {STORED_AT}, now(), ?, ? FROM bars WHERE {where} ORDER BY symbol, session",
        [row[0], reason, *parameters],
    )
