"""What happened to the orders of a session: `execution_log` and `filled_orders`.

What belongs here: their columns and rows. What does not: what was read (`facts`), and comparing with the broker
(`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from scizor_dagster.exports.facts import SessionFacts
from scizor_dagster.exports.values import as_decimal, as_instant, as_text
from scizor_dagster.ledger.events import OrderEvent
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.output_files import FINE
from scizor_dagster.tabular.model import Column, Kind, Row, Table

LOG = (
    Column("ts", Kind.TIME, "when it was recorded, UTC"),
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("side", Kind.TEXT, "`BUY` or `SELL`"),
    Column("qty", Kind.NUMBER, "shares of the order, or of the execution, without a sign"),
    Column("order_type", Kind.TEXT, "`MARKET`, `LIMIT`, ..."),
    Column("tp_price", Kind.NUMBER, "take-profit of its bracket, in the instrument's currency", FINE),
    Column("sl_price", Kind.NUMBER, "stop of its bracket, in the instrument's currency", FINE),
    Column("time_in_force", Kind.TEXT, "`DAY`, ..."),
    Column("client_order_id", Kind.TEXT, "id of the order; of an exit of a bracket its own"),
    Column("price_used", Kind.NUMBER, "reference price that sized the order, in the instrument's currency", FINE),
    Column("notional", Kind.NUMBER, "`qty` times `price` of an execution, else times `price_used`", FINE),
    Column("batch_id", Kind.TEXT, "the admitted plan that the order belongs to"),
    Column("status", Kind.TEXT, "state of the order afterwards, such as `working` or `filled`"),
    Column("order_id", Kind.TEXT, "the broker's id of the order, from when it is known"),
    Column("event", Kind.TEXT, "`intent_<status>`, `fill`, `fill_corrected`, `fill_busted`, ..."),
    Column("status_before", Kind.TEXT, "state of the order before"),
    Column("filled_qty", Kind.NUMBER, "shares of the order that had filled by then"),
    Column("price", Kind.NUMBER, "price of the execution, else the limit of the order; instrument's currency", FINE),
    Column("fee", Kind.NUMBER, "fee of the execution, in the instrument's currency", FINE),
    Column("fill_id", Kind.TEXT, "the broker's id of the execution"),
    Column("executed_at", Kind.TIME, "when the broker executed it, UTC"),
    Column("reason", Kind.TEXT, "why, where there is something to say: a rejection, a limit, an end"),
)
FILLED = (
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("side", Kind.TEXT, "`BUY` or `SELL`"),
    Column("qty", Kind.NUMBER, "shares filled, without a sign"),
    Column("average_price", Kind.NUMBER, "over its executions, to eight digits, in `currency`", FINE),
    Column("fees", Kind.NUMBER, "in `currency`", FINE),
    Column("slippage", Kind.NUMBER, "cost against `price_used` without fees, in `currency`; above zero is worse", FINE),
    Column("slippage_bps", Kind.NUMBER, "the same in basis points of `price_used`", FINE),
    Column("price_used", Kind.NUMBER, "reference price that sized the order, in `currency`", FINE),
    Column("planned_qty", Kind.NUMBER, "shares planned, without a sign"),
    Column("fills", Kind.COUNT, "number of executions"),
    Column("first_fill", Kind.TIME, "when the first was executed, UTC"),
    Column("last_fill", Kind.TIME, "when the last was executed, UTC"),
    Column("status", Kind.TEXT, "state of the order, such as `filled` or `canceled`"),
    Column("currency", Kind.TEXT, "ISO 4217 code"),
    Column("client_order_id", Kind.TEXT, "id of the order"),
    Column("order_id", Kind.TEXT, "the broker's id of the order"),
    Column("exit_of", Kind.TEXT, "of an exit of a bracket: the order that it protects"),
)
ZERO = Decimal(0)
_AVERAGE_STEP = Decimal("1e-8")
_BPS_STEP = Decimal("0.0001")


@dataclass
class _Progress:
    """How far an order has come in the history."""

    qty: Decimal
    status: str | None = None
    order_id: str | None = None
    filled: dict[str, Decimal] = field(default_factory=dict)
    """Shares by execution, those of the order's own id alone."""


