"""Plans in the lake: to tables and back without losing a digit.

What belongs here: the columns of `plans`, `plan_lines`, `planned_orders` and `plan_inputs`. What does not: when a
plan is made or admitted (`assets`, `ledger`).

Decimals travel as plain text and tuples as JSON, so that reading a stored plan gives an equal one.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scizor_dagster.brokers.protocol import OrderType, PositionIntent, Side, TimeInForce
from scizor_dagster.lake.tables import replace_rows
from scizor_dagster.planning.archives import PlanArchive, digest_of, read_archive
from scizor_dagster.planning.model import OF_WEIGHTS, Plan, PlanLine, PlannedOrder, Provenance, Reason
from scizor_dagster.planning.orders import sort_key

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from scizor_dagster.lake.connection import Lake

LINE_COLUMNS = (
    "symbol", "instrument_id", "current_qty", "target_weight", "price", "price_session", "price_source",
    "target_qty", "delta_qty", "reason", "note", "asset_ids", "working_qty",
    "kept_qty",
)  # fmt: skip
ORDER_COLUMNS = (
    "client_order_id", "symbol", "instrument_id", "side", "qty", "order_type", "time_in_force", "intent",
    "price_used", "leg", "slice", "phase", "reason", "depends_on", "limit_price", "take_profit", "stop_loss",
)  # fmt: skip
PLAN_COLUMNS = (
    "portfolio", "account", "session", "batch", "plan_id", "currency", "equity", "cash_buffer", "priced_on",
    "adjustment", "overflow_factor", "notes", "origin",
)  # fmt: skip
PROVENANCE_COLUMNS = ("lake_snapshot", "code_version")
BY_WEIGHTS = f"coalesce(origin, '{OF_WEIGHTS}') = '{OF_WEIGHTS}'"
"""Condition on `plans` that leaves manual orders out; plans from before there were any name no origin."""


def plan_frames(
    plan: Plan, archive: PlanArchive, *, lake_snapshot: int, code_version: str, source: str, fetched_at: datetime
) -> dict[str, pd.DataFrame]:
    """The rows of a plan for the lake's tables `plans`, `plan_lines`, `planned_orders` and `plan_inputs`.

    Args:
        plan: The plan.
        archive: What it was made from.
        lake_snapshot: Snapshot of the lake that its inputs were read from.
        code_version: Version of the code that made it.
        source: Where the rows come from, for the lake's provenance column.
        fetched_at: Aware instant of making.
    """
    import pandas as pd

    text = archive.text()
    origin = {"source": source, "fetched_at": fetched_at}
    key = {"plan_id": plan.plan_id, "portfolio": plan.portfolio, "session": plan.session}
    head = _record(plan, PLAN_COLUMNS) | {
        "lake_snapshot": lake_snapshot, "code_version": code_version, "rules": archive.rules.as_text(),
        "inputs_sha256": digest_of(text),
    }  # fmt: skip
    lines = [key | _record(line, LINE_COLUMNS) | origin for line in plan.lines]
    orders = [key | _record(order, ORDER_COLUMNS) | origin for order in plan.orders]
    shared = [*key, *origin]
    return {
        "plans": pd.DataFrame([head | origin]),
        "plan_lines": pd.DataFrame(lines, columns=[*LINE_COLUMNS, *shared]),
        "planned_orders": pd.DataFrame(orders, columns=[*ORDER_COLUMNS, *shared]),
        "plan_inputs": pd.DataFrame([key | {"inputs": text} | origin]),
    }


def store_plan(
    lake: Lake,
    plan: Plan,
    archive: PlanArchive,
    *,
    lake_snapshot: int,
    code_version: str,
    source: str,
    fetched_at: datetime,
) -> None:
    """Store a plan in one transaction. Other plans of its session stay: one of them may have been admitted."""
    frames = plan_frames(
        plan, archive, lake_snapshot=lake_snapshot, code_version=code_version, source=source, fetched_at=fetched_at
    )
    with lake.write() as cursor:
        for table, frame in frames.items():
            replace_rows(cursor, table, frame, "plan_id = ?", [plan.plan_id])


def read_plan(lake: Lake, portfolio: str, session: date, plan_id: str | None = None) -> Plan | None:
    """Read a stored plan as an equal object, or None: the one with `plan_id`, else the newest that weights made."""
    where = "portfolio = ? AND session = ? AND " + ("plan_id = ?" if plan_id is not None else BY_WEIGHTS)
    key = [portfolio, session] + ([plan_id] if plan_id is not None else [])
    with lake.read() as cursor:
        newest = f"{where} ORDER BY batch DESC, fetched_at DESC LIMIT 1"
        heads = _rows(cursor, "plans", (*PLAN_COLUMNS, *PROVENANCE_COLUMNS), newest, key)
        if not heads:
            return None
        head = heads[0]
        lines = _rows(cursor, "plan_lines", LINE_COLUMNS, "plan_id = ? ORDER BY symbol", [head["plan_id"]])
        orders = _rows(cursor, "planned_orders", ORDER_COLUMNS, "plan_id = ?", [head["plan_id"]])
    made = sorted((_order(row) for row in orders), key=sort_key)
    return _plan(head, tuple(_line(row) for row in lines), tuple(made))


def read_inputs(lake: Lake, plan_id: str) -> PlanArchive | None:
    """What the plan was made from; None for a plan that is not there, or from before inputs were kept.

    Raises:
        DataError: the inputs were changed after the plan was made.
    """
    with lake.read() as cursor:
        found = cursor.execute(
            "SELECT i.inputs, p.inputs_sha256 FROM plan_inputs i JOIN plans p USING (plan_id) WHERE plan_id = ?",
            [plan_id],
        ).fetchone()
    return None if found is None else read_archive(found[0], found[1] or "", f"plan {plan_id[:12]}")


def _record(item: Plan | PlanLine | PlannedOrder, columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: _stored(getattr(item, name)) for name in columns}


def _stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(value) if isinstance(value, str) else value


def _rows(
    cursor: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...], where: str, key: list[Any]
) -> list[dict[str, Any]]:
    found = cursor.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", key).fetchall()
    return [dict(zip(columns, row, strict=True)) for row in found]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _plan(row: dict[str, Any], lines: tuple[PlanLine, ...], orders: tuple[PlannedOrder, ...]) -> Plan:
    amounts = {name: Decimal(row[name]) for name in ("equity", "cash_buffer", "overflow_factor")}
    made = Provenance(**{name: row.pop(name) for name in PROVENANCE_COLUMNS})
    stored = row | amounts | {"notes": tuple(json.loads(row["notes"])), "origin": row["origin"] or OF_WEIGHTS}
    return Plan(**stored, lines=lines, orders=orders, provenance=made)


def _line(row: dict[str, Any]) -> PlanLine:
    exact = {name: _decimal(row[name]) for name in ("current_qty", "target_weight", "price", "target_qty", "delta_qty")}
    # Plans from before lines named them set nothing apart, and have an open order in their notes.
    exact |= {name: _decimal(row[name] or "0") for name in ("working_qty", "kept_qty")}
    words = {"reason": Reason(row["reason"]), "asset_ids": tuple(json.loads(row["asset_ids"]))}
    return PlanLine(**(row | exact | words))


def _order(row: dict[str, Any]) -> PlannedOrder:
    exact = {name: _decimal(row[name]) for name in ("qty", "price_used", "limit_price", "take_profit", "stop_loss")}
    words = {
        "side": Side(row["side"]),
        "order_type": OrderType(row["order_type"]),
        "time_in_force": TimeInForce(row["time_in_force"]),
        "intent": PositionIntent(row["intent"]),
        "reason": Reason(row["reason"]),
        "depends_on": tuple(json.loads(row["depends_on"])),
    }
    return PlannedOrder(**(row | exact | words))
