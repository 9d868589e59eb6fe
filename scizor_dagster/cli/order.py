"""`scizor order place | cancel | list | show`: orders that a person places, and all that there are.

What belongs here: the commands. What does not: what an order is made of and when it goes out (`flow.manual_orders`),
and taking one back (`flow.orders`).
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.amounts import Sign, parse_amount
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import confirm, emit_json, print_table
from scizor_dagster.cli.preflight import open_desk

if TYPE_CHECKING:
    from scizor_dagster.flow.order_requests import PlacedOrder

app = typer.Typer(help="Place an order by hand, take one back, and see all that there are.", no_args_is_help=True)
ReasonOption = Annotated[str, typer.Option(help="Why; it stands in the ledger beside the order.")]
LOOK = "Look at it with --dry-run, then give --yes. Nothing was placed."
COLUMNS = ("client_order_id", "session", "symbol", "side", "qty", "filled_qty", "state", "origin", "actor")


class SideName(StrEnum):
    BUY = "buy"
    SELL = "sell"


class TypeName(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    MOO = "moo"
    MOC = "moc"


@app.command()
def place(
    instrument: Annotated[str, typer.Argument(help="Ticker, or TICKER.MIC.")],
    reason: ReasonOption,
    side: Annotated[SideName | None, typer.Option(help="With --quantity or --notional.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Shares.")] = None,
    notional: Annotated[str | None, typer.Option(help="Value that is not exceeded, in the market's currency.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Shares to own afterwards, negative for a short; 0 closes.")
    ] = None,
    order_type: Annotated[
        TypeName | None, typer.Option("--type", help="Default: as the portfolio's own orders, without a bracket.")
    ] = None,
    limit: Annotated[str | None, typer.Option(help="Limit price; the type is limit then.")] = None,
    portfolio: PortfolioOption = "main",
    day: Annotated[str | None, typer.Option("--date", help="Session; default: today's at the exchange.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--idempotency-key", help="Makes a repeated call the same order; default: a random one."),
    ] = None,
    approve: Annotated[
        str, typer.Option(help="Where plans are approved: id of the plan that you have looked at with --dry-run.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check it; send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Order one instrument by hand: a plan of one line, by the rules and through the checks of every other plan.

    The portfolio must say what becomes of such orders (manual_orders: keep or absorb). It is taken whole or not at all.
    Called again with the same key it is the same order, whatever happened in between; the key is printed.

    When: something must be bought or sold that no strategy asks for.
    Writes: The plan, and the order in the ledger before it is sent; nothing with --dry-run.
    Exit codes: 0 placed, or looked at; 1 a check or the broker has refused it; 2 it cannot be meant so.
    JSON: idempotency_key, portfolio, account, session, plan_id, batch_id, state, created, actor, reason,
    next_rebalance, line{symbol, current_qty, delta_qty, price, reason, note}, orders[*],
    verdicts[decision, sentence], notes.
    Example: scizor order place AAPL --side buy --quantity 10 --reason "hedge until Friday" --dry-run
    Example: scizor order place AAPL --target 0 --reason "out before the results"
    """
    from scizor_dagster.brokers.protocol import Side
    from scizor_dagster.flow.manual_orders import place_order
    from scizor_dagster.flow.order_requests import OrderAsked

    desk, actor = open_desk(), actor_of(by)
    mode = TypeName.LIMIT if limit is not None and order_type is None else order_type
    asked = OrderAsked(
        portfolio=portfolio,
        instrument=instrument,
        side=None if side is None else Side(side.value),
        quantity=_number(quantity, "--quantity"),
        notional=_number(notional, "--notional"),
        target=_number(target, "--target", "any"),
        mode=None if mode is None else mode.value,
        limit_price=_number(limit, "--limit"),
        session=None if day is None else dates.parse_date(day, "--date"),
    )
    terms: dict[str, Any] = {"actor": actor, "key": key or secrets.token_hex(16), "reason": reason}
    try:
        if dry_run or not yes:
            looked = place_order(desk, asked, **terms, dry_run=True)
            if dry_run or looked.batch_id is not None:
                _show(looked, as_json=as_json)
                raise typer.Exit(0)
            if not as_json:
                _print(looked)
            confirm("Place exactly this order?", LOOK, as_json=as_json)
            approve = approve or looked.plan_id
        placed = place_order(desk, asked, **terms, approves=approve)
    finally:
        desk.disconnect()
    _show(placed, as_json=as_json)
    raise typer.Exit(1 if _refused(placed) else 0)


