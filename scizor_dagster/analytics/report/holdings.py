"""What is held at the end, how good its data is, and where all of this comes from.

What belongs here: the last three sections.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from scizor_dagster.analytics.report.facts import ReportFacts, Row, decimal
from scizor_dagster.analytics.report.formats import (
    UNKNOWN,
    clock_time,
    command,
    counted,
    known,
    money,
    price,
    quantity,
    rate,
    sessions_old,
    words,
)
from scizor_dagster.analytics.report.model import Block, Cell, Said, Section, table

_UNSURE_REASONS = ("no_price", "bad_price", "stale_price", "quarantined", "no_volume", "corporate_action", "unknown_id",
                   "ambiguous_id")  # fmt: skip


def positions(facts: ReportFacts) -> Section:
    return Section("positions", "What is held", tuple(_positions(facts)))


def _positions(facts: ReportFacts) -> Iterator[Block]:
    if not facts.reconciled.passes:
        yield Said("Positions at the end are stored when the session is reconciled, and it is not yet.", "warn")
        return
    rows = [row for row in facts.reconciled.positions if Decimal(row["qty"]) or Decimal(row["broker_qty"])]
    if not rows:
        yield Said("Nothing is held.")
        return
    measured = facts.measured.row if facts.is_measured else None
    equity = float(measured["equity"]) if measured is not None else None
    ordered = sorted(
        rows, key=lambda row: (-abs(row["market_value"] if known(row["market_value"]) else 0), row["symbol"])
    )
    columns = (
        "symbol",
        "#shares",
        "#at the broker",
        "#target",
        "#price",
        "price of",
        "age",
        "#value",
        "#share of equity",
    )
    held = [_position(facts, row, equity) for row in ordered]
    yield table("Positions at the end", columns, held, unit=facts.currency)


def _position(facts: ReportFacts, row: Row, equity: float | None) -> tuple[str | Cell, ...]:
    ours, theirs, target = decimal(row["qty"]), decimal(row["broker_qty"]), decimal(row["target_qty"])
    value = row["market_value"] if known(row["market_value"]) else None
    of = row["price_session"] if known(row["price_session"]) else None
    share = rate(value / equity) if value is not None and equity else UNKNOWN
    return (
        row["symbol"], quantity(ours), Cell(quantity(theirs), "" if ours == theirs else "bad"),
        "no plan" if target is None else quantity(target), price(row["price"]), str(of or UNKNOWN),
        sessions_old(facts.reconciled.ages.get(of) if of is not None else None), money(value), share,
    )  # fmt: skip


def quality(facts: ReportFacts) -> Section:
    return Section("quality", "Data quality", tuple(_quality(facts)))


def _quality(facts: ReportFacts) -> Iterator[Block]:
    found = facts.quality
    blocks: list[Block] = []
    if not found.collected:
        blocks.append(Said(f"No price of {facts.session} is collected yet.", "warn"))
    if not facts.reconciled.passes:
        said = "What is held was not compared yet, so that the age of its prices is not judged."
        blocks.append(Said(said, "warn"))
    row = facts.measured.row if facts.is_measured else None
    if row is not None and row["unpriced"]:
        count = counted(int(row["unpriced"]), "holding has", "holdings have")
        blocks.append(Said(f"{count} no price at all and count nothing in the equity.", "warn"))
    stale = [row for row in facts.reconciled.positions if _is_stale(facts, row)]
    if stale:
        names = ", ".join(f"{row['symbol']} ({row['price_session'] or 'no price'})" for row in stale)
        blocks.append(Said(f"Held, and without a price of this session: {names}.", "warn"))
    if found.quarantined:
        rows = [(row["symbol"], words(row["reason"]), row["detail"] or "", row["source"]) for row in found.quarantined]
        blocks.append(table("Prices set aside", ("symbol", "reason", "detail", "source"), rows))
    plan = facts.trading.plan
    unsure = [line for line in plan.lines if line.reason.value in _UNSURE_REASONS] if plan is not None else []
    if unsure:
        rows_of_plan = [
            (line.symbol or ", ".join(line.asset_ids), words(line.reason.value), line.note) for line in unsure
        ]
        blocks.append(table("Not planned for want of good data", ("symbol", "reason", "note"), rows_of_plan))
    yield from blocks or [Said("Every price that was used or needed is there, and none was set aside.", "good")]
    if found.elsewhere:
        count = counted(found.elsewhere, "price")
        yield Said(f"Of other instruments of market {facts.market}, {count} of this session set aside.")


def _is_stale(facts: ReportFacts, row: Row) -> bool:
    if not Decimal(row["qty"]):
        return False
    of = row["price_session"] if known(row["price_session"]) else None
    return of is None or facts.reconciled.ages.get(of, 0) != 0


def provenance(facts: ReportFacts) -> Section:
    plan, head = facts.trading.plan, facts.trading.head
    rows = [
        ("portfolio, account, market", f"{facts.portfolio}, {facts.account}, {facts.market}"),
        ("session", f"{facts.session}, of the exchange's calendar"),
        ("times", f"{facts.zone}, the exchange's"),
        ("money", facts.currency),
    ]
    if plan is not None:
        rows += [
            ("plan", plan.plan_id),
            ("inputs of the plan, SHA-256", head.get("inputs_sha256") or UNKNOWN),
            ("lake snapshot that it read", str(head.get("lake_snapshot", UNKNOWN))),
            ("version of the code that made it", head.get("code_version") or UNKNOWN),
            ("made at", clock_time(head["fetched_at"], facts.zone) if head.get("fetched_at") else UNKNOWN),
        ]
    rows += [
        (f"file of {file.strategy}", f"{file.path or UNKNOWN}, SHA-256 {file.sha256}") for file in facts.trading.files
    ]
    for batch in facts.trading.batches:
        by = "; ".join(batch.permitted) or "needed nobody's permission"
        rows.append(
            (f"batch {batch.batch}", f"{batch.batch_id}, admitted {clock_time(batch.created_at, facts.zone)}, {by}")
        )
    for one in facts.reconciled.passes:
        rows.append((f"reconciled, {one['pass'] or 'one'} pass", clock_time(one["fetched_at"], facts.zone)))
    prices = facts.measured.row
    if prices is not None:
        made = " (synthetic)" if prices["synthetic"] else ""
        rows.append(("prices of the measurement", f"{prices['adjustment']}{made}"))
    again = command("replay", "--portfolio", facts.portfolio, "--date", str(facts.session))
    blocks: list[Block] = [table("Where this comes from", ("what", "value"), rows)]
    if plan is not None:
        blocks.append(Said("To make the plan again and compare it byte for byte:", "", (again,)))
    return Section("provenance", "Provenance", tuple(blocks))
