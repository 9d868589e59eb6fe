"""`scizor run`: one session of one portfolio, through the same Dagster job as the schedule."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.output import working
from scizor_dagster.cli.reconcile import print_summary
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.settings import Settings

POLL_SECONDS = 30.0


def run(
    portfolio: Annotated[str, typer.Option(help="Portfolio of the configuration.")] = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session to trade; default: today's.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Send, look once, and end; do not follow the orders.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Rebalance one session: signals, targets, plan, orders, reconciliation.

    Running a session again continues it and sends nothing twice. Without --once the orders are followed
    until they have ended or the session is over.
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    settings = Settings.from_environment(os.environ)
    desk = Desk(settings, lambda: datetime.now(UTC))
    calendar = desk.calendar(desk.portfolio(portfolio).market)
    session = session_to_trade(calendar, day, datetime.now(UTC))
    jobs = {name: name_for(name, portfolio, desk.config.portfolios) for name in ("rebalance", "follow_orders")}
    with JobRunner.open(settings) as runner:
        with working(f"Rebalancing {portfolio} for {session}", quiet=as_json):
            runner.run(jobs["rebalance"], partition=session.isoformat(), raise_on_failed_check=False)
            summary = session_summary(desk, portfolio, session)
        while not once and summary["working"] and not calendar.has_closed(session, datetime.now(UTC)):
            time.sleep(POLL_SECONDS)
            runner.run(jobs["follow_orders"], partition=session.isoformat(), raise_on_failed_check=False)
            summary = session_summary(desk, portfolio, session)
    print_summary(summary, as_json)
    raise typer.Exit(0 if summary["breaks"] == 0 else 1)


def session_to_trade(calendar: TradingCalendar, day: str | None, now: datetime) -> date:
    """The session asked for, or today's.

    Raises:
        NotASession: the date is no session; names the nearest ones.
    """
    if day is not None:
        return calendar.require(parse_date(day, "--date"))
    return calendar.require(now.astimezone(calendar.timezone).date())
