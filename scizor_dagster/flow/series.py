"""One symbol's prices with what happened to it, to look at.

What belongs here: reading the series, as it is or as it was known. What does not: drawing it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.adjustment import VIEW
from scizor_dagster.market_data.reading import PriceKind

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"raw": "raw_close", "split": "split_close", "total_return": "total_return_close"}


def symbol_series(
    desk: Desk, market: str, symbol: str, first: date, last: date, kind: PriceKind, as_of: date | None = None
) -> pd.DataFrame:
    """Closes from `first` to `last`; with `as_of`, as the lake knew them at the end of that day.

    Columns: session, price (NaN where the source gives none of this kind), event (such as `split 2:1`, or empty).

    Raises:
        InputError: the symbol has no bars of the range, none of this kind, or that state of the lake is gone.
    """
    at = "" if as_of is None else _state_of(desk, as_of)
    view = VIEW
    for table in ("bars b", "adjustment_factors f"):
        name, alias = table.split()
        view = view.replace(table, f"(SELECT * FROM {name}{at}) {alias}")
    key = [market, symbol, first, last]
    with desk.lake.read() as cursor:
        frame = cursor.execute(
            f"SELECT session, CAST({COLUMNS[kind]} AS DOUBLE) AS price FROM ({view}) "
            "WHERE market = ? AND symbol = ? AND session BETWEEN ? AND ? ORDER BY session",
            key,
        ).df()
        actions = cursor.execute(
            f"SELECT ex_session, kind, ratio, amount, currency, new_symbol FROM corporate_actions{at} "
            "WHERE market = ? AND symbol = ? AND ex_session BETWEEN ? AND ? ORDER BY ex_session, kind",
            key,
        ).fetchall()
    where = f"market {market}, {symbol}"
    if frame.empty:
        raise InputError(
            f"There are no bars from {first} to {last}.",
            remedy=f"See what is there: scizor data gaps --market {market} --symbol {symbol}.",
            where=where,
        )
    if frame["price"].isna().all():
        raise InputError(
            f"There are no {kind} prices: the source gives its own adjusted ones, or the factors are not computed.",
            remedy="Choose another with --prices: raw, split or total_return.",
            where=where,
        )
    days = [stamp.date() for stamp in frame["session"]]
    return frame.assign(session=days, event=_events(days, actions))


def _state_of(desk: Desk, as_of: date) -> str:
    """The newest state of the lake that was committed by the end of `as_of`, UTC."""
    end = datetime.combine(as_of + timedelta(days=1), time(), UTC)
    with desk.lake.read() as cursor:
        oldest, found = cursor.execute(
            "SELECT min(snapshot_time), max(snapshot_id) FILTER (snapshot_time < ?) FROM lake.snapshots()", [end]
        ).fetchall()[0]
    if found is None:
        raise InputError(
            f"What the lake knew on {as_of} is gone: its oldest state is of {oldest:%Y-%m-%d}.",
            remedy="Use a later date; lake.keep_snapshots_days says how long states are kept.",
            where="--as-of",
        )
    return f" AT (VERSION => {int(found)})"


def _events(days: list[date], actions: list[tuple[date, str, float, float, str, str]]) -> list[str]:
    """What happened by session; an action on a day without a bar shows on the next one."""
    events = {day: list[str]() for day in days}
    for ex_session, kind, ratio, amount, currency, new_symbol in actions:
        shown = next((day for day in days if day >= ex_session), None)
        if shown is None:
            continue
        detail = {"split": f" {ratio:g}:1" if ratio else "", "dividend": f" {amount:g} {currency}" if amount else ""}
        events[shown].append(kind + detail.get(kind, f" to {new_symbol}" if new_symbol else ""))
    return ["; ".join(events[day]) for day in days]
