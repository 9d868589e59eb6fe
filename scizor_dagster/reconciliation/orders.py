"""Orders and fills: the plan against the ledger's intents, the intents against the broker's orders.

What belongs here: one function per pair of sides, each yielding `Break`s. What does not: positions
and cash (`positions`), and the verdict (`reconcile`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerFill, BrokerOrder, OrderStatus
from scizor_dagster.ledger.rows import BatchRow, FillRow, IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.reconciliation.model import Break, BreakKind, BrokerView, LedgerView, Severity

ZERO = Decimal(0)
_UNSENT = frozenset({IntentState.HELD, IntentState.READY})
_NEVER_AT_BROKER = frozenset({*_UNSENT, IntentState.BLOCKED, IntentState.DROPPED, IntentState.REJECTED})
_DOUBTFUL = frozenset({IntentState.SENDING, IntentState.UNKNOWN})
_FOLLOW = "Follow the orders again: scizor run for the session, or the job follow_orders."
_CHANGED = "Changed at the broker, and ended: its fills are recorded. The next plan starts from what is held."
_LOOK = "Compare with the broker's own records before anything else is traded."


def plan_breaks(plans: Sequence[Plan], ledger: LedgerView, session_over: bool) -> Iterator[Break]:
    """Each stored plan against the intents of the batch that admitted it, and every batch against its plan."""
    stored = {plan.plan_id: plan for plan in plans}
    for batch in ledger.batches:
        plan = stored.pop(batch.plan_id, None)
        intents = {row.client_order_id: row for row in ledger.intents if row.batch_id == batch.batch_id}
        if plan is None:
            yield _plan_missing(batch)
        else:
            yield from _batch_breaks(plan, intents)
    for plan in stored.values():
        yield from _not_admitted(plan, ledger, session_over)


def _plan_missing(batch: BatchRow) -> Break:
    return Break(
        BreakKind.PLAN_MISSING,
        None,
        None,
        f"plan {batch.plan_id[:12]} of batch {batch.batch}",
        "none",
        Severity.ERROR,
        "Restore the lake from its backup: without its plan nobody can say what the batch was meant to do.",
    )


def _batch_breaks(plan: Plan, intents: Mapping[str, IntentRow]) -> Iterator[Break]:
    """Plan and intents in both directions."""
    planned = {order.client_order_id: order for order in plan.orders}
    for name, order in planned.items():
        expected = _planned_text(order)
        if (intent := intents.get(name)) is None:
            remedy = "The batch was not admitted whole; restore the ledger from its backup."
            kind = BreakKind.PLANNED_WITHOUT_INTENT
            yield Break(kind, order.symbol, name, expected, "none", Severity.ERROR, remedy)
        elif expected != (found := _intent_text(intent)):
            yield _of(intent, BreakKind.INTENT_DIFFERS, expected, found, Severity.ERROR, _LOOK)
    for name, intent in intents.items():
        if name not in planned:
            remedy = "The stored plan is not whole; restore the lake from its backup."
            yield _of(intent, BreakKind.INTENT_WITHOUT_PLAN, "none", _intent_text(intent), Severity.ERROR, remedy)


def _not_admitted(plan: Plan, ledger: LedgerView, session_over: bool) -> Iterator[Break]:
    """Another plan than the stored one was admitted, or none yet, or none in time."""
    expected = f"plan {plan.plan_id[:12]}"
    if ledger.batches:
        admitted = ", ".join(row.plan_id[:12] for row in ledger.batches)
        remedy = "Restore the plan that was admitted; a new one must be asked for with the next batch number."
        yield Break(BreakKind.PLAN_NOT_ADMITTED, None, None, expected, f"admitted: {admitted}", Severity.ERROR, remedy)
    elif plan.orders:
        remedy = "Its session is over; the next plan starts from what is held." if session_over else "Execute it."
        severity = Severity.INFO if session_over else Severity.WORKING
        yield Break(BreakKind.PLAN_NOT_ADMITTED, None, None, expected, "admitted: none", severity, remedy)


def order_breaks(ledger: LedgerView, broker: BrokerView, session_over: bool) -> Iterator[Break]:
    """Each intent against the broker's order of the same id, and the broker's orders that nobody meant."""
    orders = {row.client_order_id: row for row in broker.orders}
    for intent in ledger.intents:
        order = orders.get(intent.client_order_id)
        yield from _intent_breaks(intent, order, session_over, changed=intent.client_order_id in ledger.changed)
        if intent.client_order_id in ledger.returned:
            yield _returned(intent, order, ledger.returned[intent.client_order_id])
    ours = {row.symbol for row in ledger.intents} | set(ledger.owned)
    for order in broker.orders:
        if order.parent_client_order_id is not None:
            yield from _leg_breaks(order, ledger, session_over)
        elif order.client_order_id not in ledger.known_orders:
            yield Break(
                BreakKind.FOREIGN_ORDER,
                order.symbol,
                order.client_order_id,
                "none",
                _order_text(order),
                Severity.ERROR if order.symbol in ours else Severity.INFO,
                "Somebody else trades this account; keep to instruments that the portfolio does not.",
            )


def fill_breaks(ledger: LedgerView, broker: BrokerView, portfolio: str) -> Iterator[Break]:
    """Executions by the broker's fill id, as they stand: of this portfolio and of nobody known.

    One that was taken back is there for no shares, or dropped from the broker's list: both are the same.
    """
    recorded = {row.fill_id: row for row in ledger.fills}
    parents = {row.client_order_id: row.parent_client_order_id for row in broker.orders}
    for fill in broker.fills:
        row = recorded.pop(fill.fill_id, None)
        owner = _owner(fill, ledger, parents)
        if owner not in (portfolio, None) or (row is None and fill.qty == 0):
            continue
        if row is None:
            foreign = owner is None
            yield Break(
                BreakKind.FOREIGN_FILL if foreign else BreakKind.FILL_MISSING_IN_LEDGER,
                fill.symbol,
                fill.client_order_id,
                "none",
                f"{fill.fill_id}: {_fill_text(fill)}",
                Severity.INFO if foreign else Severity.ERROR,
                "Not an order of Scizor's." if foreign else _FOLLOW,
            )
        elif _fill_text(row) != _fill_text(fill):
            yield Break(
                BreakKind.FILL_DIFFERS,
                fill.symbol,
                fill.client_order_id,
                f"{fill.fill_id}: {_fill_text(row)}",
                _fill_text(fill),
                Severity.ERROR,
                "The broker has corrected the execution. " + _FOLLOW,
            )
    for row in recorded.values():
        if row.portfolio == portfolio and row.qty != 0:
            yield Break(
                BreakKind.FILL_MISSING_AT_BROKER,
                row.symbol,
                row.client_order_id,
                f"{row.fill_id}: {_fill_text(row)}",
                "none",
                Severity.ERROR,
                "The broker took the execution back, or its answer was incomplete. " + _FOLLOW,
            )


def activity_breaks(ledger: LedgerView, broker: BrokerView) -> Iterator[Break]:
    """Splits, dividends and payments that the ledger has not recorded."""
    recorded = {row.activity_id for row in ledger.activities}
    for activity in broker.activities:
        if activity.activity_id not in recorded:
            yield Break(
                BreakKind.ACTIVITY_MISSING_IN_LEDGER,
                activity.symbol,
                None,
                "none",
                f"{activity.kind} {activity.amount:f} {activity.description}".strip(),
                Severity.ERROR,
                _FOLLOW,
            )


def fills_by_order(fills: Sequence[FillRow]) -> Mapping[str, list[FillRow]]:
    found: defaultdict[str, list[FillRow]] = defaultdict(list)
    for row in fills:
        found[row.client_order_id].append(row)
    return found


def _intent_breaks(
    intent: IntentRow, order: BrokerOrder | None, session_over: bool, *, changed: bool
) -> Iterator[Break]:
    state = intent.state
    if state in _DOUBTFUL:
        found = "none found" if order is None else _order_text(order)
        yield _of(
            intent,
            BreakKind.OUTCOME_UNKNOWN,
            f"{state}: {_sent_text(intent)}",
            found,
            Severity.ERROR,
            _FOLLOW,
        )
        return
    if state in _UNSENT:
        severity = Severity.ERROR if session_over else Severity.WORKING
        yield _of(intent, BreakKind.NOT_SENT, _sent_text(intent), state.value, severity, _FOLLOW)
    if order is None:
        if intent.broker_order_id is not None and state not in _NEVER_AT_BROKER:
            yield _of(intent, BreakKind.MISSING_AT_BROKER, _sent_text(intent), "none", Severity.ERROR, _LOOK)
        return
    if state in _NEVER_AT_BROKER:
        if order.status is not OrderStatus.REJECTED:
            yield _of(intent, BreakKind.SENT_UNEXPECTEDLY, state.value, _order_text(order), Severity.ERROR, _LOOK)
        return
    yield from _sent_breaks(intent, order, session_over, changed=changed)


def _sent_breaks(intent: IntentRow, order: BrokerOrder, session_over: bool, *, changed: bool) -> Iterator[Break]:
    if (expected := _sent_text(intent)) != (found := _terms_text(intent, order)):
        # Once the order was seen to end with these terms, and with the same fills, nothing is left that could differ.
        ended = intent.state.terminal and order.status.terminal and intent.filled_qty == order.filled_qty
        explained = ended and changed
        severity = Severity.INFO if explained else Severity.ERROR
        yield _of(intent, BreakKind.ORDER_DIFFERS, expected, found, severity, _CHANGED if explained else _LOOK)
    if intent.filled_qty != order.filled_qty:
        yield _of(
            intent,
            BreakKind.FILLED_QTY_DIFFERS,
            f"{intent.filled_qty:f}",
            f"{order.filled_qty:f}",
            Severity.ERROR,
            _FOLLOW,
        )
    elif intent.state.terminal != order.status.terminal:
        yield _of(intent, BreakKind.STATE_DIFFERS, intent.state.value, order.status.value, Severity.ERROR, _FOLLOW)
    if not order.status.terminal:
        yield _open(order, session_over)


def _returned(intent: IntentRow, order: BrokerOrder | None, ended: str) -> Break:
    """An end that the broker has taken back: what follows from it is followed, and a person should know."""
    found = intent.state.value if order is None else _order_text(order)
    severity = Severity.INFO if intent.state.terminal else Severity.WORKING
    remedy = "The order is followed again; what it fills counts. Ask the broker why it was shown as ended."
    return _of(intent, BreakKind.ORDER_RETURNED, f"ended: {ended}", found, severity, remedy)


def _leg_breaks(leg: BrokerOrder, ledger: LedgerView, session_over: bool) -> Iterator[Break]:
    """The exits of our own brackets are ours; they count as open only once their entry has filled."""
    parent = ledger.known_orders.get(leg.parent_client_order_id or "")
    mine = any(row.client_order_id == leg.parent_client_order_id for row in ledger.intents)
    if parent is not None and mine and not leg.status.terminal:
        yield _open(leg, session_over)


def _open(order: BrokerOrder, session_over: bool) -> Break:
    return Break(
        BreakKind.OPEN_ORDER,
        order.symbol,
        order.client_order_id,
        "ended with its session" if session_over else "open",
        _order_text(order),
        Severity.ERROR if session_over else Severity.WORKING,
        _FOLLOW,
    )


def _of(intent: IntentRow, kind: BreakKind, expected: str, found: str, severity: Severity, remedy: str) -> Break:
    return Break(kind, intent.symbol, intent.client_order_id, expected, found, severity, remedy)


def _owner(fill: BrokerFill, ledger: LedgerView, parents: Mapping[str, str | None]) -> str | None:
    name = parents.get(fill.client_order_id) or fill.client_order_id
    known = ledger.known_orders.get(name)
    return known.portfolio if known else None


def _planned_text(order: PlannedOrder) -> str:
    return (
        _text(
            order.side,
            order.qty,
            order.symbol,
            order.order_type,
            order.limit_price,
            order.take_profit,
            order.stop_loss,
        )
        + f" sized at {_number(order.price_used)}"
    )


def _intent_text(intent: IntentRow) -> str:
    return (
        _text(
            intent.side,
            intent.planned_qty,
            intent.symbol,
            intent.order_type,
            intent.limit_price,
            intent.take_profit,
            intent.stop_loss,
        )
        + f" sized at {_number(intent.price_used)}"
    )


def _sent_text(intent: IntentRow) -> str:
    return _text(intent.side, intent.qty, intent.symbol, None, intent.limit_price)


def _terms_text(intent: IntentRow, order: BrokerOrder) -> str:
    """The broker's terms; its limit where it states one, else it is taken as sent."""
    stated = order.raw.get("limit_price", intent.limit_price)
    qty = intent.qty if order.shows_no_more_than_filled and order.qty < intent.qty else order.qty
    return _text(order.side, qty, order.symbol, None, None if stated is None else Decimal(str(stated)))


def _order_text(order: BrokerOrder) -> str:
    return f"{_text(order.side, order.qty, order.symbol)}, {order.status}, {_number(order.filled_qty)} filled"


def _fill_text(fill: FillRow | BrokerFill) -> str:
    return f"{_text(fill.side, fill.qty, fill.symbol)} at {_number(fill.price)}, fee {_number(fill.fee)}"


def _text(
    side: str,
    qty: Decimal,
    symbol: str,
    order_type: str | None = None,
    limit: Decimal | None = None,
    profit: Decimal | None = None,
    stop: Decimal | None = None,
) -> str:
    words = [str(side), _number(qty), symbol, *([str(order_type)] if order_type else [])]
    for name, price in (("limit", limit), ("take-profit", profit), ("stop", stop)):
        if price is not None:
            words.append(f"{name} {_number(price)}")
    return " ".join(words)


def _number(value: Decimal) -> str:
    """Without trailing zeros, so that 10 and 10.00 are the same text."""
    return f"{value.normalize() + ZERO:f}"
