"""`scizor parity`: what a portfolio has traded, beside the backtest of the same sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scizor_dagster.cli.dates import parse_span
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk

if TYPE_CHECKING:
    from scizor_dagster.flow.parity import ParityReport

SHOWN = 40


def parity(
    first: Annotated[str, typer.Option("--from", help="First session.")],
    last: Annotated[str, typer.Option("--to", help="Last session; its prices are collected.")],
    portfolio: PortfolioOption = "main",
    fills: Annotated[
        Literal["exchange", "open", "close", "vwap"],
        typer.Option(help="How the backtest fills: as the embedded exchange, or all at one price of the session."),
    ] = "exchange",
    as_json: JsonOption = False,
) -> None:
    """Run the backtest of recorded sessions beside what was traded in them, and name every number that differs.

    The backtest plans with the same planner what was admitted, on the prices that the plans were made from, and fills
    as the embedded exchange does. On a paper account both are the same to the share and the cent. At a broker fills
    differ: the difference of equity is split into delay, price, quantity, fee, FX, missing orders, and what earlier
    differences carry over. With --fills open the same is told of a simple model of fills. Every plan is also made
    again, so that another version of the program shows as such.

    When: live results and backtests drift apart, and you want to know where.
    Writes: Nothing.
    Exit codes: 0 nothing differs; 1 something does; 2 there is nothing to compare.
    JSON: from, to, portfolio, equal, sessions, orders, differing_orders, fills, differences[*], split{*}, replayed,
    made_otherwise, not_replayed, notes.
    Example: scizor parity --portfolio main --from 2026-01-02 --to 2026-11-20
    """
    from scizor_dagster.backtest.model import FillAt
    from scizor_dagster.flow.parity import parity_report
    from scizor_dagster.flow.watch import WatchingDesk

    begins, ends = parse_span(first, last)
    assert begins is not None
    assert ends is not None
    opened = open_desk()
    desk = WatchingDesk(opened.settings, opened.machine_clock)
    report = parity_report(desk, portfolio, begins, ends, None if fills == "exchange" else FillAt(fills))
    if as_json:
        emit_json({"from": begins, "to": ends, **report.to_json()})
    else:
        _print(report)
    raise typer.Exit(0 if report.equal else 1)


def _print(report: ParityReport) -> None:
    color = typer.colors.GREEN if report.equal else typer.colors.RED
    typer.secho(report.parity.sentence, fg=color)
    found = report.parity.differences
    for item in found[:SHOWN]:
        typer.secho(f"  - {item.session}, {item.sentence}", fg=typer.colors.RED)
    if len(found) > SHOWN:
        typer.echo(f"  and {len(found) - SHOWN} more; --json has all of them.")
    split = report.split
    if found:
        parts = split.parts.to_json()
        rows = [(name.replace("_", "-"), f"{amount:+,.4f}") for name, amount in parts.items()]
        change = float(split.ended - split.began)
        print_table(
            "Recorded less backtest, by where it comes from",
            ["part", "money"],
            [*rows, ("rest", f"{float(split.rest):+,.4f}"), ("difference of equity", f"{change:+,.4f}")],
        )
    if report.other_versions:
        days = ", ".join(map(str, report.other_versions[:8]))
        typer.secho(f"Plans that this version makes otherwise: {days}. See: scizor replay.", fg=typer.colors.RED)
    typer.echo(f"{report.replayed} plans made again, {len(report.other_versions)} of them otherwise.")
    for day in report.not_replayed:
        typer.secho(f"The plan of {day} cannot be made again: its inputs are gone.", fg=typer.colors.YELLOW)
    for note in report.notes:
        typer.echo(f"Note: {note}")
