"""`scizor signals approve` and `approvals`: a person says that held weights are meant.

What belongs here: the two commands. What does not: what is held (`signals.guards`) and what an approval is bound to
(`ledger.approvals`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.findings import follower, print_findings
from scizor_dagster.cli.options import JsonOption, ReasonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

PortfolioOption = Annotated[
    str | None, typer.Option(help="Whose session it is; default: the first that follows the strategy.")
]


def approve(
    strategy: Annotated[str, typer.Option(help="Strategy whose weights are held.")],
    day: Annotated[str, typer.Option("--date", help="Session that the weights trade in.")],
    reason: ReasonOption,
    portfolio: PortfolioOption = None,
    file: Annotated[Path | None, typer.Option(help="Weight file; default: the strategy's own.")] = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve held weights: exactly this content, in this session. Shows what was held; then run the session.

    When: scizor signals check, or a run, says that weights are held, and they are meant.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 approved; 1 the file is refused; 2 nothing is held, or an option is wrong.
    JSON: portfolio, strategy, session, file_hash, rules, actor, reason, at, rows_hash, path, held[rule, problem,
    remedy, line, sheet, column, value, file].
    Example: scizor signals approve --strategy demo_momentum --date 2026-11-20 --reason "the yearly rotation"
    """
    from scizor_dagster.flow.approvals import approve_weights

    session = dates.parse_date(day, "--date")
    desk = open_desk()
    name = portfolio or follower(desk.config, strategy)
    if name is None:
        raise InputError(
            f"No portfolio follows strategy '{strategy}'.",
            remedy="Name a strategy that one follows; see: scizor doctor.",
            where="--strategy",
        )
    check_portfolio(desk, name)
    actor = actor_of(by)
    reason = reason_of(reason)
    report, made = approve_weights(desk, name, strategy, session, actor=actor, reason=reason, file=file)
    if as_json:
        emit_json(asdict(made) | {"path": report.path, "held": [asdict(item) for item in report.violations]})
        return
    print_findings("What was held", report.violations)
    typer.echo(f"portfolio {name}, strategy {strategy}, session {session}: {made}")


def list_approvals(
    portfolio: Annotated[str | None, typer.Option(help="Portfolio; default: every one.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Strategy; default: every one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was approved of held weights: by whom, when and why.

    When: you want to know who has let which weights through.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: approvals[portfolio, strategy, session, rules, actor, at, reason, file_hash, rows_hash].
    Example: scizor signals approvals --strategy demo_momentum
    """
    from scizor_dagster.flow.guards import approvals_for

    found = approvals_for(open_desk(), portfolio, strategy)
    columns = ("portfolio", "strategy", "session", "rules", "actor", "at", "reason", "file_hash", "rows_hash")
    if as_json:
        emit_json({"approvals": [{name: asdict(row)[name] for name in columns} for row in found]})
        return
    for row in found:
        typer.echo(f"portfolio {row.portfolio}, strategy {row.strategy}, session {row.session}: {row}")
    if not found:
        typer.echo("Nothing was approved.")
