"""`scizor backtest optimize`: search a strategy's parameters, and say what the best is worth.

What belongs here: options and printing. What does not: the search (`flow.optimizing`) and its figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.compiling import say_compiling
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_home, open_desk
from scizor_dagster.cli.strategy_records import values_of
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.search.pages import Findings

_EVERY = 1.0
"""Seconds between two lines of progress on a terminal."""
_MOST_COLUMNS = 10


def _percent(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.2%}"


_SHOWN: Mapping[str, Callable[[Any], str]] = {
    "annual_return": _percent,
    "max_drawdown": _percent,
    "traded": "{:,.0f}".format,
    "costs": "{:,.2f}".format,
}


def optimize(
    strategy: Annotated[str, typer.Argument(help="A strategy in Python, or a record: scizor strategy list.")],
    param: Annotated[
        list[str], typer.Option("--param", help="NAME=FROM:TO:STEP, NAME=A,B,C or NAME=LOW..HIGH; may be repeated.")
    ],
    parameters: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE that does not vary.")] = None,
    method: Annotated[str, typer.Option(help="grid, random or guided (which needs optuna).")] = "grid",
    trials: Annotated[int | None, typer.Option(help="At most so many sets; a grid may leave it out.")] = None,
    seed: Annotated[int, typer.Option(help="Of a random or guided search: the same tries the same sets.")] = 0,
    objective: Annotated[str, typer.Option(help="sharpe, sortino, cagr, calmar or equity.")] = "sharpe",
    rebalance: Annotated[str | None, typer.Option(help="daily, weekly, monthly, quarterly or yearly.")] = None,
    train: Annotated[int | None, typer.Option(help="Walk forward: sessions that parameters are chosen on.")] = None,
    test: Annotated[int | None, typer.Option(help="Walk forward: sessions that the choice then trades.")] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Every training window begins with the first.")] = False,
    folds: Annotated[int | None, typer.Option(help="Cross-validate in so many groups instead.")] = None,
    purge: Annotated[
        int | None, typer.Option(help="Sessions between training and test; the longest look-back.")
    ] = None,
    embargo: Annotated[int, typer.Option(help="Sessions after a test that --folds do not train on.")] = 0,
    warm_up: Annotated[int | None, typer.Option(help="Sessions that are not measured; the longest look-back.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes at most; MAX_WORKERS, or all processors.")] = None,
    portfolio: Annotated[str | None, typer.Option(help="Its rules, capital, broker and costs.")] = None,
    prices: Annotated[Path | None, typer.Option(help="CSV or Parquet of prices, in place of the lake's.")] = None,
    market: Annotated[str | None, typer.Option(help="Whose prices of the lake.")] = None,
    kind: Annotated[str | None, typer.Option(help="Of the prices: raw, split or total_return.")] = None,
    actions: Annotated[Path | None, typer.Option(help="Splits, dividends and delistings beside --prices.")] = None,
    calendar: Annotated[str | None, typer.Option(help="Whose sessions --prices are of, such as XNYS.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of --prices; USD where left out.")] = None,
    symbols: Annotated[str | None, typer.Option(help="Trade these alone, with commas between them.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First session that trades.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last session.")] = None,
    rules: Annotated[Path | None, typer.Option(help="YAML, as scizor plan --rules takes it.")] = None,
    broker: Annotated[str | None, typer.Option(help="Plan what it takes: paper, alpaca or ibkr.")] = None,
    capital: Annotated[float | None, typer.Option(help="Cash at the start; 100000 without a portfolio.")] = None,
    fill: Annotated[str | None, typer.Option(help="open, close or vwap of the session that an order fills in.")] = None,
    delay: Annotated[int | None, typer.Option(help="Sessions from a plan's close to its fills.")] = None,
    commission_per_share: Annotated[float | None, typer.Option(help="Money per share.")] = None,
    commission_bps: Annotated[float | None, typer.Option(help="Of an order's value.")] = None,
    commission_minimum: Annotated[float | None, typer.Option(help="Money per order.")] = None,
    commission_maximum_bps: Annotated[float | None, typer.Option(help="Of an order's value, at most.")] = None,
    half_spread_bps: Annotated[float | None, typer.Option(help="What a purchase pays above the price.")] = None,
    slippage_bps: Annotated[float | None, typer.Option(help="The same, for whatever else is worse.")] = None,
    impact_bps: Annotated[float | None, typer.Option(help="The same, for taking a session's whole volume.")] = None,
    max_participation: Annotated[float | None, typer.Option(help="Share of a session's volume that fills.")] = None,
    borrow_rate: Annotated[float | None, typer.Option(help="A year, on the value of shorts.")] = None,
    cash_rate: Annotated[float | None, typer.Option(help="A year, paid on cash.")] = None,
    debit_rate: Annotated[float | None, typer.Option(help="A year, taken on cash below zero.")] = None,
    store: Annotated[bool, typer.Option(help="Keep the trials in the lake, and take what it has.")] = True,
    top: Annotated[int, typer.Option(min=1, help="How many of the best sets are shown.")] = 10,
    heat: Annotated[str | None, typer.Option(help="X,Y: two parameters to map the objective by.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the map to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Search the parameters of a strategy, with the planner that trades, and say whether the best is more than luck.

    Each set is a backtest, and is kept: what was run once is not run again, so that a search that was ended (Ctrl-C)
    goes on where it was. With --train and --test, parameters are chosen on the past of each window alone and traded in
    the sessions after.

    When: a strategy has parameters, and you want to know whether the best are more than luck.
    Writes: Every set as a trial in the lake, unless --no-store; the picture of --png.
    Exit codes: 0 it ran, whatever it found; 1 no set has a score; 2 an option is wrong.
    JSON: strategy, objective, method, sets, computed, failed, refused, problem, errors{*}, best[*], verdict{*}, stored,
    picture, walk_forward{*}?.
    Example: scizor backtest optimize moving_average_cross --param fast=10:50:10 --param slow=100:200:50
    """
    from scizor_dagster.flow.optimizing import read_search, run_search

    axes = _axes(heat, param)
    if png is not None and png.suffix.lower() != ".png":
        raise InputError(f"'{png}' is no picture.", remedy="Name a file that ends with .png.", where="--png")
    if png is not None and len(param) < 2:
        raise InputError(
            "There is no map of fewer than two parameters that vary.", remedy="Leave out --png.", where="--png"
        )
    backtest: dict[str, Any] = {
        "strategy": strategy, "parameters": values_of(parameters, "--set"), "portfolio": portfolio,
        "prices": None if prices is None else str(prices), "market": market, "kind": kind, "calendar": calendar,
        "actions": None if actions is None else str(actions),
        "currency": currency, "symbols": [item.strip() for item in symbols.split(",")] if symbols else None,
        "first": first and str(dates.parse_date(first, "--from")),
        "last": last and str(dates.parse_date(last, "--to")), "rules": None if rules is None else str(rules),
        "broker": broker, "capital": capital, "fill": fill, "delay": delay, "rebalance": rebalance,
        "commission_per_share": commission_per_share, "commission_bps": commission_bps,
        "commission_minimum": commission_minimum, "commission_maximum_bps": commission_maximum_bps,
        "half_spread_bps": half_spread_bps, "slippage_bps": slippage_bps, "impact_bps": impact_bps,
        "max_participation": max_participation, "borrow_rate": borrow_rate, "cash_rate": cash_rate,
        "debit_rate": debit_rate,
    }  # fmt: skip
    request = read_search(
        {
            "backtest": {name: value for name, value in backtest.items() if value is not None},
            "space": param, "method": method, "trials": trials, "seed": seed, "objective": objective,
            "train": train, "test": test, "anchored": anchored, "folds": folds, "purge": purge,
            "embargo": embargo, "warm_up": warm_up, "workers": workers,
        }
    )  # fmt: skip
    desk = open_desk()
    if store:
        check_home(desk.settings)
    say_compiling()
    found = run_search(desk, request, _progress(), store=store)
    if png is not None:
        png.write_bytes(_map_of(found, axes))
    if as_json:
        emit_json(found.record(top) | {"stored": store, "picture": None if png is None else str(png)})
    else:
        _print(found, top, axes)
    if found.verdict is None:
        raise typer.Exit(1)


