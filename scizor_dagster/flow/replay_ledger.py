"""A plan's holdings, cash and orders against the ledger: its fills up to the session before, and its intents.

What belongs here: those comparisons. What does not: whether the ledger is what its own history says
(`scizor ledger verify`).

Only what was recorded before the plan was made could be known to it. What came later, late fills and corrections, is
information; what was known then and adds up otherwise now was changed. No checkpoint is believed: everything is added
up from the account's first row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.analytics.explain.model import number
from scizor_dagster.analytics.replays import Finding, Kind, compared
from scizor_dagster.flow.explain_facts import SessionFacts, Sources
from scizor_dagster.ledger.account_books import AccountBooks, SessionRows
from scizor_dagster.ledger.holdings import NOISE
from scizor_dagster.ledger.rebuilt import ORIGIN as REBUILT
from scizor_dagster.ledger.rebuilt import cash_is_stated
from scizor_dagster.ledger.rows import IntentRow, batches_of, first_batch_of
from scizor_dagster.ledger.set_apart import set_apart
from scizor_dagster.ledger.tables import activities, adoptions, trades
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.model import Plan, PlannedOrder

ZERO = Decimal(0)
A_DAY = timedelta(days=1)
_TERMS = ("symbol", "instrument_id", "side", "order_type", "time_in_force", "intent", "limit_price", "take_profit",
          "stop_loss", "price_used", "leg", "slice", "phase", "depends_on")  # fmt: skip


def ledger_findings(
    facts: SessionFacts, archive: PlanArchive, again: Plan | None, head: dict[str, Any], notes: list[str]
) -> Iterator[Finding]:
    """Holdings and cash before the session, and the orders that the plan became."""
    if facts.sources.ledger is None:
        notes.append("There is no ledger: holdings, cash and orders were not compared.")
        return
    yield from _book(facts, archive, head["fetched_at"], notes)
    if facts.batch is None:
        notes.append("The ledger has not admitted the plan: there are no orders to compare.")
    elif again is not None and not facts.is_rebuilt:
        yield from _orders(facts, again)


def _book(facts: SessionFacts, archive: PlanArchive, made_at: datetime, notes: list[str]) -> Iterator[Finding]:
    inputs, ledger = archive.inputs, facts.sources.ledger
    assert ledger is not None
    rebuilt = any(row.origin == REBUILT for row in batches_of(ledger, facts.account, facts.portfolio))
    if rebuilt:
        notes.append("The ledger was built anew since: when its rows were recorded first is not known.")
    # A plan with a later number counts what the session had brought by then; what came after it says nothing of it.
    until = facts.session if inputs.batch == 1 else facts.session + A_DAY
    then = books_before(facts.sources, facts.account, until, None if rebuilt else made_at)
    now = books_before(facts.sources, facts.account, until) if inputs.batch == 1 else then
    mine_then, mine_now = _owned(then, facts.portfolio), _owned(now, facts.portfolio)
    planned = {symbol: qty for symbol, qty in inputs.holdings.items() if qty}
    late = "It was recorded after the plan was made."
    for symbol in sorted(planned.keys() | mine_then.keys() | mine_now.keys()):
        key = f"{facts.portfolio} {symbol} before {until}"
        want, was, have = (book.get(symbol, ZERO) for book in (planned, mine_then, mine_now))
        if was != want:
            remark = "The fills, splits and adoptions known when it was made add up otherwise."
            yield Finding("trades", key, "sum of qty", number(was), number(want), remark=remark)
        elif have != was:
            yield Finding("trades", key, "sum of qty", number(have), number(was), "information", late)
    yield from _apart(facts, archive, mine_then, mine_now)
    first = first_batch_of(ledger, facts.account, facts.portfolio)
    if first is None or inputs.cash is None:
        notes.append("The portfolio has no admitted plan: its cash was not compared.")
        return
    cash = first.starting_cash + then.flows.get(facts.portfolio, ZERO)
    key = f"{facts.portfolio} before {until}"
    if cash != inputs.cash:
        if cash_is_stated(ledger, facts.account, facts.portfolio):
            notes.append("A person has stated the portfolio's cash since: it was not compared.")
            return
        remark = "The starting cash with the fills, fees and payments known when it was made adds up otherwise."
        yield Finding("trades, activities, batches", key, "cash", number(cash), number(inputs.cash), remark=remark)
    elif now.flows.get(facts.portfolio, ZERO) != then.flows.get(facts.portfolio, ZERO):
        since = first.starting_cash + now.flows.get(facts.portfolio, ZERO)
        yield Finding("trades, activities", key, "cash", number(since), number(cash), "information", late)


def _apart(
    facts: SessionFacts, archive: PlanArchive, then: Mapping[str, Decimal], now: Mapping[str, Decimal]
) -> Iterator[Finding]:
    """What the plan set apart for manual orders, against what the ledger makes of their fills."""
    inputs, ledger = archive.inputs, facts.sources.ledger
    # Of a later plan of a session nothing says which of its fills were there already.
    if not inputs.set_apart or inputs.batch != 1 or ledger is None:
        return
    found = set_apart(ledger, facts.account, facts.portfolio, last=facts.session - A_DAY)
    for symbol in sorted(found.keys() | inputs.set_apart.keys()):
        have, want = found.get(symbol, ZERO), inputs.set_apart.get(symbol, ZERO)
        if have != want:
            key = f"{facts.portfolio} {symbol} before {facts.session}"
            kind: Kind = "difference" if then.get(symbol) == now.get(symbol) else "information"
            yield Finding("manual_orders, trades", key, "set apart", number(have), number(want), kind)


def _owned(books: AccountBooks, portfolio: str) -> dict[str, Decimal]:
    return {name: qty for (owner, name), qty in books.quantities.items() if owner == portfolio and abs(qty) > NOISE}


def books_before(sources: Sources, account: str, session: date, known_at: datetime | None = None) -> AccountBooks:
    """The account's books before `session`, from its first row on; with `known_at` of the rows recorded by then."""
    days: dict[date, SessionRows] = {}
    for name, table, order in (
        ("activities", activities, lambda row: row.activity_id),
        ("trades", trades, lambda row: (row.executed_at, row.fill_id)),
        ("adoptions", adoptions, lambda row: row.adoption_id),
    ):
        for row in sorted(_recorded(sources, table, account, known_at), key=order):
            if row.session < session:
                getattr(days.setdefault(row.session, SessionRows()), name).append(row)
    books = AccountBooks()
    for day in sorted(days):
        books.pass_session(days[day])
    return books


