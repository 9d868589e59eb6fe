"""`scizor backup`, `restore` and `migrate`: the whole home kept elsewhere, brought back, and taken to a server.

What belongs here: the commands. What does not: what they do (`flow.backing_up`, `flow.restoring`, `flow.migrating`).
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, working
from scizor_dagster.cli.preflight import check_home, open_desk


class Part(StrEnum):
    """Of a home, what cannot be made anew and what can."""

    LEDGER = "ledger"
    LAKE = "lake"


OnlyOption = Annotated[Part | None, typer.Option(help="This part alone.")]
TAKE = "Take what was sent since from its broker: scizor ledger rebuild --account {account}."
RESUME = "Compare it with the broker (scizor reconcile), then go on: scizor resume --account {account} --reason TEXT."


def backup(
    place: Annotated[
        Path | None, typer.Argument(help="Folder in which the backup becomes a folder; default: SCIZOR_HOME/backups.")
    ] = None,
    only: OnlyOption = None,
    with_dagster: Annotated[
        bool, typer.Option("--with-dagster", help="Dagster's record of runs too, where it is embedded.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Delete backups in the folder that N newer ones make up for.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write ledger, lake and configuration into one folder, while everything goes on; keep it on another machine.

    It is checked before it has its name, restores into either kind of store, embedded or Postgres, and holds no secret.

    When: every day, after the last session.
    Writes: One folder, scizor-TIME; with --keep, those go that N newer ones make up for.
    Exit codes: 0 written; 1 the ledger or the lake is not whole; 2 there is nothing, or the folder cannot be written.
    JSON: folder, made_at, release, stores{*}, seq, seal, snapshot, rows{*}, files, bytes, left_out, pruned.
    Example: scizor backup /mnt/elsewhere --keep 14
    """
    from scizor_dagster.flow.backing_up import PARTS, back_up

    desk = open_desk()
    with working("Backing up", quiet=as_json):
        made = back_up(
            desk,
            place,
            now=dates.now(),
            parts=PARTS if only is None else (only.value,),
            with_dagster=with_dagster,
            keep=keep,
        )
    manifest = made.manifest
    if as_json:
        shown = {name: getattr(manifest, name) for name in ("made_at", "release", "stores", "seq", "seal", "snapshot")}
        counted = {"files": len(manifest.files), "bytes": made.bytes, "left_out": manifest.left_out}
        emit_json(
            {"folder": made.folder, **shown, "rows": manifest.rows, **counted, "pruned": list(map(str, made.pruned))}
        )
        return
    rows = sum(sum(tables.values()) for tables in manifest.rows.values())
    size = f"{made.bytes / 2**20:.1f} MiB"
    typer.echo(f"{made.folder}: {', '.join(manifest.stores)}; {rows} rows in {len(manifest.files)} files, {size}")
    for words in manifest.left_out:
        typer.echo(f"Not in it: {words}.")
    for path in made.pruned:
        typer.echo(f"Deleted: {path}")


def restore(
    folder: Annotated[Path, typer.Argument(help="A backup that `scizor backup` has written.")],
    only: OnlyOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what is there aside; nothing of it is deleted.")
    ] = False,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring ledger and lake back from a backup; every account is halted until you resume it.

    What was sent after the backup is not in it: take it from the broker with `scizor ledger rebuild` first. Every
    permission ends: armings, approvals of plans and of strategy code, keys of the services. Give them anew. The
    configuration stays as it is; files that differ are named.

    When: the home, its ledger or its lake is lost or damaged, and there is a backup.
    Writes: The stores, and every account as halted.
    Exit codes: 0 restored; 1 somebody works with what would be replaced; 2 the backup is not whole, or there is
    something already.
    JSON: folder, made_at, parts, halted, aside, configuration, rows{*}.
    Example: scizor restore /mnt/elsewhere/scizor-20261120T210000Z
    """
    from scizor_dagster.flow.restoring import restore_home

    desk = open_desk()
    check_home(desk.settings)
    with working("Restoring", quiet=as_json):
        found = restore_home(
            desk, folder, actor=actor_of(by), now=dates.now(), only=only.value if only else None, replace=replace
        )
    if as_json:
        body = {"folder": str(folder), "made_at": found.manifest.made_at, "parts": found.parts, "halted": found.halted}
        emit_json({**body, "aside": found.aside, "configuration": found.configuration, "rows": found.manifest.rows})
        return
    typer.echo(f"Restored {', '.join(found.parts)}, as of {found.manifest.made_at}.")
    if found.aside is not None:
        typer.echo(f"What was there before is in {found.aside}.")
    for name in found.configuration:
        typer.secho(
            f"The configuration's {name} is not as in the backup: compare {folder / 'config' / name}.", fg="yellow"
        )
    for account in found.halted:
        said = f"Account {account} is halted. {TAKE.format(account=account)} {RESUME.format(account=account)}"
        typer.secho(said, fg=typer.colors.YELLOW)


def migrate(
    without_dagster: Annotated[
        bool, typer.Option("--without-dagster", help="Leave Dagster's record of runs where it is; it decides nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the embedded stores of this home to the Postgres database that DATABASE_URL names: all of them, or none.

    Ledger, lake and Dagster's storage are stored by one commit, after every row of every table was compared. Then the
    files are put aside, so that nobody trades with them. Killed anywhere, it goes on when it is given again. A home
    whose ledger is on the server already has the rest taken there.

    When: one machine becomes several, or the stores shall have a server's backups.
    Writes: The three stores on the server; the files move into a folder of the home, embedded-TIME.
    Exit codes: 0 migrated; 1 somebody works with the home, or the server holds something else; 2 DATABASE_URL is not
    set, or nothing is embedded here.
    JSON: place, parts{*}, found_there, aside, left.
    Example: scizor migrate
    """
    from scizor_dagster.cli.dagster_home import write_dagster_home
    from scizor_dagster.flow.migrating import migrate_home

    desk = open_desk()
    settings = desk.settings
    check_home(settings)
    with working("Migrating", quiet=as_json):
        done = migrate_home(
            settings, now=dates.now(), prepare_dagster=None if without_dagster else _make_dagster_tables
        )
    # What is written there still names the files.
    write_dagster_home(settings)
    if as_json:
        emit_json(asdict(done))
        return
    for name, rows in done.parts.items():
        words = "was there already, and is the same" if name in done.found_there else "copied and compared"
        typer.echo(f"{name}: {sum(rows.values())} rows in {len(rows)} tables, {words}")
    typer.echo(f"The stores of this home lie in {done.place}. The files were moved to {done.aside}.")
    for words in done.left:
        typer.echo(f"Left in them: {words}.")


def _make_dagster_tables() -> None:
    from scizor_dagster.cli.dagster_storage import ServerStorage

    # Opening it makes them.
    ServerStorage()
