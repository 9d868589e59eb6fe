"""Rows as they are stored, for checks and for showing.

What belongs here: one read of a table by equality of its key, and how far a market is stored. What
does not: other reads with a meaning (`market_data.reading`, `planning.frames`, `signals.consolidation`).
"""

from __future__ import annotations

from datetime import date

import pandas as pd

from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.tables import TABLES
from scizor_dagster.ledger.rows import batch_of


def stored_rows(desk: Desk, table: str, **key: str | date) -> pd.DataFrame:
    """Rows of `table` whose columns equal `key`, in the order they were written."""
    assert table in TABLES, table
    where = " AND ".join(f"{name} = ?" for name in key)
    with desk.lake.read() as cursor:
        return cursor.execute(f"SELECT * FROM {table} WHERE {where}", list(key.values())).fetch_df()


def newest_stored_session(desk: Desk, market: str) -> date | None:
    """The newest session of which the market has any bar; None in an empty lake."""
    with desk.lake.read() as cursor:
        row = cursor.execute("SELECT max(session) FROM bars WHERE market = ?", [market]).fetchone()
    return row[0] if row else None


def is_admitted(desk: Desk, portfolio: str, session: date) -> bool:
    """Whether the ledger holds a batch of the session: from then on its plan, and what it was made from, stand."""
    if not desk.has_ledger:
        return False
    with desk.ledger.read() as connection:
        return batch_of(connection, desk.portfolio(portfolio).account, portfolio, session) is not None


def stale_symbols(desk: Desk, market: str, closes: pd.DataFrame, priced_on: date) -> frozenset[str]:
    """Symbols of `closes` (columns symbol, session) whose price is too old on `priced_on` to size an order."""
    calendar, oldest = desk.calendar(market), desk.market(market).max_price_age_sessions
    return frozenset(
        str(symbol)
        for symbol, day in zip(closes["symbol"], closes["session"], strict=True)
        if calendar.age_in_sessions(day, priced_on) > oldest
    )