def _recorded(sources: Sources, table: sa.Table, account: str, known_at: datetime | None) -> list[Any]:
    """Rows of the account as known then; of each execution its last version."""
    rows = [row for row in sources.rows_of(table, account) if known_at is None or row.recorded_at <= known_at]
    if table is not trades:
        return rows
    last: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: row.version):
        last[row.fill_id] = row
    return list(last.values())


def _orders(facts: SessionFacts, again: Plan) -> Iterator[Finding]:
    """Intents against the orders of the plan made again."""
    batch = next((row for row in facts.batches if row.plan_id == again.plan_id), None)
    if batch is None:
        return
    if batch.cash_buffer != again.cash_buffer:
        stored, expected = number(batch.cash_buffer), number(again.cash_buffer)
        yield Finding("batches", batch.batch_id, "cash_buffer", stored, expected)
    sent = [_of_intent(row) for row in facts.intents.values() if row.batch_id == batch.batch_id]
    yield from compared("orders", ["client_order_id"], sent, [_of_order(row) for row in again.orders])


def _of_intent(row: IntentRow) -> dict[str, Any]:
    return {"client_order_id": row.client_order_id, "planned_qty": number(row.planned_qty)} | _terms(row)


def _of_order(row: PlannedOrder) -> dict[str, Any]:
    return {"client_order_id": row.client_order_id, "planned_qty": number(row.qty)} | _terms(row)


def _terms(row: IntentRow | PlannedOrder) -> dict[str, Any]:
    """As numbers: stores write zeros at the end each in their own way."""
    values = {name: getattr(row, name) for name in _TERMS}
    return {name: number(value) if isinstance(value, Decimal) else value for name, value in values.items()}
