"""`scizor ledger`: is it whole, and built anew from the broker's books.

What belongs here: the commands. What does not: what they do (`flow.ledger_care`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.amounts import parse_amount
from scizor_dagster.cli.moving import RESUME, TAKE
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import confirm, emit_json, print_table, working
from scizor_dagster.cli.preflight import check_home, open_desk

app = typer.Typer(
    name="ledger",
    help="Verify the ledger, and build a lost one anew from the broker's own books.",
    no_args_is_help=True,
)
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
MOST_PRINTED = 20


@app.command()
def verify(
    against: Annotated[Path | None, typer.Option(help="A backup: shows also what was cut off since.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every row of the ledger with its history, and every entry of the history with its seal.

    Names each row that was changed, added or taken out by anything but Scizor, and each stored plan that names another
    snapshot of the lake or code version than when it was admitted.

    When: on a schedule of your own, and whenever somebody else had the file in hand.
    Writes: Nothing.
    Exit codes: 0 the ledger is whole; 1 it is not: trade nothing with it; 2 the backup cannot be read.
    JSON: whole, found, altered_plans.
    Example: scizor ledger verify --against backups/scizor-20261120T210000Z
    """
    from scizor_dagster.flow.ledger_care import verify_ledger
    from scizor_dagster.flow.plan_provenance import altered_plans

    desk = open_desk()
    found = verify_ledger(desk, against)
    # A history that is not whole says nothing of a plan either.
    altered = [] if found else altered_plans(desk)
    if as_json:
        emit_json({"whole": not found, "found": found, "altered_plans": altered})
    elif found:
        _print_found(found)
        typer.echo("Trade nothing with this ledger. Restore the last backup, or rebuild it from the broker's books.")
    else:
        typer.secho("The ledger is what its history says.", fg=typer.colors.GREEN)
        _print_found(altered)
        if altered:
            typer.echo("Restore the lake from its backup; every other number of a plan is compared by: scizor replay.")
    raise typer.Exit(1 if found or altered else 0)


def _print_found(sentences: Sequence[str]) -> None:
    for sentence in sentences[:MOST_PRINTED]:
        typer.secho(sentence, fg=typer.colors.RED)
    if len(sentences) > MOST_PRINTED:
        typer.echo(f"... and {len(sentences) - MOST_PRINTED} more: see --json.")


@app.command()
def rebuild(
    account: Annotated[str, typer.Option(help="Account of the configuration.")],
    first: Annotated[str | None, typer.Option(help="Session from which on; default: 30 days ago.")] = None,
    adopt_to: Annotated[
        str | None, typer.Option(help="Portfolio that shall own what no order explains; with --cash.")
    ] = None,
    cash: Annotated[str | None, typer.Option(help="Cash that this portfolio has now.")] = None,
    by: ActorOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build a lost ledger anew from the broker's own books, or complete a restored one.

    Takes the account's orders, fills, splits and dividends. Nothing is sent; the account is halted until you resume it,
    and where nothing was left of the ledger, every other one too. What the broker holds from before what it shows stays
    foreign, and is never sold, unless it is adopted.

    When: the ledger is lost, or was restored from a backup that is older than the last orders.
    Writes: Orders, fills and positions in the ledger, and the account as halted. Nothing is sent.
    Exit codes: 0 built; 1 you said no, the broker could not be read, or an order is nobody's; 2 an option is wrong.
    JSON: halted, account, first, last, orders, strangers, fills, positions[symbol, at_broker, owned, adopted, foreign],
    notes.
    Example: scizor ledger rebuild --account paper --first 2026-10-01
    """
    from scizor_dagster.flow.ledger_care import rebuild_ledger

    desk = open_desk()
    check_home(desk.settings)
    asked = dates.parse_date(first, "--first") if first is not None else None
    amount = None if cash is None else parse_amount(cash, "--cash", example="12500.00", sign="any")
    if not yes:
        question = f"Build the ledger of account {account} from what its broker shows?"
        confirm(question, "Give --yes. Nothing was done.", as_json=as_json)
    with working(f"Asking the broker of {account}", quiet=as_json):
        found, halted = rebuild_ledger(desk, account, first=asked, adopt_to=adopt_to, cash=amount, actor=actor_of(by))
    if as_json:
        emit_json({"halted": halted, **asdict(found)})
    else:
        typer.echo(f"{len(found.orders)} order(s) and {found.fills} fill(s) from {found.first} to {found.last}")
        columns = ["symbol", "at_broker", "owned", "adopted", "foreign"]
        rows = [[f"{value:f}" if isinstance(value, Decimal) else value for value in asdict(row).values()]
                for row in found.positions]  # fmt: skip
        print_table("Positions", columns, rows)
        for note in [*(f"Nobody knows whose order {name} is." for name in found.strangers), *found.notes]:
            typer.secho(note, fg=typer.colors.YELLOW)
        typer.echo(f"Account {account} is halted. " + RESUME.format(account=account))
        for other in halted[1:]:
            said = f"Account {other} is halted too: this ledger knows nothing of it. {TAKE.format(account=other)}"
            typer.secho(said, fg=typer.colors.YELLOW)
    raise typer.Exit(1 if found.strangers else 0)
