"""What was decided, what was done, what is broken.

What belongs here: these three sections. What does not: money that was earned or paid (`results`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from scizor_dagster.analytics.explain.reasons import reason_sentence
from scizor_dagster.analytics.report.facts import ReportFacts, Row, decimal
from scizor_dagster.analytics.report.formats import (
    UNKNOWN,
    bps,
    clock_time,
    counted,
    money,
    price,
    quantity,
    rate,
    sessions_old,
    words,
)
from scizor_dagster.analytics.report.model import Block, Cell, Said, Section, Tile, Tiles, Tone, table
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.model import ORDERING_REASONS, Plan, PlanLine

ZERO = Decimal(0)
_SETTLED = (IntentState.FILLED,)
_QUIET_REASONS = ("on_target",)


def decided(facts: ReportFacts) -> Section:
    return Section("decided", "What was decided", tuple(_decided(facts)))


def _decided(facts: ReportFacts) -> Iterator[Block]:
    plan = facts.trading.plan
    if plan is None:
        yield Said(f"Nothing was planned for {facts.session}, or the lake does not have it.", "warn")
        return
    bought = sum((order.notional for order in plan.orders if order.side == "buy"), ZERO)
    sold = sum((order.notional for order in plan.orders if order.side == "sell"), ZERO)
    yield Tiles(
        (
            Tile("orders planned", Cell(str(len(plan.orders))), f"of {counted(len(plan.lines), 'instrument')}"),
            Tile("to buy", Cell(money(bought)), plan.currency),
            Tile("to sell", Cell(money(sold)), plan.currency),
            Tile("equity it was sized on", Cell(money(plan.equity)), plan.currency),
            Tile("cash buffer", Cell(money(plan.cash_buffer)), _buffer(plan)),
            Tile("sized on prices of", Cell(str(plan.priced_on or "a file")), f"{plan.adjustment} prices"),
        )
    )
    for note in plan.notes:
        yield Said(note)
    yield _orders_planned(facts, plan)
    yield from _no_orders(plan)
    yield _files(facts)


def _buffer(plan: Plan) -> str:
    share = f", {rate(float(plan.cash_buffer / plan.equity))} of the equity" if plan.equity > 0 else ""
    return f"{plan.currency}{share}"


def _orders_planned(facts: ReportFacts, plan: Plan) -> Block:
    if not plan.orders:
        return Said("The plan has no orders.")
    lines = {line.symbol: line for line in plan.lines}
    rows = []
    for order in plan.orders:
        line = lines.get(order.symbol)
        age = facts.trading.price_ages.get(line.price_session) if line is not None and line.price_session else None
        rows.append(
            (
                order.symbol, words(order.side.value), quantity(order.qty), price(order.price_used),
                _price_of(line, age),
                money(order.notional), words(order.reason.value), _terms(order.order_type.value, order.limit_price),
                _origin(facts, order.symbol),
            )
        )  # fmt: skip
    columns = ("symbol", "side", "#shares", "#reference price", "price of", "#value", "why", "order", "from")
    return table("Orders of the plan", columns, rows, unit=plan.currency)


def _price_of(line: PlanLine | None, age: int | None) -> Cell:
    """The session that made the price, and its age in sessions where it is not the newest one."""
    if line is None or line.price_session is None:
        return Cell("a file" if line is not None else UNKNOWN)
    said = f", {sessions_old(age).text}" if age else ""
    return Cell(f"{line.price_session}{said}", "warn" if age else "")


def _terms(order_type: str, limit: Decimal | None) -> str:
    return words(order_type) if limit is None else f"{words(order_type)} {price(limit)}"


def _origin(facts: ReportFacts, symbol: str) -> str:
    named = facts.trading.origins.get(symbol)
    return "; ".join(named) if named else "no line names it"


def _no_orders(plan: Plan) -> Iterator[Block]:
    """What was not ordered, by reason, and each line of which somebody may wonder."""
    idle = [line for line in plan.lines if line.reason not in ORDERING_REASONS]
    if not idle:
        yield Said("Every instrument of the plan has an order.")
        return
    counts = Counter(line.reason.value for line in idle)
    said = ", ".join(f"{words(name)} {count}" for name, count in sorted(counts.items()))
    yield Said(f"Not ordered: {counted(len(idle), 'instrument')} ({said}).")
    shown = [line for line in idle if line.reason.value not in _QUIET_REASONS]
    if shown:
        rows = [(line.symbol or ", ".join(line.asset_ids), words(line.reason.value), *_why(line)) for line in shown]
        columns = ("symbol", "reason", "in words", "#held", "#target weight")
        yield table("Not ordered, and not because it is on target", columns, rows)


def _why(line: PlanLine) -> tuple[str, str, str]:
    said = " ".join(part for part in (reason_sentence(line), line.note) if part)
    return said, quantity(line.current_qty + line.kept_qty), rate(float(line.target_weight))


def _files(facts: ReportFacts) -> Block:
    files = facts.trading.files
    if not files:
        return Said("No weight file is known that its targets are made of.", "warn")
    rows = [
        (file.strategy, file.path or UNKNOWN, f"{file.lines[0]} to {file.lines[1]} ({file.count})", file.sha256)
        for file in files
    ]
    return table("Files that it came from", ("strategy", "file", "lines used", "SHA-256"), rows)


def done(facts: ReportFacts) -> Section:
    return Section("done", "What was done", tuple(_done(facts)))


def _done(facts: ReportFacts) -> Iterator[Block]:
    trading = facts.trading
    if not trading.batches:
        yield Said("Nothing was sent: the ledger has admitted no plan of this session.")
        return
    if not trading.intents:
        yield Said("The plan was carried out, and it had no orders.")
        return
    states = Counter(intent.state.value for intent in trading.intents)
    filled = sum((fill.qty * fill.price for fills in trading.fills.values() for fill in fills), ZERO)
    fees = sum((fill.fee for fills in trading.fills.values() for fill in fills), ZERO)
    said = ", ".join(f"{count} {words(state)}" for state, count in sorted(states.items()))
    yield Tiles(
        (
            Tile("orders", Cell(str(len(trading.intents))), said),
            Tile("executions", Cell(str(sum(map(len, trading.fills.values()))))),
            Tile("traded", Cell(money(filled)), facts.currency),
            Tile("fees", Cell(money(fees)), facts.currency),
        )
    )  # fmt: skip
    slippage = {row["client_order_id"]: row["slippage_bps"] for row in trading.results}
    rows = [_order_row(facts, intent, slippage) for intent in trading.intents]
    columns = ("symbol", "side", "#planned", "#sent", "#filled", "#average price", "#reference", "#slippage", "state")
    note = "" if trading.results else "Slippage is measured when the session is reconciled."
    yield table("Orders", columns, rows, note, unit=facts.currency)
    if trading.by_hand:
        yield _by_hand(facts)
    yield from _unfilled(facts)
    yield from _fills(facts)


def _by_hand(facts: ReportFacts) -> Block:
    """Who has placed which orders, where no line of a file is behind them."""
    rows = [
        (intent.symbol, intent.side.value, quantity(intent.planned_qty), asked.actor, asked.reason, asked.policy,
         asked.idempotency_key)
        for asked in facts.trading.by_hand
        for intent in facts.trading.intents
        if intent.batch_id == asked.batch_id
    ]  # fmt: skip
    columns = ("symbol", "side", "#planned", "placed by", "why", "next rebalance", "idempotency key")
    return table("Of these, placed by hand", columns, rows)


def _order_row(facts: ReportFacts, intent: IntentRow, slippage: dict[str, float]) -> tuple[str | Cell, ...]:
    fills = facts.trading.fills.get(intent.client_order_id, ())
    state: Tone = "good" if intent.state in _SETTLED else "warn"
    return (
        intent.symbol, intent.side.value, quantity(intent.planned_qty),
        "not released" if intent.final_qty is None else quantity(intent.final_qty), quantity(intent.filled_qty),
        _average(fills), price(intent.price_used), bps(slippage.get(intent.client_order_id)),
        Cell(words(intent.state.value), state),
    )  # fmt: skip


def _average(fills: Sequence[FillRow]) -> str:
    qty = sum((fill.qty for fill in fills), ZERO)
    if not qty:
        return "no fill"
    return price((sum((fill.qty * fill.price for fill in fills), ZERO) / qty).quantize(Decimal("0.000001")))


def _unfilled(facts: ReportFacts) -> Iterator[Block]:
    held = {row["client_order_id"]: row["why"] for row in facts.summary["held_back_rows"]}
    rows = []
    for intent in facts.trading.intents:
        missing = intent.planned_qty - intent.filled_qty
        if missing <= 0:
            continue
        name = intent.client_order_id
        why = held.get(name) or intent.reason or _still(intent)
        rows.append((intent.symbol, intent.side.value, quantity(missing), words(intent.state.value), why, name))
    if rows:
        yield table("What did not fill, and why", ("symbol", "side", "#shares", "state", "why", "order"), rows)
    else:
        yield Said("Every order was filled whole.", "good")


def _still(intent: IntentRow) -> str:
    if intent.final_qty is not None and intent.final_qty < intent.planned_qty:
        return "scaled to the cash that was there when the buys were released"
    return "the broker gave no reason" if intent.state.terminal else "it is still working"


def _fills(facts: ReportFacts) -> Iterator[Block]:
    found = [fill for fills in facts.trading.fills.values() for fill in fills if fill.qty]
    found.sort(key=lambda fill: (fill.executed_at, fill.fill_id))
    if found:
        rows = [
            (fill.symbol, fill.side.value, quantity(fill.qty), price(fill.price), money(fill.fee),
             clock_time(fill.executed_at, facts.zone), fill.client_order_id) for fill in found
        ]  # fmt: skip
        columns = ("symbol", "side", "#shares", "#price", "#fee", f"time ({facts.zone})", "order")
        yield table("Executions", columns, rows, unit=facts.currency)


def broken(facts: ReportFacts) -> Section:
    return Section("broken", "What is broken", tuple(_broken(facts)))


def _broken(facts: ReportFacts) -> Iterator[Block]:
    passes = facts.reconciled.passes
    if not passes:
        yield Said("The session is not reconciled yet: plan, ledger and broker were not compared.", "warn")
    else:
        newest = passes[-1]
        at = clock_time(newest["fetched_at"], facts.zone)
        which = f"{newest['pass']} pass" if newest["pass"] else "reconciliation"
        source = f", by the word of the {newest['compared_with']}" if newest["compared_with"] else ""
        day = facts.reconciled.day
        closed = day.closed_at if day is not None else None
        books = f" The day was closed at {clock_time(closed, facts.zone)}." if closed else " The day is not closed yet."
        yield Said(f"Compared last at {at} ({which}{source}): {words(newest['state'])}.{books}")
        yield from _break_rows(facts.reconciled.breaks)
    yield from _open_breaks(facts)


def _break_rows(rows: Sequence[Row]) -> Iterator[Block]:
    errors = [row for row in rows if row["severity"] == "error"]
    if not errors:
        yield Said("None: plan, ledger and broker agree.", "good")
    for title, chosen in (("Breaks", errors), ("Told, and no break", [row for row in rows if row not in errors])):
        if chosen:
            yield table(title, _BREAK_COLUMNS, [_break_row(row) for row in chosen], sparse=True)


_BREAK_COLUMNS = (
    "class",
    "what",
    "symbol",
    "#shares",
    "#amount",
    "cause",
    "expected",
    "found",
    "locks",
    "remedy",
    "id",
)


def _break_row(row: Row) -> tuple[str | Cell, ...]:
    qty, amount = decimal(row["qty"]), decimal(row["amount"])
    bad: Tone = "bad" if row["severity"] == "error" else ""
    return (
        Cell(words(row["break_class"] or row["severity"]), bad), words(row["kind"]), row["symbol"] or "",
        "" if qty is None else quantity(qty), _amount(amount, row["currency"]),
        row["cause"] or "", row["expected"], row["found"], row["locks"] or "", row["remedy"], row["break_id"] or "",
    )  # fmt: skip


def _amount(amount: Decimal | None, currency: str | None) -> str:
    return "" if amount is None else f"{money(amount)} {currency or ''}".strip()


def _open_breaks(facts: ReportFacts) -> Iterator[Block]:
    found = facts.reconciled.open_breaks
    if not found:
        yield Said("No break is open in the ledger, and nothing is locked by one.", "good")
        return
    rows = [
        (
            str(row.session), words(row.break_class), words(row.kind), row.symbol or "",
            "" if row.qty is None else quantity(row.qty),
            _amount(row.amount, row.currency),
            row.cause, Cell(row.locks, "bad" if row.locks != "none" else ""), row.break_id,
        )
        for row in found
    ]  # fmt: skip
    columns = ("session", "class", "what", "symbol", "#shares", "#amount", "cause", "locks", "id")
    yield table(f"Open in the ledger, account {facts.account}", columns, rows, sparse=True)
