"""`scizor run`: one session of one portfolio, through the same Dagster job as the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import working
from scizor_dagster.cli.preflight import check_portfolio, check_weight_files, open_desk
from scizor_dagster.cli.reconcile import finish

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import JobRunner, RunOutcome
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.sessions import TradingCalendar

POLL_SECONDS = 30.0
CLOSE, PRICES = "close", "prices"
PRICES_DUE = timedelta(hours=2)
"""How long after the close a session's prices are waited for: the schedule collects 90 minutes after it."""


def run(
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session to trade; default: today's.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Send, look once, and end; do not follow the orders.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rebalance one session: signals, targets, plan, orders, reconciliation.

    Running a session again continues it and sends nothing twice. Without --once it waits and then follows the orders to
    their end: at a broker until the close; at the embedded exchange, up to two hours after it, until the session's
    prices are collected, because a paper account fills from them.

    When: you trade a session by hand, or go on with one that was ended before its orders were.
    Writes: Signals, targets, plan and results in the lake; intents, orders and fills in the ledger. It sends orders.
    Exit codes: 0 every step and check went well, no order was refused or held back, plan, ledger and broker agree, and
    without --once no order works any more; 1 one of that is not so.
    JSON: run_id, portfolio, session, state, orders, filled, working, breaks, pass, closed, refused, awaiting_approval,
    held_back, permitted, equity, cash, return, cumulative_return, drawdown, prices, synthetic, break_rows[*],
    open_break_rows[*], refused_rows[symbol, side, state, reason], held_back_rows[*], unfilled_rows[symbol, side, state,
    reason], failed_checks, warnings, found{*}, note?.
    Example: scizor run --portfolio main --date 2026-11-20 --once
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.approving import plan_stands
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    first = desk.market(desk.portfolio(portfolio).market).first_session
    session = session_to_trade(calendar, day, first, desk.clock())
    # What was admitted or approved goes on, whatever has become of the file it came from.
    if not plan_stands(desk, portfolio, session):
        check_weight_files(desk, portfolio)
    jobs = {name: name_for(name, portfolio, desk.config.portfolios) for name in ("rebalance", "follow_orders")}
    with JobRunner.open(desk.settings) as runner:
        with working(f"Rebalancing {portfolio} for {session}", quiet=as_json):
            outcome = runner.run(jobs["rebalance"], partition=session.isoformat(), raise_on_failed_check=False)
            summary = session_summary(desk, portfolio, session)
        if not once and summary["working"]:
            with working(f"Waiting for the {_awaited(desk, portfolio)} of {session}", quiet=as_json):
                followed = follow_once_ended(runner, desk, portfolio, session, jobs["follow_orders"])
            outcome = followed or outcome
            summary = session_summary(desk, portfolio, session)
            if followed is None:
                market = desk.portfolio(portfolio).market
                summary["note"] = (
                    f"Orders still wait, because no prices of {session} have come. Collect them: "
                    f"scizor collect daily --market {market} --date {session}. "
                    f"Then go on: scizor run --portfolio {portfolio} --date {session}."
                )
    finish(summary, outcome, as_json, ended=not once)


def follow_once_ended(
    runner: JobRunner,
    desk: Desk,
    portfolio: str,
    session: date,
    job: str,
    wait: Callable[[float], None] = time.sleep,
) -> RunOutcome | None:
    """Wait for the end of `session` at a broker, for its prices at the embedded exchange, then run `job` on it once.

    Args:
        runner: Runs the job.
        desk: Its lake is looked at and its clock says how late it is.
        portfolio: Whose market is waited for.
        session: The partition of the run.
        job: Name of the portfolio's `follow_orders`.
        wait: Called with a number of seconds between two looks.

    Returns:
        The run, or None where `PRICES_DUE` has passed since the close and no prices have come.
    """
    from scizor_dagster.market_data.reading import session_bars

    market = desk.portfolio(portfolio).market
    close = desk.calendar(market).close_at(session)
    at_broker = _awaited(desk, portfolio) == CLOSE
    while desk.clock() < close if at_broker else session_bars(desk.lake, market, session).empty:
        if desk.clock() >= close + PRICES_DUE:
            return None
        wait(POLL_SECONDS)
    return runner.run(job, partition=session.isoformat(), raise_on_failed_check=False)


def _awaited(desk: Desk, portfolio: str) -> str:
    """What ends a session's orders: the close, where a broker fills them; its prices, where they are filled here."""
    return PRICES if desk.account(desk.portfolio(portfolio).account).broker == "paper" else CLOSE


def session_to_trade(calendar: TradingCalendar, day: str | None, first_session: date, now: datetime) -> date:
    """The date asked for, or today's.

    Raises:
        NotASession: the date is no session; names the nearest ones.
        InputError: it is no date, ahead, or before the market's first session.
    """
    asked = dates.parse_date(day, "--date") if day is not None else now.astimezone(calendar.timezone).date()
    return dates.session_of_job(calendar, asked, first_session, now)
