"""Splits that a source shows in its prices and does not list: actions of the source `observed:<provider>`.

What belongs here: writing them, and withdrawing them once the provider lists the same. What does not: seeing them
(`overlap`, `restated_series`), the provider's own actions (`collect`).

A source that adjusts rewrites its bars before it is asked for the split, and some list none at all. The day of such a
split is known from the data: the first session on the new basis, or, if all stored bars are on the old one, the
session after the last of them. That is its earliest day, the instant of the observation its latest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pandas as pd

from scizor_dagster.lake.tables import append_rows
from scizor_dagster.market_data.provider import ACTION_COLUMNS

PREFIX = "observed:"
_SAME_RATIO = 0.01
_DAYS_APART = 10
"""Sources differ by some days on the day of a split, and a bar may be late."""


@dataclass(frozen=True, slots=True)
class ObservedSplit:
    """A split seen in a series.

    Attributes:
        ex_session: The earliest session that it can have taken effect in.
        ratio: New shares per old share.
    """

    symbol: str
    ex_session: date
    ratio: float


def store_observed(
    cursor: duckdb.DuckDBPyConnection,
    market: str,
    provider: str,
    splits: Iterable[ObservedSplit],
    listed: pd.DataFrame,
    now: datetime,
) -> tuple[ObservedSplit, ...]:
    """Add the splits that neither the table nor `listed` has yet; those added.

    `listed` is what the provider lists: columns symbol, ex_session, kind, ratio.
    """
    stored = cursor.execute(
        "SELECT symbol, ex_session, kind, ratio FROM corporate_actions WHERE market = ? AND kind = 'split'", [market]
    ).df()
    known = [*_splits_in(stored), *_splits_in(listed)]
    new = [split for split in splits if not any(same(split, other, now) for other in known)]
    if new:
        rows = [(split.symbol, split.ex_session, "split", split.ratio, None, None, None) for split in new]
        frame = pd.DataFrame(rows, columns=list(ACTION_COLUMNS))
        append_rows(
            cursor, "corporate_actions", frame.assign(market=market, source=f"{PREFIX}{provider}", fetched_at=now)
        )
    return tuple(new)


def withdraw_listed(cursor: duckdb.DuckDBPyConnection, market: str, listed: pd.DataFrame) -> bool:
    """Delete the observed splits that a provider lists by now; whether there were any."""
    rows = cursor.execute(
        "SELECT symbol, ex_session, ratio, fetched_at FROM corporate_actions "
        "WHERE market = ? AND kind = 'split' AND starts_with(source, ?)",
        [market, PREFIX],
    ).fetchall()
    known = _splits_in(listed)
    doubled = [row for row in rows if any(same(ObservedSplit(*row[:3]), other, row[3]) for other in known)]
    for symbol, ex_session, _ratio, _seen in doubled:
        cursor.execute(
            "DELETE FROM corporate_actions WHERE market = ? AND symbol = ? AND ex_session = ? AND kind = 'split' "
            "AND starts_with(source, ?)",
            [market, symbol, ex_session, PREFIX],
        )
    return bool(doubled)


def same(observed: ObservedSplit, listed: ObservedSplit, seen: datetime) -> bool:
    """Whether both are one split: of one ratio, between the observation's earliest day and its instant."""
    room = timedelta(days=_DAYS_APART)
    return (
        observed.symbol == listed.symbol
        and abs(observed.ratio / listed.ratio - 1.0) < _SAME_RATIO
        and observed.ex_session - room <= listed.ex_session <= max(seen.date(), observed.ex_session) + room
    )


def _splits_in(actions: pd.DataFrame) -> list[ObservedSplit]:
    rows = actions[(actions["kind"] == "split") & (actions["ratio"] > 0)]
    days = [pd.Timestamp(stamp).date() for stamp in rows["ex_session"]]
    return [ObservedSplit(*row) for row in zip(rows["symbol"].tolist(), days, rows["ratio"].tolist(), strict=True)]
