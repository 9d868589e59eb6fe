"""`scizor halt | reduce | resume`: who may trade at this moment, said by a person.

What belongs here: the three commands. What does not: whom the names mean (`stopping`), and what a state does to an
order (`risk`, `execution`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.options import JsonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import open_desk
from scizor_dagster.cli.stopping import StoppingDesk, desk_to_stop_with
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.stopping import Scope
    from scizor_dagster.ledger.rows import IntentRow

AccountOption = Annotated[str | None, typer.Option(help="The whole account; default: the portfolio's.")]
PortfolioOption = Annotated[str | None, typer.Option(help="One portfolio; default: every one of the account.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the ledger and beside every order it holds back.")]
UntilOption = Annotated[str | None, typer.Option(help="When it ends by itself, e.g. 2026-11-23T14:30:00+00:00.")]
CancelOption = Annotated[bool, typer.Option("--cancel-open", help="Also cancel own orders that rest at the broker.")]
HomeOption = Annotated[Path | None, typer.Option(help="Folder of the ledger; default: SCIZOR_HOME.")]


def halt(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    cancel_open: CancelOption = False,
    until: UntilOption = None,
    by: ActorOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop sending: no order goes out any more, also in the middle of a run, until somebody resumes.

    Needs the ledger alone. Where the configuration cannot be read, the ledger says what there is, and without a name
    every account that it knows is halted. Orders that were not sent end when their session is over; resume before that
    to go on. Orders that are at the broker already stay there and are listed; --cancel-open takes them back.

    When: anything looks wrong.
    Writes: The state in the ledger, with your name and reason; with --cancel-open cancels go to the broker.
    Exit codes: 0 halted; 1 with --cancel-open, an order may still be open, which is named, or the broker could not be
    asked; 2 nobody knows the name.
    JSON: accounts, portfolio, state, by, until, note, left_at_broker[client_order_id, portfolio, symbol, side, qty,
    filled, state]?, cancel_with?, canceled?, not_canceled[client_order_id, portfolio, symbol, side, qty, why]?,
    not_asked?.
    Example: scizor halt --portfolio main --reason "the feed looks wrong" --cancel-open
    """
    _set("halted", desk_to_stop_with(home), reason, account, portfolio, until, by, as_json, cancel_open=cancel_open)


