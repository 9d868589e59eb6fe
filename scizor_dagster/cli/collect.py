"""`scizor collect`: prices into the lake, through the same Dagster jobs as the UI and the schedules."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.errors import InputError
from scizor_dagster.settings import Settings

app = typer.Typer(help="Collect prices into the lake.", no_args_is_help=True)
MarketOption = Annotated[str, typer.Option(help="Market of the configuration.")]
MAX_SHOWN = 160
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


@app.command()
def daily(
    market: MarketOption = "us",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Collect one closed session for the whole universe, checked."""
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk

    settings = Settings.from_environment(os.environ)
    calendar = Desk(settings, lambda: datetime.now(UTC)).calendar(market)
    session = calendar.require(parse_date(day, "--date")) if day else calendar.last_closed(datetime.now(UTC))
    with working(f"Collecting {market} {session}", quiet=as_json), JobRunner.open(settings) as runner:
        outcome = runner.run(f"collect_daily_{market}", partition=session.isoformat())
    _report(outcome.run_id, outcome.metadata, outcome.failed_checks, as_json)


@app.command()
def history(
    market: MarketOption = "us",
    first: Annotated[int | None, typer.Option("--from-year", help="First year; default: the market's first.")] = None,
    last: Annotated[int | None, typer.Option("--to-year", help="Last year; default: this one.")] = None,
    through: Annotated[str | None, typer.Option(help="Collect no session after this date.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the gaps of a range of years, in one run. A second call fetches only what is still missing."""
    from scizor_dagster.cli.instance import JobRunner
    from scizor_dagster.flow.desk import Desk

    settings = Settings.from_environment(os.environ)
    begins = Desk(settings, lambda: datetime.now(UTC)).market(market).first_session.year
    years = _years(first, last, begins, datetime.now(UTC).year)
    config = history_config(market, parse_date(through, "--through") if through else None)
    with working(f"Collecting {market} {years[0]} to {years[1]}", quiet=as_json), JobRunner.open(settings) as runner:
        outcome = runner.run(
            f"collect_history_{market}", partition_range=(str(years[0]), str(years[1])), config=config
        )
    _report(outcome.run_id, outcome.metadata, outcome.failed_checks, as_json)


def history_config(market: str, through: date | None) -> dict[str, Any]:
    """Run configuration of `collect_history_<market>`."""
    settings = {"through": through.isoformat()} if through else {}
    return {"ops": {f"{market}__historical_chunks": {"config": settings}}}


def _years(first: int | None, last: int | None, begins: int, today: int) -> tuple[int, int]:
    lower, upper = first or begins, last or today
    if not begins <= lower <= upper <= today:
        raise InputError(
            f"The years {lower} to {upper} cannot be collected.",
            remedy=f"Use years from {begins} (markets.<name>.first_session) to {today}, ascending.",
            where="--from-year, --to-year",
        )
    return lower, upper


def _report(run_id: str, metadata: Any, failed_checks: tuple[str, ...], as_json: bool) -> None:
    plain = {
        key: {name: value for name, value in values.items() if _is_short(value)} for key, values in metadata.items()
    }
    if as_json:
        emit_json({"run_id": run_id, "assets": plain, "failed_checks": failed_checks})
    else:
        rows = [(key, name, value) for key, values in plain.items() for name, value in values.items()]
        print_table(f"Run {run_id[:8]}", ["asset", "what", "value"], rows)
        for check in failed_checks:
            typer.secho(f"check did not pass: {check}", fg=typer.colors.YELLOW)


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= MAX_SHOWN
