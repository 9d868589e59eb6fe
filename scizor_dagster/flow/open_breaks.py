"""Every open break of an account, whoever has found it and whenever: what people are shown.

What belongs here: the rows with whose they are and what can clear them. What does not: what they keep from being sent
(`risk.breaks`), and the breaks of one reconciliation, which the lake keeps (`summary`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.watch import Finding, WatchingDesk, listed
from scizor_dagster.ledger.breaks import BreakRow, open_breaks
from scizor_dagster.reconciliation.looking import LOOK
from scizor_dagster.risk.breaks import clearing, whose

COLUMNS = ("break_id", "of", "session", "found_in", "kind", "symbol", "locks", "cause", "clear")


def open_breaks_of(desk: Desk, portfolio: str) -> list[dict[str, Any]]:
    """The open breaks of the portfolio's account by `COLUMNS`, oldest first, other portfolios' among them.

    `of` is the portfolio whose session differs, or the account; `clear` the command that clears it once they agree.
    """
    if not desk.has_ledger:
        return []
    with desk.ledger.read() as connection:
        rows = open_breaks(connection, desk.portfolio(portfolio).account)
    return [_shown(row, portfolio) for row in rows]


def _shown(row: BreakRow, portfolio: str) -> dict[str, Any]:
    shown = {"of": whose(row), "clear": clearing(row, portfolio)}
    return {name: shown[name] if name in shown else getattr(row, name) for name in COLUMNS}


def found_by_a_look(desk: Desk | WatchingDesk, account: str) -> list[BreakRow]:
    """Open breaks that no reconciliation of a session has found: the look before a plan has, and no report has them."""
    if not desk.has_ledger:
        return []
    with desk.ledger.read() as connection:
        return [row for row in open_breaks(connection, account) if row.found_in == LOOK]


def looked_findings(desk: WatchingDesk, account: str, portfolio: str) -> Iterator[Finding]:
    """What the watchdog says of them."""
    rows = found_by_a_look(desk, account)
    if rows:
        names = listed(sorted({row.symbol or row.kind for row in rows}))
        yield Finding(
            "open_breaks",
            f"{len(rows)} position(s) of account {account} do not agree, and do not trade: {names}.",
            f"See them, and clear them or take them as they are: scizor reconcile --portfolio {portfolio}.",
            account=account,
        )
