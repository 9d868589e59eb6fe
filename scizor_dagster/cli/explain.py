"""`scizor explain`: why an order, a fill, a position is what it is, back to the line of the file that caused it."""

from __future__ import annotations

from typing import Annotated

import typer

from scizor_dagster.cli.completing import autocompletion, explained
from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError


def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            help="An order, a fill, a ticker, an instrument (AAPL.XNAS), or FILE:LINE.",
            autocompletion=autocompletion(explained),
        ),
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="Session of a ticker, position or line; default: the newest planned.")
    ] = None,
    portfolio: Annotated[str | None, typer.Option(help="Portfolio, where several have it.")] = None,
    file: Annotated[str | None, typer.Option("--file", help="A weight file; with --line.")] = None,
    line: Annotated[int | None, typer.Option("--line", min=1, help="A line of --file, from 1.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk from the line of a weight file to the position, or back: each step with its numbers and where they are kept.

    An order or fill is named by its id; a ticker means its line in the session's plan, also where there was no order;
    TICKER.MIC means the position with every fill behind it; FILE:LINE means everything that came of a line.

    When: you ask why something was traded, or what came of a line.
    Writes: Nothing.
    Exit codes: 2 nothing, or several things, have this name.
    JSON: kind, subject, portfolio, account, session, lake_snapshot, complete, links[step, title, source, sentences,
    facts{*}, rows[*], missing].
    Example: scizor explain AAPL --date 2026-11-20
    Example: scizor explain AAPL.XNAS --date 2026-11-20
    Example: scizor explain signals/weights.csv:2
    """
    from scizor_dagster.analytics.explain.text import lines_of
    from scizor_dagster.flow.explain_lines import explain_line
    from scizor_dagster.flow.explaining import explain as walk
    from scizor_dagster.flow.watch import WatchingDesk

    if (name is None) == (file is None) or (file is None) != (line is None):
        raise InputError(
            "Name one thing: an order, a fill, a ticker, an instrument, or a file with --line.",
            remedy="See: scizor explain --help.",
            where="scizor explain",
        )
    session = parse_date(day, "--date") if day is not None else None
    opened = open_desk()
    desk = WatchingDesk(opened.settings, opened.machine_clock)
    if file is not None and line is not None:
        found = explain_line(desk, file, line, portfolio=portfolio, session=session)
    else:
        found = walk(desk, str(name), portfolio=portfolio, session=session)
    if as_json:
        emit_json(found.to_json())
        return
    for text in lines_of(found):
        typer.echo(text)
