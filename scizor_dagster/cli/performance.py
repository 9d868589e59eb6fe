"""`scizor performance`: what a portfolio's measured sessions came to."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, money, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk

if TYPE_CHECKING:
    from scizor_dagster.analytics.exposure import Exposure
    from scizor_dagster.analytics.summary import PerformanceSummary

_AMOUNTS = ("profit", "realised", "unrealised", "income", "fees", "inflow")
_PLAIN = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "tail_ratio", "stability", "beta")
_PLAIN_TOO = ("correlation", "information_ratio")


class Grouping(StrEnum):
    INSTRUMENT = "instrument"
    SECTOR = "sector"
    STRATEGY = "strategy"


def performance(
    portfolio: PortfolioOption = "main",
    first: Annotated[str | None, typer.Option("--from", help="First session; default: the first measured.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last session; default: the last measured.")] = None,
    by: Annotated[Grouping, typer.Option(help="Whose profits are shown.")] = Grouping.INSTRUMENT,
    as_json: JsonOption = False,
) -> None:
    """Show what a portfolio's measured sessions came to: returns, ratios, profits, exposure, drawdowns.

    The time-weighted return leaves deposits and withdrawals out, the money-weighted one is the internal rate of return
    with them. Ratios of too few sessions are not given.

    When: you want to know what was earned, by whom and at what risk.
    Writes: Nothing.
    Exit codes: 2 nothing has been measured yet, or an option is wrong.
    JSON: portfolio, currency, start, first, last, sessions, sessions_a_year, equity_before, equity, flows,
    profit{realised, unrealised, income, fees, inflow, profit}, time_weighted_return, money_weighted_return,
    money_weighted_return_a_year, ratios{*}, benchmark, benchmark_ratios{*}, turnover_a_year, rolling{*}, drawdowns[*],
    exposure{gross, net, long, short}, by, profits[*], exposures{*}, notes.
    Example: scizor performance --portfolio main --from 2026-01-01 --by strategy
    """
    from scizor_dagster.flow.performance import performance_of

    begins, ends = dates.parse_span(first, last)
    desk = open_desk()
    check_portfolio(desk, portfolio)
    found = performance_of(desk, portfolio, begins, ends)
    if as_json:
        emit_json(_as_json(found, by))
        return
    _print(found, by)


def _as_json(found: PerformanceSummary, by: Grouping) -> dict[str, Any]:
    """Amounts are text, as exact as they are stored; figures that are not defined are null."""
    return {
        "portfolio": found.portfolio,
        "currency": found.currency,
        "start": found.start,
        "first": found.first,
        "last": found.last,
        "sessions": found.sessions,
        "sessions_a_year": found.sessions_a_year,
        "equity_before": money(found.equity_before),
        "equity": money(found.equity),
        "flows": money(found.flows),
        "profit": _texts(found.amounts),
        "time_weighted_return": _known(found.time_weighted),
        "money_weighted_return": _known(found.money_weighted.period),
        "money_weighted_return_a_year": _known(found.money_weighted.annual),
        "ratios": _all_known(found.ratios),
        "benchmark": found.benchmark or None,
        "benchmark_ratios": _all_known(found.benchmark_ratios),
        "turnover_a_year": _known(found.turnover),
        "rolling": {str(window): _all_known(of) for window, of in found.rolling.items()},
        "drawdowns": [asdict(one) for one in found.drawdowns],
        "exposure": found.exposure.shares(found.equity),
        "by": str(by),
        "profits": [_texts(row) for row in found.profits[by.value]],
        "exposures": {name: of.shares(found.equity) for name, of in found.exposures[by.value].items()},
        "notes": list(found.notes),
    }


def _print(found: PerformanceSummary, by: Grouping) -> None:
    whole = [
        ("sessions", f"{found.sessions}, {found.first} to {found.last}"),
        ("equity before", f"{found.equity_before:,.2f} {found.currency} at the close of {found.start}"),
        ("equity", f"{found.equity:,.2f} {found.currency}"),
        ("flows from outside", f"{found.flows:,.2f}"),
        *((name, f"{found.amounts[name]:,.2f}") for name in _AMOUNTS[:-1]),
        ("time-weighted return", _rate(found.time_weighted)),
        ("money-weighted return", _rate(found.money_weighted.period)),
        ("money-weighted, a year", _rate(found.money_weighted.annual)),
        ("turnover a year", _rate(found.turnover)),
        *((name, _rate(value)) for name, value in found.exposure.shares(found.equity).items()),
    ]
    print_table(f"Performance of portfolio {found.portfolio}", ["what", "value"], whole)
    figures = {**found.ratios, **found.benchmark_ratios}
    rows = [(name, _figure(name, value)) for name, value in figures.items() if not math.isnan(value)]
    against = f" against {found.benchmark}" if found.benchmark_ratios else ""
    print_table(f"Figures{against}, a year being {found.sessions_a_year} sessions", ["figure", "value"], rows)
    shares, lines = found.exposures[by.value], found.profits[by.value]
    # What nothing has is not worth a column: a terminal is narrow.
    amounts = [name for name in _AMOUNTS if name == "profit" or any(row[name] for row in lines)]
    profits = [
        (row[by.value], *(f"{row[name]:,.2f}" for name in (*amounts, "value")), _share(shares, row, by, found.equity))
        for row in lines
    ]
    print_table(f"Profits by {by}", [by.value, *amounts, "value", "gross"], profits)
    rolled = [
        (window, *(_figure(name, value) for name, value in of.items()))
        for window, of in found.rolling.items()
        if not all(math.isnan(value) for value in of.values())
    ]
    if rolled:
        print_table("The last sessions", ["sessions", *next(iter(found.rolling.values()))], rolled)
    falls = [
        (one.start, one.trough, one.recovery or "not yet", _rate(one.depth), one.sessions) for one in found.drawdowns
    ]
    if falls:
        print_table("Drawdowns", ["from", "trough", "recovered", "depth", "sessions"], falls)
    for note in found.notes:
        typer.echo(note)


def _share(shares: Any, row: Any, by: Grouping, equity: float) -> str:
    of: Exposure | None = shares.get(row[by.value])
    gross = None if of is None else of.shares(equity)["gross"]
    return "" if gross is None else _rate(gross)


def _figure(name: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if name in (*_PLAIN, *_PLAIN_TOO, "sharpe") else _rate(value)


def _rate(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2%}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _all_known(values: Any) -> dict[str, float | None]:
    return {name: _known(value) for name, value in values.items()}


def _texts(row: Any) -> dict[str, str]:
    return {name: value if isinstance(value, str) else f"{value:f}" for name, value in row.items()}
