"""`scizor limits` and `scizor risk`: what stops orders, and what a person may lift.

What belongs here: printing limits, verdicts and locks, and the two decisions of a person. What does not: trading
states (`trading_states`), and any check (`risk`).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of, reason_of
from scizor_dagster.cli.amounts import parse_amount
from scizor_dagster.cli.options import JsonOption, PortfolioOption, ReasonOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk

app = typer.Typer(help="See verdicts and locks, and lift what waits for a person.", no_args_is_help=True)


def limits(portfolio: PortfolioOption = "main", as_json: JsonOption = False) -> None:
    """Show every limit that a portfolio's orders are checked against before they are sent.

    When: you want to know what the next order may be, and what changed since the last.
    Writes: Nothing.
    Exit codes: 2 there is no such portfolio, or a limit cannot be read.
    JSON: portfolio, hash, limits{*}.
    Example: scizor limits --portfolio main
    """
    from scizor_dagster.flow.limits import limits_in_force

    desk = open_desk()
    found = limits_in_force(desk, portfolio)
    if as_json:
        emit_json({"portfolio": portfolio, "hash": found.hash, "limits": found.as_text()})
        return
    print_table(f"Limits of portfolio {portfolio}, {found.hash[:12]}", ["limit", "value"], [*found.as_text().items()])


@app.command()
def events(
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: every one.")] = None,
    passed: Annotated[bool, typer.Option("--passed", help="Also orders that passed every limit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what was stopped or had to wait, by which limit, and what would have been allowed.

    When: an order was stopped, or waited, and you want to know by what.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none; 2 there is no such portfolio.
    JSON: portfolio, events[session, client_order_id, verdict, limit, value, threshold, at, checked{*}].
    Example: scizor risk events --portfolio main --date 2026-11-20
    """
    from scizor_dagster.risk.events import risk_events_of

    session = dates.parse_date(day, "--date") if day is not None else None
    desk = open_desk()
    check_portfolio(desk, portfolio)
    found = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            account = desk.portfolio(portfolio).account
            rows = risk_events_of(connection, account, session, passed=passed)
        found = [row for row in rows if row.portfolio == portfolio]
    columns = ("session", "client_order_id", "verdict", "limit", "value", "threshold")
    if as_json:
        names = (*columns, "at", "checked")
        emit_json({"portfolio": portfolio, "events": [{name: getattr(row, name) for name in names} for row in found]})
        return
    print_table(f"Verdicts on {portfolio}", columns, [[getattr(row, name) for name in columns] for row in found])


@app.command()
def locks(portfolio: PortfolioOption = "main", as_json: JsonOption = False) -> None:
    """Show the locks of protections, and the open breaks of the account: what may not be traded, why, until when.

    When: a plan leaves an instrument out with the reason `locked` or `frozen`.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none; 2 there is no such portfolio.
    JSON: portfolio, locks[lock_id, kind, symbol, from_session, until_session, lifted_by, reason], open_breaks[*].
    Example: scizor risk locks --portfolio main
    """
    from scizor_dagster.cli.reconcile import print_open_breaks
    from scizor_dagster.flow.open_breaks import open_breaks_of
    from scizor_dagster.risk.locks import locks_of

    desk = open_desk()
    check_portfolio(desk, portfolio)
    found = []
    if desk.has_ledger:
        with desk.ledger.read() as connection:
            found = locks_of(connection, desk.portfolio(portfolio).account, portfolio)
    columns = ("lock_id", "kind", "symbol", "from_session", "until_session", "lifted_by", "reason")
    rows = [{name: getattr(lock, name) for name in columns} for lock in found]
    breaks = open_breaks_of(desk, portfolio)
    if as_json:
        emit_json({"portfolio": portfolio, "locks": rows, "open_breaks": breaks})
        return
    print_table(f"Locks of {portfolio}", columns, [[*row.values()] for row in rows])
    print_open_breaks(f"Open breaks of account {desk.portfolio(portfolio).account}", breaks)


