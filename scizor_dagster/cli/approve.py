"""`scizor approve`: a person looks at a plan and releases it, or takes that back.

What belongs here: showing the plan beside the one before it, and asking. What does not: which plans may be approved
(`flow.approving`), and approving held weights (`approvals`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli.actor import ActorOption, actor_of
from scizor_dagster.cli.completing import autocompletion, plans
from scizor_dagster.cli.options import ReasonOption
from scizor_dagster.cli.output import confirm, emit_json, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.cli.run import session_to_trade
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.planning.comparison import PlanDifference
    from scizor_dagster.planning.model import Plan

SHOWN = 50


def approve(
    name: Annotated[
        str,
        typer.Argument(
            help="A portfolio, or the first 8 or more digits of a plan's id.", autocompletion=autocompletion(plans)
        ),
    ],
    day: Annotated[
        str | None, typer.Option("--date", help="Session of the portfolio's plan; default: today's.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show the plan.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an approval back that has sent nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: ReasonOption = "",
    by: ActorOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as JSON; needs --yes or --show.")] = False,
) -> None:
    """Release one plan of a portfolio with `approval: manual`: exactly this plan, and for its session alone.

    Shows the plan beside the one before it: which targets changed, what is ordered, its turnover, its warnings. Then it
    asks. The plan that you approve is the one that is sent, byte for byte, by the next `scizor run` or the next tick of
    the sensor `unfinished_orders`; it is not made anew. Another plan needs an approval of its own.

    When: a portfolio has `approval: manual`, and a notice says that a plan waits.
    Writes: The approval, or that it is taken back, in the ledger; with --show nothing. The next run sends the orders.
    Exit codes: 0 approved, taken back or shown; 1 you said no; 2 there is no such plan, or it cannot be
    approved any more.
    JSON: plan_id, portfolio, session, compared_with, changed_targets[symbol, from, to], orders[symbol, side, qty,
    notional], buys, sales, notional, turnover, currency, warnings, approved?, by?, at?, reason?.
    Example: scizor approve main
    Example: scizor approve 3f0a9c21 --yes
    """
    from scizor_dagster.flow import approving

    desk = open_desk()
    portfolio = name if name in desk.config.portfolios else None
    calendar = check_portfolio(desk, portfolio) if portfolio is not None else None
    if day is not None and calendar is None:
        raise InputError(
            "--date goes with a portfolio; a plan has its session.", remedy="Leave it out.", where="--date"
        )
    at = desk.clock().date()
    if calendar is not None:
        first = desk.market(desk.portfolio(name).market).first_session
        at = session_to_trade(calendar, day, first, desk.clock())
    plan = approving.find_plan(desk, name, at)
    difference = approving.difference_of(desk, plan)
    if not as_json:
        _print_plan(plan, difference)
    if show:
        if as_json:
            emit_json(_plan_json(plan, difference))
        return
    act = approving.withdraw if withdraw else approving.approve
    if not yes:
        question = "Take this approval back?" if withdraw else "Carry out exactly this plan?"
        confirm(question, "Look at it with --show, then give --yes. Nothing was decided.", as_json=as_json)
    made = act(desk, plan, actor=actor_of(by), reason=reason.strip())
    if as_json:
        decided = {"approved": made.approved, "by": made.actor, "at": made.at.isoformat(), "reason": made.reason}
        emit_json(_plan_json(plan, difference) | decided)
        return
    if withdraw:
        typer.echo(f"The approval of plan {plan.plan_id[:12]} is taken back by {made.actor}; it is not carried out.")
        return
    typer.echo(
        f"The {made.sentence}, for {plan.session}. Carry it out now: scizor run --portfolio {plan.portfolio} "
        f"--date {plan.session}; or leave it to the sensor unfinished_orders, where that is on."
    )


def _print_plan(plan: Plan, difference: PlanDifference) -> None:
    against = f"against the plan of {difference.before}" if difference.before else "the portfolio's first"
    typer.echo(f"Plan {plan.plan_id[:12]} of portfolio {plan.portfolio} for {plan.session}, {against}.")
    changed = [(item.symbol, f"{item.before:.4%}", f"{item.after:.4%}") for item in difference.changes]
    if changed:
        print_table("Targets that changed", ("symbol", "from", "to"), _cut(changed))
    columns = ("symbol", "side", "qty", "price_used", "notional", "reason")
    orders: list[tuple[object, ...]] = [
        (row.symbol, row.side, f"{row.qty.normalize():f}", row.price_used, f"{row.notional:,.2f}", row.reason)
        for row in plan.orders
    ]
    if orders:
        print_table("Orders", columns, _cut(orders))
    for warning in difference.warnings:
        typer.secho(f"- {warning}", fg=typer.colors.YELLOW)
    typer.echo(
        f"{difference.orders} orders, buys {difference.buys:,.2f}, sales {difference.sales:,.2f} {plan.currency}, "
        f"{difference.turnover:.2%} of the equity of {plan.equity:,.2f}."
    )


def _cut(rows: list[Any]) -> list[Any]:
    left = len(rows) - SHOWN
    return [*rows[:SHOWN], (f"{left} more", *[""] * (len(rows[0]) - 1))] if left > 0 else rows


def _plan_json(plan: Plan, difference: PlanDifference) -> dict[str, Any]:
    """Amounts and weights are exact, as text."""
    return {
        "plan_id": plan.plan_id,
        "portfolio": plan.portfolio,
        "session": plan.session.isoformat(),
        "compared_with": difference.before.isoformat() if difference.before else None,
        "changed_targets": [
            {"symbol": item.symbol, "from": f"{item.before:f}", "to": f"{item.after:f}"} for item in difference.changes
        ],
        "orders": [
            {"symbol": row.symbol, "side": row.side.value, "qty": f"{row.qty:f}", "notional": f"{row.notional:f}"}
            for row in plan.orders
        ],
        "buys": f"{difference.buys:f}",
        "sales": f"{difference.sales:f}",
        "notional": f"{difference.notional:f}",
        "turnover": float(difference.turnover),
        "currency": plan.currency,
        "warnings": list(difference.warnings),
    }
