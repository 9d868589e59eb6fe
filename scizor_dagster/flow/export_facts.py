"""What the files of sessions are made from, read from ledger and lake.

What belongs here: the questions to both stores, each of an instant that the caller has pinned. What does not: what
becomes of the answers (`exports`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.exports.facts import Reconciled, SessionFacts
from scizor_dagster.exports.orders import exits_of
from scizor_dagster.flow.approving import MANUAL
from scizor_dagster.flow.desk import Desk
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.events import events_of_orders
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.ledger.plan_approvals import approval_in_force
from scizor_dagster.ledger.rows import batches_of, fills_for_orders, first_batch_of, intents_of
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan

_OF_RECONCILIATIONS = ("reconciliations", "breaks", "order_results", "end_of_day_positions")


@dataclass(frozen=True)
class _OfLake:
    """What is read once for all sessions."""

    currencies: Mapping[str, str]
    planned: frozenset[date]
    reconciled: Mapping[date, Sequence[Reconciled]]


def read_facts(
    desk: Desk, portfolio: str, sessions: Sequence[date], ledger: sa.Connection | None, lake: Lake
) -> Iterator[SessionFacts]:
    """The facts of each session, one after the other.

    Args:
        desk: Its configuration and calendars.
        portfolio: Whose sessions.
        sessions: In ascending order.
        ledger: One view of the ledger; None where there is none.
        lake: One view of the lake, not older than that of the ledger.
    """
    market = desk.portfolio(portfolio).market
    of_lake = _read_lake(lake, portfolio, market, sessions[0], sessions[-1])
    for session in sessions:
        known = _of_ledger(desk, portfolio, session, ledger)
        plan_id = known.pop("plan_id")
        plan = read_plan(lake, portfolio, session, plan_id) if session in of_lake.planned else None
        yield SessionFacts(
            portfolio=portfolio,
            session=session,
            currency=desk.market(market).currency,
            currencies=of_lake.currencies,
            plan=plan,
            price_ages=_price_ages(desk, market, plan),
            closes=closes_of(last_closes(lake, market, session)) if known["holdings"] else {},
            reconciled=of_lake.reconciled.get(session, ()),
            **known,
        )


def _price_ages(desk: Desk, market: str, plan: Plan | None) -> dict[date, int]:
    if plan is None or plan.priced_on is None:
        return {}
    days = {line.price_session for line in plan.lines if line.price_session is not None}
    return {day: desk.calendar(market).age_in_sessions(day, plan.priced_on) for day in days}


def _of_ledger(desk: Desk, portfolio: str, session: date, ledger: sa.Connection | None) -> dict[str, Any]:
    if ledger is None:
        nothing: dict[str, Any] = {"plan_id": None, "traded": False, "intents": (), "events": (), "fills": {}}
        return {**nothing, "holdings": None, "cash": None}
    settings = desk.portfolio(portfolio)
    account = settings.account
    batches = batches_of(ledger, account, portfolio, session)
    intents = [row for batch in batches for row in intents_of(ledger, batch.batch_id)]
    events = events_of_orders(ledger, [row.client_order_id for row in intents])
    exits = [name for names in exits_of(events).values() for name in names]
    rebalances = [batch for batch in batches if not batch.by_hand]
    plan_id = rebalances[-1].plan_id if rebalances else None
    if plan_id is None and settings.approval == MANUAL:
        approval = approval_in_force(ledger, account, portfolio, session)
        plan_id = approval.plan_id if approval is not None else None
    return {
        "plan_id": plan_id,
        "traded": bool(batches),
        "intents": intents,
        "events": events,
        "fills": fills_for_orders(ledger, account, [*(row.client_order_id for row in intents), *exits]),
        **_held(ledger, account, portfolio, session),
    }


def _held(ledger: sa.Connection, account: str, portfolio: str, session: date) -> dict[str, Any]:
    """Holdings and cash through the session; before the portfolio's first plan only what it has adopted is known."""
    holdings = owned(ledger, account, portfolio, through=session)
    first = first_batch_of(ledger, account, portfolio)
    if first is None or first.session > session:
        return {"holdings": holdings or None, "cash": None}
    cash = first.starting_cash + cash_flow(ledger, account, portfolio, through=session)
    return {"holdings": holdings, "cash": cash}


def _read_lake(lake: Lake, portfolio: str, market: str, first: date, last: date) -> _OfLake:
    span = [portfolio, first, last]
    with lake.read() as cursor:
        symbols = cursor.execute("SELECT symbol, currency FROM symbols WHERE market = ?", [market]).fetchall()
        planned = cursor.execute(
            "SELECT DISTINCT session FROM plans WHERE portfolio = ? AND session BETWEEN ? AND ?", span
        ).fetchall()
    stored = stored_reconciliations(lake, portfolio, first, last)
    return _OfLake(dict(symbols), frozenset(day for (day,) in planned), stored)


def stored_reconciliations(lake: Lake, portfolio: str, first: date, last: date) -> dict[date, list[Reconciled]]:
    """Every reconciliation of the sessions `first` to `last`, oldest first, by session."""
    headers, breaks, orders, positions = (_rows(lake, name, [portfolio, first, last]) for name in _OF_RECONCILIATIONS)
    return {
        day: [
            Reconciled(
                header,
                [row for row in breaks.get(day, ()) if row["pass"] == header["pass"]],
                orders.get(day, ()),
                positions.get(day, ()),
            )
            for header in sorted(passes, key=lambda row: row["fetched_at"])
        ]
        for day, passes in headers.items()
    }


def _rows(lake: Lake, table: str, span: Sequence[Any]) -> dict[date, list[dict[str, Any]]]:
    found: dict[date, list[dict[str, Any]]] = {}
    with lake.read() as cursor:
        cursor.execute(f"SELECT * FROM {table} WHERE portfolio = ? AND session BETWEEN ? AND ?", span)
        names = [column[0] for column in cursor.description or ()]
        for values in cursor.fetchall():
            row = dict(zip(names, values, strict=True))
            found.setdefault(row["session"], []).append(row)
    return found