def execution_log(facts: SessionFacts) -> Table | None:
    """What happened to the session's orders, oldest first; None where nothing was admitted.

    Every entry of the ledger's history on them, but for pre-trade checks that passed.
    """
    if not facts.traded:
        return None
    intents = {row.client_order_id: row for row in facts.intents}
    progress = {name: _Progress(row.planned_qty) for name, row in intents.items()}
    rows = [
        _log_row(event, intents[event.client_order_id], progress[event.client_order_id])
        for event in facts.events
        if not _is_of_checks(event)
    ]
    return Table(LOG, rows)


def filled_orders(facts: SessionFacts) -> Table | None:
    """One row for each order that filled, in plan order, its exits behind it; None where nothing was admitted."""
    if not facts.traded:
        return None
    exits = exits_of(facts.events)
    rows = []
    for intent in facts.intents:
        for name in (intent.client_order_id, *exits.get(intent.client_order_id, ())):
            fills = [fill for fill in facts.fills.get(name, ()) if fill.qty]
            if fills:
                currency = facts.currencies.get(intent.symbol, facts.currency)
                rows.append(_filled_row(intent, name, fills, currency))
    return Table(FILLED, rows)


def exits_of(events: Sequence[OrderEvent]) -> dict[str, list[str]]:
    """Ids of the exits that have executed, by the order that they protect, in the order of their first execution."""
    found: dict[str, list[str]] = {}
    for event in events:
        name = event.payload.get("client_order_id") if event.kind.startswith("fill") else None
        if isinstance(name, str) and name not in (event.client_order_id, *found.get(event.client_order_id, ())):
            found.setdefault(event.client_order_id, []).append(name)
    return found


def _is_of_checks(event: OrderEvent) -> bool:
    """Whether it tells of a pre-trade check that passed, and of nothing that happened to the order."""
    return event.kind == "verdict" or event.payload.get("from") == event.payload.get("to") == IntentState.READY


def _log_row(event: OrderEvent, intent: IntentRow, progress: _Progress) -> Row:
    said, before = event.payload, as_text(event.payload.get("from")) or progress.status
    executed = event.kind.startswith("fill")
    own = said.get("client_order_id", intent.client_order_id) == intent.client_order_id
    if executed and own:
        progress.filled[str(said["fill_id"])] = as_decimal(said["qty"]) or ZERO
    progress.status = as_text(said.get("to")) or progress.status or before
    progress.order_id = as_text(said.get("broker_order_id")) or progress.order_id
    progress.qty = as_decimal(said.get("final_qty")) or progress.qty
    qty = as_decimal(said["qty"]) if executed else progress.qty
    price = as_decimal(said["price"]) if executed else intent.limit_price
    assert qty is not None, event
    stated = as_decimal(said.get("filled_qty"))
    return (
        event.at, intent.symbol, str(said["side"] if executed else intent.side.value).upper(), qty,
        intent.order_type.value.upper(), intent.take_profit, intent.stop_loss, intent.time_in_force.value.upper(),
        intent.client_order_id if own else as_text(said["client_order_id"]), intent.price_used,
        qty * (price if executed and price is not None else intent.price_used), intent.batch_id, progress.status,
        progress.order_id, event.kind, before, sum(progress.filled.values(), ZERO) if stated is None else stated, price,
        as_decimal(said["fee"]) if executed else None, as_text(said.get("fill_id")),
        as_instant(said.get("executed_at")), as_text(said.get("reason")),
    )  # fmt: skip


def _filled_row(intent: IntentRow, name: str, fills: Sequence[FillRow], currency: str) -> Row:
    own = name == intent.client_order_id
    qty = sum((fill.qty for fill in fills), ZERO)
    value = sum((fill.qty * fill.price for fill in fills), ZERO)
    slippage = bps = None
    # An exit was sized on no price of the plan, nor was an order that was taken from the broker's books unplanned.
    if own and intent.price_used > 0:
        slippage = intent.side.sign * (value - qty * intent.price_used)
        bps = (slippage / (qty * intent.price_used) * 10_000).quantize(_BPS_STEP)
    times = [fill.executed_at for fill in fills]
    return (
        intent.symbol, fills[0].side.value.upper(), qty, (value / qty).quantize(_AVERAGE_STEP),
        sum((fill.fee for fill in fills), ZERO), slippage, bps, intent.price_used, intent.planned_qty if own else None,
        len(fills), min(times), max(times), intent.state.value if own else None, currency, name,
        intent.broker_order_id if own else None, None if own else intent.client_order_id,
    )  # fmt: skip
