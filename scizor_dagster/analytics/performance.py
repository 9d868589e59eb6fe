"""The equity curve: one row per measured session, and the returns that follow from the rows.

What belongs here: returns, drawdown, turnover, and the table that holds them. What does not: what a
portfolio is worth in a session (`valuation`), and pictures (`plots`).

    return            = (equity - flows of the session) / (equity of the row before + earlier flows) - 1
                        (first row: the starting equity in place of the row before)
                        what flows in or out counts from the end of its session: it has earned nothing in it, and
                        what came in a session since the row before that was not measured has earned since then
    cumulative_return = product of (1 + return) - 1: time-weighted, so that deposits are no gain
    drawdown          = (1 + cumulative_return) / highest so far - 1, the start being 1
    turnover          = (bought + sold) / 2 / equity

This is the time-weighted return of the GIPS standards' calculation guidance, r = (EMV - BMV - F) / BMV linked over
periods, with a valuation at each session's close, so that nothing is weighted within a period as Modified Dietz does.

Rows are facts of their session; returns are computed over the whole curve again with each new row, so
that measuring an earlier session once more mends every row after it. A session that was not measured
is not a row: the return after it spans the gap.

The return of the first row stays as it was stored, until that row is measured again: what a portfolio began with is
not known any more once its ledger was built anew from what it has now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from scizor_dagster.analytics.valuation import Valuation
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "performance"
COLUMNS = (
    "portfolio",
    "session",
    "equity",
    "cash",
    "market_value",
    "flows",
    "fees",
    "return",
    "cumulative_return",
    "drawdown",
    "turnover",
    "unpriced",
    "adjustment",
    "synthetic",
    "account_money",
    "earlier_flows",
    "account",
    "venue",
)


FACTS = ("equity", "cash", "market_value", "flows", "fees")
"""Columns of a row that do not follow from the rows before it, in the portfolio's currency."""


Where = tuple[str, str]
"""Account and venue that a portfolio trades on. On another one it has other money, and begins anew."""


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """What is known of one session, in the portfolio's currency.

    Attributes:
        valuation: At the session's closes.
        starting_equity: Money that the portfolio began with, before its first session.
        flows: Money and positions that came (positive) or went from outside since the row before; neither from trading
            nor from dividends.
        fees: Since the row before.
        traded: Value of the session's purchases and sales together, both counted positive.
        adjustment: What the closes are: `raw`, `split` or `total_return`.
    """

    portfolio: str
    session: date
    valuation: Valuation
    starting_equity: Decimal
    flows: Decimal
    fees: Decimal
    traded: Decimal
    adjustment: str
    synthetic: bool
    account_money: Decimal = Decimal(0)
    """The part of the equity that is the account's own money (deposits, interest, fees), which nothing trades with."""
    earlier_flows: Decimal = Decimal(0)
    """The part of the flows that is of sessions before this one, which were not measured."""
    where: Where | None = None


def measure(figures: SessionFigures, history: pd.DataFrame) -> pd.DataFrame:
    """The session's row, with its returns.

    Args:
        figures: The session.
        history: Rows of the portfolio as `read_performance` gives them; those from the session on
            are passed over.

    Returns:
        One row with the columns `COLUMNS`.

    Raises:
        InputError: as `equity_curve`.
    """
    import pandas as pd

    row = pd.DataFrame([_facts(figures)])
    earlier = history[history["session"] < figures.session]
    rows = row if earlier.empty else pd.concat([earlier, row], ignore_index=True)
    return equity_curve(rows, float(figures.starting_equity)).tail(1).reset_index(drop=True)[list(COLUMNS)]


def _facts(figures: SessionFigures) -> dict[str, object]:
    value = figures.valuation
    return {
        "portfolio": figures.portfolio,
        "session": figures.session,
        "equity": float(value.equity),
        "cash": float(value.cash),
        "market_value": float(value.market_value),
        "flows": float(figures.flows),
        "fees": float(figures.fees),
        "turnover": float(figures.traded / 2 / value.equity) if value.equity > 0 else None,
        "unpriced": len(value.unpriced),
        "adjustment": figures.adjustment,
        "synthetic": figures.synthetic,
        "account_money": float(figures.account_money),
        "earlier_flows": float(figures.earlier_flows),
        **dict(zip(("account", "venue"), figures.where or (None, None), strict=True)),
    }


