"""`scizor plan`: the orders that a weight file amounts to, from files, or for a portfolio and its account.

What belongs here: the command's options and what it prints. What does not: planning. Without a
portfolio no store is opened; Dagster is never imported, and nothing is sent.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scizor_dagster.cli.amounts import parse_amount
from scizor_dagster.cli.dates import parse_date
from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.plan_request import BrokerName, Mode, Wanted, request_for
from scizor_dagster.errors import InputError, PriceUnavailable

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.planning.files import FileInputs, FileSources
    from scizor_dagster.planning.model import Plan

SHOWN = 10


class Ambiguous(StrEnum):
    REFUSE = "refuse"
    QUARANTINE = "quarantine"
    FIRST_PRICED = "first_priced"


def plan(
    targets: Path = typer.Option(..., help="CSV or Parquet: trade_date, asset_id or symbol, target_weight."),
    prices: Path = typer.Option(..., help="CSV or Parquet: symbol, price. What has no row gets no order."),
    positions: Path | None = typer.Option(None, help="CSV or Parquet: symbol, qty. What has no target is sold."),
    equity: str | None = typer.Option(None, help="Account value to size on, in the prices' currency."),
    out: Path = typer.Option(..., help="Folder that the four files of the plan go to."),
    rules: Path | None = typer.Option(None, help="YAML with the sections risk, execution, weights, idempotency."),
    mapping: Path | None = typer.Option(None, help="CSV or Parquet: symbol or tic, asset_id or gvkey."),
    day: str | None = typer.Option(None, "--date", help="Trade date, where the targets hold several."),
    open_orders: Path | None = typer.Option(None, help="CSV or Parquet: symbol, side, qty and maybe filled_qty."),
    mode: Mode = typer.Option(
        Mode.DRYRUN,
        help="dryrun: equity and positions from the options, or the portfolio's capital; online: from its broker.",
    ),
    portfolio: str | None = typer.Option(None, help="A portfolio of the configuration, for its rules and account."),
    broker: BrokerName | None = typer.Option(None, help="Plan only what this broker takes; paper where left out."),
    currency: str | None = typer.Option(None, help="Currency of prices and equity; USD where left out."),
    on_ambiguous: Ambiguous = typer.Option(
        Ambiguous.FIRST_PRICED,
        help="An id with several tickers: refuse the file, quarantine the id, or take the only one with a price.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Plan a rebalance from files: every instrument with its order, or the reason why there is none.

    Prices may have columns adv (or volume), atr and previous_close, for the rules that ask for them, and mic, tradable,
    fractionable, shortable, lot and tick, for what the instrument is.

    When: you want to see what a weight file would trade, before anything is configured, or beside a portfolio.
    Writes: Four files in the folder of --out. No store, no order.
    Exit codes: 0 planned; 1 no target has a price, and nothing was written; 2 a file or an option is wrong, and nothing
    was written.
    JSON: status, plan_id, trade_date, equity, cash_buffer, overflow_factor, lines, orders, buys_to_open,
    below_min_notional, buy_notional, sell_notional, reasons{*}, unpriced, ambiguous, notes, line_notes{*}, files{*},
    compared_with?, changed_targets[symbol, from, to]?.
    Example: scizor plan --targets t.csv --prices p.csv --positions q.csv --equity 100000 --out plan/
    """
    from scizor_dagster.planning.files import FileSources
    from scizor_dagster.planning.output_files import summary, write_plan
    from scizor_dagster.planning.planner import make_plan
    from scizor_dagster.planning.rules_file import load_rules

    read_rules = load_rules(rules, os.environ) if rules else None
    sources = FileSources(targets, prices, positions, mapping, on_ambiguous.value, open_orders)
    trade_date = None if day is None else parse_date(day, "--date")
    amount = None if equity is None else parse_amount(equity, "--equity", example="100000.00")
    wanted = Wanted(mode, portfolio, broker, _currency(currency), amount, trade_date)
    request = request_for(wanted, sources, read_rules[0] if read_rules else None)
    _require_prices(request.read, sources)
    try:
        made = make_plan(request.read.inputs, request.rules, request.capabilities)
    except InputError as error:
        raise InputError(error.problem, remedy=error.remedy, where=error.where or str(targets)) from error
    written = write_plan(made, out)
    report = summary(made, request.read)
    report["notes"] = [*report["notes"], *(read_rules[1] if read_rules else ()), *request.read.unread]
    if request.desk is not None and portfolio is not None:
        report |= _beside(request.desk, portfolio, made, report["notes"])
    report["files"] = {name: str(path) for name, path in written.items()}
    if as_json:
        emit_json(report)
    else:
        typer.echo(_sentences(report))


