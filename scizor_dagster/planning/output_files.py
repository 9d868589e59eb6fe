"""The four files of `scizor plan --out`, and the summary of what they hold.

What belongs here: columns, spelling and the writing of all files or none. What does not: what is
ordered (`planner`).

`planned_orders.csv` and `rebalance_plan.csv` show the plan before the minimum-notional filter, the
files ending in `_real` show what is left after it: the orders that would be sent, and the lines
without those that the filter left out. An order that the filter left out has no client order id. New
columns are appended, so that the place of one never changes.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from scizor_dagster.brokers.protocol import PositionIntent, Side
from scizor_dagster.errors import InputError
from scizor_dagster.planning.files import FileInputs
from scizor_dagster.planning.model import Plan, PlanLine, PlannedOrder, Reason
from scizor_dagster.planning.quantities import ZERO, plain

ORDER_COLUMNS = (
    "trade_date", "symbol", "side", "qty", "order_type", "time_in_force", "price_used", "notional",
    "tp_price", "sl_price", "reason", "client_order_id", "limit_price", "intent", "leg", "slice", "phase", "depends_on",
)  # fmt: skip
LINE_COLUMNS = ("symbol", "current_qty", "target_weight", "price", "target_qty", "delta_qty", "reason")
Row = tuple[str, ...]


def write_plan(plan: Plan, folder: Path) -> dict[str, Path]:
    """Write the four files; each appears whole, and none if any cannot be written.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    sent = [_order_row(plan, order) for order in plan.orders]
    small = [line for line in plan.lines if line.reason is Reason.BELOW_MIN_NOTIONAL]
    left_out = [_small_row(plan, line) for line in small]
    kept = [line for line in plan.lines if line.reason is not Reason.BELOW_MIN_NOTIONAL]
    contents = {
        "planned_orders.csv": _text(ORDER_COLUMNS, sent + left_out),
        "planned_orders_real.csv": _text(ORDER_COLUMNS, sent),
        "rebalance_plan.csv": _text(LINE_COLUMNS, [_line_row(line) for line in plan.lines]),
        "rebalance_plan_real.csv": _text(LINE_COLUMNS, [_line_row(line) for line in kept]),
    }
    try:
        return _write_all(contents, folder)
    except OSError as error:
        raise InputError(
            f"The plan cannot be written ({error.strerror}).",
            remedy="Name a folder that can be written to with --out.",
            where=str(folder),
        ) from error


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
        plan.session.isoformat(), order.symbol, order.side.value.upper(), _plain(order.qty),
        order.order_type.value.upper(), order.time_in_force.value.upper(), _plain(order.price_used),
        _plain(order.notional), _plain(order.take_profit), _plain(order.stop_loss), order.reason.value,
        order.client_order_id, _plain(order.limit_price), order.intent.value, str(order.leg), str(order.slice),
        str(order.phase), " ".join(order.depends_on),
    )  # fmt: skip


def _small_row(plan: Plan, line: PlanLine) -> Row:
    assert line.price is not None, line.symbol
    side = "BUY" if line.delta_qty > 0 else "SELL"
    notional = abs(line.delta_qty) * line.price
    return (
        plan.session.isoformat(), line.symbol, side, _plain(abs(line.delta_qty)), "MARKET", "DAY",
        _plain(line.price), _plain(notional), "", "", line.reason.value, "", "", "", "", "", "", "",
    )  # fmt: skip


def _line_row(line: PlanLine) -> Row:
    return (
        line.symbol, _plain(line.current_qty), _plain(line.target_weight), _plain(line.price),
        _plain(line.target_qty), _plain(line.delta_qty), line.reason.value,
    )  # fmt: skip


def _plain(value: Decimal | None) -> str:
    return "" if value is None else plain(value)


def _text(columns: tuple[str, ...], rows: list[Row]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _write_all(contents: dict[str, str], folder: Path) -> dict[str, Path]:
    """All contents are on the disk before the first one gets its name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {name: folder / name for name in contents}
    for path in written.values():
        if path.exists() and not path.is_file():
            raise InputError(
                "The plan cannot be written: something that is no file has this name.",
                remedy="Move it away, or name another folder with --out.",
                where=str(path),
            )
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=folder) as scratch:
        fresh, former = Path(scratch) / "fresh", Path(scratch) / "former"
        fresh.mkdir()
        former.mkdir()
        for name, text in contents.items():
            with (fresh / name).open("w", encoding="utf-8", newline="") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
            if written[name].exists():
                shutil.copy2(written[name], former / name)
        _replace_all(written, fresh, former)
    return written


def _replace_all(written: dict[str, Path], fresh: Path, former: Path) -> None:
    done: list[str] = []
    try:
        for name, path in written.items():
            os.replace(fresh / name, path)
            done.append(name)
    except OSError:
        # A mixed set would be two plans in one folder: what was there before comes back.
        for name in done:
            if (former / name).exists():
                os.replace(former / name, written[name])
            else:
                written[name].unlink()
        raise
