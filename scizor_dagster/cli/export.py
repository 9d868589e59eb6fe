"""`scizor export`: the files of a session, or of many, under the names that users of the older systems know."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, working
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.sessions import TradingCalendar

DEFAULT_FOLDER = "exports"


class Formats(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    BOTH = "both"


def export(
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First of several sessions, in place of --date.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last of them; default: the last one that closed.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; with --from of one folder for each session. Default: exports/PORTFOLIO/DATE."),
    ] = None,
    formats: Annotated[Formats, typer.Option("--format", help="Of the tables.")] = Formats.CSV,
    only: Annotated[list[str] | None, typer.Option(help="Only this file, such as filled_orders; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a session's files: plan, prices, positions, execution log, fills and reconciliations.

    They are made from what is stored, at one instant, and appear whole or not at all; nothing is asked of a broker. A
    file whose stage has not come yet is left out, and said. Columns and units are in docs/exports.md.

    When: another program, or a spreadsheet, shall have what happened.
    Writes: The session's files in one folder. No store.
    Exit codes: 0 written; 1 nothing is stored of it; 2 an option is wrong.
    JSON: portfolio, folder, files{*}, missing{*}, removed, left.
    Example: scizor export --portfolio main --date 2026-11-20 --format both
    """
    from scizor_dagster.exports.catalogue import Format
    from scizor_dagster.flow.exporting import export_sessions

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    sessions = _sessions(desk, portfolio, calendar, day, start, end)
    folder, per_session = _folder(desk, portfolio, sessions, out, several=start is not None)
    chosen = tuple(Format) if formats is Formats.BOTH else (Format(formats.value),)
    with working(f"Exporting {portfolio} {sessions[0]}", quiet=as_json):
        made = export_sessions(
            desk, portfolio, sessions, folder, formats=chosen, only=only or (), per_session=per_session
        )
    if as_json:
        files = {name: str(path) for name, path in made.files.items()}
        missing = {str(session): dict(found) for session, found in made.missing.items() if found}
        emit_json(
            {"portfolio": portfolio, "folder": str(folder), "files": files, "missing": missing}
            | {"removed": list(made.removed), "left": list(made.left)}
        )
        return
    for note in made.notes:
        typer.secho(note, fg=typer.colors.YELLOW)
    typer.echo(f"Wrote {len(made.files)} files to {folder}.")


def _sessions(
    desk: Desk, portfolio: str, calendar: TradingCalendar, day: str | None, start: str | None, end: str | None
) -> list[date]:
    """The sessions that are meant, ascending; at least one."""
    if day is not None and (start is not None or end is not None):
        raise InputError("--date does not go with --from and --to.", remedy="Give one session, or a span of them.")
    if end is not None and start is None:
        raise InputError("--to is given without --from.", remedy="Give both, or --date.")
    now = desk.clock()
    first = desk.market(desk.portfolio(portfolio).market).first_session
    if start is None:
        asked = calendar.last_closed(now) if day is None else dates.parse_date(day, "--date")
        return [dates.session_of_job(calendar, asked, first, now)]
    begin = max(dates.parse_date(start, "--from"), first)
    last = calendar.last_closed(now) if end is None else dates.parse_date(end, "--to")
    today = now.astimezone(calendar.timezone).date()
    found = calendar.sessions(begin, min(last, today)) if begin <= min(last, today) else ()
    if not found:
        raise InputError(f"There is no session from {start} to {last}.", remedy="Widen the span.", where="--from, --to")
    return list(found)


def _folder(desk: Desk, portfolio: str, sessions: list[date], out: Path | None, *, several: bool) -> tuple[Path, bool]:
    """Where the files go, and whether each session has a folder of its own in it."""
    if out is not None:
        return out, several
    configured = desk.config.exports.folder
    root = Path(DEFAULT_FOLDER) if configured is None else desk.config.folder / configured
    return (root / portfolio, True) if several else (root / portfolio / sessions[0].isoformat(), False)
