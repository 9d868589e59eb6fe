"""The four files of a plan, as `scizor plan --out` and `scizor export` write them, and the summary of what they hold.

What belongs here: their columns and rows. What does not: what is ordered (`planner`), and how a table becomes a file
(`tabular`).

`planned_orders` and `rebalance_plan` show the plan before the minimum-notional filter, the files ending in `_real`
show what is left after it: the orders that would be sent, and the lines without those that the filter left out. An
order that the filter left out has no client order id. New columns are appended, so that the place of one never changes.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.planning.files import FileInputs
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.planning.quantities import ZERO, plain
from scizor_dagster.tabular.model import Column, Kind, Row, Table
from scizor_dagster.tabular.whole_files import write_whole
from scizor_dagster.tabular.writers import csv_bytes

FINE = 18
"""Digits after the point that hold a price or a weight which came from a float of 64 bits."""

ORDERS = (
    Column("trade_date", Kind.DATE, "the session that the order is for"),
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("side", Kind.TEXT, "`BUY` or `SELL`"),
    Column("qty", Kind.NUMBER, "shares, without a sign"),
    Column("order_type", Kind.TEXT, "`MARKET`, `LIMIT`, ..."),
    Column("time_in_force", Kind.TEXT, "`DAY`, ..."),
    Column("price_used", Kind.NUMBER, "reference price that sized it, in the plan's currency", FINE),
    Column("notional", Kind.NUMBER, "`qty` times `price_used`, in the plan's currency", FINE),
    Column("tp_price", Kind.NUMBER, "take-profit of its bracket, in the plan's currency", FINE),
    Column("sl_price", Kind.NUMBER, "stop of its bracket, in the plan's currency", FINE),
    Column("reason", Kind.TEXT, "why it is ordered, or `below_min_notional`"),
    Column("client_order_id", Kind.TEXT, "its id at the broker; none where the minimum leaves it out"),
    Column("limit_price", Kind.NUMBER, "in the plan's currency", FINE),
    Column("intent", Kind.TEXT, "`buy_to_open`, `sell_to_close`, ..."),
    Column("leg", Kind.COUNT, "2 for the part of a crossing of zero that waits for the first"),
    Column("slice", Kind.COUNT, "number of the slice within its leg, from 1"),
    Column("phase", Kind.COUNT, "1 for what frees cash, 2 for what needs it"),
    Column("depends_on", Kind.TEXT, "ids, with blanks between, that must have filled whole before it"),
)
LINES = (
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("current_qty", Kind.NUMBER, "signed shares held before the plan"),
    Column("target_weight", Kind.NUMBER, "share of the equity", FINE),
    Column("price", Kind.NUMBER, "reference price, in the plan's currency", FINE),
    Column("target_qty", Kind.NUMBER, "signed shares wanted"),
    Column("delta_qty", Kind.NUMBER, "signed shares to trade, or that the reason withholds"),
    Column("reason", Kind.TEXT, "why there are orders, or why there are none ([planning.md](planning.md#reasons))"),
)
ORDER_COLUMNS = tuple(column.name for column in ORDERS)
LINE_COLUMNS = tuple(column.name for column in LINES)


def plan_tables(plan: Plan) -> dict[str, Table]:
    """The four tables by the names of their files, without an ending."""
    sent = [_order_row(plan, order) for order in plan.orders]
    small = [line for line in plan.lines if line.reason is Reason.BELOW_MIN_NOTIONAL]
    left_out = [_small_row(plan, line) for line in small]
    kept = [line for line in plan.lines if line.reason is not Reason.BELOW_MIN_NOTIONAL]
    return {
        "planned_orders": Table(ORDERS, sent + left_out),
        "planned_orders_real": Table(ORDERS, sent),
        "rebalance_plan": Table(LINES, [_line_row(line) for line in plan.lines]),
        "rebalance_plan_real": Table(LINES, [_line_row(line) for line in kept]),
    }


def write_plan(plan: Plan, folder: Path) -> dict[str, Path]:
    """Write the four files; each appears whole, and none if any cannot be written.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    return write_whole(
        [(f"{name}.csv", csv_bytes(table)) for name, table in plan_tables(plan).items()],
        folder,
        what="The plan",
        remedy="Name a folder that can be written to with --out.",
    )


def summary(plan: Plan, read: FileInputs) -> dict[str, Any]:
    """What a program or a person wants to know of a plan made from files; plain JSON values."""
    reasons = Counter(line.reason.value for line in plan.lines)
    traded = dict.fromkeys(Side, ZERO)
    for order in plan.orders:
        traded[order.side] += order.notional
    opened = sum(order.intent is PositionIntent.BUY_TO_OPEN for order in plan.orders)
    return {
        "status": "planned",
        "plan_id": plan.plan_id,
        "trade_date": plan.session.isoformat(),
        "equity": plain(plan.equity),
        "cash_buffer": plain(plan.cash_buffer),
        "overflow_factor": plain(plan.overflow_factor),
        "lines": len(plan.lines),
        "orders": len(plan.orders),
        "buys_to_open": opened,
        "below_min_notional": reasons[Reason.BELOW_MIN_NOTIONAL.value],
        "buy_notional": f"{traded[Side.BUY]:.2f}",
        "sell_notional": f"{traded[Side.SELL]:.2f}",
        "reasons": dict(sorted(reasons.items())),
        "unpriced": list(read.unpriced),
        "ambiguous": [
            {
                "asset_id": item.asset_id,
                "candidates": list(item.candidates),
                "chosen": item.chosen,
                "note": item.note,
            }
            for item in read.ambiguities
        ],
        "notes": list(plan.notes),
        "line_notes": {line.symbol: line.note for line in plan.lines if line.note},
    }


def _order_row(plan: Plan, order: PlannedOrder) -> Row:
    return (
        plan.session, order.symbol, order.side.value.upper(), order.qty,
        order.order_type.value.upper(), order.time_in_force.value.upper(), order.price_used,
        order.notional, order.take_profit, order.stop_loss, order.reason.value,
        order.client_order_id, order.limit_price, order.intent.value, order.leg, order.slice,
        order.phase, " ".join(order.depends_on),
    )  # fmt: skip


def _small_row(plan: Plan, line: PlanLine) -> Row:
    assert line.price is not None, line.symbol
    side = "BUY" if line.delta_qty > 0 else "SELL"
    qty: Decimal = abs(line.delta_qty)
    return (
        plan.session, line.symbol, side, qty, "MARKET", "DAY", line.price, qty * line.price, None, None,
        line.reason.value, None, None, None, None, None, None, None,
    )  # fmt: skip


def _line_row(line: PlanLine) -> Row:
    return (
        line.symbol, line.current_qty + line.kept_qty, line.target_weight, line.price, line.target_in_all,
        line.delta_qty, line.reason.value,
    )  # fmt: skip
