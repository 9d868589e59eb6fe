"""One symbol's prices with what happened to it, to look at.

What belongs here: reading the series, as it is or as it was known. What does not: drawing it.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from scizor_dagster.errors import InputError, SnapshotGone
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole
from scizor_dagster.market_data.reading import PriceKind, prices

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {"raw": "raw_close", "split": "split_close", "total_return": "total_return_close"}
Action = tuple[date, str, float, float, str, str]


def symbol_series(
    desk: Desk, market: str, symbol: str, first: date, last: date, kind: PriceKind, as_of: date | None = None
) -> pd.DataFrame:
    """Closes from `first` to `last`; with `as_of`, as the lake knew them at the end of that day at the exchange.

    Columns: session, price (NaN where the source gives none of this kind), event (such as `split 2:1`, or empty).
    Where clean-up has removed the state of that day, there are the source's own prices and no events.

    Raises:
        InputError: the symbol has no bars of the range, none of this kind, or none that is still known of that day.
    """
    frame, actions, gone = _known(desk, market, symbol, first, last, as_of)
    price = frame[COLUMNS[kind]].astype("float64")
    where = f"market {market}, {symbol}"
    if gone is not None and price.isna().all():
        raise InputError(
            f"What the lake knew on {as_of} is gone: {gone.problem}",
            remedy="Use a later date, or prices as the source gives them; see lake.keep_snapshots_days.",
            where=f"{where}, --as-of",
        )
    if frame.empty:
        raise InputError(
            f"There are no bars from {first} to {last}.",
            remedy=f"See what is there: scizor data gaps --market {market} --symbol {symbol}.",
            where=where,
        )
    if price.isna().all():
        raise InputError(
            f"There are no {kind} prices: the source gives its own adjusted ones, or the factors are not computed.",
            remedy="Choose another with --prices: raw, split or total_return.",
            where=where,
        )
    days = frame["session"].tolist()
    return frame[["session"]].assign(price=price, event=_events(days, actions))


def _known(
    desk: Desk, market: str, symbol: str, first: date, last: date, as_of: date | None
) -> tuple[pd.DataFrame, list[Action], SnapshotGone | None]:
    """Prices and actions; where the state of the lake is gone, what the revisions tell, and that error."""
    if as_of is None:
        return (*_read(desk.lake, market, symbol, first, last), None)
    end = datetime.combine(as_of + timedelta(days=1), time(), desk.calendar(market).timezone)
    try:
        with desk.lake.at(end) as then:
            return (*_read(then, market, symbol, first, last), None)
    except SnapshotGone as error:
        return prices(desk.lake, market, [symbol], first, last, as_of=end), [], error


def _read(lake: Lake, market: str, symbol: str, first: date, last: date) -> tuple[pd.DataFrame, list[Action]]:
    with lake.read() as cursor:
        actions = cursor.execute(
            f"SELECT ex_session, kind, ratio, amount, currency, new_symbol FROM {whole('corporate_actions')} "
            "WHERE market = ? AND symbol = ? AND ex_session BETWEEN ? AND ? ORDER BY ex_session, kind",
            [market, symbol, first, last],
        ).fetchall()
    return prices(lake, market, [symbol], first, last), actions


def _events(days: list[date], actions: list[Action]) -> list[str]:
    """What happened by session; an action on a day without a bar shows on the next one."""
    events = {day: list[str]() for day in days}
    for ex_session, kind, ratio, amount, currency, new_symbol in actions:
        shown = next((day for day in days if day >= ex_session), None)
        if shown is None:
            continue
        detail = {"split": f" {ratio:g}:1" if ratio else "", "dividend": f" {amount:g} {currency}" if amount else ""}
        events[shown].append(kind + detail.get(kind, f" to {new_symbol}" if new_symbol else ""))
    return ["; ".join(events[day]) for day in days]
