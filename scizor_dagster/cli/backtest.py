"""`scizor backtest`: run weights over past prices with the planner that trades, and look at what came of it.

What belongs here: options and printing. What does not: what a backtest is made from (`flow.backtests`), and figures.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates, optimize
from scizor_dagster.cli.backtest_moments import plain, show_moment
from scizor_dagster.cli.compiling import say_compiling
from scizor_dagster.cli.lookahead import report_lookahead
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import confirm, emit_json, money, print_table
from scizor_dagster.cli.preflight import check_home, open_desk
from scizor_dagster.cli.searches import delete_told, named, print_searches, require_none, search_json, show_search
from scizor_dagster.cli.strategy_records import values_of
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.backtest.storage import Head
    from scizor_dagster.flow.backtests import Ran
    from scizor_dagster.flow.desk import Desk

app = typer.Typer(help="Run weights over past prices with the planner that trades.", no_args_is_help=True)
IdArgument = Annotated[str, typer.Argument(help="The beginning of its id, or its name.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write its page to this file.")]
_PAGES = (".html", ".htm")
_TENTHS = 10
_TITLE = 60


app.command()(optimize.optimize)


@app.command()
def run(
    portfolio: Annotated[
        str | None, typer.Option(help="Its strategies, rules, capital, broker, costs and benchmark.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A weight file, long or wide, in place of a strategy's.")] = None,
    strategy: Annotated[str | None, typer.Option(help="One strategy of the manifest.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of a strategy in Python, as YAML writes it."),
    ] = None,
    rebalance: Annotated[
        str | None, typer.Option(help="When that one decides: daily, weekly, monthly, quarterly or yearly.")
    ] = None,
    check_lookahead: Annotated[
        bool, typer.Option("--check-lookahead", help="Look whether that one knows the future, in place of a run.")
    ] = False,
    stored: Annotated[
        bool, typer.Option("--stored", help="Targets, or a strategy's rows, as the lake has them.")
    ] = False,
    dated: Annotated[
        str | None, typer.Option(help="What the dates of --weights are: trade_session or signal_close.")
    ] = None,
    unknown_ids: Annotated[str | None, typer.Option(help="Ids without an instrument: refuse or quarantine.")] = None,
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
    delay: Annotated[
        int | None, typer.Option(help="Sessions from a plan's close to its fills; 1 where left out.")
    ] = None,
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
    benchmark: Annotated[str | None, typer.Option(help="A symbol to compare returns with.")] = None,
    name: Annotated[str | None, typer.Option(help="What you call it.")] = None,
    positions: Annotated[bool, typer.Option(help="Keep holdings and decisions of every session.")] = True,
    store: Annotated[bool, typer.Option(help="Keep it in the lake.")] = True,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a backtest: weights, prices, and the same planner with the same rules as a live session.

    Weights of session t are planned on the close before it and fill in t. The same request on the same data is the same
    backtest: it is run and kept once. Ctrl-C ends it, and nothing is kept.

    When: you want to know what weights would have done, with your own rules and costs.
    Writes: The backtest in the lake, unless --no-store; the page of --html.
    Exit codes: 0 it ran; 1 there are no prices or weights; 2 an option or a file is wrong.
    JSON: backtest_id, name, portfolio, market, start, first_session, last_session, sessions, instruments, currency,
    adjustment, capital, equity, prices, weights, benchmark, request{*}, rules{*}, choices{*}, inputs_sha256,
    lake_snapshot, code_version, figures{*}, notes, stored_at, fresh, stored, page. With --check-lookahead: strategy,
    findings[*].
    Example: scizor backtest run --weights w.csv --prices p.parquet --calendar XNYS --commission-bps 5 --html page.html
    """
    from scizor_dagster.backtest.request import read_request
    from scizor_dagster.flow.backtests import run_request

    given: dict[str, Any] = {
        "portfolio": portfolio, "weights": _text(weights), "strategy": strategy, "stored": stored or None,
        "dated": dated, "unknown_ids": unknown_ids, "prices": _text(prices), "market": market, "kind": kind,
        "actions": _text(actions), "calendar": calendar, "currency": currency, "first": _day(first, "--from"),
        "last": _day(last, "--to"),
        "rules": _text(rules), "broker": broker, "capital": capital, "fill": fill, "delay": delay,
        "commission_per_share": commission_per_share, "commission_bps": commission_bps,
        "commission_minimum": commission_minimum, "commission_maximum_bps": commission_maximum_bps,
        "half_spread_bps": half_spread_bps, "slippage_bps": slippage_bps, "impact_bps": impact_bps,
        "max_participation": max_participation, "borrow_rate": borrow_rate, "cash_rate": cash_rate,
        "debit_rate": debit_rate,
        "short_proceeds_earn": short_proceeds_earn or None,
        "benchmark": benchmark, "name": name, "keep_positions": None if positions else False,
        "symbols": [item.strip() for item in symbols.split(",")] if symbols else None,
        "parameters": values_of(parameters, "--set") or None, "rebalance": rebalance,
    }  # fmt: skip
    request = read_request(given)
    _check_page(html)
    desk = open_desk()
    if check_lookahead:
        report_lookahead(desk, request, as_json=as_json)
        return
    if store:
        check_home(desk.settings)
    say_compiling()
    ran = run_request(desk, request, _progress("sessions"), store=store, deciding=_progress("decisions"))
    page = _write_page(desk, ran, html)
    if as_json:
        emit_json(_as_json(ran.head) | {"fresh": ran.fresh, "stored": store, "page": page})
        return
    _print_head(ran.head)
    if store:
        typer.echo(_where(ran))
    if page:
        typer.echo(f"Wrote {page}.")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _day(text: str | None, option: str) -> str | None:
    return None if text is None else str(dates.parse_date(text, option))


