"""`scizor collect`: prices into the lake, through the same Dagster jobs as the UI and the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.data import Kind
from scizor_dagster.cli.options import JsonOption, MarketOption
from scizor_dagster.cli.output import emit_json, print_checks, print_table, working
from scizor_dagster.cli.preflight import check_market, open_desk
from scizor_dagster.errors import InputError
from scizor_dagster.flow.collecting import collection_range, daily_config, history_config
from scizor_dagster.jobnames import name_for

if TYPE_CHECKING:
    from scizor_dagster.cli.instance import RunOutcome
    from scizor_dagster.flow.desk import Desk

app = typer.Typer(help="Collect prices into the lake.", no_args_is_help=True)
MAX_SHOWN = 160
ForceOption = Annotated[bool, typer.Option("--force", help="Ask for what is stored as well, and take corrections.")]


@app.command()
def daily(
    market: MarketOption = "us",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: the last one that closed.")] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Collect one closed session for the whole universe, checked, and fill the gaps of the year before it.

    Fetches the bars that are missing, quarantines those that cannot be true, and refreshes universe, corporate actions
    and adjustment factors. Days on which nothing ran are collected along. Collecting a session again changes nothing;
    --force asks for every bar of it again and takes what the source has corrected. A session that has not closed is
    refused, because a bar of an open session is never stored.

    When: a market has closed and no schedule collects it, or a session is missing.
    Writes: Bars, actions, rates and what was quarantined, in the lake. The run's record in Dagster's instance.
    Exit codes: 0 nothing failed; 1 a step or a check that stops did; 2 the session has not closed, or is none.
    JSON: run_id, assets{*}, failed_checks, warnings, found{*}.
    Example: scizor collect daily --market us --date 2026-11-20
    """
    from scizor_dagster.cli.instance import JobRunner

    desk = open_desk()
    calendar = check_market(desk, market)
    asked = dates.parse_date(day, "--date") if day is not None else calendar.last_settled(desk.clock())
    session = dates.settled_session_of_job(calendar, asked, desk.market(market).first_session, desk.clock())
    with working(f"Collecting {market} {session}", quiet=as_json), JobRunner.open(desk.settings) as runner:
        job = name_for("collect_daily", market, desk.config.markets)
        outcome = runner.run(job, partition=session.isoformat(), config=daily_config(market, force=force))
    _report(outcome, as_json)


@app.command()
def history(
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Collect these alone; default: all.")
    ] = None,
    market: MarketOption = "us",
    start: Annotated[
        str | None, typer.Option("--start-date", help="First date; default: three years before the last.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end-date", help="Last date; default: the last closed session.")] = None,
    force: ForceOption = False,
    again_as: Annotated[
        Kind | None,
        typer.Option(help="The source's own basis: set aside what is stored on another one, and collect it anew."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill the gaps of a range of dates, in one run; three years by default.

    Compares what is stored with the exchange's sessions and fetches only what is missing, so that a second call has
    next to nothing to do, and one that was killed is resumed by calling it again. --force asks for every bar again and
    takes what the source has corrected. --again-as is for a source whose adjustment has changed: all series of another
    one are kept as revisions and collected anew from the market's first session on; nothing is planned until that is
    done. With symbols it is for those alone, whatever they are now, and refused while others are of another one;
    repeated within a day it goes on where it stood, unless with --force.

    When: a market is new, a symbol was added, or there are gaps.
    Writes: Bars in the lake, also of a run that is ended before its time. The run's record in Dagster's instance.
    Exit codes: 0 nothing failed; 1 a step or a check that stops did; 2 a symbol or a date is wrong.
    JSON: run_id, assets{*}, failed_checks, warnings, found{*}.
    Example: scizor collect history AAPL MSFT --start-date 2016-01-01 --end-date 2026-11-20
    """
    from scizor_dagster.cli.instance import JobRunner

    desk = open_desk()
    check_market(desk, market)
    begin = None if again_as is None else desk.market(market).first_session.isoformat()
    first, last = collection_range(
        desk, market, _date(start or begin, "--start-date"), _date(end, "--end-date"), ("--start-date", "--end-date")
    )
    chosen = [symbol.strip().upper() for symbol in symbols or ()]
    _check_symbols(desk, market, chosen)
    with (
        working(f"Collecting {market} {first} to {last}", quiet=as_json),
        JobRunner.open(desk.settings) as runner,
    ):
        job = name_for("collect_history", market, desk.config.markets)
        basis = again_as.value if again_as is not None else ""
        config = history_config(market, last, first, symbols=chosen, force=force, again_as=basis)
        outcome = runner.run(job, partition_range=(str(first.year), str(last.year)), config=config)
    _report(outcome, as_json)


def _date(text: str | None, option: str) -> date | None:
    return dates.parse_date(text, option) if text is not None else None


def _check_symbols(desk: Desk, market: str, symbols: Sequence[str]) -> None:
    unknown = sorted(set(symbols) - set(desk.instruments(market)))
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: not in the universe of market '{market}'.",
            remedy="Spell the symbol as the universe does, or add it there.",
            where="SYMBOL",
        )


def _report(outcome: RunOutcome, as_json: bool) -> None:
    plain = {
        key: {name: value for name, value in values.items() if _is_short(value)}
        for key, values in outcome.metadata.items()
    }
    if as_json:
        checks = {"failed_checks": outcome.failed_checks, "warnings": outcome.warnings, "found": outcome.found}
        emit_json({"run_id": outcome.run_id, "assets": plain, **checks})
    else:
        rows = [(key, name, value) for key, values in plain.items() for name, value in values.items()]
        print_table(f"Run {outcome.run_id[:8]}", ["asset", "what", "value"], rows)
        print_checks(outcome.failed_checks, outcome.warnings, outcome.found)


def _is_short(value: Any) -> bool:
    return isinstance(value, int | float | str) and len(str(value)) <= MAX_SHOWN
