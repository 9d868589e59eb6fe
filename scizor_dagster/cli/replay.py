"""`scizor replay`: past plans made again and compared, to the byte, with what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli.dates import parse_date, parse_span
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.analytics.replays import Replays, SessionReplay


def replay(
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the newest planned.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First session of a range; with --to.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last session of the range.")] = None,
    portfolio: PortfolioOption = "main",
    as_json: JsonOption = False,
) -> None:
    """Make a session's plan again from what was stored with it, and compare it byte for byte with the stored plan.

    What it was made from is then held against the stores it came from: targets, weights and files, prices at the plan's
    snapshot of the lake and now, holdings and cash from the ledger's fills, and the orders that were sent. Each
    difference is named with its table, row, field and both values; what was restated in the open is said as well. A
    plan of a range whose inputs are gone is named,
    and does not count. The ledger's own history is checked by:
    scizor ledger verify.

    When: somebody doubts a plan, or the program was changed.
    Writes: Nothing.
    Exit codes: 0 all that were replayed agree; 1 something differs; 2 there is nothing to replay.
    JSON: portfolio, agree, sessions[portfolio, plan_id, lake_snapshot, code_version, code_version_now, equal,
    stored_sha256, made_sha256, session, agrees, findings[*], notes], missing[session, plan_id, problem, remedy].
    Example: scizor replay --date 2026-11-20
    Example: scizor replay --from 2026-11-02 --to 2026-11-30 --json
    """
    from scizor_dagster.flow.replaying import newest_planned, replay_sessions
    from scizor_dagster.flow.watch import WatchingDesk

    if (first is None) != (last is None) or (first is not None and day is not None):
        raise InputError("Give --date, or --from and --to together.", remedy="See: scizor replay --help.")
    begins, ends = parse_span(first, last)
    on = None if day is None else parse_date(day, "--date")
    opened = open_desk()
    desk = WatchingDesk(opened.settings, opened.machine_clock)
    if begins is None or ends is None:
        begins = ends = on or newest_planned(desk, portfolio)
    found = replay_sessions(desk, portfolio, begins, ends)
    if as_json:
        sessions, missing = [item.to_json() for item in found.sessions], [item.to_json() for item in found.missing]
        emit_json({"portfolio": portfolio, "agree": found.agree, "sessions": sessions, "missing": missing})
    else:
        _print_all(found)
    raise typer.Exit(0 if found.agree else 1)


def _print_all(found: Replays) -> None:
    alone = len(found.sessions) + len(found.missing) == 1
    for item in found.sessions:
        _print(item, alone=alone)
    for gone in found.missing:
        typer.secho(gone.sentence, fg=typer.colors.YELLOW)
    if not alone:
        differing = sum(not item.agrees for item in found.sessions)
        left = f"; {len(found.missing)} could not be" if found.missing else ""
        typer.echo(f"{len(found.sessions)} session(s) replayed, {differing} with differences{left}.")


def _print(found: SessionReplay, *, alone: bool) -> None:
    equal = "made again, equal to the byte" if found.equal else "made again, NOT equal to what is stored"
    color = typer.colors.GREEN if found.agrees else typer.colors.RED
    typer.secho(
        f"{found.session}: plan {found.plan_id[:12]} {equal}; {len(found.differences)} difference(s).", fg=color
    )
    for item in found.findings:
        typer.secho(f"  - {item.sentence}", fg=typer.colors.RED if item.kind == "difference" else typer.colors.YELLOW)
    if alone:
        typer.echo(f"  SHA-256 of the stored plan {found.stored_sha256}")
        typer.echo(f"  SHA-256 of the plan made again {found.made_sha256 or 'none'}")
        for note in found.notes:
            typer.echo(f"  {note}")
