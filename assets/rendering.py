"""What each stage shows of itself in the UI: counts, tables, and a picture where one would rather look.

What belongs here: turning results of `scizor_dagster.flow` into Dagster metadata. What does not:
computing anything that is not a count or a sum of what is shown.
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from assets.metadata import money, picture, price_label, table
from scizor_dagster.analytics.attribution import profit_table
from scizor_dagster.analytics.plots import equity_plot, weights_plot
from scizor_dagster.execution.executor import ExecutionResult
from scizor_dagster.flow.approving import awaiting_sentence
from scizor_dagster.flow.costs import SessionCosts
from scizor_dagster.flow.measuring import MeasuredSession
from scizor_dagster.flow.plans import SessionPlan
from scizor_dagster.flow.signals import TakenSignals
from scizor_dagster.planning.comparison import PlanDifference
from scizor_dagster.planning.laws import BookAfter
from scizor_dagster.planning.model import ORDERING_REASONS
from scizor_dagster.planning.quantities import plain
from scizor_dagster.reconciliation.model import ReconciliationReport
from scizor_dagster.reconciliation.storage import BREAK_COLUMNS
from scizor_dagster.signals.targets import TargetWeights

ORDER_COLUMNS = (
    "symbol", "side", "state", "planned_qty", "final_qty", "filled_qty", "average_price", "price_used", "fees",
    "reason", "order_type", "leg", "slice", "phase", "client_order_id",
)  # fmt: skip
"""Of an order that was sent, in this order: what became of it stands before how it was formed."""
RESULT_NUMBERS = ("planned_qty", "sent_qty", "filled_qty", "average_price", "fees", "price_used")
POSITION_NUMBERS = ("qty", "broker_qty", "target_qty", "price", "market_value")
MOST_PROFITS = 30
"""Instruments whose profit a session shows; `scizor performance` shows all."""


def signals_metadata(taken: TakenSignals) -> dict[str, Any]:
    return {
        "dagster/row_count": len(taken.rows),
        "file": dg.MetadataValue.path(taken.path),
        "file_sha256": taken.file_hash,
        "weight_sum": float(taken.rows["weight"].sum()),
        "weights_date": ", ".join(sorted({str(day) for day in taken.rows["weights_date"]})),
        "approved": taken.approval or "nothing was held",
        "warnings": len(taken.warnings),
        "warning_texts": dg.MetadataValue.md("\n".join(f"- {item}" for item in taken.warnings) or "none"),
        "rows": table(taken.rows, ["asset_id", "weight", "weights_date", "line"]),
    }


def targets_metadata(targets: TargetWeights) -> dict[str, Any]:
    frame = targets.frame()
    good = frame[frame["status"] == "ok"].astype({"target_weight": float})
    return {
        "dagster/row_count": len(frame),
        "weight_sum": float(targets.total),
        "weight_set_aside": float(targets.weight_set_aside),
        "weight_by_strategy": dg.MetadataValue.json(
            {strategy: float(weight) for strategy, weight in targets.by_strategy.items()}
        ),
        "warnings": dg.MetadataValue.md("\n".join(f"- {item}" for item in targets.warnings) or "none"),
        "targets": table(frame, ["symbol", "instrument_id", "target_weight", "status", "note"]),
        "attribution": table(
            targets.attribution(), ["symbol", "strategy", "asset_id", "line", "weight_stated", "contribution"]
        ),
        "weights": picture(weights_plot(good), "target weights"),
    }


def plan_metadata(planned: SessionPlan, difference: PlanDifference, *, waits: bool) -> dict[str, Any]:
    """The plan, and what it changes against the one before it; `waits` says that a person must approve it first."""
    plan = planned.plan
    lines = planned.lines_table()
    reasons = Counter(str(line.reason) for line in plan.lines)
    idle = lines[~lines["reason"].isin([str(reason) for reason in ORDERING_REASONS])]
    return {
        "dagster/row_count": len(plan.lines),
        "currency": plan.currency,
        "orders": table(planned.orders_table()),
        "order_count": len(plan.orders),
        "buy_notional": money(sum(order.notional for order in plan.orders if order.side == "buy")),
        "sell_notional": money(sum(order.notional for order in plan.orders if order.side == "sell")),
        "equity": money(plan.equity),
        "cash_buffer": money(plan.cash_buffer),
        "priced_on": str(plan.priced_on),
        "prices": price_label(plan.adjustment, planned.synthetic),
        "plan_id": plan.plan_id,
        "kept": planned.kept,
        "approval": awaiting_sentence(plan) if waits else "the plan does not wait for a person",
        "turnover": round(float(difference.turnover), 6),
        "compared_with": str(difference.before) if difference.before is not None else "no plan before it",
        "changed_targets": table(pd.DataFrame(map(asdict, difference.changes), columns=["symbol", "before", "after"])),
        "reasons": dg.MetadataValue.json(dict(sorted(reasons.items()))),
        "no_order": table(idle),
        "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in plan.notes) or "none"),
    }


def book_metadata(after: BookAfter) -> dict[str, Any]:
    """The book that the plan leads to, next to its limits; an excess is what the plan's own orders make of it."""
    return {name: money(amount) for name, amount in asdict(after).items()}


