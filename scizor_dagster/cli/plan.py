"""`scizor plan`: the orders that a weight file amounts to, from files alone.

What belongs here: the command's options and what it prints. What does not: planning. No store is
opened and Dagster is not imported.
"""

from __future__ import annotations

import json
import os
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from scizor_dagster.errors import InputError


class Ambiguous(StrEnum):
    REFUSE = "refuse"
    QUARANTINE = "quarantine"
    FIRST_PRICED = "first_priced"


def plan(
    targets: Path = typer.Option(..., help="CSV or Parquet: trade_date, asset_id or symbol, target_weight."),
    prices: Path = typer.Option(..., help="CSV or Parquet: symbol, price. What has no row gets no order."),
    positions: Path = typer.Option(..., help="CSV or Parquet: symbol, qty. What has no target is sold."),
    equity: str = typer.Option(..., help="Account value to size on, in the prices' currency."),
    out: Path = typer.Option(..., help="Folder that the four files of the plan go to."),
    rules: Path | None = typer.Option(None, help="YAML with the sections risk, execution, weights, idempotency."),
    mapping: Path | None = typer.Option(None, help="CSV or Parquet: symbol or tic, asset_id or gvkey."),
    day: str | None = typer.Option(None, "--date", help="Trade date, where the targets hold several."),
    on_ambiguous: Ambiguous = typer.Option(
        Ambiguous.FIRST_PRICED,
        help="An id with several tickers: refuse the file, quarantine the id, or take the only one with a price.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Plan a rebalance from files: every instrument with its order, or the reason why there is none.

    Example: scizor plan --targets t.csv --prices p.csv --positions q.csv --equity 100000 --out plan/
    """
    from scizor_dagster.planning.files import FILE_CAPABILITIES, FileSources, read_inputs
    from scizor_dagster.planning.output_files import summary, write_plan
    from scizor_dagster.planning.planner import make_plan
    from scizor_dagster.planning.rules import PlanningRules
    from scizor_dagster.planning.rules_file import load_rules

    amount = _equity(equity)
    chosen, notes = load_rules(rules, os.environ) if rules else (PlanningRules(), ())
    sources = FileSources(targets, prices, positions, mapping, on_ambiguous.value)
    read = read_inputs(sources, equity=amount, day=_day(day))
    try:
        made = make_plan(read.inputs, chosen, FILE_CAPABILITIES)
    except InputError as error:
        raise InputError(error.problem, remedy=error.remedy, where=error.where or str(targets)) from error
    written = write_plan(made, out)
    report = summary(made, read)
    report["notes"] = [*report["notes"], *notes]
    report["files"] = {name: str(path) for name, path in written.items()}
    typer.echo(json.dumps(report, indent=2) if as_json else _sentences(report))


def _equity(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise InputError(f"--equity is '{text}'.", remedy="Give an amount above zero, such as 100000.00.")
    return amount


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date is '{text}'.", remedy="Write it as YYYY-MM-DD.") from error


def _sentences(report: dict[str, Any]) -> str:
    lines = [
        f"Planned {report['lines']} instruments for {report['trade_date']} on equity {report['equity']}: "
        f"{report['orders']} orders, buys {report['buy_notional']}, sales {report['sell_notional']}.",
        "Reasons: " + ", ".join(f"{name} {count}" for name, count in report["reasons"].items()) + ".",
    ]
    if report["unpriced"]:
        lines.append(f"No price, so no order: {', '.join(report['unpriced'])}.")
    lines += report["notes"]
    lines += [f"Wrote {path}" for path in report["files"].values()]
    return "\n".join(lines)
