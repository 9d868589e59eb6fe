"""`scizor arm | disarm`: a person permits live trading, and takes it back.

What belongs here: the two commands. What does not: what may be armed (`flow.arming`), and what an arming lets out
(`execution.permissions`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.amounts import parse_amount
from scizor_dagster.cli.completing import account_ids, autocompletion
from scizor_dagster.cli.options import JsonOption, ReasonOption
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.cli.stopping import StoppingDesk, desk_to_stop_with
from scizor_dagster.errors import InputError

PortfolioArgument = Annotated[str, typer.Argument(help="Portfolio of the configuration.")]


def arm(
    portfolio: PortfolioArgument,
    account_id: Annotated[
        str,
        typer.Option(
            "--account",
            help="Id of the account at the broker, as the broker shows it.",
            autocompletion=autocompletion(account_ids),
        ),
    ],
    until: Annotated[str, typer.Option(help="When it ends; without an offset, in the exchange's time zone.")],
    max_notional: Annotated[
        str, typer.Option(help="Most that all orders until then may be worth, in the market's currency.")
    ],
    reason: ReasonOption = "",
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Permit a portfolio to trade real money, until a time and up to an amount. Nothing else switches live trading on.

    The id that you give, the one that is pinned in the configuration and the one that the broker answers must be the
    same. The amount is what all orders may be worth together, buys and sales, at the prices that sized them; what is
    sent uses it up. Arming again replaces the time and begins a new amount. `scizor disarm` ends it at once. Paper
    accounts need none.

    When: a live portfolio shall trade, before its session begins.
    Writes: The arming in the ledger, with your name. Nothing is sent.
    Exit codes: 0 armed; 1 the broker answers another account, or not at all; 2 an option is wrong.
    JSON: portfolio, account, broker_account_id, environment, until, until_at_exchange, max_notional, currency, by,
    replaced.
    Example: scizor arm main --account 932473521 --until 2026-11-27T16:00 --max-notional 25000
    """
    from scizor_dagster.flow.arming import arm_portfolio

    desk = open_desk()
    calendar = check_portfolio(desk, portfolio)
    ends = dates.parse_instant(until, "--until", calendar.timezone)
    actor, amount = actor_of(by), parse_amount(max_notional, "--max-notional", example="25000")
    try:
        done = arm_portfolio(
            desk, portfolio, account_id, until=ends, max_notional=amount, actor=actor, reason=reason.strip()
        )
    finally:
        desk.disconnect()
    made, replaced = done.made, done.replaced
    at_exchange = f"{ends.astimezone(calendar.timezone):%A %Y-%m-%d %H:%M %Z}"
    if as_json:
        emit_json(
            {
                "portfolio": portfolio,
                "account": made.account,
                "broker_account_id": made.broker_account_id,
                "environment": made.environment,
                "until": made.expires_at.isoformat(),
                "until_at_exchange": at_exchange,
                "max_notional": f"{made.max_notional:f}",
                "currency": made.currency,
                "by": actor,
                "replaced": replaced.sentence if replaced is not None else None,
            }
        )
        return
    typer.echo(
        f"portfolio {portfolio} may trade {made.environment} account {made.broker_account_id} until {at_exchange}, for "
        f"{made.max_notional:,.2f} {made.currency} of orders in all; armed by {actor}"
    )
    if replaced is not None:
        typer.echo(f"It replaces what was before: {replaced.sentence}.")
    typer.echo(f"To take it back: scizor disarm {portfolio}")


def disarm(
    portfolio: PortfolioArgument,
    reason: ReasonOption = "",
    by: ActorOption = None,
    home: Annotated[Path | None, typer.Option(help="Folder of the ledger; default: SCIZOR_HOME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take the permission to trade real money back: the next order does not go out any more, also within a run.

    Needs the ledger alone, as `halt` does: no broker, and no configuration that can be read. Orders that are at the
    broker stay there: `scizor halt --portfolio NAME --cancel-open --reason TEXT` cancels them.

    When: real money shall not trade any more.
    Writes: That it is taken back, in the ledger. Nothing is sent.
    Exit codes: 0 disarmed, or it was not armed; 2 nobody knows the portfolio.
    JSON: portfolio, disarmed, by, note.
    Example: scizor disarm main
    """
    from scizor_dagster.ledger.arming import armings_of_portfolio
    from scizor_dagster.ledger.arming import disarm as take_back

    actor, stopping = actor_of(by), desk_to_stop_with(home)
    _check_known(stopping, portfolio)
    taken = []
    if stopping.desk.has_ledger:
        with stopping.desk.ledger.transaction() as connection:
            for found in armings_of_portfolio(connection, portfolio):
                take_back(connection, found.account, portfolio, actor=actor, reason=reason.strip(), now=dates.now())
                taken.append(found)
    if as_json:
        emit_json(
            {"portfolio": portfolio, "disarmed": [item.account for item in taken], "by": actor, "note": stopping.note}
        )
        return
    for item in taken:
        typer.echo(f"portfolio {portfolio} on account {item.account} is disarmed; it was {item.sentence}")
    if not taken:
        typer.echo(f"portfolio {portfolio} was not armed")
    if stopping.note:
        typer.secho(stopping.note, err=True, fg=typer.colors.YELLOW)


def _check_known(stopping: StoppingDesk, portfolio: str) -> None:
    """Refuse a name that neither the ledger nor a configuration knows: a slip of the pen must not look like a stop."""
    if not stopping.knows(portfolio):
        raise InputError(
            f"There is no portfolio '{portfolio}'. {stopping.problem}".rstrip(),
            remedy="Nothing was disarmed. Name one of the configuration or of the ledger; see: scizor doctor.",
            where="PORTFOLIO",
        )
