"""`scizor collect`: prices into the lake, through the same Dagster jobs as the UI and the schedules."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.output import emit_json, print_checks, print_table, working
from scizor_dagster.cli.preflight import check_market, open_desk
from scizor_dagster.errors import InputError
from scizor_dagster.jobnames import name_for

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import RunOutcome

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
    """Collect one closed session for the whole universe, checked.

    Fetches the bars of every symbol, quarantines those that cannot be true, and refreshes universe, corporate
    actions and adjustment factors. Collecting a session again changes nothing. A session that has not closed is
    refused, because a bar of an open session is never stored. The exit code is 0 when nothing failed; checks that
    stop nothing are printed as warnings.

    Example: scizor collect daily --market us --date 2026-11-20
    """
    from scizor_dagster.cli.instance import JobRunner

    desk = open_desk()
    calendar = check_market(desk, market)
    asked = dates.parse_date(day, "--date") if day is not None else calendar.last_closed(desk.clock())
    session = dates.closed_session_of_job(calendar, asked, desk.market(market).first_session, desk.clock())
    with working(f"Collecting {market} {session}", quiet=as_json), JobRunner.open(desk.settings) as runner:
        job = name_for("collect_daily", market, desk.config.markets)
        outcome = runner.run(job, partition=session.isoformat())
    _report(outcome, as_json)


@app.command()
def history(
    market: MarketOption = "us",
    first: Annotated[int | None, typer.Option("--from-year", help="First year; default: the market's first.")] = None,
    last: Annotated[int | None, typer.Option("--to-year", help="Last year; default: this one.")] = None,
    through: Annotated[str | None, typer.Option(help="Collect no session after this date.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the gaps of a range of years, in one run.

    Compares what is stored with the exchange's sessions and fetches only what is missing, so that a second call
    has next to nothing to do. Without years it covers all of them, from the market's first session to the last
    one that closed. The exit code is 0 when nothing failed; checks that stop nothing are printed as warnings.

    Example: scizor collect history --market us --from-year 2024 --to-year 2026
    """
    from scizor_dagster.cli.instance import JobRunner

    desk = open_desk()
    calendar = check_market(desk, market)
    begins = desk.market(market).first_session
    years = _years(first, last, begins.year, desk.clock().astimezone(calendar.timezone).year)
    until = dates.parse_date(through, "--through") if through is not None else None
    if until is not None and until < begins:
        raise InputError(
            f"{until} is before the market's first session, {begins}.", remedy="Use a later date.", where="--through"
        )
    if until is not None and until.year < years[0]:
        raise InputError(
            f"The years begin with {years[0]}, and {until} is before that: there is nothing to collect.",
            remedy="Use an earlier --from-year, or a later --through.",
            where="--from-year, --through",
        )
    title = f"Collecting {market} {years[0]} to {years[1]}"
    with working(title, quiet=as_json), JobRunner.open(desk.settings) as runner:
        job = name_for("collect_history", market, desk.config.markets)
        outcome = runner.run(job, partition_range=(str(years[0]), str(years[1])), config=history_config(market, until))
    _report(outcome, as_json)


def history_config(market: str, through: date | None) -> dict[str, Any]:
    """Run configuration of `collect_history_<market>`."""
    settings = {"through": through.isoformat()} if through else {}
    return {"ops": {f"{market}__historical_chunks": {"config": settings}}}


def _years(first: int | None, last: int | None, begins: int, today: int) -> tuple[int, int]:
    lower, upper = begins if first is None else first, today if last is None else last
    if not begins <= lower <= upper <= today:
        raise InputError(
            f"The years {lower} to {upper} cannot be collected.",
            remedy=f"Use years from {begins} (markets.<name>.first_session) to {today}, ascending.",
            where="--from-year, --to-year",
        )
    return lower, upper


def _report(outcome: RunOutcome, as_json: bool) -> None:
    plain = {
        key: {name: value for name, value in values.items() if _is_short(value)}
        for key, values in outcome.metadata.items()
    }
    if as_json:
        checks = {"failed_checks": outcome.failed_checks, "warnings": outcome.warnings}
        emit_json({"run_id": outcome.run_id, "assets": plain, **checks})
    else:
        rows = [(key, name, value) for key, values in plain.items() for name, value in values.items()]
        print_table(f"Run {outcome.run_id[:8]}", ["asset", "what", "value"], rows)
        print_checks(outcome.failed_checks, outcome.warnings)


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= MAX_SHOWN
