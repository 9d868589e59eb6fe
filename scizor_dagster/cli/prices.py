"""`scizor prices`: bars that were not believed, and a person's word for one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.options import JsonOption, MarketOption, ReasonKept
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_market, open_desk

app = typer.Typer(help="See which prices are quarantined, and accept one.", no_args_is_help=True)


@app.command()
def quarantined(market: MarketOption = "us", as_json: JsonOption = False) -> None:
    """List the instruments that are out because their newest bar is not believed.

    Such a bar sizes no order and the holding is kept, until the source has mended it, a corporate action agrees with
    it, or a person accepts it.

    When: a plan leaves an instrument out with the reason `quarantined`.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none; 2 there is no such market.
    JSON: market, quarantined[symbol, session, reason, detail].
    Example: scizor prices quarantined --market us
    """
    from scizor_dagster.flow.markets import newest_quarantined

    desk = open_desk()
    check_market(desk, market)
    found = newest_quarantined(desk, market) if desk.has_lake else []
    if as_json:
        emit_json({"market": market, "quarantined": found})
    else:
        columns = ["symbol", "session", "reason", "detail"]
        rows = [[row[name] for name in columns] for row in found]
        print_table(f"Quarantined prices of {market}", columns, rows)


@app.command()
def accept(
    symbol: Annotated[str, typer.Argument(help="Symbol of the quarantined bar.")],
    day: Annotated[str, typer.Option("--date", help="Its session.")],
    reason: ReasonKept,
    market: MarketOption = "us",
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a quarantined bar that is right after all: a real jump, a session without a trade.

    The decision goes to the ledger's history with who, when and why, and holds for this close of this session alone.
    The next collection of the session stores the bar. A bar that cannot be a price (zero, high below low, ...) is never
    accepted.

    When: you have looked the price up elsewhere, and it is right.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 accepted; 2 no such bar is quarantined, or it can be no price.
    JSON: market, symbol, session, close, next.
    Example: scizor prices accept KDP --date 2018-07-10 --reason "special dividend of 103.75"
    """
    from scizor_dagster.flow.markets import accept_quarantined

    desk = open_desk()
    session = check_market(desk, market).require(dates.parse_date(day, "--date"))
    close = accept_quarantined(desk, market, symbol, session, reason=reason, actor=actor_of(by))
    collect = f"scizor collect daily --market {market} --date {session}"
    if as_json:
        emit_json({"market": market, "symbol": symbol, "session": session, "close": close, "next": collect})
    else:
        typer.echo(f"Accepted: {symbol} closed at {close:g} on {session}.")
        typer.echo(f"Collect it now: {collect}; later sessions that waited for it: scizor collect history.")
