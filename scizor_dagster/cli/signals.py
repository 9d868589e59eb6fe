"""`scizor signals`: is this weight file good, and what would it make of a portfolio? Stores nothing.

What belongs here: choosing the rules that apply, and printing. What does not: the rules (`signals`), and approving
what is held (`approvals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import approvals
from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.findings import follower, print_report, unread
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import ScizorError, SignalRefused

if TYPE_CHECKING:
    from scizor_dagster.config import SignalChoice
    from scizor_dagster.signals.targets import Contribution, TargetWeight, TargetWeights

app = typer.Typer(help="Check weight files, approve what is held, see the targets they give.", no_args_is_help=True)
app.command()(approvals.approve)
app.command(name="approvals")(approvals.list_approvals)
DateOption = Annotated[str, typer.Option("--date", help="Session that the weights trade in.")]
FollowerOption = Annotated[
    str | None,
    typer.Option(
        help="Whose rules apply; default: the first that follows the strategy, else of none a limit on one weight."
    ),
]


@app.command()
def check(
    strategy: Annotated[str, typer.Option(help="Strategy of the manifest; says how the file is to be read.")],
    file: Annotated[Path | None, typer.Argument(help="Weight file; default: the strategy's own.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest; default: the configuration's.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="Also require rows for this session.")] = None,
    portfolio: FollowerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept, hold or refuse a weight file, with every reason.

    When: a strategy has written its file, before the session that trades it.
    Writes: Nothing.
    Exit codes: 0 accepted; 1 held or refused, with every reason; 2 the file, the strategy or the configuration cannot
    be read.
    JSON: status, strategy, path, file_hash, rows, dates, first_date, last_date, weight_sum, violations[rule, problem,
    remedy, line, sheet, column, value, file], warnings[rule, problem, remedy, line, sheet, column, value, file],
    session, session_rows, rows_hash, portfolio.
    Example: scizor signals check weights.csv --strategy demo_momentum --date 2026-11-20
    """
    from scizor_dagster.flow.guards import check_weights
    from scizor_dagster.signals.manifest import load_manifest

    name, step = portfolio, "call"
    try:
        session = parse_date(day, "--date") if day else None
        step = "configuration"
        desk = open_desk()
        name = portfolio or follower(desk.config, strategy)
        step = "manifest"
        source = load_manifest(manifest, desk.settings.environment) if manifest else desk.manifest
        step = "strategy"
        entry = source.strategy(strategy)
        step = "configuration"
        report = check_weights(desk, name, entry, session, file)
    except ScizorError as error:
        if not as_json:
            raise
        # A program gets the shape that it gets for every file.
        print_report(unread(error, step, strategy, file), name, as_json=True)
        raise typer.Exit(error.exit_code) from error
    print_report(report, name, as_json=as_json)
    if not report.accepted:
        raise typer.Exit(1)


@app.command()
def consolidate(
    portfolio: PortfolioOption,
    day: DateOption,
    as_json: JsonOption = False,
) -> None:
    """Show the targets that a portfolio's weight files give for a session, and what each line has in them.

    When: several strategies make one set of targets, and you want to see it.
    Writes: Nothing.
    Exit codes: 0 shown; 1 a file is held or refused; 2 an option is wrong.
    JSON: status, portfolio, mode, strategies, session, targets[symbol, instrument_id, target_weight, exact_weight,
    status, note, candidates, attribution[strategy, asset_id, line, file_hash, weight_stated, contribution]],
    weight_sum, weight_set_aside, weight_by_strategy{*}, warnings. A file that is held or refused: as scizor signals
    check answers.
    Example: scizor signals consolidate --portfolio main --date 2026-11-20
    """
    from scizor_dagster.flow.lifecycle import running_strategies
    from scizor_dagster.flow.signals import select_signals, session_targets
    from scizor_dagster.signals.report import SignalReport

    session = parse_date(day, "--date")
    desk = open_desk()
    check_portfolio(desk, portfolio)
    strategies = running_strategies(desk, portfolio)
    try:
        taken = [select_signals(desk, portfolio, session, strategy) for strategy in strategies]
        targets = session_targets(desk, portfolio, taken, session)
    except SignalRefused as refused:
        if not isinstance(refused.report, SignalReport):
            raise
        print_report(refused.report, portfolio, as_json=as_json)
        raise typer.Exit(refused.exit_code) from refused
    _print_targets(targets, portfolio, desk.portfolio(portfolio).signals, session, as_json=as_json)


def _print_targets(
    targets: TargetWeights, portfolio: str, choice: SignalChoice, session: date, *, as_json: bool
) -> None:
    if as_json:
        emit_json(_targets_json(targets, portfolio, choice, session))
        return
    print_table(
        f"Targets of portfolio {portfolio} for {session}, {choice.mode} of {choice.named}",
        ("symbol", "weight", "made of", "status", "note"),
        [
            (row.symbol, f"{row.target_weight:.6f}", _origins(row.contributions), row.status, row.note)
            for row in targets.rows
        ],
    )
    for warning in targets.warnings:
        typer.echo(f"- {warning}")
    shares = ", ".join(f"{strategy} {weight:.6f}" for strategy, weight in targets.by_strategy.items())
    typer.echo(
        f"{len(targets.rows)} targets, {targets.total:.6f} of the capital ({shares}); "
        f"set aside: {len(targets.set_aside)} with {targets.weight_set_aside:.6f}"
    )


def _origins(contributions: Sequence[Contribution]) -> str:
    return "; ".join(
        f"{item.strategy} line {item.line}, {item.asset_id}: {item.contribution:.6f}" for item in contributions
    )


def _targets_json(targets: TargetWeights, portfolio: str, choice: SignalChoice, session: date) -> dict[str, Any]:
    """Numbers for reading; exact decimals, which sum to the targets, as text."""
    from scizor_dagster.signals.arithmetic import plain_text

    return {
        "status": "accepted",
        "portfolio": portfolio,
        "mode": choice.mode,
        "strategies": choice.ids,
        "session": session.isoformat(),
        "targets": [_target_json(row) for row in targets.rows],
        "weight_sum": float(targets.total),
        "weight_set_aside": float(targets.weight_set_aside),
        "weight_by_strategy": {strategy: plain_text(weight) for strategy, weight in targets.by_strategy.items()},
        "warnings": targets.warnings,
    }


def _target_json(row: TargetWeight) -> dict[str, Any]:
    from scizor_dagster.signals.arithmetic import plain_text

    return {
        "symbol": row.symbol,
        "instrument_id": row.instrument_id,
        "target_weight": float(row.target_weight),
        "exact_weight": plain_text(row.target_weight),
        "status": row.status,
        "note": row.note,
        "candidates": row.candidates,
        "attribution": [
            {
                "strategy": item.strategy,
                "asset_id": item.asset_id,
                "line": item.line,
                "file_hash": item.file_hash,
                "weight_stated": plain_text(item.weight_stated),
                "contribution": plain_text(item.contribution),
            }
            for item in row.contributions
        ],
    }
