"""`scizor reconcile`: compare plan, ledger and broker again, for one session."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.settings import Settings


def reconcile(
    portfolio: Annotated[str, typer.Option(help="Portfolio of the configuration.")] = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Reconcile one session. Exit code 0 only when there is no unexplained break."""
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    settings = Settings.from_environment(os.environ)
    desk = Desk(settings, lambda: datetime.now(UTC))
    calendar = desk.calendar(desk.portfolio(portfolio).market)
    session = calendar.require(parse_date(day, "--date")) if day else calendar.last_closed(datetime.now(UTC))
    with working(f"Reconciling {portfolio} {session}", quiet=as_json), JobRunner.open(settings) as runner:
        job = name_for("reconcile", portfolio, desk.config.portfolios)
        outcome = runner.run(job, partition=session.isoformat(), raise_on_failed_check=False)
    summary = session_summary(desk, portfolio, session)
    print_summary({"run_id": outcome.run_id, **summary}, as_json)
    raise typer.Exit(0 if summary["breaks"] == 0 else 1)


def print_summary(summary: dict[str, Any], as_json: bool) -> None:
    """A session's result: counts, breaks and equity."""
    if as_json:
        emit_json(summary)
        return
    rows = [(name, value) for name, value in summary.items() if not isinstance(value, list | dict)]
    print_table(f"Session {summary['session']}, portfolio {summary['portfolio']}", ["what", "value"], rows)
    if summary["break_rows"]:
        print_table(
            "Breaks", ["kind", "symbol", "order", "expected", "found", "remedy"],
            [
                (row["kind"], row["symbol"], row["client_order_id"], row["expected"], row["found"], row["remedy"])
                for row in summary["break_rows"]
            ],
        )