def _axes(heat: str | None, param: list[str]) -> list[str]:
    axes = [] if heat is None else [name.strip() for name in heat.split(",")]
    if heat is not None and len(axes) != 2:
        raise InputError(f"'{heat}' are not two parameters.", remedy="Write --heat fast,slow.", where="--heat")
    names = [text.partition("=")[0].strip() for text in param]
    if set(axes) - set(names) or len(set(axes)) < len(axes):
        raise InputError(
            f"'{heat}' are not two parameters of the search.", remedy=f"Use two of: {', '.join(names)}.", where="--heat"
        )
    return axes


def _map_of(found: Findings, axes: list[str]) -> bytes:
    picture = found.pictures(axes).get("map")
    if picture is None:
        raise InputError(
            "There is no map of fewer than two parameters that vary.", remedy="Leave out --png.", where="--png"
        )
    return picture


def _progress() -> Callable[[int, int | None], bool]:
    """Says on a terminal how far it is; elsewhere nothing."""
    said = time.monotonic()

    def tell(done: int, of: int | None) -> bool:
        nonlocal said
        if sys.stderr.isatty() and (time.monotonic() - said >= _EVERY or done == of):
            said = time.monotonic()
            typer.echo(f"{done} of {of if of is not None else '?'} sets", err=True)
        return True

    return tell


