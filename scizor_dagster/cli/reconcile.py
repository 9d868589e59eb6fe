"""`scizor reconcile`: compare plan, ledger and broker again, for one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.output import emit_json, print_checks, print_table, working
from scizor_dagster.cli.preflight import check_portfolio, open_desk

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import RunOutcome


def reconcile(
    portfolio: Annotated[str, typer.Option(help="Portfolio of the configuration.")] = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Reconcile one session: compare plan, ledger and broker again.

    Reads orders, fills, positions and cash on all three sides and names every difference with what to do about
    it. Nothing is sent. The exit code is 0 when nothing failed: no step, no unexplained break, no order refused or
    held back. Checks that stop nothing are printed as warnings and leave it 0.

    Example: scizor reconcile --portfolio main --date 2026-11-20
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    asked = dates.parse_date(day, "--date") if day is not None else calendar.last_closed(desk.clock())
    first = desk.market(desk.portfolio(portfolio).market).first_session
    session = dates.session_of_job(calendar, asked, first, desk.clock())
    with working(f"Reconciling {portfolio} {session}", quiet=as_json), JobRunner.open(desk.settings) as runner:
        job = name_for("reconcile", portfolio, desk.config.portfolios)
        outcome = runner.run(job, partition=session.isoformat(), raise_on_failed_check=False)
    finish(session_summary(desk, portfolio, session), outcome, as_json)


def finish(summary: dict[str, Any], outcome: RunOutcome, as_json: bool, *, ended: bool = False) -> None:
    """Print a session's result and end.

    Exit code 0 when the run is green, there is no break and no order was refused or held back, else 1. With `ended`,
    orders that still work make it 1 as well.
    """
    from scizor_dagster.flow.summary import went_well

    checks: dict[str, Any] = {"failed_checks": list(outcome.failed_checks), "warnings": list(outcome.warnings)}
    checks["found"] = dict(outcome.found)
    _print_summary({"run_id": outcome.run_id, **summary, **checks}, as_json)
    well = outcome.success and went_well(summary)
    raise typer.Exit(0 if well and not (ended and summary["working"]) else 1)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(summary)
        return
    rows = [(name, value) for name, value in summary.items() if not isinstance(value, list | dict)]
    print_table(f"Session {summary['session']}, portfolio {summary['portfolio']}", ["what", "value"], rows)
    if summary["break_rows"]:
        print_table(
            "Breaks",
            ["kind", "symbol", "order", "expected", "found", "remedy"],
            [
                (row["kind"], row["symbol"], row["client_order_id"], row["expected"], row["found"], row["remedy"])
                for row in summary["break_rows"]
            ],
        )
    if summary["held_back_rows"]:
        columns = ["symbol", "side", "qty", "lost", "why"]
        held = [[row[column] for column in columns] for row in summary["held_back_rows"]]
        print_table("Orders that were held back", columns, held)
    for title, name in (("Refused orders", "refused_rows"), ("Orders that did not fill", "unfilled_rows")):
        if summary[name]:
            columns = ["symbol", "side", "state", "reason"]
            print_table(title, columns, [[row[column] for column in columns] for row in summary[name]])
    if summary.get("note"):
        typer.secho(summary["note"], fg=typer.colors.YELLOW)
    print_checks(summary["failed_checks"], summary["warnings"], summary["found"])
