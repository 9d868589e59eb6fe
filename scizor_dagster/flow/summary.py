"""What a session came to, read back from the stores.

What belongs here: the summary that the command line prints. What does not: computing any of it.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from scizor_dagster.flow.desk import Desk


def session_summary(desk: Desk, portfolio: str, session: date) -> dict[str, Any]:
    """State, orders, fills, breaks and equity of one session; what has not happened yet is None."""
    key = [portfolio, session]
    with desk.lake.read() as cursor:
        reconciled = cursor.execute(
            "SELECT state, orders, filled, working, breaks FROM reconciliations "
            "WHERE portfolio = ? AND session = ?", key,
        ).fetchone()
        measured = cursor.execute(
            "SELECT equity, cash, return, cumulative_return, drawdown, adjustment, synthetic FROM performance "
            "WHERE portfolio = ? AND session = ?", key,
        ).fetchone()
        breaks = cursor.execute(
            "SELECT kind, symbol, client_order_id, expected, found, severity, remedy FROM breaks "
            "WHERE portfolio = ? AND session = ? AND severity = 'error' ORDER BY kind, symbol, client_order_id", key,
        ).fetch_df()
    state, orders, filled, working, count = reconciled or ("not reconciled", None, None, None, None)
    equity, cash, daily, cumulative, drawdown, adjustment, synthetic = measured or (None,) * 7
    return {
        "portfolio": portfolio, "session": session, "state": state, "orders": orders, "filled": filled,
        "working": working, "breaks": count, "equity": equity, "cash": cash, "return": daily,
        "cumulative_return": cumulative, "drawdown": drawdown, "prices": adjustment, "synthetic": synthetic,
        "break_rows": breaks.to_dict("records"),
    }
