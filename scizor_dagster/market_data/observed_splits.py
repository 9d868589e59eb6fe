"""Splits that a source shows in its prices and does not list: actions of the source `observed:<provider>`.

What belongs here: writing them, and withdrawing them once the provider lists the same. What does not: seeing them
(`overlap`, `restated_series`), the provider's own actions (`collect`).

A source that adjusts rewrites its bars before it is asked for the split, and some list none at all. The day of such a
split is known from the data: the first session on the new basis. If all stored bars are on the old one, the session
after the last of them is its earliest day, and the day of the observation its latest (`ex_until`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import prod

import duckdb
import pandas as pd

from scizor_dagster.lake.tables import append_rows
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.provider import ACTION_COLUMNS

PREFIX = "observed:"
_SAME_RATIO = 0.01
_DAYS_APART = 10
"""Sources differ by some days on the day of a split, and a bar may be late."""


@dataclass(frozen=True, slots=True)
class ObservedSplit:
    """A split seen in a series.

    Attributes:
        ex_session: The session in which it took effect, or the earliest in which it can have.
        ratio: New shares per old share.
        latest: The latest day on which it can have taken effect; None where `ex_session` is the day itself.
    """

    symbol: str
    ex_session: date
    ratio: float
    latest: date | None = None


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
    splits = tuple(splits)
    stored = cursor.execute(
        f"SELECT symbol, ex_session, kind, ratio FROM {whole('corporate_actions')} WHERE market = ? AND kind = 'split' "
        "AND symbol IN (SELECT unnest(?))",
        [market, [split.symbol for split in splits]],
    ).df()
    doubled = listed_too(splits, {*_splits_in(stored), *_splits_in(listed)})
    new = tuple(split for split in splits if split not in doubled)
    if new:
        rows = [(each.symbol, each.ex_session, "split", each.ratio, None, None, None, each.latest) for each in new]
        frame = pd.DataFrame(rows, columns=[*ACTION_COLUMNS, "ex_until"])
        append_rows(
            cursor, "corporate_actions", frame.assign(market=market, source=f"{PREFIX}{provider}", fetched_at=now)
        )
    return new


def withdraw_listed(cursor: duckdb.DuckDBPyConnection, market: str, listed: pd.DataFrame) -> bool:
    """Delete the observed splits that a provider lists by now; whether there were any."""
    rows = cursor.execute(
        f"SELECT symbol, ex_session, ratio, ex_until FROM {whole('corporate_actions')} "
        "WHERE market = ? AND kind = 'split' AND starts_with(source, ?)",
        [market, PREFIX],
    ).fetchall()
    doubled = listed_too([ObservedSplit(*row) for row in rows], set(_splits_in(listed)))
    for split in doubled:
        cursor.execute(
            "DELETE FROM corporate_actions WHERE market = ? AND symbol = ? AND ex_session = ? AND kind = 'split' "
            "AND starts_with(source, ?)",
            [market, split.symbol, split.ex_session, PREFIX],
        )
    return bool(doubled)


def listed_too(observed: Iterable[ObservedSplit], listed: Collection[ObservedSplit]) -> set[ObservedSplit]:
    """Those of `observed` that are in `listed` as well: of one ratio, and near the day or within the days of both.

    One listed split stands for one observed one. Several listed ones stand together for one of an uncertain day.
    """
    free = set(listed)
    found: set[ObservedSplit] = set()
    for split in sorted(observed, key=lambda each: (each.latest is not None, each.symbol, each.ex_session)):
        near = [other for other in free if other.symbol == split.symbol and _in_time(split, other)]
        alike = [other for other in near if _alike(other.ratio, split.ratio)]
        if alike:
            taken = [min(alike, key=lambda other: abs(other.ex_session - split.ex_session))]
        elif split.latest is not None and near and _alike(prod(other.ratio for other in near), split.ratio):
            taken = near
        else:
            continue
        free.difference_update(taken)
        found.add(split)
    return found


def _in_time(observed: ObservedSplit, listed: ObservedSplit) -> bool:
    room = timedelta(days=_DAYS_APART)
    return observed.ex_session - room <= listed.ex_session <= (observed.latest or observed.ex_session) + room


def _alike(ratio: float, other: float) -> bool:
    return abs(ratio / other - 1.0) < _SAME_RATIO


def _splits_in(actions: pd.DataFrame) -> list[ObservedSplit]:
    rows = actions[(actions["kind"] == "split") & (actions["ratio"] > 0)]
    days = [pd.Timestamp(stamp).date() for stamp in rows["ex_session"]]
    return [ObservedSplit(*row) for row in zip(rows["symbol"].tolist(), days, rows["ratio"].tolist(), strict=True)]