@app.command()
def cancel(
    client_order_id: Annotated[str, typer.Argument(help="Id of the order, as `scizor order list` shows it.")],
    reason: ReasonOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take one order back, whoever has caused it; called again it is the same cancel.

    What was not sent yet never is. What has filled until the broker takes the cancel counts. Where it
    may still be open, every run asks again.

    When: an order that is open should not be.
    Writes: The request in the ledger, and what the broker answers.
    Exit codes: 0 it has ended; 1 it may still be open, and the answer says why; 2 there is no such order.
    JSON: client_order_id, broker_order_id, account, portfolio, session, symbol, instrument, side, qty, filled_qty,
    order_type, time_in_force, limit_price, state, reason, updated_at, origin, idempotency_key, actor, why, asked_by,
    note.
    Example: scizor order cancel SCZ_20261120_2_AAPL_B_3f9c02a41be7 --reason "entered twice"
    """
    from scizor_dagster.flow.orders import cancel_order, order_named

    desk, actor = open_desk(), actor_of(by)
    try:
        known = order_named(desk, client_order_id)
        if not yes and not known.intent.state.terminal:
            row = known.intent
            question = f"Take back {row.side} {row.qty.normalize():f} {row.symbol} ({row.state})?"
            confirm(question, "Give --yes. Nothing was canceled.", as_json=as_json)
        canceled = cancel_order(desk, client_order_id, actor=actor, reason=reason)
    finally:
        desk.disconnect()
    row = canceled.order.intent
    if as_json:
        emit_json(canceled.order.to_json() | {"asked_by": canceled.asked_by, "note": canceled.note})
    else:
        said = (
            f"{row.client_order_id} is {row.state}, {row.filled_qty.normalize():f} of {row.qty.normalize():f} filled."
        )
        typer.echo(f"{said} {canceled.note}".strip())
    raise typer.Exit(0 if row.state.terminal else 1)


@app.command(name="list")
def list_orders(
    portfolio: Annotated[str | None, typer.Option(help="One portfolio; default: all.")] = None,
    day: Annotated[str | None, typer.Option("--date", help="One session; default: all.")] = None,
    manual: Annotated[bool, typer.Option("--manual", help="Only what people have placed by hand.")] = False,
    most: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many, the newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the orders of the ledger, the newest session first, with who has asked for those placed by hand.

    When: you want to know what was ordered, by whom.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: orders[client_order_id, broker_order_id, account, portfolio, session, symbol, instrument, side, qty,
    filled_qty, order_type, time_in_force, limit_price, state, reason, updated_at, origin, idempotency_key, actor, why].
    Example: scizor order list --portfolio main --manual
    """
    from scizor_dagster.flow.orders import orders_of

    session = None if day is None else dates.parse_date(day, "--date")
    found = orders_of(open_desk(), portfolio, session=session, by_hand=manual, most=most)
    rows = [item.to_json() for item in found]
    if as_json:
        emit_json({"orders": rows})
        return
    if not rows:
        typer.echo("There are no such orders.")
        return
    print_table("Orders", COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


@app.command()
def show(
    client_order_id: Annotated[str, typer.Argument(help="Id of the order, as `scizor order list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Show one order: its terms, who has asked for it, how far it has come, and its fills.

    When: you want to know how far one order has come.
    Writes: Nothing.
    Exit codes: 0 shown; 2 there is no such order.
    JSON: client_order_id, broker_order_id, account, portfolio, session, symbol, instrument, side, qty, filled_qty,
    order_type, time_in_force, limit_price, state, reason, updated_at, origin, idempotency_key, actor, why,
    fills[fill, at, qty, price, fee].
    Example: scizor order show SCZ_20261120_2_AAPL_B_3f9c02a41be7
    """
    from scizor_dagster.flow.orders import fills_of_order, order_named

    desk = open_desk()
    known = order_named(desk, client_order_id)
    body, fills = known.to_json(), fills_of_order(desk, known)
    if as_json:
        emit_json(body | {"fills": fills})
        return
    print_table("Order", ("", "value"), [(name, value) for name, value in body.items() if value is not None])
    if fills:
        print_table("Fills", list(fills[0]), [list(row.values()) for row in fills])
    typer.echo(f"How it came about: scizor explain {known.intent.client_order_id}")


def _number(text: str | None, option: str, sign: Sign = "positive") -> Decimal | None:
    return None if text is None else parse_amount(text, option, example="12.5", sign=sign)


def _refused(placed: PlacedOrder) -> bool:
    return any(order.state.value in ("rejected", "blocked", "unknown") for order in placed.orders)


def _show(placed: PlacedOrder, *, as_json: bool) -> None:
    if as_json:
        emit_json(placed.to_json())
    else:
        _print(placed)


def _print(placed: PlacedOrder) -> None:
    line = placed.line
    if line is not None:
        price = "none" if line.price is None else f"{line.price:f} of {line.price_session}"
        row = (line.symbol, f"{line.current_qty:f}", f"{line.delta_qty:+f}", price, line.reason.value, line.note)
        print_table(
            f"Plan {placed.plan_id[:12]} of portfolio {placed.portfolio} for {placed.session}",
            ("symbol", "held", "change", "reference price", "reason", "note"),
            [row],
        )
    for verdict in placed.verdicts:
        good = verdict.decision.value == "passed"
        said = "The checks let it go out." if good else f"The checks would not let it go out: {verdict.sentence}."
        typer.secho(said, fg=None if good else typer.colors.YELLOW)
    if placed.orders:
        rows = [
            (
                order.client_order_id,
                order.side,
                f"{order.planned_qty:f}",
                f"{order.filled_qty:f}",
                order.state,
                order.reason,
            )
            for order in placed.orders
        ]
        print_table("Orders", ("client_order_id", "side", "qty", "filled", "state", "reason"), rows)
    for note in placed.notes:
        typer.echo(f"- {note}")
    then = "sets apart what it buys" if placed.policy == "keep" else "trades it back to the targets"
    typer.echo(f"Idempotency key {placed.key}. The next rebalance {then}.")
