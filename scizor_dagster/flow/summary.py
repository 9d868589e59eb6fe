"""What a session came to, read back from the stores.

What belongs here: the summary that the command line prints. What does not: computing any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from scizor_dagster.flow.approving import awaiting_plan, awaiting_sentence
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.open_breaks import open_breaks_of
from scizor_dagster.ledger.rows import batch_of
from scizor_dagster.reconciliation.storage import BREAK_COLUMNS
from scizor_dagster.risk.held_back import HeldBack, held_back

HELD_BACK = "held_back"
"""State of a session that agrees, and yet has lost orders to a halt, a lock or another wait."""
AWAITING_APPROVAL = "awaiting_approval"
"""State of a session whose plan waits for a person; `awaiting_approval` is its id."""
REFUSED_STATES = ("rejected", "blocked", "unknown", "not_admitted")
"""States of an order that was meant and did not go out, or may not have; a drop or an expiry is no refusal."""


def session_summary(desk: Desk, portfolio: str, session: date) -> dict[str, Any]:
    """State, orders, fills, breaks and equity of one session; what has not happened yet is None.

    `refused` counts the orders of `REFUSED_STATES`; `refused_rows` and `unfilled_rows` (dropped or expired) hold
    symbol, side, state and reason, `break_rows` the breaks that are errors. `held_back` counts the orders that a
    halt, a lock or another wait kept from going out; `held_back_rows` hold symbol, side, qty, lost and why. Where
    any of them is lost, the state of a session that agrees is `held_back`. `open_break_rows` are the other open
    breaks of the account, see `open_breaks`. `permitted` says who armed and approved it.
    """
    key = [portfolio, session]
    with desk.lake.read() as cursor:
        reconciled = cursor.execute(
            "SELECT state, orders, filled, working, breaks, pass, closed FROM reconciliations "
            "WHERE portfolio = ? AND session = ? ORDER BY fetched_at DESC LIMIT 1",
            key,
        ).fetchone()
        measured = cursor.execute(
            "SELECT equity, cash, return, cumulative_return, drawdown, adjustment, synthetic FROM performance "
            "WHERE portfolio = ? AND session = ?",
            key,
        ).fetchone()
        breaks = cursor.execute(
            f"SELECT pass, {BREAK_COLUMNS} FROM breaks WHERE portfolio = ? AND session = ? AND severity = 'error' "
            "AND pass IS NOT DISTINCT FROM ? ORDER BY kind, symbol, client_order_id",
            [*key, reconciled[5] if reconciled is not None else None],
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
    here = set(breaks["break_id"])
    elsewhere = [row for row in open_breaks_of(desk, portfolio) if row["break_id"] not in here]
    held = [asdict(row) for row in held_back_orders(desk, portfolio, session)]
    refused = [row for row in results if row["state"] in REFUSED_STATES]
    state, orders, filled, working, count, which, closed = reconciled or ("not reconciled", *(None,) * 6)
    awaiting = awaiting_plan(desk, portfolio, session)
    if awaiting is not None:
        # Its orders were neither refused nor lost: they wait.
        state, refused = AWAITING_APPROVAL, [row for row in refused if row["state"] != "not_admitted"]
    if state in ("reconciled", "nothing_to_do") and any(row["lost"] for row in held):
        state = HELD_BACK
    equity, cash, daily, cumulative, drawdown, adjustment, synthetic = measured or (None,) * 7
    return {
        "portfolio": portfolio,
        "session": session,
        "state": state,
        "orders": orders,
        "filled": filled,
        "working": working,
        "breaks": count,
        "pass": which,
        "closed": closed,
        "refused": len(refused),
        "awaiting_approval": awaiting.plan_id if awaiting is not None else None,
        "held_back": len(held),
        "permitted": _permitted(desk, portfolio, session),
        "equity": equity,
        "cash": cash,
        "return": daily,
        "cumulative_return": cumulative,
        "drawdown": drawdown,
        "prices": adjustment,
        "synthetic": synthetic,
        "break_rows": breaks.to_dict("records"),
        "open_break_rows": elsewhere,
        "refused_rows": refused,
        "held_back_rows": held,
        "unfilled_rows": [row for row in results if row["state"] not in REFUSED_STATES],
        **({"note": awaiting_sentence(awaiting)} if awaiting is not None else {}),
    }


def _permitted(desk: Desk, portfolio: str, session: date) -> str | None:
    """Under whose arming and approval the session's plan was admitted; None where it needed nobody."""
    if not desk.has_ledger:
        return None
    with desk.ledger.read() as connection:
        batch = batch_of(connection, desk.portfolio(portfolio).account, portfolio, session)
    return "; ".join(batch.permitted) or None if batch is not None else None


def went_well(summary: Mapping[str, Any]) -> bool:
    """Whether the session was reconciled with no break, and every order that was meant went out."""
    return not summary["awaiting_approval"] and all(summary[name] == 0 for name in ("breaks", "refused", "held_back"))


def held_back_orders(desk: Desk, portfolio: str, session: date) -> list[HeldBack]:
    """The session's orders that a halt, a lock or another wait kept from going out."""
    if not desk.has_ledger:
        return []
    with desk.ledger.read() as connection:
        return held_back(connection, desk.portfolio(portfolio).account, portfolio, session)