@app.command()
def unlock(
    lock_id: Annotated[str, typer.Argument(help="Id of the lock, as `scizor risk locks` shows it.")],
    reason: ReasonOption,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a lock before its time.

    When: the reason of a lock has been looked into, and does not hold.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 lifted; 2 there is no such lock, or it is lifted already.
    JSON: lock_id, lifted_by.
    Example: scizor risk unlock 1f0c22ab --reason "the exit was a transfer, no loss"
    """
    from scizor_dagster.risk.locks import lift

    desk = open_desk()
    actor = actor_of(by)
    if not desk.has_ledger:
        raise InputError("There is no such lock.", remedy="See: scizor risk locks.", where=f"lock {lock_id}")
    with desk.ledger.transaction() as connection:
        lift(connection, lock_id, actor=actor, reason=reason, now=dates.now())
    if as_json:
        emit_json({"lock_id": lock_id, "lifted_by": actor})
        return
    typer.echo(f"lock {lock_id} lifted by {actor}")


@app.command(name="accept-break")
def accept_break(
    break_id: Annotated[str, typer.Argument(help="Id of the break, as `scizor reconcile` shows it.")],
    reason: ReasonOption,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a break as it is: its lock ends, and it is found no more while it stays the same.

    When: a break is explained, and will not go away.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 accepted; 2 there is no such open break.
    JSON: break_id, kind, symbol, accepted_by.
    Example: scizor risk accept-break 1f0c22ab93d0 --reason "shares that I bought by hand and keep"
    """
    from scizor_dagster.ledger.breaks import accept_break as accept

    desk = open_desk()
    actor = actor_of(by)
    if not desk.has_ledger:
        raise InputError("There is no such break.", remedy="See: scizor reconcile.", where=f"break {break_id}")
    with desk.ledger.transaction() as connection:
        row = accept(connection, break_id, actor=actor, reason=reason, now=dates.now())
    if as_json:
        emit_json({"break_id": break_id, "kind": row.kind, "symbol": row.symbol, "accepted_by": actor})
        return
    typer.echo(f"break {break_id} ({row.kind} {row.symbol or ''}) accepted by {actor}".replace(" )", ")"))


@app.command(name="accept-equity")
def accept_equity(
    day: Annotated[str, typer.Option("--session", help="Session whose orders wait.")],
    reason: ReasonOption,
    equity: Annotated[str | None, typer.Option(help="The equity that is right; without it, it is shown.")] = None,
    portfolio: PortfolioOption = "main",
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a jump of the equity that keeps a session's orders waiting; then run the session again.

    What is accepted is the amount that you name, and no other: where the equity is another one when the session runs,
    its orders wait again.

    When: orders wait because the equity has jumped, and the jump is right.
    Writes: A row of the ledger's history, with your name and reason.
    Exit codes: 0 accepted; 2 another amount was named, or there is none to accept.
    JSON: portfolio, session, equity, accepted_by, new.
    Example: scizor risk accept-equity --session 2026-11-20 --equity 203150.75 --reason "the merger was paid in cash"
    """
    from scizor_dagster.risk.acceptance import accept_equity as accept

    session = dates.parse_date(day, "--session")
    desk = open_desk()
    check_portfolio(desk, portfolio).require(session)
    actor = actor_of(by)
    reason = reason_of(reason)
    amount = _named_equity(desk, portfolio, session, equity)
    with desk.ledger.transaction() as connection:
        account = desk.portfolio(portfolio).account
        new = accept(connection, account, portfolio, session, amount, actor=actor, reason=reason, now=dates.now())
    if as_json:
        body = {"portfolio": portfolio, "session": session, "equity": amount, "accepted_by": actor, "new": new}
        emit_json(body)
        return
    done = f"portfolio {portfolio}: the equity before {session}, {amount:,.2f}, is accepted"
    typer.echo(done + ("" if new else " (it was before)"))


def _named_equity(desk: Desk, portfolio: str, session: date, text: str | None) -> Decimal:
    """The equity before the session, where it is the one that was named.

    Raises:
        InputError: none was named, another one was, or there is none to accept.
    """
    from scizor_dagster.flow.risk import facts_of
    from scizor_dagster.risk.acceptance import ROUNDING

    facts = facts_of(desk, portfolio)(session) if desk.has_lake else None
    if facts is None or facts.equity is None:
        raise InputError(
            f"The equity before {session} is not known.", remedy="Collect the prices first.", where="--session"
        )
    found = facts.equity.quantize(ROUNDING)
    before = "not known" if facts.equity_before is None else f"{facts.equity_before:,.2f}"
    shown = f"The equity before {session} is {found:,.2f}, and the one before that was {before}"
    remedy = f"If it is right, name it: --equity {found}."
    if text is None:
        raise InputError(f"{shown}.", remedy=remedy, where="--equity")
    if abs(parse_amount(text, "--equity", example=f"{found}", sign="any") - found) > ROUNDING:
        raise InputError(f"{shown}; {text} is another one.", remedy=remedy, where="--equity")
    return found
