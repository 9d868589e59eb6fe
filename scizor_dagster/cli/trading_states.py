"""`scizor halt | reduce | resume`: who may trade at this moment, said by a person.

What belongs here: the three commands. What does not: what a state does to an order (`risk`, `execution`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.errors import AccountBusy, BrokerUnavailable, InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk

AccountOption = Annotated[str | None, typer.Option(help="The whole account; default: the portfolio's.")]
PortfolioOption = Annotated[str | None, typer.Option(help="One portfolio; default: every one of the account.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the ledger and beside every order it holds back.")]
UntilOption = Annotated[str | None, typer.Option(help="When it ends by itself, e.g. 2026-11-23T14:30:00+00:00.")]
CancelOption = Annotated[bool, typer.Option("--cancel-open", help="Also cancel own orders that rest at the broker.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as JSON.")]


def halt(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    cancel_open: CancelOption = False,
    until: UntilOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop sending: no order goes out any more, also in the middle of a run, until somebody resumes.

    Cancels stay possible. Orders that were not sent end when their session is over; resume before that to go on.

    Example: scizor halt --portfolio main --reason "the feed looks wrong" --cancel-open
    """
    _set("halted", reason, account, portfolio, until, by, as_json, cancel_open=cancel_open)


def reduce(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    cancel_open: CancelOption = False,
    until: UntilOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let only orders out that close positions, until somebody resumes.

    Example: scizor reduce --account paper --reason "drawdown, looking into it"
    """
    _set("reducing", reason, account, portfolio, until, by, as_json, cancel_open=cancel_open)


def resume(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade again. An account and a portfolio are resumed apart: the stricter of the two counts.

    Example: scizor resume --portfolio main --reason "the feed was mended"
    """
    _set("active", reason, account, portfolio, None, by, as_json)


def _set(
    state: str,
    reason: str,
    account: str | None,
    portfolio: str | None,
    until: str | None,
    by: str | None,
    as_json: bool,
    *,
    cancel_open: bool = False,
) -> None:
    from scizor_dagster.risk.trading_state import TradingState, set_state

    desk = open_desk()
    name = _account(desk, account, portfolio)
    actor, now = actor_of(by), dates.now()
    ends = _instant(until)
    if not reason.strip():
        raise InputError("The reason is empty.", remedy="Say why: --reason TEXT.", where="--reason")
    if ends is not None and ends <= now:
        raise InputError(f"{until} has passed.", remedy="Give a later time.", where="--until")
    with desk.ledger.transaction() as connection:
        set_state(
            connection,
            name,
            portfolio,
            TradingState(state),
            reason=reason,
            actor=actor,
            now=now,
            until=ends,
            cancel_open=cancel_open,
        )
    answer: dict[str, Any] = {"account": name, "portfolio": portfolio, "state": state, "by": actor, "until": until}
    if cancel_open:
        answer |= _cancel(desk, name)
    if as_json:
        emit_json(answer)
        return
    what = f"portfolio {portfolio} on account {name}" if portfolio else f"account {name}"
    typer.echo(f"{what}: {state}" + (f" until {until}" if until else ""))
    if cancel_open:
        typer.echo(f"{answer['canceled']} order(s) canceled" + (f"; {answer['note']}" if answer["note"] else ""))


def _cancel(desk: Desk, account: str) -> dict[str, Any]:
    """Cancel at once where the account is free; where it is not, the run that has it does."""
    from scizor_dagster.flow.following import cancel_open_orders

    try:
        return {"canceled": cancel_open_orders(desk, account), "note": ""}
    except (AccountBusy, BrokerUnavailable) as later:
        return {"canceled": 0, "note": f"{later.problem} The next look at the orders cancels them."}


def _account(desk: Desk, account: str | None, portfolio: str | None) -> str:
    """The account that is meant; one that is not configured is refused, as is a portfolio of another one."""
    if account is None and portfolio is None:
        raise InputError(
            "Neither an account nor a portfolio is named.",
            remedy=f"Give --portfolio ({', '.join(desk.config.portfolios)}) or --account "
            f"({', '.join(desk.config.accounts)}).",
            where="--account, --portfolio",
        )
    if portfolio is None:
        assert account is not None
        desk.account(account)
        return account
    its_own = desk.portfolio(portfolio).account
    if account not in (None, its_own):
        raise InputError(
            f"Portfolio '{portfolio}' trades on account '{its_own}', not on '{account}'.",
            remedy="Leave --account out, or name its own.",
            where="--account",
        )
    return its_own


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InputError(
            f"'{text}' is no time with its zone.",
            remedy="Write it as 2026-11-23T14:30:00+00:00.",
            where="--until",
        )
    return found
