"""What a session came to, read back from the stores.

What belongs here: the summary that the command line prints. What does not: computing any of it.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from scizor_dagster.flow.desk import Desk

REFUSED_STATES = ("rejected", "blocked", "unknown", "not_admitted")
"""States of an order that was meant and did not go out, or may not have; a drop or an expiry is no refusal."""


def session_summary(desk: Desk, portfolio: str, session: date) -> dict[str, Any]:
    """State, orders, fills, breaks and equity of one session; what has not happened yet is None.

    `refused` counts the orders of `REFUSED_STATES`; `refused_rows` and `unfilled_rows` (dropped or expired) hold
    symbol, side, state and reason, `break_rows` the breaks that are errors.
    """
    key = [portfolio, session]
    with desk.lake.read() as cursor:
        reconciled = cursor.execute(
            "SELECT state, orders, filled, working, breaks FROM reconciliations WHERE portfolio = ? AND session = ?",
            key,
        ).fetchone()
        measured = cursor.execute(
            "SELECT equity, cash, return, cumulative_return, drawdown, adjustment, synthetic FROM performance "
            "WHERE portfolio = ? AND session = ?",
            key,
        ).fetchone()
        breaks = cursor.execute(
            "SELECT kind, symbol, client_order_id, expected, found, severity, remedy FROM breaks "
            "WHERE portfolio = ? AND session = ? AND severity = 'error' ORDER BY kind, symbol, client_order_id",
            key,
        ).fetch_df()
        results = (
            cursor.execute(
                "SELECT symbol, side, state, reason FROM order_results WHERE portfolio = ? AND session = ? "
                "AND state IN ('dropped', 'expired', 'rejected', 'blocked', 'unknown', 'not_admitted') "
                "ORDER BY symbol, client_order_id",
                key,
            )
            .fetch_df()
            .to_dict("records")
        )
    refused = [row for row in results if row["state"] in REFUSED_STATES]
    state, orders, filled, working, count = reconciled or ("not reconciled", None, None, None, None)
    equity, cash, daily, cumulative, drawdown, adjustment, synthetic = measured or (None,) * 7
    return {
        "portfolio": portfolio,
        "session": session,
        "state": state,
        "orders": orders,
        "filled": filled,
        "working": working,
        "breaks": count,
        "refused": len(refused),
        "equity": equity,
        "cash": cash,
        "return": daily,
        "cumulative_return": cumulative,
        "drawdown": drawdown,
        "prices": adjustment,
        "synthetic": synthetic,
        "break_rows": breaks.to_dict("records"),
        "refused_rows": refused,
        "unfilled_rows": [row for row in results if row["state"] not in REFUSED_STATES],
    }
