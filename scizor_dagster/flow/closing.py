"""The end of a session: does everything agree?

What belongs here: reading plan, ledger and broker for one session, and storing what comparison makes of them. What
does not: the comparison (`reconciliation`), and what the session came to (`measuring`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from scizor_dagster.analytics.valuation import closes_of
from scizor_dagster.brokers.protocol import Capabilities, VenuePhase
from scizor_dagster.errors import InputError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.money import CENT
from scizor_dagster.ledger.days import day_of
from scizor_dagster.ledger.rows import BatchRow, batch_of, batches_of, intents_of, open_batches
from scizor_dagster.market_data.reading import last_closes, session_bars
from scizor_dagster.planning.frames import BY_WEIGHTS, read_plan
from scizor_dagster.planning.model import Plan
from scizor_dagster.reconciliation.gather import read_ledger, read_logs, read_sides
from scizor_dagster.reconciliation.model import (
    BrokerView,
    LedgerView,
    Measures,
    Pass,
    ReconciliationReport,
    Source,
    When,
)
from scizor_dagster.reconciliation.reconcile import reconcile
from scizor_dagster.reconciliation.records import record_report
from scizor_dagster.reconciliation.storage import store_reconciliation
from scizor_dagster.sessions import TradingCalendar

PASS, SOURCE = "scizor/pass", "scizor/source"
"""Run tags that ask for a pass, and for whose word is compared; both have defaults, see `reconcile_session`."""
SECOND_PASS_BEFORE_OPEN = timedelta(minutes=75)
"""When the session before is reconciled again: before anything is planned, with time left to clear a break."""


def second_pass_at(calendar: TradingCalendar, session: date) -> datetime:
    """From when on a reconciliation of `session` is its second one: the morning of the session after it."""
    return calendar.open_at(calendar.next_session(session)) - SECOND_PASS_BEFORE_OPEN


def reconcile_session(
    desk: Desk, portfolio: str, session: date, *, which: Pass | None = None, source: Source | None = None
) -> ReconciliationReport:
    """Compare plan, ledger and broker for `session`; write its breaks and its day into the ledger, and store it.

    A venue that has not gone through the closed session does so first, where no order or plan can lose by it. Of a
    session whose executions the broker shows no more, positions and cash are compared, and they close its day.

    Args:
        desk: The desk.
        portfolio: Whose session it is.
        session: The session.
        which: The pass; None for the one that is due: the second from the morning of the next session on.
        source: Whose word is compared; None for the configured one in a first pass, and the broker's in a second.

    Raises:
        InputError: a second pass of a session that has not closed, or without the broker.
        BrokerUnavailable: a read failed; nothing is stored, because a missing answer is not an empty one.
        AccountBusy: the venue must go through the session, and another process holds the account.
    """
    settings = desk.portfolio(portfolio)
    calendar = desk.calendar(settings.market)
    calendar.require(session)
    priced = not session_bars(desk.lake, settings.market, session).empty
    when = When(
        session_over=priced and calendar.has_closed(session, desk.clock()),
        which=which or (Pass.SECOND if second_pass_at(calendar, session) <= desk.clock() else Pass.FIRST),
    )
    when = replace(when, source=source or _source(desk, portfolio, when.which))
    _require_possible(desk, calendar, session, when)
    closes = closes_of(last_closes(desk.lake, settings.market, session))
    sides = _logs if when.source is Source.LOGS else _sides
    ledger_side, broker_side, when, measures = sides(desk, portfolio, session, when)
    report = reconcile(
        _plans(desk, portfolio, session, ledger_side.batches),
        ledger_side,
        broker_side,
        portfolio=portfolio,
        account=settings.account,
        session=session,
        closes=closes,
        when=when,
        measures=measures,
    )
    with desk.ledger.transaction() as connection:
        recorded = record_report(connection, report, now=desk.clock())
    store_reconciliation(desk.lake, report, desk.clock(), closed=recorded.day.closed_at is not None)
    return report


def _source(desk: Desk, portfolio: str, which: Pass) -> Source:
    """The second pass closes a day, and nothing but the broker's own word does."""
    return Source.BROKER if which is Pass.SECOND else Source(desk.portfolio(portfolio).reconciliation.source)