def _print(found: Findings, top: int, axes: list[str]) -> None:
    from scizor_dagster.analytics.report.formats import counted, words
    from scizor_dagster.backtest.search.pages import heat_map

    record = found.record(top)
    typer.echo(
        f"{counted(record['sets'], 'set')} of {found.problem.strategy}: {record['computed']} run now, "
        f"{record['sets'] - record['computed'] - record['refused']} known from before, {record['failed']} failed, "
        f"{record['refused']} that the strategy does not take."
    )
    for error, count in list(found.failures().items())[:3]:
        typer.echo(f"  {count} x {error}")
    names = [axis.name for axis in found.plan.space.axes]
    rows = [
        [*(_plain(row[name]) for name in (*names, "score")), *(spell(row[name]) for name, spell in _SHOWN.items())]
        for row in record["best"]
    ]
    if rows:
        shown = [words(name) for name in _SHOWN]
        print_table(f"The best by {found.plan.objective}", [*names, found.plan.objective.value, *shown], rows)
    if axes and found.trials.done():
        frame = heat_map(found, axes[0], axes[1])
        columns = list(frame.columns)[:: max(1, -(-len(frame.columns) // _MOST_COLUMNS))]
        body = [[label, *(_plain(frame.loc[label, column]) for column in columns)] for label in frame.index]
        # A title would be broken to the width of a small table.
        typer.echo(f"Best {found.plan.objective} by {axes[1]} (down) and {axes[0]} (across):")
        print_table("", ["", *map(str, columns)], body)
    if found.walked is not None:
        _print_walk(record["walk_forward"], found.plan.objective.value)
    for sentence in found.verdict.sentences() if found.verdict is not None else ["No set has a score."]:
        typer.secho(sentence, fg=typer.colors.YELLOW if sentence.startswith(("NO ", "Which", "No ")) else None)


def _print_walk(walked: Mapping[str, Any], objective: str) -> None:
    rows = [
        [
            f"{window['test'][0][0]} to {window['test'][-1][1]}",
            "cash" if window["parameters"] is None else ", ".join(f"{k}={v}" for k, v in window["parameters"].items()),
            _plain(window["trained"]),
            _plain(window["tested"]),
        ]
        for window in walked["windows"]
    ]
    print_table(
        "Chosen on the sessions before", ["test", "chosen", f"{objective} trained", f"{objective} tested"], rows
    )
    typer.echo(
        f"Out of sample, {walked['sessions']} sessions: {objective} {_plain(walked['score'])}, "
        f"return {walked['total_return']:.2%}."
    )


def _plain(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
