"""How the command line speaks: tables and sentences for people, JSON for programs.

What belongs here: printing, and asking for a yes. What does not: deciding anything.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import typer

from scizor_dagster.errors import InputError, ScizorError
from scizor_dagster.logs import wants_json

if TYPE_CHECKING:
    from rich.console import Console

PROGRESS_LOGGER = "scizor.progress"
MOST_WORDS = 240
_WIDEST = 10_000
_choice = {"plain": False}


def choose_plain(plain: bool) -> None:
    """Without colours from here on: somebody said `--no-color`."""
    _choice["plain"] = plain


def is_plain() -> bool:
    """Whether no colour and no other sequence for terminals may be written, wherever it goes to."""
    return _choice["plain"] or bool(os.environ.get("NO_COLOR"))


def console(*, stderr: bool = False) -> Console:
    """Where tables and help are printed; colours only on a terminal, and only where they are wanted."""
    from rich.console import Console

    return Console(stderr=stderr, color_system=None if is_plain() else "auto")


def print_error(error: ScizorError, *, as_json: bool) -> None:
    if as_json:
        body = {
            "error": type(error).__name__,
            "problem": error.problem,
            "where": error.where,
            "remedy": error.remedy,
        }
        typer.echo(json.dumps(plain_json(body)))
    else:
        text = f"scizor: {error}"
        typer.echo(text if is_plain() else typer.style(text, fg=typer.colors.RED), err=True)


def emit_json(body: Mapping[str, Any]) -> None:
    """The one object that a program gets on stdout; how each kind of value is written says `plain_json`."""
    typer.echo(json.dumps(plain_json(body), indent=2, allow_nan=False))


def plain_json(value: Any) -> Any:
    """A value as JSON has it, the same in every command.

    Dates and times are ISO 8601; a `Decimal`, which is money or a quantity, is its digits as text; a number that is
    none (NaN, infinite, not a time) is null; a name of a fixed list is its word.
    """
    if value is None or (isinstance(value, bool | int | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain_json(value.value)
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, date):
        return _iso(value)
    if isinstance(value, Mapping):
        return {_key(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain_json(item) for item in value]
    return plain_json(value.item()) if hasattr(value, "item") else str(value)


def money(value: float | None) -> str | None:
    """An amount that is kept as a float, as text: its shortest digits, which read back as the same number."""
    return None if value is None or not math.isfinite(value) else f"{Decimal(repr(value)):f}"


def _key(key: object) -> str:
    found = plain_json(key)
    return found if isinstance(found, str) else json.dumps(found)


def _iso(value: date) -> str | None:
    if value != value:
        return None
    if isinstance(value, datetime):
        # A table's column of sessions has them as midnights of no zone; every instant has its zone.
        is_day = value.tzinfo is None and value.time() == time()
        return value.date().isoformat() if is_day else value.isoformat()
    return value.isoformat()


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
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    texts = [["" if value is None else str(value) for value in row] for row in rows]
    table = Table(title=escape(title), title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in texts:
        table.add_row(*map(escape, row))
    show = console()
    needed = Measurement.get(show, show.options.update(max_width=_WIDEST), table)
    if not show.is_terminal:
        show.width = max(show.width, needed.maximum)
    elif needed.minimum > show.width:
        table = Table.grid(padding=(0, 2))
        table.title, table.title_justify = escape(title), "left"
        for row in texts:
            for name, text in zip(columns, row, strict=True):
                table.add_row(escape(name), escape(text))
            table.add_row()
    show.print(table)


def print_checks(failed: Sequence[str], warnings: Sequence[str], found: Mapping[str, str]) -> None:
    """The checks that did not pass and what they found; those in `warnings` stop nothing and are called so."""
    for check in failed:
        label = "warning" if check in warnings else "check did not pass"
        words = shorten(found.get(check, ""), MOST_WORDS, placeholder=" ... (the rest is in the run)")
        typer.secho(f"{label}: {check}{': ' if words else ''}{words}", fg=typer.colors.YELLOW)


@contextmanager
def working(title: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner with the newest progress on a terminal, elsewhere plain lines or the log in JSON; quiet: nothing."""
    if quiet:
        yield
        return
    if wants_json(os.environ):
        # Whoever reads stderr line by line as JSON shall find nothing else there.
        logging.getLogger(PROGRESS_LOGGER).info(title)
        yield
        return
    show = console(stderr=True)
    if not show.is_terminal:
        show.print(title)
        yield
        return
    with show.status(title) as status:
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
