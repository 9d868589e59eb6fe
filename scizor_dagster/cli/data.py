"""`scizor data`: what is in the lake, how good it is, and keeping it small."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, MarketOption
from scizor_dagster.cli.output import emit_json, print_table, working
from scizor_dagster.cli.preflight import check_market, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.quality import QualityReport
    from scizor_dagster.sessions import TradingCalendar

app = typer.Typer(help="Look at the stored prices: gaps, quality, charts. Keep the lake small.", no_args_is_help=True)
FromOption = Annotated[str | None, typer.Option("--start-date", help="First date.")]
ToOption = Annotated[str | None, typer.Option("--end-date", help="Last date; default: the last closed session.")]
SHOWN_DAYS = 365
NAMED_SYMBOLS = 5


class Kind(StrEnum):
    """Which prices `scizor data show` draws."""

    RAW = "raw"
    SPLIT = "split"
    TOTAL_RETURN = "total_return"


@app.command()
def gaps(
    market: MarketOption = "us",
    symbol: Annotated[list[str] | None, typer.Option(help="Only this symbol; may be given again.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sessions that have no believed bar, by symbol, with the reason why where it is known.

    Sessions in a row are one line. What each reason means is in docs/data-quality.md; not_collected is the one that
    explains nothing, and its remedy is scizor collect.

    When: you want to know what is missing before you rely on it.
    Writes: Nothing.
    Exit codes: 0 nothing of a collected symbol is missing without a reason; 1 something is, and the command that
    collects it is printed; 2 nothing was collected yet.
    JSON: market, gaps[symbol, first, last, sessions, reason, detail].
    Example: scizor data gaps --market us --symbol AAPL --start-date 2024-01-01
    """
    from scizor_dagster.flow.quality import missing_ranges
    from scizor_dagster.market_data.absences import Absence
    from scizor_dagster.market_data.symbol_reading import collected_symbols

    desk, _ = _collected(market)
    first, last = _span(start, end)
    found = missing_ranges(desk, market, symbol or (), first, last)
    without_reason = found[found["reason"] == Absence.NOT_COLLECTED]
    collected = collected_symbols(desk.lake, market, sorted(set(without_reason["symbol"])))
    unasked = without_reason[without_reason["symbol"].isin(collected)]
    if as_json:
        emit_json({"market": market, "gaps": found.to_dict("records")})
    else:
        print_table(f"Missing bars of {market}", list(found.columns), found.values.tolist())
        if not unasked.empty:
            typer.secho(_how_to_collect(market, unasked), fg=typer.colors.YELLOW)
    raise typer.Exit(0 if unasked.empty else 1)


@app.command()
def quality(
    market: MarketOption = "us", start: FromOption = None, end: ToOption = None, as_json: JsonOption = False
) -> None:
    """Say how good the stored prices are: coverage, reasons, staleness, quarantine, restatements, two sources.

    By default of the newest 60 closed sessions. The same report is the page in the materialization of the market's
    prices.

    When: plans are refused because of prices, or a source is new.
    Writes: Nothing.
    Exit codes: 0 nothing keeps plans from being made; 1 something does, and is named; 2 nothing was collected yet.
    JSON: market, source, first, last, symbols, bars, expected, coverage, missing{*}, restated, compared,
    judgements[name, holds, blocking, detail], worst[*], stale[*], quarantine[*], differing[*], outliers[*].
    Example: scizor data quality --market us
    """
    from scizor_dagster.flow.quality import quality_report

    desk, _ = _collected(market)
    report = quality_report(desk, market, *_span(start, end))
    if as_json:
        emit_json(_quality_body(report))
    else:
        _print_quality(report)
    raise typer.Exit(1 if report.blocked_by else 0)


