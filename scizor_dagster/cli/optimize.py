"""`scizor backtest optimize`: search a strategy's parameters, and say what the best is worth.

What belongs here: options and printing. What does not: the search (`flow.optimizing`) and its figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.compiling import say_compiling
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import check_home, open_desk
from scizor_dagster.cli.searches import check_picture, print_record
from scizor_dagster.cli.strategy_records import values_of
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.search.pages import Findings

_EVERY = 1.0
"""Seconds between two lines of progress on a terminal."""


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
    short_proceeds_earn: Annotated[
        bool, typer.Option("--short-proceeds-earn", help="--cash-rate on what shorts brought in, too.")
    ] = False,
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
    JSON: strategy, objective, method, sets, computed, failed, refused, problem, axes, map{*}?, errors{*}, best[*],
    verdict{*}, search_id, stored, picture, walk_forward{*}?.
    Example: scizor backtest optimize moving_average_cross --param fast=10:50:10 --param slow=100:200:50
    """
    from scizor_dagster.backtest.search.kept import SHORT
    from scizor_dagster.flow.optimizing import keep_search, read_search, run_search, search_id

    axes = _axes(heat, param)
    check_picture(png)
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
        "short_proceeds_earn": short_proceeds_earn or None,
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
    if store and (axes or png is not None):
        keep_search(desk, request, found, axes, "" if png is None else str(png.absolute()))
    told = search_id(request, found) if store else None
    if as_json:
        picture = None if png is None else str(png)
        emit_json(found.record(top, axes) | {"search_id": told, "stored": store, "picture": picture})
    else:
        print_record(found.record(top, axes), top, mapped=bool(axes))
        if told is not None:
            typer.echo(f"Kept as {told[:SHORT]}. See it again: scizor backtest show {told[:SHORT]}.")
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