def equity_curve(rows: pd.DataFrame, starting_equity: float) -> pd.DataFrame:
    """`rows` by session, with return, cumulative_return and drawdown computed anew.

    Args:
        rows: At least the columns session, equity and flows; one row per session. The first one's `return` is kept
            where it has one.
        starting_equity: Money that the portfolio began with. Where it was nothing, what flowed in the first session
            counts from that session's beginning.

    Returns:
        Rows by session; the return after an equity of zero or less is NaN, and so is what follows.

    Raises:
        InputError: the first row has no return, and there is nothing positive that it could count from.
    """
    curve = rows.sort_values("session").reset_index(drop=True)
    earlier = _earlier_flows(curve)
    before = curve["equity"].shift(1)
    base = before + earlier
    returns = ((curve["equity"] - (curve["flows"] - earlier)) / base - 1).where((before > 0) & (base > 0))
    if not curve.empty:
        returns.iloc[0] = _first_return(curve, starting_equity)
    curve["return"] = returns
    growth = (1 + curve["return"]).cumprod().where(curve["return"].notna().cummin())
    curve["cumulative_return"] = growth - 1
    curve["drawdown"] = growth / growth.cummax().clip(lower=1.0) - 1
    return curve


def _earlier_flows(rows: pd.DataFrame) -> pd.Series[float]:
    """Rows of an earlier version have none."""
    import pandas as pd

    return rows["earlier_flows"].astype(float).fillna(0.0) if "earlier_flows" in rows else pd.Series(0.0, rows.index)


def _first_return(curve: pd.DataFrame, starting_equity: float) -> float:
    row = curve.iloc[0]
    if "return" in curve and row["return"] == row["return"]:
        return float(row["return"])
    base = starting_equity + _earlier_flows(curve).iloc[0]
    today = row["flows"] - _earlier_flows(curve).iloc[0]
    if not base > 0:
        base, today = base + today, 0.0
    if not 0 < base < float("inf"):
        raise InputError(
            f"A starting equity of {starting_equity} has no returns.",
            remedy="Give the capital that it began with.",
        )
    return float((row["equity"] - today) / base - 1)


def began_with(rows: pd.DataFrame, starting_equity: float) -> float:
    """What the first of the rows (columns `COLUMNS`) counts from: `starting_equity`, where its return says no other."""
    if rows.empty or not rows["return"].iloc[0] > -1:
        return starting_equity
    earlier = float(_earlier_flows(rows).iloc[0])
    today = float(rows["flows"].iloc[0]) - earlier
    found = (float(rows["equity"].iloc[0]) - today) / (1 + float(rows["return"].iloc[0])) - earlier
    # A return that follows from the starting equity gives it again, but for the last digits of a float.
    return starting_equity if math.isclose(found, starting_equity, rel_tol=1e-9) else found


def store_performance(
    lake: Lake,
    row: pd.DataFrame,
    starting_equity: Decimal,
    now: datetime,
    profits: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write one measured row, the returns of the rows after it, and its profits by table, in one transaction."""
    import pandas as pd

    from scizor_dagster.lake.tables import replace_rows

    (portfolio,), (session,) = row["portfolio"], row["session"]
    account, venue = row["account"].iloc[0], row["venue"].iloc[0]
    with lake.write() as cursor:
        stored = _typed(cursor.execute(_QUERY + " ORDER BY session", [portfolio]).fetch_df())
        there = _of(stored, (account, venue) if isinstance(account, str) else None)
        others = there[there["session"] != session]
        rows = row if others.empty else pd.concat([others, row], ignore_index=True)
        curve = equity_curve(rows, float(starting_equity))
        changed = curve.loc[curve["session"] >= session, list(COLUMNS)].assign(source=SOURCE, fetched_at=now)
        replace_rows(
            cursor,
            "performance",
            changed,
            "portfolio = ? AND session IN (SELECT unnest(?))",
            [portfolio, list(changed["session"])],
        )
        for table, lines in (profits or {}).items():
            mine = lines.assign(portfolio=portfolio, session=session, source=SOURCE, fetched_at=now)
            replace_rows(cursor, table, mine, "portfolio = ? AND session = ?", [portfolio, session])


_QUERY = "SELECT " + ", ".join(COLUMNS) + f" FROM {whole('performance')} WHERE portfolio = ?"


def read_performance(
    lake: Lake, portfolio: str, through: date | None = None, where: Where | None = None
) -> pd.DataFrame:
    """Stored rows of a portfolio up to and with the session `through`, oldest first (columns `COLUMNS`).

    With `where` those alone that were measured there.
    """
    with lake.read() as cursor:
        frame = _of(_typed(cursor.execute(_QUERY + " ORDER BY session", [portfolio]).fetch_df()), where)
    return frame[frame["session"] <= (through or date.max)].reset_index(drop=True)


def _of(rows: pd.DataFrame, where: Where | None) -> pd.DataFrame:
    """A row of an earlier version, which does not say, is of where the next one is; without one, of where it is now."""
    if where is None:
        return rows
    account, venue = (rows[name].bfill().fillna(here) for name, here in zip(("account", "venue"), where, strict=True))
    return rows[(account == where[0]) & (venue == where[1])]


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Sessions as dates: DuckDB hands out timestamps."""
    import pandas as pd

    return frame.assign(session=pd.to_datetime(frame["session"]).dt.date)
