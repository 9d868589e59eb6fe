"""The command `scizor`: what can be said to it, and how it ends.

What belongs here: the list of commands, the exit codes, the one place that prints an error. What
does not: the commands (one module each, which import Dagster only when they run one of its jobs).

Exit codes: 0 all is well; 1 it ran and the answer is no (refused, breaks, a failed run); 2 the call
or an input is wrong and nothing was written.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from scizor_dagster.cli import collect, demo, dev, doctor, plan, reconcile, run, signals
from scizor_dagster.cli.output import print_error
from scizor_dagster.errors import ScizorError

app = typer.Typer(
    name="scizor",
    help="From a strategy's target weights to reconciled positions, every session.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(dev.dev)
app.command()(doctor.doctor)
app.add_typer(collect.app, name="collect")
app.add_typer(signals.app, name="signals")
app.command()(plan.plan)
app.command()(run.run)
app.command()(reconcile.reconcile)


def main() -> None:
    """Run the command line; every `ScizorError` becomes one sentence on stderr and its exit code."""
    _log_level()
    try:
        app()
    except ScizorError as error:
        print_error(error, as_json="--json" in sys.argv)
        raise SystemExit(error.exit_code) from error


def _log_level() -> None:
    level = os.environ.get("LOG_LEVEL", "WARNING").upper()
    known = logging.getLevelNamesMapping()
    logging.basicConfig(level=known.get(level, logging.WARNING), format="%(levelname)s %(name)s: %(message)s")
