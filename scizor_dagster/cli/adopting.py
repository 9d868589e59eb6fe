"""`scizor adopt`: a portfolio gets what its account holds and nobody owns.

What belongs here: the command. What does not: what may be handed over (`flow.adopting`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.amounts import parse_amount, parse_ratio
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError


def adopt(
    portfolio: Annotated[str, typer.Argument(help="Portfolio that shall own it.")],
    symbol: Annotated[str, typer.Argument(help="Symbol as the account has it.")],
    qty: Annotated[str | None, typer.Option(help="Signed shares; default: all that nobody owns.")] = None,
    price: Annotated[str | None, typer.Option(help="What a share counts as having cost; default: its close.")] = None,
    renamed_from: Annotated[
        str | None, typer.Option(help="Name under which the portfolio has owned it; that holding ends.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="NEW:OLD: record a split that the broker tells nobody of.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="First session in new shares, for --split.")] = None,
    no_split: Annotated[bool, typer.Option("--no-split", help="What looks like a split is none.")] = False,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a portfolio own what its account holds and no portfolio owns: bought by hand, moved in, or renamed.

    It counts from the end of the last closed session on: the next plan sells and buys it like everything else, and what
    it brings in is no gain. A quantity of the other sign writes off what the portfolio owns and the account does not
    have. --split records a split, for every portfolio of the account.

    When: something was bought by hand, moved in or renamed, and a portfolio shall own it.
    Writes: The adoption, or the split, in the ledger, with your name. Nothing is sent.
    Exit codes: 0 owned; 1 the broker could not be read; 2 there is nothing to adopt.
    JSON: symbol, session, by, portfolio?, qty?, price?, renamed_from?, before?, after?.
    Example: scizor adopt main META --renamed-from FB
    """
    from scizor_dagster.flow.adopting import adopt_position

    if split is not None:
        if qty or price or renamed_from or no_split:
            raise InputError("--split goes with --date alone.", remedy="Do one after the other.", where="--split")
        _state_split(portfolio, symbol, parse_ratio(split, "--split"), day, actor_of(by), as_json)
        return
    if day is not None:
        raise InputError("--date goes with --split alone.", remedy="Leave it out.", where="--date")
    shares = None if qty is None else parse_amount(qty, "--qty", example="12.5", sign="nonzero")
    paid = None if price is None else parse_amount(price, "--price", example="12.5")
    desk = open_desk()
    check_portfolio(desk, portfolio)
    actor = actor_of(by)
    try:
        done = adopt_position(
            desk, portfolio, symbol, qty=shares, price=paid, renamed_from=renamed_from, actor=actor,
            is_no_split=no_split,
        )  # fmt: skip
    finally:
        desk.disconnect()
    count, each = f"{done.qty.normalize():f}", f"{done.price.normalize():f}"
    if as_json:
        body = {"portfolio": portfolio, "symbol": symbol, "qty": count, "price": each, "session": done.session}
        emit_json({**body, "renamed_from": renamed_from, "by": actor})
        return
    if done.written_off:
        typer.echo(
            f"{count.lstrip('-')} {symbol} of portfolio {portfolio} are written off at the end of {done.session}, at "
            f"{each} a share, by {actor}. Compare what is held: scizor reconcile --portfolio {portfolio}"
        )
        return
    what = f"{count} {symbol}" + (f", {renamed_from} before," if renamed_from else "")
    typer.echo(
        f"portfolio {portfolio} owns {what} from the end of {done.session} on, at {each} a share, by {actor}. "
        f"Compare what is held: scizor reconcile --portfolio {portfolio}"
    )


def _state_split(portfolio: str, symbol: str, ratio: Decimal, day: str | None, actor: str, as_json: bool) -> None:
    from scizor_dagster.flow.splitting import record_stated_split

    desk = open_desk()
    check_portfolio(desk, portfolio)
    ex_session = dates.parse_date(day, "--date") if day is not None else None
    try:
        done = record_stated_split(desk, portfolio, symbol, ratio=ratio, ex_session=ex_session, actor=actor)
    finally:
        desk.disconnect()
    before, after = f"{done.before.normalize():f}", f"{done.after.normalize():f}"
    if as_json:
        emit_json({"symbol": symbol, "session": done.session, "before": before, "after": after, "by": actor})
        return
    typer.echo(
        f"{symbol} was split on {done.session}, by {actor}: the account's portfolios own {after}, {before} before. "
        f"Compare what is held: scizor reconcile --portfolio {portfolio}"
    )
