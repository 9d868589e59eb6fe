"""`scizor report`: the page of a session, from what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, working
from scizor_dagster.cli.preflight import check_portfolio, open_desk


def report(
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A file that ends with .html, or a folder. Default: reports/PORTFOLIO/DATE.html of the data."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the page of a session: the verdict, what was decided and done, what is broken, what was earned and paid.

    One file of HTML that needs nothing from anywhere, made from what is stored; nothing is measured and no broker is
    asked. A stage that has not come yet is said to be missing.

    When: a session is over and you want it on one page, or have to show it to somebody.
    Writes: One file of HTML. No store.
    Exit codes: 0 written; 1 nothing is stored of the session; 2 an option is wrong.
    JSON: portfolio, session, file, verdict.
    Example: scizor report --portfolio main --date 2026-11-20 --open
    """
    from scizor_dagster.flow.reporting import report_session

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    now = desk.clock()
    asked = calendar.last_closed(now) if day is None else dates.parse_date(day, "--date")
    session = dates.session_of_job(calendar, asked, desk.market(desk.portfolio(portfolio).market).first_session, now)
    with working(f"Reporting {portfolio} {session}", quiet=as_json):
        made = report_session(desk, portfolio, session, out)
    if as_json:
        emit_json({"portfolio": portfolio, "session": session, "file": str(made.path), "verdict": made.tone})
    else:
        typer.echo(f"Wrote {made.path}.")
    if show:
        typer.launch(made.path.resolve().as_uri())
