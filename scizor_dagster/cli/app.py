"""The command `scizor`: what can be said to it, and how it ends.

What belongs here: the list of commands, the exit codes, the one place that prints an error. What
does not: the commands (one module each, which import Dagster only when they run one of its jobs).

Exit codes: 0 nothing failed (there may be warnings); 1 it ran and the answer is no (refused, breaks, a
failed run); 2 the call or an input is wrong; 130 it was interrupted. What can be known beforehand is
refused before anything is written; an input that only a run can judge (a price file without a column)
leaves nothing but the record of that run.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from typing import Any, cast

import typer
from dotenv import load_dotenv

from scizor_dagster.cli import (
    CONTINUE,
    INTERRUPTED,
    INTERRUPTED_CODE,
    adopting,
    approve,
    arming,
    backtest,
    collect,
    costs,
    data,
    demo,
    dev,
    doctor,
    ending,
    explain,
    export,
    keys,
    ledger,
    notifying,
    paper,
    parity,
    performance,
    plan,
    prices,
    rates,
    reconcile,
    replay,
    report,
    risk,
    run,
    serve,
    signals,
    strategy,
    symbols,
    trading_states,
    watchdog,
)
from scizor_dagster.cli.output import print_error
from scizor_dagster.errors import ScizorError
from scizor_dagster.settings import LOG_LEVELS, PROJECT_ROOT

app = typer.Typer(
    name="scizor",
    help="From a strategy's target weights to reconciled positions, every session.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(dev.dev)
app.command()(serve.serve)
app.add_typer(keys.app, name="keys")
app.command()(doctor.doctor)
app.command()(watchdog.watchdog)
app.command()(notifying.notify)
app.add_typer(collect.app, name="collect")
app.add_typer(data.app, name="data")
app.add_typer(prices.app, name="prices")
app.add_typer(rates.app, name="rates")
app.add_typer(symbols.app, name="symbols")
app.add_typer(signals.app, name="signals")
app.add_typer(strategy.app, name="strategy")
app.add_typer(backtest.app, name="backtest")
app.command()(plan.plan)
app.command()(run.run)
app.command()(approve.approve)
app.command()(reconcile.reconcile)
app.command()(export.export)
app.command()(costs.costs)
app.command()(performance.performance)
app.command()(report.report)
app.command("end-order")(ending.end_order)
app.command()(adopting.adopt)
app.command()(explain.explain)
app.command()(replay.replay)
app.command()(parity.parity)
app.command()(arming.arm)
app.command()(arming.disarm)
app.command()(trading_states.halt)
app.command()(trading_states.reduce)
app.command()(trading_states.resume)
app.command()(risk.limits)
app.add_typer(risk.app, name="risk")
app.add_typer(ledger.app, name="ledger")
app.add_typer(paper.app, name="paper")

UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Root of what Typer raises about the command line itself: an unknown option, a missing value, a word for a number."""


def main() -> None:
    """Run the command line; every `ScizorError` becomes one sentence on stderr and its exit code.

    With `--json` the answer is one JSON object on stdout, also where the call itself is wrong.
    """
    _never_fail_to_speak()
    as_json = "--json" in sys.argv
    try:
        # What the shell sets wins over the file, as everywhere.
        load_dotenv(PROJECT_ROOT / ".env", override=False)
        _log_level()
        code = app(standalone_mode=False, prog_name="scizor")
        if code == INTERRUPTED_CODE:
            # Typer has swallowed the KeyboardInterrupt.
            _print_interruption(as_json=as_json)
    except ScizorError as error:
        print_error(error, as_json=as_json)
        raise SystemExit(error.exit_code) from error
    except UsageError as error:
        _print_usage_error(error, as_json=as_json)
        raise SystemExit(2) from error
    except (typer.Abort, KeyboardInterrupt) as error:
        _print_interruption(as_json=as_json)
        raise SystemExit(INTERRUPTED_CODE) from error
    raise SystemExit(code or 0)


def _never_fail_to_speak() -> None:
    """A character that the terminal cannot show becomes a question mark; it never ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _print_interruption(*, as_json: bool) -> None:
    if as_json:
        body = {"error": "Interrupted", "problem": INTERRUPTED, "where": None, "remedy": CONTINUE}
        typer.echo(json.dumps(body))
    typer.echo(f"{INTERRUPTED} {CONTINUE}", err=True)


def _print_usage_error(error: Any, *, as_json: bool) -> None:
    if as_json:
        path = error.ctx.command_path if error.ctx is not None else "scizor"
        body = {
            "error": "UsageError",
            "problem": error.format_message(),
            "where": path,
            "remedy": f"See what it takes: {path} --help.",
        }
        typer.echo(json.dumps(body))
    else:
        error.show()


def _log_level() -> None:
    level = os.environ.get("LOG_LEVEL", "WARNING").upper()
    chosen = level if level in LOG_LEVELS else "WARNING"
    logging.basicConfig(level=chosen, format="%(levelname)s %(name)s: %(message)s")
