"""`scizor run`: one session of one portfolio, through the same Dagster job as the schedule."""

from __future__ import annotations

import time
from datetime import date, datetime
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.output import working
from scizor_dagster.cli.preflight import check_portfolio, check_weight_file, open_desk
from scizor_dagster.cli.reconcile import finish
from scizor_dagster.sessions import TradingCalendar

POLL_SECONDS = 30.0


def run(
    portfolio: Annotated[str, typer.Option(help="Portfolio of the configuration.")] = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session to trade; default: today's.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Send, look once, and end; do not follow the orders.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Rebalance one session: signals, targets, plan, orders, reconciliation.

    Running a session again continues it and sends nothing twice. Without --once the orders are followed
    until they have ended or the session is over. The exit code is 0 only when every step and check went well
    and plan, ledger and broker agree.

    Example: scizor run --portfolio main --date 2026-11-20 --once
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    first = desk.market(desk.portfolio(portfolio).market).first_session
    session = session_to_trade(calendar, day, first, dates.now())
    check_weight_file(desk, portfolio)
    jobs = {name: name_for(name, portfolio, desk.config.portfolios) for name in ("rebalance", "follow_orders")}
    with JobRunner.open(desk.settings) as runner:
        with working(f"Rebalancing {portfolio} for {session}", quiet=as_json):
            outcome = runner.run(jobs["rebalance"], partition=session.isoformat(), raise_on_failed_check=False)
            summary = session_summary(desk, portfolio, session)
        while not once and summary["working"] and not calendar.has_closed(session, dates.now()):
            time.sleep(POLL_SECONDS)
            outcome = runner.run(jobs["follow_orders"], partition=session.isoformat(), raise_on_failed_check=False)
            summary = session_summary(desk, portfolio, session)
    finish(summary, outcome, as_json)


def session_to_trade(calendar: TradingCalendar, day: str | None, first_session: date, now: datetime) -> date:
    """The session asked for, or today's.

    Raises:
        NotASession: the date is no session; names the nearest ones.
        InputError: it is no date, ahead, or before the market's first session.
    """
    asked = dates.parse_date(day, "--date") if day is not None else now.astimezone(calendar.timezone).date()
    return dates.session_of_job(calendar, asked, first_session, now)
