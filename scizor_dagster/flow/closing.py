"""The end of a session: does everything agree?

What belongs here: reading plan, ledger and broker for one session, and storing what comparison makes of them. What
does not: the comparison (`reconciliation`), and what the session came to (`measuring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.brokers.protocol import VenuePhase
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.money import CENT
from scizor_dagster.ledger.rows import BatchRow, batch_of, open_batches
from scizor_dagster.market_data.reading import last_closes, session_bars
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.gather import read_sides
from scizor_dagster.reconciliation.model import ReconciliationReport
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.storage import store_reconciliation


def reconcile_session(desk: Desk, portfolio: str, session: date) -> ReconciliationReport:
    """Compare plan, ledger and broker for `session`, and store what came of it.

    A venue that has not gone through the closed session does so first, where no order or plan can lose by it.

    Raises:
        BrokerUnavailable: a read failed; nothing is stored, because a missing answer is not an empty one.
        AccountBusy: the venue must go through the session, and another process holds the account.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    broker = desk.broker(settings.account, settings.market)
    priced = not session_bars(desk.lake, settings.market, session).empty
    session_over = priced and calendar.has_closed(session, desk.clock())
    if session_over:
        go_through(desk, portfolio, session)
    ledger_side, broker_side = read_sides(
        desk.ledger,
        broker,
        account=settings.account,
        portfolio=portfolio,
        session=session,
        deposit=Decimal(str(desk.config.accounts[settings.account].initial_cash)).quantize(CENT),
    )
    report = reconcile(
        _plans(desk, portfolio, session, ledger_side.batches),
        ledger_side,
        broker_side,
        portfolio=portfolio,
        account=settings.account,
        session=session,
        closes=closes_of(last_closes(desk.lake, settings.market, session)),
        session_over=session_over,
        venue_behind=broker.phase(session) is VenuePhase.AHEAD,
    )
    store_reconciliation(desk.lake, report, desk.clock())
    return report


def _plans(desk: Desk, portfolio: str, session: date, batches: Sequence[BatchRow]) -> list[Plan]:
    """The stored plan of each batch, or the newest one where nothing was admitted; what is not stored is absent."""
    wanted = [batch.plan_id for batch in batches]
    found = [read_plan(desk.lake, portfolio, session, plan_id) for plan_id in wanted or (None,)]
    return [plan for plan in found if plan is not None]


def go_through(desk: Desk, portfolio: str, session: date) -> None:
    """Let a venue that is behind go through the session, and record what happened in it.

    Sends nothing: it is left alone while a batch on the account is open, or a plan of the session
    waits for its execution, which would come too late afterwards.
    """
    settings = desk.portfolio(portfolio)
    broker = desk.broker(settings.account, settings.market)
    if broker.phase(session) is not VenuePhase.AHEAD:
        return
    with desk.lake.read() as cursor:
        planned = cursor.execute(_PLANNED, [settings.account, session]).fetchall()
    with desk.ledger.read() as connection:
        waiting = [name for (name,) in planned if batch_of(connection, settings.account, name, session) is None]
        unended = [row for row in open_batches(connection, settings.account) if row.session <= session]
    if waiting or unended:
        return
    follow_session(desk, portfolio, session, "look")
    if broker.phase(session) is VenuePhase.AHEAD and broker.advance(session):
        # A batch of which nothing could be sent has ended before the venue moved: one step brings its splits.
        follow_session(desk, portfolio, session, "look")


_PLANNED = (
    "SELECT DISTINCT plans.portfolio FROM plans JOIN planned_orders USING (plan_id) "
    "WHERE plans.account = ? AND plans.session = ?"
)
