"""The verdict on one session: plan, ledger and broker compared, in one pure function.

What belongs here: putting the comparisons together, the table of orders, the summary. What does not: the comparisons
(`plans`, `orders`, `fills`, `positions`, `cash`), what follows from what (`judging`), reading (`gather`), storing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import BrokerOrder
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.planning.model import Plan, PlannedOrder
from scizor_dagster.reconciliation.cash import cash_breaks
from scizor_dagster.reconciliation.explaining import Evidence
from scizor_dagster.reconciliation.fills import activity_breaks, came_late, fill_breaks, fill_news, fills_by_order
from scizor_dagster.reconciliation.judging import judged
from scizor_dagster.reconciliation.model import (
    Break,
    BreakKind,
    BrokerView,
    LedgerView,
    Measures,
    OrderResult,
    ReconciliationReport,
    ReconciliationState,
    Severity,
    Source,
    Stage,
    When,
)
from scizor_dagster.reconciliation.orders import order_breaks
from scizor_dagster.reconciliation.plans import plan_breaks
from scizor_dagster.reconciliation.positions import end_of_day, position_breaks
from scizor_dagster.risk.breaks import LockScope

ZERO = Decimal(0)
_AVERAGE_STEP = Decimal("0.00000001")
_BASIS_POINTS = 10_000
_NAMED_BREAKS = 10
_TOLD = (BreakKind.ORDER_RETURNED, BreakKind.ORDER_DIFFERS)
"""Named in the summary also where they are no unexplained difference: somebody else has had a hand in the order."""
_UNSENT = (IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED)


def reconcile(
    plans: Sequence[Plan],
    ledger: LedgerView,
    broker: BrokerView,
    *,
    portfolio: str,
    account: str,
    session: date,
    closes: Mapping[str, Close],
    when: When,
    measures: Measures | None = None,
) -> ReconciliationReport:
    """Compare the three sides of one session: orders, then fills, then positions, then cash.

    Args:
        plans: The stored plan of each batch of the session, in the order of the batches, or the newest
            stored one where nothing was admitted; empty where none was made. The last one is in force.
        ledger: See `gather.read_sides`.
        broker: See `gather.read_sides`.
        portfolio: Whose session it is.
        account: The account that it trades on.
        session: The session.
        closes: Last close by symbol, for the end-of-day table and for what a break is worth.
        when: At what point of the session's life, in which pass, against whose word.
        measures: Tolerances; without them every difference counts.
    """
    rules = measures or Measures()
    if when.source is Source.LOGS:
        # Nobody was asked what is held: that is no difference.
        ledger = replace(ledger, differences={})
    found = list(plan_breaks(plans, ledger, when.session_over))
    if when.source is Source.BROKER:
        found += _against_broker(plans, ledger, broker, portfolio, closes, when, rules)
    else:
        found += order_breaks(ledger, broker, when.session_over)
    if when.venue_behind and when.session_over:
        found.append(_behind(session))
    breaks = judged(found, plans, ledger, broker, closes, portfolio=portfolio, account=account, session=session)
    if when.source is Source.LOGS:
        # The ledger gets none of them: there is nothing to accept, and nothing is locked.
        breaks = tuple(replace(row, break_id="", locks=LockScope.NONE) for row in breaks)
    results = order_results(plans, ledger, broker)
    state = _state(plans, ledger, breaks)
    summary = _summary(portfolio, session, state, results, breaks, broker, when)
    positions = end_of_day(plans, ledger, closes)
    return ReconciliationReport(portfolio, account, session, state, breaks, results, positions, summary, when)


def _against_broker(
    plans: Sequence[Plan],
    ledger: LedgerView,
    broker: BrokerView,
    portfolio: str,
    closes: Mapping[str, Close],
    when: When,
    measures: Measures,
) -> Iterator[Break]:
    planned = frozenset(order.client_order_id for plan in plans for order in plan.orders)
    news = fill_news(ledger, broker, portfolio, planned) if when.fills_shown else ()
    evidence = Evidence(ledger, broker, news, closes)
    yield from order_breaks(ledger, broker, when.session_over, planned, listed=when.orders_listed)
    if when.fills_shown:
        yield from fill_breaks(ledger, broker, portfolio, when=when, measures=measures, planned=planned)
    else:
        yield _fills_not_compared(ledger)
    yield from came_late(ledger, portfolio, when)
    yield from activity_breaks(ledger, broker)
    yield from position_breaks(ledger, broker, measures, evidence)
    yield from cash_breaks(ledger, broker, measures, evidence)


def _fills_not_compared(ledger: LedgerView) -> Break:
    return Break(
        BreakKind.FILLS_NOT_COMPARED,
        None,
        None,
        f"{len(ledger.fills)} recorded",
        "not shown any more",
        Severity.INFO,
        "Nothing: where every order has ended, and positions agree, the day is closed without them.",
        stage=Stage.FILLS,
        cause="the broker does not go back to the session: what is held now stands for its executions",
    )


def _behind(session: date) -> Break:
    return Break(
        BreakKind.VENUE_BEHIND,
        None,
        None,
        f"the venue has gone through {session}",
        "not yet",
        Severity.WORKING,
        "End or execute what is open up to the session first: scizor run for it, or the job follow_orders.",
        stage=Stage.FILLS,
        cause="orders or plans up to the session are still open",
    )


def order_results(plans: Sequence[Plan], ledger: LedgerView, broker: BrokerView) -> tuple[OrderResult, ...]:
    """One row per intent, then per exit of a bracket, then per planned order that was never admitted."""
    fills = fills_by_order(ledger.fills)
    rows = [_result(intent, fills.get(intent.client_order_id, ())) for intent in ledger.intents]
    mine = {intent.client_order_id: intent for intent in ledger.intents}
    for order in broker.orders:
        parent = mine.get(order.parent_client_order_id or "")
        if parent is not None:
            rows.append(_exit_result(order, parent, fills.get(order.client_order_id, ())))
    planned = [order for plan in plans for order in plan.orders]
    rows += [_not_admitted(order) for order in planned if order.client_order_id not in mine]
    return tuple(rows)


def _result(intent: IntentRow, fills: Sequence[FillRow]) -> OrderResult:
    filled, average, fees = _filled(fills)
    slippage = None
    # An order that was taken from the broker's books before it filled was sized on no price that anybody knows.
    if average is not None and intent.price_used > 0:
        slippage = float(intent.side.sign * (average / intent.price_used - 1) * _BASIS_POINTS)
    never_sent = intent.state in _UNSENT or (intent.state is IntentState.EXPIRED and intent.broker_order_id is None)
    return OrderResult(
        intent.client_order_id,
        intent.symbol,
        intent.side,
        intent.planned_qty,
        ZERO if never_sent else intent.qty,
        filled,
        average,
        fees,
        intent.price_used,
        intent.state.value,
        slippage,
        intent.reason,
    )


def _not_admitted(order: PlannedOrder) -> OrderResult:
    return OrderResult(
        order.client_order_id,
        order.symbol,
        order.side,
        order.qty,
        ZERO,
        ZERO,
        None,
        ZERO,
        order.price_used,
        "not_admitted",
        None,
        "the plan was not executed",
    )


def _exit_result(order: BrokerOrder, parent: IntentRow, fills: Sequence[FillRow]) -> OrderResult:
    filled, average, fees = _filled(fills)
    return OrderResult(
        order.client_order_id,
        order.symbol,
        order.side,
        ZERO,
        order.qty,
        filled,
        average,
        fees,
        parent.price_used,
        order.status.value,
        None,
        f"exit of {parent.client_order_id}" + (f": {order.reason}" if order.reason else ""),
    )


def _filled(fills: Sequence[FillRow]) -> tuple[Decimal, Decimal | None, Decimal]:
    qty = sum((row.qty for row in fills), ZERO)
    value = sum((row.qty * row.price for row in fills), ZERO)
    return qty, (value / qty).quantize(_AVERAGE_STEP) if qty else None, sum((row.fee for row in fills), ZERO)


def _state(plans: Sequence[Plan], ledger: LedgerView, breaks: Sequence[Break]) -> ReconciliationState:
    severities = {row.severity for row in breaks}
    if Severity.ERROR in severities:
        return ReconciliationState.BREAKS
    if Severity.WORKING in severities:
        return ReconciliationState.WORKING
    if ledger.intents:
        return ReconciliationState.RECONCILED
    return ReconciliationState.NO_PLAN if not plans and not ledger.batches else ReconciliationState.NOTHING_TO_DO


def _summary(
    portfolio: str,
    session: date,
    state: ReconciliationState,
    results: Sequence[OrderResult],
    breaks: Sequence[Break],
    broker: BrokerView,
    when: When,
) -> str:
    counts = Counter(row.state for row in results)
    states = ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"
    bought = sum((_value(row) for row in results if row.side.sign > 0), ZERO)
    sold = sum((_value(row) for row in results if row.side.sign < 0), ZERO)
    money = broker.account
    errors = [row for row in breaks if row.severity is Severity.ERROR]
    others = Counter(row.severity.value for row in breaks if row.severity is not Severity.ERROR)
    lines = [
        f"{portfolio} {session}: {state}",
        f"orders   {len(results)} ({states})",
        f"traded   bought {bought:,.2f}, sold {sold:,.2f}, fees {sum((row.fees for row in results), ZERO):,.2f}",
        *(
            [f"account  equity {money.equity:,.2f} {money.currency}, cash {money.cash:,.2f}"]
            if when.source is Source.BROKER
            else ["account  not asked: the plan is compared with the ledger alone"]
        ),
        f"breaks   {len(errors)}" + "".join(f", {number} {name}" for name, number in sorted(others.items())),
    ]
    lines += [f"  {row.expected}" for row in breaks if row.kind is BreakKind.CASH_NOT_COMPARED]
    lines += [f"  {_break_text(row)}" for row in breaks if row.kind in _TOLD and row not in errors]
    lines += [f"  {_break_text(row)}" for row in errors[:_NAMED_BREAKS]]
    if len(errors) > _NAMED_BREAKS:
        lines.append(f"  and {len(errors) - _NAMED_BREAKS} more")
    return "\n".join(lines)


def _value(row: OrderResult) -> Decimal:
    return row.filled_qty * row.average_price if row.average_price is not None else ZERO


def _break_text(row: Break) -> str:
    place = " ".join(part for part in (row.symbol, row.client_order_id) if part)
    return f"{row.kind} {place}: expected {row.expected}, found {row.found}".replace(" :", ":")
