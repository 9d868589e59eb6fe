"""`scizor rates`: rates between currencies that were not believed, and a person's word for one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.options import JsonOption, ReasonKept
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import InputError

app = typer.Typer(help="See which rates between currencies are in doubt, and accept one.", no_args_is_help=True)


@app.command()
def doubtful(as_json: JsonOption = False) -> None:
    """List what the files of fx.files say now and is not believed, or is stored otherwise (restated).

    When: a plan is refused because of a rate, or a file of rates was replaced.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none; 2 a file of rates cannot be read.
    JSON: rates[base, quote, session, rate, reason, detail, where].
    Example: scizor rates doubtful
    """
    from scizor_dagster.flow.rate_files import doubtful_rates

    found = doubtful_rates(open_desk())
    if as_json:
        # What is no number at all has no rate: null, because JSON knows no NaN.
        emit_json({"rates": found.astype(object).where(found.notna(), None).to_dict("records")})
    else:
        print_table("Rates in doubt", list(found.columns), found.values.tolist())


@app.command()
def accept(
    pair: Annotated[str, typer.Argument(help="The pair as its file has it, such as AUD/USD.")],
    day: Annotated[str, typer.Option("--date", help="The day of the rate.")],
    reason: ReasonKept,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept what the pair's file says of a day: a real jump, or the correction of a stored rate.

    The decision goes to the ledger's history with who, when and why, and with the stored rate that it replaces. It
    holds for this rate of this day alone. The next collection stores it, and judges later days beside it.

    When: you have looked the rate up elsewhere, and it is right.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 accepted; 2 no such rate is in doubt.
    JSON: base, quote, session, rate, next.
    Example: scizor rates accept EUR/CHF --date 2015-01-15 --reason "the floor was given up"
    """
    from scizor_dagster.flow.rate_files import accept_doubtful_rate

    base, slash, quote = pair.partition("/")
    if not (slash and base and quote):
        raise InputError(f"'{pair}' is no pair of currencies.", remedy="Write it as AUD/USD.", where="PAIR")
    session = dates.parse_date(day, "--date")
    rate = accept_doubtful_rate(open_desk(), base, quote, session, reason=reason, actor=actor_of(by))
    if as_json:
        emit_json({"base": base, "quote": quote, "session": session, "rate": rate, "next": "scizor collect daily"})
    else:
        typer.echo(f"Accepted: {rate:g} {quote} for one {base} on {session}. Collect it now: scizor collect daily.")