def reduce(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    cancel_open: CancelOption = False,
    until: UntilOption = None,
    by: ActorOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let only orders out that close positions, until somebody resumes. Needs the ledger alone, as `halt` does.

    When: positions may shrink, and shall not grow.
    Writes: The state in the ledger, with your name and reason; with --cancel-open cancels go to the broker.
    Exit codes: 0 reducing; 1 with --cancel-open, an order may still be open, which is named, or the broker could not be
    asked; 2 nobody knows the name.
    JSON: accounts, portfolio, state, by, until, note, left_at_broker[client_order_id, portfolio, symbol, side, qty,
    filled, state]?, cancel_with?, canceled?, not_canceled[client_order_id, portfolio, symbol, side, qty, why]?,
    not_asked?.
    Example: scizor reduce --account paper --reason "drawdown, looking into it"
    """
    _set("reducing", desk_to_stop_with(home), reason, account, portfolio, until, by, as_json, cancel_open=cancel_open)


def resume(
    reason: ReasonOption,
    account: AccountOption = None,
    portfolio: PortfolioOption = None,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trade again. An account and a portfolio are resumed apart: the stricter of the two counts.

    When: what was wrong is mended.
    Writes: The state in the ledger, with your name and reason. Nothing is sent; the next run does.
    Exit codes: 0 it trades again; 2 nobody knows the name.
    JSON: accounts, portfolio, state, by, until, note.
    Example: scizor resume --portfolio main --reason "the feed was mended"
    """
    _set("active", StoppingDesk(open_desk()), reason, account, portfolio, None, by, as_json)


def _set(
    state: str,
    stopping: StoppingDesk,
    reason: str,
    account: str | None,
    portfolio: str | None,
    until: str | None,
    by: str | None,
    as_json: bool,
    *,
    cancel_open: bool = False,
) -> None:
    from scizor_dagster.flow.stopping import set_states
    from scizor_dagster.risk.trading_state import TradingState

    actor, now = actor_of(by), dates.now()
    ends = None if until is None else dates.parse_instant(until, "--until")
    reason = reason_of(reason)
    if ends is not None and ends <= now:
        raise InputError(f"{until} has passed.", remedy="Give a later time.", where="--until")
    scopes = stopping.scopes(account, portfolio)
    wanted = TradingState(state)
    found = set_states(
        stopping.desk.ledger,
        scopes,
        wanted,
        reason=reason,
        actor=actor,
        now=now,
        until=ends,
        cancel_open=cancel_open,
    )
    left = [_listed(row) for row in found]
    answer: dict[str, Any] = {
        "accounts": [scope.account for scope in scopes],
        "portfolio": portfolio,
        "state": state,
        "by": actor,
        "until": until,
        "note": stopping.note,
    }
    if wanted is not TradingState.ACTIVE and not cancel_open:
        again = _again("halt" if wanted is TradingState.HALTED else "reduce", account, portfolio)
        answer |= {"left_at_broker": left, "cancel_with": again if left else ""}
    if not as_json:
        # Before anything is asked of a broker, which may take its time or fail.
        _print_states(scopes, answer)
    canceling = _cancel(stopping, answer["accounts"]) if cancel_open else None
    if as_json:
        emit_json(answer | (canceling or {}))
    elif canceling is not None:
        _print_cancels(canceling)
    raise typer.Exit(1 if canceling and (canceling["not_canceled"] or canceling["not_asked"]) else 0)


def _print_states(scopes: Sequence[Scope], answer: dict[str, Any]) -> None:
    for scope in scopes:
        typer.echo(f"{scope.words}: {answer['state']}" + (f" until {answer['until']}" if answer["until"] else ""))
    if answer["note"]:
        typer.secho(answer["note"], err=True, fg=typer.colors.YELLOW)
    if answer.get("left_at_broker"):
        rows = [list(row.values()) for row in answer["left_at_broker"]]
        print_table("Orders that are at the broker and stay there", list(answer["left_at_broker"][0]), rows)
        typer.echo(f"To cancel them: {answer['cancel_with']}")


def _listed(row: IntentRow) -> dict[str, Any]:
    return {
        "client_order_id": row.client_order_id,
        "portfolio": row.portfolio,
        "symbol": row.symbol,
        "side": row.side,
        "qty": f"{row.qty.normalize():f}",
        "filled": f"{row.filled_qty.normalize():f}",
        "state": row.state,
    }


def _again(command: str, account: str | None, portfolio: str | None) -> str:
    """The same call, so that it cancels as well."""
    names = "".join(f" --{kind} {name}" for kind, name in (("account", account), ("portfolio", portfolio)) if name)
    return f"scizor {command}{names} --cancel-open --reason TEXT"


def _print_cancels(canceling: dict[str, Any]) -> None:
    typer.echo(f"{canceling['canceled']} order(s) canceled")
    for why in canceling["not_asked"]:
        typer.secho(f"The broker was not asked to cancel: {why}", err=True, fg=typer.colors.YELLOW)
    if canceling["not_canceled"]:
        columns = ("client_order_id", "symbol", "side", "qty", "why")
        rows = [[row[name] for name in columns] for row in canceling["not_canceled"]]
        print_table("Orders that may still be open; look at the broker", columns, rows)


def _cancel(stopping: StoppingDesk, accounts: Sequence[str]) -> dict[str, Any]:
    """Cancel at once where the account is free; what may still be open is named, and why nothing could be asked."""
    from dataclasses import asdict

    from scizor_dagster.flow.stopping import cancel_at_once

    reports = cancel_at_once(stopping.desk, accounts, stopping.problem, dates.now())
    return {
        "canceled": sum(len(report.canceled) for report in reports),
        "not_canceled": [asdict(order) for report in reports for order in report.left],
        "not_asked": sorted({report.note for report in reports if report.note}),
    }
