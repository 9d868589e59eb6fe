"""The report on a weight file, as a person and as a program read it.

What belongs here: printing it, and which portfolio is meant where none is named. What does not: making it
(`flow.guards`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.errors import ScizorError, sentence

if TYPE_CHECKING:
    from scizor_dagster.config import Config
    from scizor_dagster.signals.report import SignalReport, Violation

MAX_PRINTED = 50
_PLACE = re.compile(r"(?P<file>[^:\n]+\.(?:ya?ml|csv)):(?P<line>\d+)(?:: (?P<key>[^:\s]+))?(?=:|$)")
"""Where an error of a configuration file is: `path:line: key`, or the beginning of its sentence."""
_COLORS = {"accepted": typer.colors.GREEN, "held": typer.colors.YELLOW, "refused": typer.colors.RED}


def follower(config: Config, strategy: str) -> str | None:
    """The first portfolio that follows the strategy."""
    return next((name for name, item in config.portfolios.items() if strategy in item.signals.ids), None)


def unread(error: ScizorError, step: str, strategy: str, file: Path | None) -> SignalReport:
    """The report of a check that ended before anything was read, because of `error` in `step`.

    Its one finding has the step as its rule, unless the error has a rule of its own.
    """
    from scizor_dagster.signals.readers import WeightFileMissing
    from scizor_dagster.signals.report import SignalReport, Violation

    path = str(file) if file else error.path if isinstance(error, WeightFileMissing) else ""
    rule = error.rule if isinstance(error, WeightFileMissing) else step
    place = _PLACE.match(error.where or error.problem)
    where = {"file": error.where} if place is None else {"file": place["file"], "column": place["key"]}
    line = int(place["line"]) if place else None
    found = Violation(rule, error.problem, error.remedy, line=line, **where)
    return SignalReport("refused", strategy, path, "", 0, 0, None, None, None, (found,), ())


def print_report(report: SignalReport, portfolio: str | None, *, as_json: bool) -> None:
    """Print the verdict of a portfolio's rules on one file."""
    if as_json:
        emit_json(report.to_json() | {"portfolio": portfolio})
        return
    for title, items in ((f"Why it is {report.status}", report.violations), ("Warnings", report.warnings)):
        if items:
            print_findings(title, items)
    span = f" from {report.first_date} to {report.last_date}" if report.dates else ""
    typer.secho(
        f"{report.status}: {report.path} ({report.rows} rows, {report.dates} dates{span}), "
        f"{len(report.violations)} violation(s), {len(report.warnings)} warning(s), "
        + (f"rules of portfolio {portfolio}" if portfolio else "no portfolio follows the strategy"),
        fg=_COLORS[report.status],
    )


def print_findings(title: str, items: Sequence[Violation]) -> None:
    """A table of the first `MAX_PRINTED` findings."""
    print_table(title, ("line", "rule", "column", "value", "what to do"), _finding_rows(items))


def _finding_rows(items: Sequence[Violation]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (_place(item), item.rule, item.column, item.value, f"{sentence(item.problem)} {item.remedy}")
        for item in items[:MAX_PRINTED]
    ]
    if len(items) > MAX_PRINTED:
        rows.append(("...", "", "", "", f"{len(items) - MAX_PRINTED} more: see --json."))
    return rows


def _place(item: Violation) -> str:
    """The line, after the file and the sheet where there are several."""
    line = "" if item.line is None else str(item.line)
    place = line if item.sheet is None else f"{item.sheet}!{line}"
    return place if item.file is None else f"{item.file}:{place}"