def _require_possible(desk: Desk, calendar: TradingCalendar, session: date, when: When) -> None:
    if when.which is Pass.FIRST:
        return
    if when.source is Source.LOGS:
        raise InputError(
            "The second pass closes a day, and asks the broker.",
            remedy="Leave out --source logs, or ask for the first pass: --pass first.",
            where=f"session {session}",
        )
    if desk.clock() < calendar.close_at(session):
        raise InputError(
            f"Session {session} has not closed, and the second pass comes after it.",
            remedy=f"Ask for it from {calendar.close_at(session).isoformat(timespec='minutes')} on, or --pass first.",
            where=f"session {session}",
        )


Sides = tuple[LedgerView, BrokerView, When, Measures]


def _sides(desk: Desk, portfolio: str, session: date, when: When) -> Sides:
    """Both sides, the broker's as it says itself."""
    settings = desk.portfolio(portfolio)
    broker = desk.broker(settings.account, settings.market)
    capabilities = broker.capabilities
    when = replace(
        when,
        orders_listed=_is_shown(capabilities.orders_from, session),
        fills_shown=_is_shown(capabilities.fills_from, session),
    )
    if when.session_over:
        go_through(desk, portfolio, session)
    ledger_side, broker_side = read_sides(
        desk.ledger,
        broker,
        account=settings.account,
        portfolio=portfolio,
        session=session,
        deposit=Decimal(str(desk.config.accounts[settings.account].initial_cash)).quantize(CENT),
        fills_shown=when.fills_shown,
    )
    with desk.ledger.read() as connection:
        day = day_of(connection, settings.account, portfolio, session)
    first_at = day.first_at if day is not None and when.which is Pass.SECOND else None
    phase = broker.phase(session)
    # A venue that was left in the middle of the session can still fill and end its orders, however late it is.
    at_work = any(not row.state.terminal for row in ledger_side.intents)
    over = when.session_over and not (at_work and phase in (VenuePhase.OPEN, VenuePhase.CLOSING))
    when = replace(when, session_over=over, first_at=first_at, venue_behind=phase is VenuePhase.AHEAD)
    return ledger_side, broker_side, when, measures_of(desk, portfolio, capabilities)


def _is_shown(since: date | None, session: date) -> bool:
    """Whether a broker that goes back to `since` (None: to its beginning) still shows the session."""
    return since is None or since <= session


def _logs(desk: Desk, portfolio: str, session: date, when: When) -> Sides:
    """The ledger's side alone, and in place of the broker's what the ledger has recorded of its words."""
    settings = desk.portfolio(portfolio)
    with desk.ledger.read() as connection:
        batches = batches_of(connection, settings.account, portfolio, session)
        intents = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
        broker_side = read_logs(connection, intents, desk.account(settings.account).currency)
        ledger_side = read_ledger(
            connection, broker_side, account=settings.account, portfolio=portfolio, session=session
        )
    return ledger_side, broker_side, when, Measures()


def measures_of(desk: Desk, portfolio: str, capabilities: Capabilities) -> Measures:
    """The configured tolerances, and what trades in whole shares only."""
    settings = desk.portfolio(portfolio)
    rules = settings.reconciliation
    return Measures(
        quantity=Decimal(str(rules.quantity_tolerance)),
        cash=Decimal(str(rules.cash_tolerance)),
        price_bps=Decimal(str(rules.price_tolerance_bps)),
        whole=frozenset(item.symbol for item in desk.instruments(settings.market).values() if not item.fractionable),
        fractional=capabilities.fractional,
        payments_told=capabilities.tells_payments,
    )


def _plans(desk: Desk, portfolio: str, session: date, batches: Sequence[BatchRow]) -> list[Plan]:
    """The stored plan of each batch, before them the newest where no rebalance was admitted; only what is stored."""
    first = [] if any(not batch.by_hand for batch in batches) else [None]
    wanted = [*first, *(batch.plan_id for batch in batches)]
    found = [read_plan(desk.lake, portfolio, session, plan_id) for plan_id in wanted]
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
    f"WHERE plans.account = ? AND plans.session = ? AND {BY_WEIGHTS}"
)