@app.command()
def show(
    symbol: Annotated[str, typer.Argument(help="Symbol to draw.")],
    market: MarketOption = "us",
    prices: Annotated[
        Kind, typer.Option(help="As traded, adjusted for splits, or for dividends as well.")
    ] = Kind.SPLIT,
    start: Annotated[str | None, typer.Option("--start-date", help="First date; default: a year back.")] = None,
    end: ToOption = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="What the lake knew at the end of this day.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a picture to this file instead.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw one symbol's prices in the terminal, or as a picture. Splits are marked S, dividends D.

    When: a figure looks odd, and you want to see the series.
    Writes: Nothing, or the picture of --png.
    Exit codes: 2 the symbol has no prices there, or an option is wrong.
    JSON: market, symbol, prices, series[session, price, event].
    Example: scizor data show AAPL --prices total_return --start-date 2020-01-01 --png aapl.png
    """
    from scizor_dagster.flow.series import symbol_series

    desk, calendar = _collected(market)
    first, last = _span(start, end)
    last = last or calendar.last_settled(desk.clock())
    known = dates.parse_date(as_of, "--as-of") if as_of is not None else None
    series = symbol_series(desk, market, symbol, first or last - timedelta(days=SHOWN_DAYS), last, prices.value, known)
    title = f"{symbol} {prices.value}, {series['session'].iloc[0]} to {series['session'].iloc[-1]}"
    title += f", as known on {known}" if known else ""
    if png is not None:
        _write_picture(png, series, title)
    if as_json:
        emit_json({"market": market, "symbol": symbol, "prices": prices.value, "series": series.to_dict("records")})
    elif png is not None:
        typer.echo(f"Written to {png}.")
    else:
        _print_chart(series, title)


@app.command()
def maintain(as_json: JsonOption = False) -> None:
    """Keep the lake small: expire earlier states, merge small files, delete what is out of use; and delete old runs.

    What is stored now never changes by it, and every plan can still be made again. Of Dagster's record only runs go
    that no newest state rests on. It may run beside collections and plans; a schedule runs it every Saturday.

    When: no schedule does, or the disk is full.
    Writes: The lake, without what is out of use. Dagster's record, without old runs and their output.
    Exit codes: 0 done; 1 it failed, and the lake is as before; 2 nothing was collected yet.
    JSON: run_id, files, files_before, megabytes, megabytes_before, snapshots, snapshots_before, snapshots_expired,
    snapshots_kept_for_plans, files_merged, files_rewritten, files_deleted, runs_deleted, old_runs_kept,
    outputs_deleted.
    Example: scizor data maintain
    """
    from scizor_dagster.cli.instance import JobRunner

    desk = _filled_desk()
    with working("Maintaining the lake", quiet=as_json), JobRunner.open(desk.settings) as runner:
        outcome = runner.run("maintain")
    said = {**outcome.metadata["maintenance"], **outcome.metadata["run_history"]}
    numbers = {name: value for name, value in said.items() if isinstance(value, int | float)}
    if as_json:
        emit_json({"run_id": outcome.run_id, **numbers})
    else:
        print_table(f"Run {outcome.run_id[:8]}", ["what", "value"], list(numbers.items()))


def _filled_desk() -> Desk:
    """The desk, where there is a lake already; looking creates none."""
    desk = open_desk()
    if not desk.has_lake:
        raise InputError(
            "Nothing has been collected yet.",
            remedy="Collect it: scizor collect history.",
            where=str(desk.settings.home),
        )
    return desk


def _collected(market: str) -> tuple[Desk, TradingCalendar]:
    """The desk and the calendar of a market of which something has been collected."""
    from scizor_dagster.market_data.absences import tracked_symbols

    desk = open_desk()
    calendar = check_market(desk, market)
    if not desk.has_lake or not tracked_symbols(desk.lake, market):
        raise InputError(
            f"Nothing has been collected of market '{market}' yet.",
            remedy=f"Collect it: scizor collect history --market {market}.",
            where=str(desk.settings.home),
        )
    return desk, calendar


def _span(start: str | None, end: str | None) -> tuple[date | None, date | None]:
    return dates.parse_span(start, end, ("--start-date", "--end-date"))


def _how_to_collect(market: str, unasked: pd.DataFrame) -> str:
    """The command that asks for the sessions that nobody has asked for."""
    symbols = sorted(set(unasked["symbol"]))
    named = " ".join(symbols) + " " if len(symbols) <= NAMED_SYMBOLS else ""
    return (
        f"{unasked['sessions'].sum():,} bars were never asked for, or not since. Collect them: scizor collect history "
        f"{named}--market {market} --start-date {unasked['first'].min()} --end-date {unasked['last'].max()}"
    )


def _quality_body(report: QualityReport) -> dict[str, object]:
    from scizor_dagster.flow.quality import worst_symbols

    frames = {
        "worst": worst_symbols(report),
        "stale": report.stale,
        "quarantine": report.quarantine,
        "differing": report.differing,
        "outliers": report.outliers,
    }
    return {
        "market": report.market,
        "source": report.source,
        "first": report.sessions[0],
        "last": report.sessions[-1],
        "symbols": len(report.tracked),
        "bars": report.bars,
        "expected": report.expected,
        "coverage": report.coverage,
        "missing": report.by_reason,
        "restated": report.restated,
        "compared": report.compared,
        "judgements": [
            {"name": item.name, "holds": item.holds, "blocking": item.blocking, "detail": item.detail}
            for item in report.judgements
        ],
        **{name: frame.to_dict("records") for name, frame in frames.items()},
    }


def _print_quality(report: QualityReport) -> None:
    from scizor_dagster.flow.quality import worst_symbols

    first, last = report.sessions[0], report.sessions[-1]
    title = f"{report.market}, {first} to {last}: {report.bars:,} of {report.expected:,} bars ({report.coverage:.2%})"
    print_table(
        title,
        ["judgement", "", "found"],
        [
            (item.name, "ok" if item.holds else "PROBLEM" if item.blocking else "warning", item.detail)
            for item in report.judgements
        ],
    )
    print_table("Missing bars", ["reason", "bars"], list(report.by_reason.items()))
    for name, frame in (
        ("Worst", worst_symbols(report)),
        ("Stale", report.stale),
        ("Quarantined", report.quarantine),
        ("Two sources", report.differing),
        ("Outliers", report.outliers),
    ):
        if not frame.empty:
            print_table(name, list(frame.columns), frame.values.tolist())
    for item in report.blocked_by:
        typer.secho(f"{item.name}: {item.remedy}", fg=typer.colors.YELLOW)


def _write_picture(file: Path, series: pd.DataFrame, title: str) -> None:
    from scizor_dagster.analytics.plots import price_plot

    try:
        file.write_bytes(price_plot(series, title))
    except OSError as error:
        raise InputError(
            f"The picture cannot be written ({error.strerror}).",
            remedy="Name a file in a folder that is there.",
            where=str(file),
        ) from error


def _print_chart(series: pd.DataFrame, title: str) -> None:
    from scizor_dagster.cli.chart import line_chart

    width = min(shutil.get_terminal_size((100, 24)).columns, 160)
    typer.echo(title)
    labels = [str(day) for day in series["session"]]
    for line in line_chart(series["price"].tolist(), series["event"].tolist(), labels, width):
        typer.echo(line)
    for day, event in zip(series["session"], series["event"], strict=True):
        if "split" in event:
            typer.echo(f"{day}: {event}")
