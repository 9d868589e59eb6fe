"""What people should know of by now, as ledger and lake have it.

What belongs here: looking, quickly, and the notices that come of it. What does not: the words
(`notifications.texts`), to whom they go and whether they went before (`notifications.notifier`), and runs that failed,
of which Dagster knows (`jobs.notice_sensors`). Nothing is written, and no broker is asked.

A look says what is so now: one that is made twice finds the same notice twice, which is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime

from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.approving import awaiting_plan
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.open_breaks import found_by_a_look
from scizor_dagster.flow.summary import session_summary
from scizor_dagster.ledger.known import last_ordered_session
from scizor_dagster.ledger.lease import lease_of
from scizor_dagster.ledger.rows import intents_of, open_batches
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.notifications import texts
from scizor_dagster.notifications.notice import Notice
from scizor_dagster.risk.trading_state import TradingState, standing

_DOUBTFUL = (IntentState.SENDING, IntentState.UNKNOWN)


def due_notices(desk: Desk, now: datetime, is_on: Callable[[str], bool]) -> tuple[list[Notice], list[str]]:
    """What there is to tell of every portfolio, and what kept a look from being made, as sentences.

    Args:
        desk: Where to look.
        now: By the exchange's clock.
        is_on: Whether an event is told at all: what nobody hears is not looked for.
    """
    looks: dict[str, tuple[Callable[[Desk, str, datetime], Iterator[Notice]], ...]] = {
        "halt": (_stops,),
        "held_for_human": (_waiting_plans, _unknown_outcomes),
        "break": (_breaks, _looked),
        "daily_summary": (_summaries,),
    }
    found: dict[tuple[str, str, str], Notice] = {}
    problems: list[str] = []
    try:
        portfolios = list(desk.config.portfolios) if desk.has_ledger else []
    except ScizorError as error:
        return [], [str(error)]
    for portfolio in portfolios:
        for look in (look for event, items in looks.items() if is_on(event) for look in items):
            try:
                # A stop of an account is found by each of its portfolios, and is one notice.
                found |= {(item.event, item.subject, item.occasion): item for item in look(desk, portfolio, now)}
            except ScizorError as error:
                problems.append(f"{portfolio}: {error}")
            except Exception as error:
                # A damaged store fails in ways of its own; the other looks are still worth an answer.
                problems.append(f"{portfolio}: {type(error).__name__}; see scizor doctor.")
    return list(found.values()), list(dict.fromkeys(problems))


def _stops(desk: Desk, portfolio: str, now: datetime) -> Iterator[Notice]:
    """Whatever keeps the portfolio from trading, whoever has set it."""
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        state = standing(connection, account, portfolio, now)
    if state.state is not TradingState.ACTIVE and state.at is not None:
        yield texts.stopped(
            account, state.portfolio, state.state.value, state.actor, state.reason,
            at=state.at, until=state.until, cancel_open=state.cancel_open,
        )  # fmt: skip


def _waiting_plans(desk: Desk, portfolio: str, now: datetime) -> Iterator[Notice]:
    session = desk.calendar(desk.portfolio(portfolio).market).current_session(now)
    plan = awaiting_plan(desk, portfolio, session)
    if plan is not None:
        yield texts.plan_waits(portfolio, session, plan.plan_id, len(plan.orders))


def _unknown_outcomes(desk: Desk, portfolio: str, now: datetime) -> Iterator[Notice]:
    """Orders that a run has left without knowing what became of them; one that is at them may still find out."""
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        lease = lease_of(connection, account)
        batches = [batch for batch in open_batches(connection, account) if batch.portfolio == portfolio]
        found = [
            (batch.session, {row.client_order_id: row.symbol for row in intents_of(connection, batch.batch_id)
                             if row.state in _DOUBTFUL}) for batch in batches
        ]  # fmt: skip
    if lease is not None and lease.held(now):
        return
    for session, orders in found:
        if orders:
            yield texts.outcome_unknown(portfolio, session, orders)


def _breaks(desk: Desk, portfolio: str, now: datetime) -> Iterator[Notice]:
    """Those that the newest pass of the last traded session has found."""
    settings = desk.portfolio(portfolio)
    today = now.astimezone(desk.calendar(settings.market).timezone).date()
    with desk.ledger.read() as connection:
        session = last_ordered_session(connection, settings.account, portfolio, today)
    if session is None or not desk.has_lake:
        return
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT kind, symbol, client_order_id, expected, found FROM breaks WHERE portfolio = ? AND session = ? "
            "AND severity = 'error' AND pass IS NOT DISTINCT FROM (SELECT pass FROM reconciliations "
            "WHERE portfolio = ? AND session = ? ORDER BY fetched_at DESC LIMIT 1) "
            "ORDER BY kind, symbol, client_order_id",
            [portfolio, session] * 2,
        ).fetchall()
    if rows:
        names = ("kind", "symbol", "client_order_id", "expected", "found")
        yield texts.broken(portfolio, session, [dict(zip(names, row, strict=True)) for row in rows])


def _looked(desk: Desk, portfolio: str, _: datetime) -> Iterator[Notice]:
    """What the look before a plan has found and no session has: its reconciliation would name it."""
    account = desk.portfolio(portfolio).account
    rows = found_by_a_look(desk, account)
    if rows:
        yield texts.looked(account, portfolio, [(row.break_id, row.symbol or row.kind, row.cause) for row in rows])


def _summaries(desk: Desk, portfolio: str, now: datetime) -> Iterator[Notice]:
    """The last closed session, once it is measured."""
    market = desk.portfolio(portfolio).market
    day = session_of_summary(desk, portfolio, desk.calendar(market).last_closed(now))
    if day is not None:
        yield texts.daily_summary(day)


def session_of_summary(desk: Desk, portfolio: str, session: date) -> texts.Day | None:
    """What the session came to, in the market's currency; None until it is measured."""
    if not desk.has_lake:
        return None
    with desk.lake.read() as cursor:
        measured = cursor.execute(
            "SELECT equity, return, fees, synthetic, flows - coalesce(earlier_flows, 0) FROM performance "
            "WHERE portfolio = ? AND session = ?",
            [portfolio, session],
        ).fetchone()
    if measured is None:
        return None
    equity, gain, fees, synthetic, flows = measured
    summary = session_summary(desk, portfolio, session)
    return texts.Day(
        portfolio=portfolio,
        session=session,
        currency=desk.market(desk.portfolio(portfolio).market).currency,
        planned=summary["orders"] or 0,
        filled=summary["filled"] or 0,
        working=summary["working"] or 0,
        refused=summary["refused"],
        held_back=summary["held_back"],
        breaks=summary["breaks"],
        equity=equity,
        # Equity after a gain g is (1 + g) times that before, and what came in since then is no gain of the session;
        # after a loss of everything nothing can be told from it.
        earned=(equity - flows) * gain / (1.0 + gain) if gain is not None and gain > -1.0 else None,
        gain=gain,
        paid=fees,
        synthetic=bool(synthetic),
        waits=summary["awaiting_approval"] is not None,
    )
