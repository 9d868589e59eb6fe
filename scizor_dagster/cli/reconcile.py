"""`scizor reconcile`: compare plan, ledger and broker again, for one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, money, print_checks, print_table, working
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import RunOutcome

PARTIES = ("plan", "ledger", "broker")


def reconcile(
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    which: Annotated[
        str | None, typer.Option("--pass", help="first or second; default: the one that is due by now.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="broker, or logs: the plan against what the ledger has recorded, without asking the broker."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Reconcile one session: compare plan, ledger and broker again.

    The second pass comes before the next session and closes the day where everything agrees. A break locks its
    instrument until a later reconciliation does not find it any more; scizor risk accept-break takes one as it is.

    Reads orders, fills, positions and cash on all three sides and names every difference with what to do about it.
    Nothing is sent.

    When: orders were looked at by hand, a break was mended, or a day has to be closed.
    Writes: Breaks, locks, and whether the day is closed, in the ledger; the result in the lake. Nothing is sent.
    Exit codes: 0 no step failed, no unexplained break, no order refused or held back; 1 one of that.
    JSON: run_id, portfolio, session, state, orders, filled, working, breaks, pass, closed, refused, awaiting_approval,
    held_back, permitted, equity, cash, return, cumulative_return, drawdown, prices, synthetic, break_rows[*],
    open_break_rows[*], refused_rows[symbol, side, state, reason], held_back_rows[*], unfilled_rows[symbol, side, state,
    reason], failed_checks, warnings, found{*}, note?.
    Example: scizor reconcile --portfolio main --date 2026-11-20
    """
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.summary import session_summary
    from scizor_dagster.jobnames import name_for

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    tags = _tags(which, source)
    asked = dates.parse_date(day, "--date") if day is not None else calendar.last_closed(desk.clock())
    first = desk.market(desk.portfolio(portfolio).market).first_session
    session = dates.session_of_job(calendar, asked, first, desk.clock())
    with working(f"Reconciling {portfolio} {session}", quiet=as_json), JobRunner.open(desk.settings) as runner:
        job = name_for("reconcile", portfolio, desk.config.portfolios)
        outcome = runner.run(job, partition=session.isoformat(), tags=tags, raise_on_failed_check=False)
    finish(session_summary(desk, portfolio, session), outcome, as_json)


def _tags(which: str | None, source: str | None) -> dict[str, str]:
    """The run tags that ask for it.

    Raises:
        InputError: a word is none of those that there are.
    """
    from scizor_dagster.flow.closing import PASS, SOURCE
    from scizor_dagster.reconciliation.model import Pass, Source

    tags = {}
    for option, tag, text, known in (("--pass", PASS, which, Pass), ("--source", SOURCE, source, Source)):
        if text is None:
            continue
        words = [str(word) for word in known]
        if text not in words:
            raise InputError(f"'{text}' is not known.", remedy=f"Use {' or '.join(words)}.", where=option)
        tags[tag] = text
    return tags


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


def _amount(row: dict[str, Any]) -> str:
    """Shares and money of a break, as far as it has any."""
    money = f"{row['amount']} {row['currency']}" if row["amount"] else ""
    return ", ".join(part for part in (row["qty"] or "", money) if part)


def print_open_breaks(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Open breaks as `flow.open_breaks` shows them; nothing where there is none."""
    if rows:
        typer.secho(f"{title}:", bold=True)
    # Sentences: a table of causes and commands is wider than a terminal.
    for row in rows:
        what = f"{row['symbol'] or ''} {row['kind']}".strip()
        typer.echo(
            f"  {row['break_id']} {what}, locks {row['locks']}, of {row['of']}, {row['session']} ({row['found_in']}): "
            f"{row['cause']}. Once it agrees: {row['clear']}"
        )


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(summary | {name: money(summary[name]) for name in ("equity", "cash")})
        return
    rows = [(name, value) for name, value in summary.items() if not isinstance(value, list | dict)]
    print_table(f"Session {summary['session']}, portfolio {summary['portfolio']}", ["what", "value"], rows)
    if summary["break_rows"]:
        print_table(
            "Breaks",
            ["kind", "class", "symbol", "order", *PARTIES, "amount", "cause", "locks", "pass", "remedy"],
            [
                (
                    row["kind"],
                    row["break_class"],
                    row["symbol"],
                    row["client_order_id"],
                    *(row[party] for party in PARTIES),
                    _amount(row),
                    row["cause"],
                    f"{row['locks']} ({row['break_id']})" if row["break_id"] else row["locks"],
                    row["pass"],
                    row["remedy"],
                )
                for row in summary["break_rows"]
            ],
        )
    print_open_breaks("Other open breaks of the account", summary["open_break_rows"])
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
