"""The equity curve: one row per measured session, and the returns that follow from the rows.

What belongs here: returns, drawdown, turnover, and the table that holds them. What does not: what a
portfolio is worth in a session (`valuation`), and pictures (`plots`).

    return            = (equity - flows) / equity of the row before - 1   (first row: of the starting equity)
                        what flows in or out counts from the end of its session: it has earned nothing in it
    cumulative_return = product of (1 + return) - 1: time-weighted, so that deposits are no gain
    drawdown          = (1 + cumulative_return) / highest so far - 1, the start being 1
    turnover          = (bought + sold) / 2 / equity

This is the time-weighted return of the GIPS standards' calculation guidance, r = (EMV - BMV - F) / BMV linked over
periods, with a valuation at each session's close, so that nothing is weighted within a period as Modified Dietz does.

Rows are facts of their session; returns are computed over the whole curve again with each new row, so
that measuring an earlier session once more mends every row after it. A session that was not measured
is not a row: the return after it spans the gap.
"""

from __future__ import annotations

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
)


FACTS = ("equity", "cash", "market_value", "flows", "fees")
"""Columns of a row that do not follow from the rows before it, in the portfolio's currency."""


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


def measure(figures: SessionFigures, history: pd.DataFrame) -> pd.DataFrame:
    """The session's row, with its returns.

    Args:
        figures: The session.
        history: Rows of the portfolio as `read_performance` gives them; those from the session on
            are passed over.

    Returns:
        One row with the columns `COLUMNS`.

    Raises:
        InputError: the starting equity is not a positive number.
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
    }


def equity_curve(rows: pd.DataFrame, starting_equity: float) -> pd.DataFrame:
    """`rows` by session, with return, cumulative_return and drawdown computed anew.

    Args:
        rows: At least the columns session, equity and flows; one row per session.
        starting_equity: Money that the portfolio began with.

    Returns:
        Rows by session; the return after an equity of zero or less is NaN, and so is what follows.

    Raises:
        InputError: the starting equity is not a positive number.
    """
    if not 0 < starting_equity < float("inf"):
        raise InputError(
            f"A starting equity of {starting_equity} has no returns.",
            remedy="Give the capital that it began with.",
        )
    curve = rows.sort_values("session").reset_index(drop=True)
    before = curve["equity"].shift(1, fill_value=starting_equity)
    curve["return"] = ((curve["equity"] - curve["flows"]) / before - 1).where(before > 0)
    growth = (1 + curve["return"]).cumprod().where(curve["return"].notna().cummin())
    curve["cumulative_return"] = growth - 1
    curve["drawdown"] = growth / growth.cummax().clip(lower=1.0) - 1
    return curve


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
    with lake.write() as cursor:
        stored = _typed(cursor.execute(_QUERY + " ORDER BY session", [portfolio]).fetch_df())
        others = stored[stored["session"] != session]
        rows = row if others.empty else pd.concat([others, row], ignore_index=True)
        curve = equity_curve(rows, float(starting_equity))
        changed = curve.loc[curve["session"] >= session, list(COLUMNS)].assign(source=SOURCE, fetched_at=now)
        replace_rows(
            cursor,
            "performance",
            changed,
            "portfolio = ? AND session >= ?",
            [portfolio, session],
        )
        for table, lines in (profits or {}).items():
            mine = lines.assign(portfolio=portfolio, session=session, source=SOURCE, fetched_at=now)
            replace_rows(cursor, table, mine, "portfolio = ? AND session = ?", [portfolio, session])


_QUERY = "SELECT " + ", ".join(COLUMNS) + f" FROM {whole('performance')} WHERE portfolio = ?"


def read_performance(lake: Lake, portfolio: str, through: date | None = None) -> pd.DataFrame:
    """Stored rows of a portfolio up to and with the session `through`, oldest first (columns `COLUMNS`)."""
    with lake.read() as cursor:
        query = _QUERY + " AND session <= ? ORDER BY session"
        frame = cursor.execute(query, [portfolio, through or date.max]).fetch_df()
    return _typed(frame)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Sessions as dates: DuckDB hands out timestamps."""
    import pandas as pd

    return frame.assign(session=pd.to_datetime(frame["session"]).dt.date)
