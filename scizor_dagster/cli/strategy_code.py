"""`scizor strategy ...-code`: strategy code that came over HTTP, which an operator reads, approves, and has run.

What belongs here: the commands. What does not: what they do (`flow.strategy_code`), and the walls around code that runs
(`strategies.sandbox_walls`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.options import JsonOption, ReasonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.ledger.strategy_code import CodeRow

HashArgument = Annotated[str, typer.Argument(help="SHA-256 of the code, or its first 12 digits and more.")]


def list_code(as_json: JsonOption = False) -> None:
    """List strategy code that was handed in over HTTP, and which of it may run.

    When: somebody has handed code in, and it waits for you.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: code[code_hash, name, actor, reason, at, approved].
    Example: scizor strategy list-code
    """
    from scizor_dagster.ledger.strategy_code import codes_of

    desk = open_desk()
    rows: list[CodeRow] = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            rows = codes_of(connection)
    found = [_told(desk, row) for row in rows]
    if as_json:
        emit_json({"code": found})
        return
    names = ("code_hash", "name", "approved", "actor", "at", "reason")
    print_table("Strategy code", names, [[str(row[name])[:40] for name in names] for row in found])


def show_code(code: HashArgument, as_json: JsonOption = False) -> None:
    """Print a code that was handed in, to be read before it is approved, and what was said of it.

    When: you are to approve a code.
    Writes: Nothing.
    Exit codes: 0 shown; 2 there is no such code.
    JSON: code_hash, name, actor, reason, at, approved, source,
    verdicts[number, code_hash, approved, actor, reason, at].
    Example: scizor strategy show-code 3f0a9c21d4e5
    """
    from scizor_dagster.ledger.strategy_code import code_named, verdicts_of

    desk = open_desk()
    with desk.ledger.read() as connection:
        row = code_named(connection, code)
        said = verdicts_of(connection, row.code_hash)
    if as_json:
        emit_json(_told(desk, row) | {"source": row.source, "verdicts": [asdict(item) for item in said]})
        return
    typer.echo(f"{row.name}, SHA-256 {row.code_hash}, handed in by {row.actor}: {row.reason}")
    for item in said:
        word = "approved" if item.approved else "withdrawn"
        typer.echo(f"{word} by {item.actor} {item.at.isoformat(timespec='seconds')}: {item.reason}")
    # What a terminal would take for a command is shown, not obeyed.
    plain = "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in row.source)
    typer.echo(plain)


def approve_code(code: HashArgument, reason: ReasonOption, by: ActorOption = None, as_json: JsonOption = False) -> None:
    """Let a code that was handed in run. Read it first: scizor strategy show-code HASH.

    When: you have read a code, and trust it to decide weights.
    Writes: The verdict in the ledger.
    Exit codes: 0 it may run; 2 there is no such code.
    JSON: verdict{number, code_hash, approved, actor, reason, at}.
    Example: scizor strategy approve-code 3f0a9c21d4e5 --reason "it was read"
    """
    _judge(code, reason, by, approved=True, as_json=as_json)


def withdraw_code(
    code: HashArgument, reason: ReasonOption, by: ActorOption = None, as_json: JsonOption = False
) -> None:
    """Let a code run no more. What it decided before stays as it was taken.

    When: a code is not trusted any more.
    Writes: The verdict in the ledger.
    Exit codes: 0 it may not run any more; 2 there is no such code.
    JSON: verdict{number, code_hash, approved, actor, reason, at}.
    Example: scizor strategy withdraw-code 3f0a9c21d4e5 --reason "it is not used"
    """
    _judge(code, reason, by, approved=False, as_json=as_json)


def run_code(
    code: HashArgument,
    strategy: Annotated[str, typer.Option(help="Strategy of the manifest that its weights are of.")],
    day: Annotated[list[str], typer.Option("--date", help="Session that the weights trade in; may be repeated.")],
    parameter: Annotated[list[str] | None, typer.Option("--parameter", help="NAME=VALUE, as YAML.")] = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have an approved code decide weights behind walls, and take them in as a file of a strategy.

    When: an approved code is to decide the weights of a session.
    Writes: The weight file, who had it made, and what the code said.
    Exit codes: 0 taken in; 2 it is not approved, does not run, or its weights are refused.
    JSON: delivery{*}, fresh, report{*}.
    Example: scizor strategy run-code 3f0a9c21d4e5 --strategy weekly --date 2025-02-10
    """
    from scizor_dagster.cli.strategy_records import values_of
    from scizor_dagster.flow.handing_in import Sender
    from scizor_dagster.flow.strategy_code import run_code as run

    sessions = [parse_date(text, "--date") for text in day]
    values = values_of(parameter)
    taken = run(open_desk(), code, strategy, sessions, Sender(actor_of(by)), values)
    if as_json:
        emit_json({"delivery": asdict(taken.delivery), "fresh": taken.fresh, "report": taken.report.to_json()})
        return
    typer.echo(f"strategy {strategy}: {taken.report.status}, {taken.report.rows} rows, {taken.delivery.path}")


def _judge(code: str, reason: str, by: str | None, *, approved: bool, as_json: bool) -> None:
    from scizor_dagster.flow.strategy_code import approve_code as judge

    made = judge(open_desk(), code, approved=approved, actor=actor_of(by), reason=reason)
    if as_json:
        emit_json({"verdict": asdict(made)})
        return
    typer.echo(f"code {made.code_hash[:12]}: {'may run' if approved else 'may not run any more'}")


def _told(desk: Desk, row: CodeRow) -> dict[str, Any]:
    from scizor_dagster.ledger.strategy_code import is_approved

    with desk.ledger.read() as connection:
        approved = is_approved(connection, row.code_hash)
    body = asdict(row) | {"approved": approved, "at": row.at.isoformat(timespec="seconds")}
    body.pop("source")
    return body
