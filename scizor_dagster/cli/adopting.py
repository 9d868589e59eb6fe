"""`scizor adopt`: a portfolio gets what its account holds and nobody owns.

What belongs here: the command. What does not: what may be handed over (`flow.adopting`).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from scizor_dagster.cli.actor import ActorOption, actor_of
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
    by: ActorOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON.")] = False,
) -> None:
    """Let a portfolio own what its account holds and no portfolio owns: bought by hand, moved in, or renamed.

    It counts from the end of the last closed session on: the next plan sells and buys it like everything else, and
    what it brings in is no gain. Nothing is sent to the broker.

    Example: scizor adopt main META --renamed-from FB
    """
    from scizor_dagster.flow.adopting import adopt_position

    shares, paid = _number(qty, "--qty", signed=True), _number(price, "--price", signed=False)
    desk = open_desk()
    check_portfolio(desk, portfolio)
    actor = actor_of(by)
    try:
        done = adopt_position(desk, portfolio, symbol, qty=shares, price=paid, renamed_from=renamed_from, actor=actor)
    finally:
        desk.disconnect()
    count, each = f"{done.qty.normalize():f}", f"{done.price.normalize():f}"
    if as_json:
        body = {"portfolio": portfolio, "symbol": symbol, "qty": count, "price": each, "session": done.session}
        emit_json({**body, "renamed_from": renamed_from, "by": actor})
        return
    what = f"{count} {symbol}" + (f", {renamed_from} before," if renamed_from else "")
    typer.echo(
        f"portfolio {portfolio} owns {what} from the end of {done.session} on, at {each} a share, by {actor}. "
        f"Compare what is held: scizor reconcile --portfolio {portfolio}"
    )


def _number(text: str | None, option: str, *, signed: bool) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text.replace(",", "").strip())
    except InvalidOperation as error:
        raise InputError(f"'{text}' is no number.", remedy="Give one, as 12.5.", where=option) from error
    if not number.is_finite() or not (number if signed else number > 0):
        raise InputError(
            f"{text} is no {'number of shares' if signed else 'price'}.", remedy="Give one, as 12.5.", where=option
        )
    return number