def _check_page(html: Path | None) -> None:
    if html is not None and html.suffix.lower() not in _PAGES:
        raise InputError(f"'{html}' is no page.", remedy="Name a file that ends with .html.", where="--html")


def _progress(what: str) -> Callable[[int, int], bool]:
    """Says on a terminal how far it is, a line for each tenth; elsewhere nothing."""
    said = 0

    def tell(done: int, total: int) -> bool:
        nonlocal said
        tenth = done * _TENTHS // max(total, 1)
        if tenth > said and sys.stderr.isatty():
            typer.echo(f"{done} of {total} {what}", err=True)
        said = tenth
        return True

    return tell


def _where(ran: Ran) -> str:
    done = "Kept" if ran.fresh else f"Nothing has changed since it was kept on {ran.head.stored_at:%Y-%m-%d}"
    return f"{done} as {ran.head.short}. More of it: scizor backtest show {ran.head.short}."


def _write_page(desk: Desk, ran: Ran, html: Path | None) -> str | None:
    from scizor_dagster.flow.backtest_report import report_backtest

    return None if html is None else str(report_backtest(desk, ran, html))


def _print_head(head: Head) -> None:
    from scizor_dagster.backtest.pages import tiles_text

    print_table(f"Backtest {head.title}", ["what", "value"], tiles_text(head))
    for note in head.notes:
        typer.echo(note)


