"""Closes of a second source, beside those that are stored: do two agree on what a session was?

What belongs here: storing what the second source says, and comparing it on one basis. What does not: orders that a
difference stops (`risk.checks`). A second source's closes are never stored as bars.

Two sources are compared in the units of the first. Split-adjusted closes are brought to those in which the session
was traded by the splits that are known to lie between the session and the day on which they were fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from scizor_dagster.errors import ScizorError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.provider import MarketData

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("symbol", "session", "close", "volume")
_VALUES = "close, volume, adjustment, source, fetched_at"
SPLITTING = "not compared: a split took effect on the day on which the prices were fetched"
NO_BAR = "the second source has no close"
SAME_SOURCE = "both closes are from one source"
NOT_COMPARED = "not compared: total-return prices change with every dividend"
MADE_UP = "not compared: made-up prices say nothing of real ones"


@dataclass(frozen=True, slots=True)
class SecondReport:
    """What a second source was asked.

    Attributes:
        stored: Number of closes stored.
        problem: Why there is no answer; empty where there is one. An earlier answer then stays.
    """

    market: str
    source: str
    stored: int
    problem: str = ""


def collect_second_bars(
    lake: Lake, market: str, source: MarketData, symbols: Sequence[str], first: date, last: date, now: datetime
) -> SecondReport:
    """Store the second source's closes of a range of closed sessions; that it does not answer stops nothing."""
    import pandas as pd

    try:
        batches = [batch for batch in source.daily_bars(symbols, first, last, now) if len(batch)]
    except ScizorError as error:
        return SecondReport(market, source.name, 0, error.problem)
    if not batches:
        return SecondReport(market, source.name, 0, f"{source.name} has no close from {first} to {last}.")
    rows = pd.concat(batches, ignore_index=True)[list(_COLUMNS)]
    within = rows["session"].between(pd.Timestamp(first), pd.Timestamp(last)) & rows["symbol"].isin(list(symbols))
    usable = within & (rows["close"] > 0) & rows["volume"].notna()
    rows = rows[usable].drop_duplicates(["symbol", "session"], keep=False)
    rows = rows.assign(market=market, adjustment=source.adjustment, source=source.name, fetched_at=now)
    with lake.write() as cursor:
        key = [market, first, last]
        replace_rows(cursor, "second_bars", rows, "market = ? AND session BETWEEN ? AND ?", key)
    return SecondReport(market, source.name, len(rows))


def source_differences(lake: Lake, market: str, session: date) -> pd.DataFrame:
    """Every stored bar of a session beside the second source's.

    Columns: symbol, session, close, second_close, difference (relative to the first close, positive), volume,
    second_volume, source, second_source, and note: empty where the two were compared, else why not. Closes and volumes
    of the second source are in the units of the first. Volumes are for looking at: sources count different trades.
    """
    with lake.read() as cursor:
        both = cursor.execute(
            f"WITH ours AS (SELECT symbol, session, synthetic, {_VALUES} FROM bars WHERE market = ? AND session = ?), "
            f"theirs AS (SELECT symbol, {_VALUES} FROM second_bars WHERE market = ? AND session = ?) "
            "SELECT o.*, t.close AS second_close, t.volume AS second_volume, t.adjustment AS second_adjustment, "
            "t.source AS second_source, t.fetched_at AS second_fetched_at "
            "FROM ours o LEFT JOIN theirs t USING (symbol) ORDER BY symbol",
            [market, session, market, session],
        ).df()
        splits = cursor.execute(
            f"SELECT symbol, ex_session, ratio FROM {whole('corporate_actions')} "
            "WHERE market = ? AND kind = 'split' AND ex_session > ? AND ratio > 0",
            [market, session],
        ).fetchall()
    factors = np.array([_factor(row, splits) for row in both.to_dict("records")], dtype=np.float64)
    both["second_close"] *= factors
    both["second_volume"] /= factors
    both["difference"] = (both["second_close"] / both["close"] - 1).abs()
    either = (both["adjustment"] == "total_return") | (both["second_adjustment"] == "total_return")
    both["note"] = ""
    both.loc[np.isnan(factors), "note"] = SPLITTING
    both.loc[either, "note"] = NOT_COMPARED
    both.loc[both["synthetic"], "note"] = MADE_UP
    both.loc[both["second_source"] == both["source"], "note"] = SAME_SOURCE
    both.loc[both["second_source"].isna(), "note"] = NO_BAR
    both.loc[both["note"] != "", "difference"] = np.nan
    shown = ["symbol", "session", "close", "second_close", "difference", "volume", "second_volume"]
    return both[[*shown, "source", "second_source", "note"]]


def _factor(row: dict[Any, Any], splits: Sequence[tuple[str, date, float]]) -> float:
    """What the second close is multiplied by, to be in the units of the first; NaN where that is not certain."""
    mine = [(ex, ratio) for symbol, ex, ratio in splits if symbol == row["symbol"]]
    if not mine or not isinstance(row["second_source"], str):
        return 1.0
    second = _as_traded(row["second_adjustment"], row["second_fetched_at"], mine)
    return second / _as_traded(row["adjustment"], row["fetched_at"], mine)


def _as_traded(adjustment: str, fetched_at: datetime, splits: Sequence[tuple[date, float]]) -> float:
    """What a close is multiplied by, to be in the units in which its session was traded."""
    factor = 1.0
    if adjustment != "split":
        return factor
    for ex_session, ratio in splits:
        since = fetched_at - datetime.combine(ex_session, time(), UTC)
        # A source restates its past at some hour around the split, and does not say which.
        if abs(since) < timedelta(days=1):
            return float("nan")
        factor *= ratio if since > timedelta() else 1.0
    return factor