def execution_metadata(result: ExecutionResult, origins: pd.DataFrame, currency: str) -> dict[str, Any]:
    """What was sent and what came back; `origins` has for each order the line of the file that caused it."""
    rows = pd.DataFrame([asdict(order) for order in result.orders], columns=ORDER_COLUMNS)
    return {
        "dagster/row_count": len(rows),
        "currency": currency,
        "state": str(result.state),
        "counts": dg.MetadataValue.json({str(key): value for key, value in result.counts.items()}),
        "permitted": "; ".join(result.permitted) or "neither arming nor approval was needed",
        "release_factor": plain(result.factor) if result.factor is not None else "not released",
        "orders": table(rows),
        "caused_by": table(origins),
        "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in result.notes) or "none"),
    }


def reconciliation_metadata(report: ReconciliationReport, currency: str) -> dict[str, Any]:
    return {
        "dagster/row_count": len(report.order_results),
        "currency": currency,
        "state": str(report.state),
        "breaks": report.break_count,
        "pass": str(report.when.which),
        "compared_with": str(report.when.source),
        "summary": dg.MetadataValue.md(f"```\n{report.summary}\n```"),
        "break_table": table(report.breaks, BREAK_COLUMNS.split(", "), numbers=("qty", "amount", "value")),
        "order_results": table(report.order_results, numbers=RESULT_NUMBERS),
        "positions": table(report.positions, numbers=POSITION_NUMBERS),
    }


def performance_metadata(measured: MeasuredSession, currency: str) -> dict[str, Any]:
    """Figures as numbers, which the UI draws over the sessions, and in words as a person reads them."""
    row = measured.row.iloc[0]
    rates = {name: _rate(row[name]) for name in ("return", "cumulative_return", "drawdown", "turnover")}
    amounts = {name: money(row[name]) for name in ("equity", "cash", "flows", "fees")}
    return {
        "summary": dg.MetadataValue.md(f"```\n{_in_words(measured, currency)}\n```"),
        "currency": currency,
        **amounts,
        "profit": money(measured.profits.total),
        **rates,
        "prices": price_label(str(row["adjustment"]), bool(row["synthetic"])),
        "profit_by_strategy": table(profit_table(measured.profits, "strategy")),
        "profit_by_instrument": _shortened(profit_table(measured.profits, "instrument")),
        "equity_curve": picture(equity_plot(measured.curve, currency), "equity curve"),
    }


def _in_words(measured: MeasuredSession, currency: str) -> str:
    row = measured.row.iloc[0]
    amounts = {**{name: row[name] for name in ("equity", "cash", "flows", "fees")}, "profit": measured.profits.total}
    rates = {name: row[name] for name in ("return", "cumulative_return", "drawdown", "turnover")}
    lines = [f"{name:<18}{money(value):>18,.2f} {currency}" for name, value in amounts.items()]
    lines += [
        f"{name:<18}{'not known' if pd.isna(value) else f'{value * 100:,.2f} %':>18}" for name, value in rates.items()
    ]
    return "\n".join([f"{row['portfolio']} {pd.Timestamp(row['session']).date()}", *lines])


def costs_metadata(costs: SessionCosts) -> dict[str, Any]:
    """What the session's orders cost: money, basis points of what was decided on, and each order."""
    total = costs.total
    return {
        "cost": money(total.total),
        "cost_bps": None if total.total_bps is None else float(total.total_bps),
        "cost_estimated_bps": None if total.estimated_bps is None else float(total.estimated_bps),
        "cost_realised_bps": None if total.realised_bps is None else float(total.realised_bps),
        "cost_unknown": f"{total.unpriced} order(s) without a known cost, {total.incomplete} with a part left out",
        "cost_model": costs.model.note if costs.model is not None else "no order to learn from",
        "costs_measured_again": ", ".join(map(str, costs.restated)) or "none",
        "costs": table(costs.frame()),
    }


def report_metadata(page: Path | None, trouble: str) -> dict[str, Any]:
    """Where the session's page is, or why there is none."""
    return {"report": dg.MetadataValue.path(page) if page is not None else dg.MetadataValue.text(trouble)}


def _rate(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 8)


def _shortened(frame: pd.DataFrame) -> dg.MarkdownMetadataValue:
    return table(frame.head(MOST_PROFITS), rest=max(len(frame) - MOST_PROFITS, 0))