def _as_json(head: Head) -> dict[str, Any]:
    """Figures that are not defined are null."""
    return {
        "backtest_id": head.backtest_id, "name": head.name, "portfolio": head.portfolio, "market": head.market,
        "start": head.start, "first_session": head.first_session, "last_session": head.last_session,
        "sessions": head.sessions, "instruments": head.instruments, "currency": head.currency,
        "adjustment": head.adjustment, "capital": money(head.capital), "equity": money(head.equity),
        "prices": head.prices_from,
        "weights": head.weights_from, "benchmark": head.benchmark or None, "request": json.loads(head.request),
        "rules": json.loads(head.rules), "choices": json.loads(head.choices), "inputs_sha256": head.inputs_sha256,
        "lake_snapshot": head.lake_snapshot, "code_version": head.code_version,
        "figures": {key: value if math.isfinite(value) else None for key, value in head.figures.items()},
        "notes": list(head.notes), "stored_at": head.stored_at,
    }  # fmt: skip


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the backtests and the searches that are kept, the newest first.

    When: you look for one that was run before.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: backtests[backtest_id, name, portfolio, market, start, first_session, last_session, sessions, instruments,
    currency, adjustment, capital, equity, prices, weights, benchmark, request{*}, rules{*}, choices{*}, inputs_sha256,
    lake_snapshot, code_version, figures{*}, notes, stored_at], searches[*].
    Example: scizor backtest list --json
    """
    from scizor_dagster.backtest.search.kept import list_searches
    from scizor_dagster.backtest.storage import list_backtests

    desk = open_desk()
    found = list_backtests(desk.lake) if desk.has_lake else []
    searches = list_searches(desk.lake) if desk.has_lake else []
    if as_json:
        listed = [search_json(one) for one in searches]
        emit_json({"backtests": [_as_json(head) for head in found], "searches": listed})
        return
    if searches:
        print_searches(searches)
    if not found:
        typer.echo("No backtest is kept. Run one: scizor backtest run --help.")
        return
    rows = [
        (head.short, head.title[:_TITLE], head.first_session, head.last_session, _figure(head, "total_return", ".2%"),
         _figure(head, "sharpe_ratio", ".2f"))
        for head in found
    ]  # fmt: skip
    print_table("Backtests", ["id", "name", "from", "to", "return", "Sharpe"], rows)


def _figure(head: Head, name: str, spelling: str) -> str:
    value = head.figures[name]
    return format(value, spelling) if math.isfinite(value) else ""


@app.command()
def show(
    backtest: IdArgument,
    symbol: Annotated[str | None, typer.Option(help="One instrument, with --date: why it was traded.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="The session, with --symbol.")] = None,
    html: HtmlOption = None,
    png: Annotated[Path | None, typer.Option("--png", help="Of a search: draw its map to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a kept backtest: its figures, months and what it was made from; or one instrument in one session.

    With --symbol and --date: the weight, the price that sized the order, the reason, the fill and what it cost. A
    search is shown by its id, or the newest of a strategy by that one's name: the best sets, the map, the verdict.

    When: you want its figures again, or the reason of one trade.
    Writes: Nothing, or the page of --html.
    Exit codes: 0 shown; 2 there is no such backtest, or several begin so.
    JSON: backtest_id, name, portfolio, market, start, first_session, last_session, sessions, instruments, currency,
    adjustment, capital, equity, prices, weights, benchmark, request{*}, rules{*}, choices{*}, inputs_sha256,
    lake_snapshot, code_version, figures{*}, notes, stored_at, months[month, return, benchmark_return, profit, costs,
    turnover, sessions], page. With --symbol: backtest_id, symbol, session, decided{*}, trades[*], held{*},
    held_before{*}. Of a search: search_id, strategy, problem, finished, trials, request{*}, stored_at, *.
    Example: scizor backtest show 3f1c9a --symbol AAPL --date 2024-03-01
    """
    from scizor_dagster.backtest.search.kept import KeptSearch
    from scizor_dagster.backtest.storage import read_frames
    from scizor_dagster.flow.backtests import Ran

    if (symbol is None) != (day is None):
        raise InputError("--symbol and --date go together.", remedy="Give both, or none of them.")
    _check_page(html)
    desk = open_desk()
    head = named(_kept(desk), backtest)
    if isinstance(head, KeptSearch):
        require_none({"--symbol": symbol, "--html": html}, "is of a backtest, and this is a search")
        show_search(head, png, as_json=as_json)
        return
    require_none({"--png": png}, "is of a search, and this is a backtest")
    if symbol is not None and day is not None:
        show_moment(desk, head, symbol, day, as_json=as_json)
        return
    frames = read_frames(desk.lake, head.backtest_id)
    page = _write_page(desk, Ran(head, frames, fresh=False), html)
    if as_json:
        months = [{key: plain(value) for key, value in row.items()} for row in frames.months.to_dict("records")]
        emit_json(_as_json(head) | {"months": months, "page": page})
        return
    _print_head(head)
    rows = [(row["month"].strftime("%Y-%m"), f"{row['return']:.2%}", f"{row['profit']:,.2f}", f"{row['costs']:,.2f}")
            for row in frames.months.to_dict("records")]  # fmt: skip
    print_table("Months", ["month", "return", "profit", "costs"], rows)
    if page:
        typer.echo(f"Wrote {page}.")


def _kept(desk: Desk) -> Desk:
    if not desk.has_lake:
        raise InputError("No backtest is kept.", remedy="Run one: scizor backtest run --help.")
    return desk


@app.command()
def delete(
    backtest: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a kept backtest with all of its data, or a search with its trials.

    Trials that another kept search of the same problem has too stay with that one.

    When: it is not worth its place.
    Writes: The lake without it.
    Exit codes: 0 deleted; 1 you said no; 2 there is no such backtest, or several begin so.
    JSON: deleted. Of a search: deleted, trials.
    Example: scizor backtest delete 3f1c9a --yes
    """
    from scizor_dagster.backtest.search.kept import KeptSearch
    from scizor_dagster.backtest.storage import delete_backtest

    desk = open_desk()
    head = named(_kept(desk), backtest)
    if isinstance(head, KeptSearch):
        delete_told(desk, head, yes=yes, as_json=as_json)
        return
    if not yes:
        confirm(f"Delete backtest {head.short} ({head.title})?", "Say --yes.", as_json=as_json)
    delete_backtest(desk.lake, head.backtest_id)
    if as_json:
        emit_json({"deleted": head.backtest_id})
    else:
        typer.echo(f"Deleted {head.short}.")