def _beside(desk: Desk, portfolio: str, made: Plan, notes: list[str]) -> dict[str, Any]:
    """Which targets change against the portfolio's last plan, and what a person must still permit of this one."""
    from scizor_dagster.cli.dates import now
    from scizor_dagster.flow.approving import MANUAL, difference_of
    from scizor_dagster.ledger.arming import armed_for

    if not desk.has_ledger:
        return {}
    found, said = difference_of(desk, made), []
    if found.before is not None:
        changes = ", ".join(f"{item.symbol} {item.before:.4%} to {item.after:.4%}" for item in found.changes[:SHOWN])
        more = f", and {len(found.changes) - SHOWN} more" if len(found.changes) > SHOWN else ""
        said.append(f"Against the plan of {found.before}: {changes or 'the same targets'}{more}.")
    pinned = desk.pinned_identity(made.account)
    if pinned.environment == "live":
        with desk.ledger.read() as connection:
            armed, why = armed_for(connection, made.account, portfolio, pinned, now())
        said.append(f"Portfolio '{portfolio}' is live and {why if armed is None else armed.sentence}.")
    if desk.portfolio(portfolio).approval == MANUAL:
        said.append("A session's plan of this portfolio is carried out once a person has approved it: scizor approve.")
    changed = [{"symbol": row.symbol, "from": f"{row.before:f}", "to": f"{row.after:f}"} for row in found.changes]
    return {"notes": [*notes, *said], "compared_with": str(found.before or ""), "changed_targets": changed}


def _currency(code: str | None) -> str | None:
    from scizor_dagster.currencies import check_currency

    try:
        return code if code is None else check_currency(code)
    except InputError as error:
        raise InputError(error.problem, remedy=error.remedy, where="--currency") from error


def _require_prices(read: FileInputs, sources: FileSources) -> None:
    """Refuse a plan that could name a price for nothing that is wanted.

    Raises:
        InputError: the price file holds a header alone.
        PriceUnavailable: it holds prices, and none of a target.
    """
    priced = read.inputs.prices.keys()
    if not priced:
        raise InputError("The file has no rows.", remedy="Write a price for each symbol.", where=str(sources.prices))
    wanted = {name for target in read.inputs.targets for name in (target.symbol, *target.candidates)} - {""}
    if not wanted & priced:
        named = ", ".join(sorted(wanted)[:SHOWN]) + (", ..." if len(wanted) > SHOWN else "")
        raise PriceUnavailable(
            f"No target has a price here ({named}), so there is nothing to plan.",
            remedy="Add their prices; nothing was written.",
            where=str(sources.prices),
        )


def _sentences(report: dict[str, Any]) -> str:
    lines = [
        f"Planned {report['lines']} instruments for {report['trade_date']} on equity {report['equity']}: "
        f"{report['orders']} orders, buys {report['buy_notional']}, sales {report['sell_notional']}.",
        "Reasons: " + ", ".join(f"{name} {count}" for name, count in report["reasons"].items()) + ".",
    ]
    if report["unpriced"]:
        lines.append(f"No price, so no order: {', '.join(report['unpriced'])}.")
    lines += report["notes"]
    noted = [f"{symbol}: {note}" for symbol, note in report["line_notes"].items()]
    lines += noted[:SHOWN]
    if len(noted) > SHOWN:
        lines.append(f"{len(noted) - SHOWN} more lines have notes; --json shows them all.")
    lines += [f"Wrote {path}" for path in report["files"].values()]
    return "\n".join(lines)
