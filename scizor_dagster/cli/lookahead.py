"""`scizor backtest run --check-lookahead`: whether a strategy in Python knows what it cannot know.

What belongs here: printing. What does not: the check (`backtest.lookahead`).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from scizor_dagster.cli.output import emit_json
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.lookahead import Finding
    from scizor_dagster.backtest.request import BacktestRequest
    from scizor_dagster.flow.desk import Desk


def report_lookahead(desk: Desk, request: BacktestRequest, *, as_json: bool) -> None:
    """Say what was found; the exit code is 1 where anything was.

    Raises:
        InputError: the request names weight files: nobody can see what those were made from.
    """
    from scizor_dagster.flow.backtest_strategies import computed_of

    computed = computed_of(desk, request)
    if computed is None:
        raise InputError(
            "Weights of a file cannot be checked: nothing in it says which prices they were made from.",
            remedy="Name a strategy in Python with --strategy; of a file only its dates are checked, in every run.",
            where="--check-lookahead",
        )
    findings = computed.check()
    if as_json:
        emit_json({"strategy": computed.text, "findings": [_plain(item) for item in findings]})
    else:
        for item in findings:
            typer.echo(str(item))
        said = "it is not clean" if findings else "the future was altered, and no decision before it changed"
        typer.echo(f"{computed.text}: {said}.")
    if findings:
        raise typer.Exit(1)


def _plain(finding: Finding) -> dict[str, Any]:
    values = asdict(finding) | {"sentence": str(finding)}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
