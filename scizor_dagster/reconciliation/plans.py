"""The plan against the ledger: what was meant, and what was admitted.

What belongs here: stored plans, batches and their orders compared. What does not: what became of the orders at the
broker (`orders`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from scizor_dagster.ledger.rows import BatchRow, IntentRow
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.reconciliation.model import Break, BreakClass, BreakKind, LedgerView, Severity
from scizor_dagster.reconciliation.words import intent_text, planned_text
from scizor_dagster.risk.breaks import LockScope

LOOK = "Compare with the broker's own records before anything else is traded."
ZERO = Decimal(0)


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
        break_class=BreakClass.MISSING,
        cause="the lake does not hold the plan that the ledger has admitted",
        locks=LockScope.PORTFOLIO,
    )


def _batch_breaks(plan: Plan, intents: Mapping[str, IntentRow]) -> Iterator[Break]:
    """Plan and intents in both directions."""
    planned = {order.client_order_id: order for order in plan.orders}
    for name, order in planned.items():
        if (intent := intents.get(name)) is None:
            yield _without_intent(order)
        elif planned_text(order) != intent_text(intent):
            yield _differs(order, intent)
    for name, intent in intents.items():
        if name not in planned:
            yield Break(
                BreakKind.INTENT_WITHOUT_PLAN,
                intent.symbol,
                name,
                "none",
                intent_text(intent),
                Severity.ERROR,
                "The stored plan is not whole; restore the lake from its backup.",
                break_class=BreakClass.UNEXPECTED,
                cause="the stored plan has lost the order, or the ledger has got one that nobody planned",
                qty=intent.planned_qty * intent.side.sign,
                locks=LockScope.INSTRUMENT,
            )


def _without_intent(order: PlannedOrder) -> Break:
    return Break(
        BreakKind.PLANNED_WITHOUT_INTENT,
        order.symbol,
        order.client_order_id,
        planned_text(order),
        "none",
        Severity.ERROR,
        "The batch was not admitted whole; restore the ledger from its backup.",
        break_class=BreakClass.MISSING,
        cause="the ledger has lost the order, or the stored plan was changed after it was admitted",
        qty=-order.qty * order.side.sign,
        locks=LockScope.INSTRUMENT,
    )


def _differs(order: PlannedOrder, intent: IntentRow) -> Break:
    """Plan and intent are written once and together: one of them was changed since."""
    qty, amount = intent.planned_qty * intent.side.sign - order.qty * order.side.sign, None
    if order.symbol != intent.symbol:
        what, kind = "instrument", BreakClass.UNEXPECTED
    elif qty:
        what, kind = "side" if order.side is not intent.side else "quantity", BreakClass.QUANTITY
    else:
        what, kind = "price or form", BreakClass.PRICE
        amount = _price_difference(order, intent) * intent.planned_qty
    return Break(
        BreakKind.INTENT_DIFFERS,
        intent.symbol,
        intent.client_order_id,
        planned_text(order),
        intent_text(intent),
        Severity.ERROR,
        LOOK,
        break_class=kind,
        cause=f"plan or ledger was changed after the plan was admitted: another {what}",
        qty=qty or None,
        amount=amount,
        locks=LockScope.INSTRUMENT,
    )


def _price_difference(order: PlannedOrder, intent: IntentRow) -> Decimal:
    """Per share; of several prices that differ, the first. Zero where one of them is not there, or the form differs."""
    pairs = (
        (order.price_used, intent.price_used),
        (order.limit_price, intent.limit_price),
        (order.take_profit, intent.take_profit),
        (order.stop_loss, intent.stop_loss),
    )
    return next((found - meant for meant, found in pairs if meant and found and meant != found), ZERO)


def _not_admitted(plan: Plan, ledger: LedgerView, session_over: bool) -> Iterator[Break]:
    """Another plan than the stored one was admitted, or none yet, or none in time."""
    expected = f"plan {plan.plan_id[:12]}"
    admitted = [row for row in ledger.batches if not row.by_hand]
    if admitted:
        yield Break(
            BreakKind.PLAN_NOT_ADMITTED,
            None,
            None,
            expected,
            f"admitted: {', '.join(row.plan_id[:12] for row in admitted)}",
            Severity.ERROR,
            "Restore the plan that was admitted; a new one must be asked for with the next batch number.",
            break_class=BreakClass.UNEXPECTED,
            cause="the lake holds another plan than the one that the ledger has admitted",
            locks=LockScope.PORTFOLIO,
        )
    elif plan.orders:
        yield Break(
            BreakKind.PLAN_NOT_ADMITTED,
            None,
            None,
            expected,
            "admitted: none",
            Severity.INFO if session_over else Severity.WORKING,
            "Its session is over; the next plan starts from what is held." if session_over else "Execute it.",
            cause="the plan was never executed" if session_over else "the plan is not executed yet",
        )
