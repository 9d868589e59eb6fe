"""The command `scizor`: what can be said to it, and how it ends.

What belongs here: the list of commands, the exit codes, the one place that prints an error. What
does not: the commands (one module each, which import Dagster, pandas and the stores only when they run).

The exit codes are in `exit_codes`. What can be known beforehand is refused before anything is written; an input that
only a run can judge (a price file without a column) leaves nothing but the record of that run.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Annotated, Any, NoReturn, cast

import typer
from dotenv import load_dotenv

from scizor_dagster import logs
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
    moving,
    notifying,
    order,
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
    teaching,
    trading_states,
    upgrade,
    verify,
    watchdog,
)
from scizor_dagster.cli.exit_codes import ExitCode
from scizor_dagster.cli.output import choose_plain, is_plain, plain_json, print_error
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.secrets import late_redaction
from scizor_dagster.settings import PROJECT_ROOT

COMPLETE = "_SCIZOR_COMPLETE"
"""Set by a shell that asks what Tab may put in."""
app = typer.Typer(
    name="scizor",
    cls=teaching.TaughtRoot,
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
app.command()(upgrade.upgrade)
app.command()(watchdog.watchdog)
app.command()(verify.verify)
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
app.add_typer(order.app, name="order")
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
app.command()(moving.backup)
app.command()(moving.restore)
app.command()(moving.migrate)
app.add_typer(ledger.app, name="ledger")
app.add_typer(paper.app, name="paper")
teaching.teach(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("scizor"))
        raise typer.Exit


@app.callback()
def scizor(
    ctx: typer.Context,
    no_color: Annotated[
        bool, typer.Option("--no-color", is_eager=True, help="No colours, as with the environment variable NO_COLOR.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", is_eager=True, callback=_version, help="The version, and nothing else.")
    ] = False,
) -> None:
    """From a strategy's target weights to reconciled positions, every session."""
    choose_plain(no_color)
    if is_plain():
        ctx.color = False


UsageError = cast(type[Exception], typer.BadParameter.__mro__[1])
"""Root of what Typer raises about the command line itself: an unknown option, a missing value, a word for a number."""


def main() -> None:
    """Run the command line; every `ScizorError` becomes one sentence on stderr and its exit code.

    With `--json` the answer is one JSON object on stdout, also where the call itself is wrong.
    """
    _never_fail_to_speak()
    if COMPLETE in os.environ:
        _complete()
    as_json = "--json" in sys.argv
    try:
        # What the shell sets wins over the file, as everywhere.
        load_dotenv(PROJECT_ROOT / ".env", override=False)
        logs.begin(os.environ, late_redaction(os.environ))
        code = app(standalone_mode=False, prog_name="scizor")
        if code == INTERRUPTED_CODE:
            # Typer has swallowed the KeyboardInterrupt.
            _print_interruption(as_json=as_json)
    except ScizorError as error:
        print_error(error, as_json=as_json)
        raise SystemExit(error.exit_code) from error
    except UsageError as error:
        _print_usage_error(error, as_json=as_json)
        raise SystemExit(ExitCode.WRONG_CALL) from error
    except (typer.Abort, KeyboardInterrupt) as error:
        _print_interruption(as_json=as_json)
        raise SystemExit(INTERRUPTED_CODE) from error
    raise SystemExit(code or 0)


def _complete() -> NoReturn:
    """Answer a shell that asks for completions; whatever is amiss, it gets none, and nobody is shown a traceback."""
    try:
        load_dotenv(PROJECT_ROOT / ".env", override=False)
        app(prog_name="scizor", complete_var=COMPLETE)
    except Exception:
        raise SystemExit(ExitCode.DONE) from None
    raise SystemExit(ExitCode.DONE)


def _never_fail_to_speak() -> None:
    """A character that the terminal cannot show becomes a question mark; it never ends a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _print_interruption(*, as_json: bool) -> None:
    if as_json:
        body = {"error": "Interrupted", "problem": INTERRUPTED, "where": None, "remedy": CONTINUE}
        typer.echo(json.dumps(plain_json(body)))
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
        typer.echo(json.dumps(plain_json(body)))
    else:
        teaching.follow_colour()
        error.show()
