"""`scizor costs`: what orders cost, by what they have in common, and what the next ones are expected to cost.

What belongs here: printing what is stored. What does not: measuring it (`flow.costs`).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.options import JsonOption, PortfolioOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_portfolio, open_desk
from scizor_dagster.errors import InputError

if TYPE_CHECKING:
    from scizor_dagster.analytics.costs_store import OrderCost
    from scizor_dagster.analytics.costs_summary import CostGroup
    from scizor_dagster.flow.costs import CostReport

_CENT = Decimal("0.01")
_TENTH = Decimal("0.1")


def costs(
    portfolio: PortfolioOption = "main",
    first: Annotated[str | None, typer.Option("--from", help="First session; default: the first measured.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last session; default: the last measured.")] = None,
    by: Annotated[
        str, typer.Option(help="session, month, symbol, side, strategy, order_type, size or state.")
    ] = "session",
    worst: Annotated[int, typer.Option(min=0, help="How many of the most expensive orders are named.")] = 10,
    orders: Annotated[bool, typer.Option("--orders", help="Each order, with its parts and prices.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what orders cost against the prices that they were decided on.

    Delay, half the spread, impact, fees, and what was planned and not filled; positive is a cost, basis points are of
    what was decided on. Beside it, what was estimated before, and the model for the next session. Costs are measured
    with the asset `performance`; to measure a session again, materialize it or run scizor reconcile.

    When: you wonder whether orders cost what you expected, and which do not.
    Writes: Nothing.
    Exit codes: 2 nothing has been measured yet, or an option is wrong.
    JSON: portfolio, by, total{*}, groups[*], worst[*], model{*}, orders[*]?.
    Example: scizor costs --portfolio main --from 2026-11-01 --by symbol
    """
    from scizor_dagster.analytics.costs_summary import GROUPINGS

    since, until = dates.parse_span(first, last)
    if by not in GROUPINGS:
        raise InputError(f"Costs are not grouped by '{by}'.", remedy=f"Use {', '.join(GROUPINGS)}.", where="--by")
    desk = open_desk()
    check_portfolio(desk, portfolio)
    if not desk.has_lake:
        raise InputError(
            "Nothing has been measured yet.", remedy="Run a session first: scizor run.", where=str(desk.settings.home)
        )
    from scizor_dagster.flow.costs import cost_report

    report = cost_report(desk, portfolio, since or date.min, until or date.max, by=by, worst=worst)
    if as_json:
        emit_json(_body(report, portfolio, by, orders=orders))
    else:
        _print(report, portfolio, by, orders=orders)


def _body(report: CostReport, portfolio: str, by: str, *, orders: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "portfolio": portfolio,
        "by": by,
        "total": report.total.record(),
        "groups": [group.record() for group in report.groups],
        "worst": [_order(row) for row in report.worst],
        "model": asdict(report.model),
    }
    return body | ({"orders": [_order(row) for row in report.rows]} if orders else {})


def _order(row: OrderCost) -> dict[str, Any]:
    return asdict(row) | {
        "side": row.side.value,
        "unknown": {part.value: why for part, why in row.unknown.items()},
        "left_out": [part.value for part in row.left_out],
    }


def _print(report: CostReport, portfolio: str, by: str, *, orders: bool) -> None:
    if not report.rows:
        typer.echo(f"No order of portfolio {portfolio} has been measured in these sessions.")
        return
    print_table(
        f"Costs of portfolio {portfolio} in {report.rows[0].currency}; positive is a cost",
        [by, *_GROUP_COLUMNS],
        [_group(group) for group in (*report.groups, report.total)],
    )
    if orders:
        print_table("Orders", _ORDER_COLUMNS, [_line(row) for row in report.rows])
    if report.worst:
        print_table("The most expensive orders", _ORDER_COLUMNS, [_line(row) for row in report.worst])
    total = report.total
    if total.unpriced or total.incomplete:
        typer.secho(
            f"{total.unpriced} order(s) have no known cost and are in no sum; {total.incomplete} leave a part out "
            "(--orders says which).",
            fg=typer.colors.YELLOW,
        )
    model = report.model
    typer.echo(
        f"Model for the next session: half spread {model.half_spread_bps:.2f} bps "
        f"(error {model.half_spread_error:.2f}), impact coefficient {model.impact_coefficient:.3f} "
        f"(error {model.impact_error:.3f}). {model.note}"
    )


_GROUP_COLUMNS = (
    "orders", "decided on", "delay", "spread", "impact", "fees", "missed", "total", "bps", "estimated bps",
    "realised bps",
)  # fmt: skip
_ORDER_COLUMNS = (
    "session", "symbol", "side", "planned", "filled", "decision", "arrival", "delay", "spread", "impact", "fees",
    "missed", "total", "bps", "remarks",
)  # fmt: skip


def _line(row: OrderCost) -> list[object]:
    remarks = [row.state, *([row.arrival_source] if row.arrival_price is not None else []), *_unknown(row)]
    return [
        row.session, row.symbol, row.side.value, _plain(row.planned_qty), _plain(row.filled_qty),
        _plain(row.decision_price), _plain(row.arrival_price), _money(row.delay), _money(row.spread),
        _money(row.impact), _money(row.fees), _money(row.missed), _money(row.total),
        None if row.total_bps is None else round(row.total_bps, 1), "; ".join(remarks),
    ]  # fmt: skip


def _unknown(row: OrderCost) -> list[str]:
    parts: dict[str, list[str]] = {}
    for part, why in row.unknown.items():
        parts.setdefault(why, []).append(part.value)
    return [f"{', '.join(names)} unknown: {why}" for why, names in parts.items()]


def _group(group: CostGroup) -> list[object]:
    return [
        group.label,
        group.orders,
        _money(group.decision_value),
        *(_money(amount) for amount in group.parts.values()),
        _money(group.total),
        *(_tenths(bps) for bps in (group.total_bps, group.estimated_bps, group.realised_bps)),
    ]


def _money(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(_CENT)


def _tenths(bps: Decimal | None) -> Decimal | None:
    return None if bps is None else bps.quantize(_TENTH)


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"
