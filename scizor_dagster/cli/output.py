"""How the command line speaks: tables and sentences for people, JSON for programs.

What belongs here: printing, and asking for a yes. What does not: deciding anything.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import typer

from scizor_dagster.errors import InputError, ScizorError

PROGRESS_LOGGER = "scizor.progress"
MOST_WORDS = 240
_WIDEST = 10_000


def print_error(error: ScizorError, *, as_json: bool) -> None:
    if as_json:
        body = {
            "error": type(error).__name__,
            "problem": error.problem,
            "where": error.where,
            "remedy": error.remedy,
        }
        typer.echo(json.dumps(body, default=str))
    else:
        typer.secho(f"scizor: {error}", err=True, fg=typer.colors.RED)


def emit_json(body: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(body, default=str, indent=2))


def confirm(question: str, remedy: str, *, as_json: bool) -> None:
    """Wait for a yes.

    Raises:
        InputError: nobody is there to give it; `remedy` says how to do without.
        typer.Exit: it was a no.
    """
    if as_json or not sys.stdin.isatty():
        raise InputError("Nobody can be asked here.", remedy=remedy)
    if not typer.confirm(question):
        typer.echo("Nothing was done.", err=True)
        raise typer.Exit(1)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print whole cells, however many there are: no figure is cut short.

    A file or a pipe gets the table as wide as it is. Where a terminal is narrower than the longest words of a row, each
    row is printed as names and values one below the other.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    texts = [["" if value is None else str(value) for value in row] for row in rows]
    table = Table(title=escape(title), title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in texts:
        table.add_row(*map(escape, row))
    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table)
    if not console.is_terminal:
        console.width = max(console.width, needed.maximum)
    elif needed.minimum > console.width:
        table = Table.grid(padding=(0, 2))
        table.title, table.title_justify = escape(title), "left"
        for row in texts:
            for name, text in zip(columns, row, strict=True):
                table.add_row(escape(name), escape(text))
            table.add_row()
    console.print(table)


def print_checks(failed: Sequence[str], warnings: Sequence[str], found: Mapping[str, str]) -> None:
    """The checks that did not pass and what they found; those in `warnings` stop nothing and are called so."""
    for check in failed:
        label = "warning" if check in warnings else "check did not pass"
        words = shorten(found.get(check, ""), MOST_WORDS, placeholder=" ... (the rest is in the run)")
        typer.secho(f"{label}: {check}{': ' if words else ''}{words}", fg=typer.colors.YELLOW)


@contextmanager
def working(title: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner with the newest progress message, on a terminal; plain lines elsewhere; nothing when quiet."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield
        return
    if not console.is_terminal:
        console.print(title)
        yield
        return
    with console.status(title) as status:
        handler = _StatusHandler(lambda text: status.update(f"{title}: {text}"))
        logger = logging.getLogger(PROGRESS_LOGGER)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _StatusHandler(logging.Handler):
    def __init__(self, show: Any) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record.getMessage())
