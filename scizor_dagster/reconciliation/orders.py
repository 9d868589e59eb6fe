"""Orders: the ledger's intents against the broker's orders, and the broker's orders that nobody meant.

What belongs here: yielding `Break`s of single orders. What does not: the plan (`plans`), executions (`fills`), and
what follows from one difference for others (`explaining`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerOrder, OrderStatus
from scizor_dagster.ledger.rows import IntentRow
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.reconciliation.model import Break, BreakClass, BreakKind, BrokerView, LedgerView, Severity
from scizor_dagster.reconciliation.plans import LOOK
from scizor_dagster.reconciliation.words import limit_of, number, order_text, sent_text, terms_text
from scizor_dagster.risk.breaks import LockScope

ZERO = Decimal(0)
_UNSENT = frozenset({IntentState.HELD, IntentState.READY})
_NEVER_AT_BROKER = frozenset({*_UNSENT, IntentState.BLOCKED, IntentState.DROPPED, IntentState.REJECTED})
_DOUBTFUL = frozenset({IntentState.SENDING, IntentState.UNKNOWN})
FOLLOW = "Follow the orders again: scizor run for the session, or the job follow_orders."
_CHANGED = "Changed at the broker, and ended: its fills are recorded. The next plan starts from what is held."


def order_breaks(
    ledger: LedgerView,
    broker: BrokerView,
    session_over: bool,
    planned: Collection[str] = (),
    *,
    listed: bool = True,
) -> Iterator[Break]:
    """Each intent against the broker's order of the same id, and the broker's orders that nobody meant.

    `planned` are ids of the session's plans: an order that the ledger has lost is no stranger's. Where the broker
    lists orders of the session that have ended no more (not `listed`), one that is absent is no surprise.
    """
    orders = _by_id(broker.orders)
    for intent in ledger.intents:
        shown = orders.get(intent.client_order_id, [])
        changed = intent.client_order_id in ledger.changed
        if not shown and not listed and _is_settled(intent, broker):
            yield _delisted(intent)
        else:
            yield from _intent_breaks(intent, _own(intent, shown), session_over, changed=changed)
        if intent.client_order_id in ledger.returned:
            yield _returned(intent, _own(intent, shown), ledger.returned[intent.client_order_id])
        for order in shown:
            if len(shown) > 1 and order is not _own(intent, shown):
                yield _duplicate(intent, order)
    ours = {row.symbol for row in ledger.intents} | set(ledger.owned)
    for order in broker.orders:
        if order.parent_client_order_id is not None:
            yield from _leg_breaks(order, ledger, session_over)
        elif order.client_order_id not in ledger.known_orders and order.client_order_id not in planned:
            yield _foreign(order, of_ours=order.symbol in ours)


def _by_id(orders: Sequence[BrokerOrder]) -> dict[str, list[BrokerOrder]]:
    found: defaultdict[str, list[BrokerOrder]] = defaultdict(list)
    for row in orders:
        found[row.client_order_id].append(row)
    return found


def _own(intent: IntentRow, shown: Sequence[BrokerOrder]) -> BrokerOrder | None:
    """Of several orders with the intent's id, the one that the ledger knows; else the first."""
    mine = (order for order in shown if order.broker_order_id == intent.broker_order_id)
    return next(mine, shown[0] if shown else None)


def _intent_breaks(
    intent: IntentRow, order: BrokerOrder | None, session_over: bool, *, changed: bool
) -> Iterator[Break]:
    state = intent.state
    if state in _DOUBTFUL:
        yield _doubtful(intent, order)
        return
    if state in _UNSENT:
        yield _not_sent(intent, session_over)
    if order is None:
        if intent.broker_order_id is not None and state not in _NEVER_AT_BROKER:
            yield _vanished(intent)
        return
    if state in _NEVER_AT_BROKER:
        if order.status is not OrderStatus.REJECTED:
            yield _unexpected(intent, order)
        return
    yield from _sent_breaks(intent, order, session_over, changed=changed)


def _doubtful(intent: IntentRow, order: BrokerOrder | None) -> Break:
    return Break(
        BreakKind.OUTCOME_UNKNOWN,
        intent.symbol,
        intent.client_order_id,
        f"{intent.state}: {sent_text(intent)}",
        "none found" if order is None else order_text(order),
        Severity.ERROR,
        FOLLOW,
        break_class=BreakClass.UNKNOWN,
        cause="it was sent, or perhaps sent, and no answer can be relied on; its instrument is frozen",
        qty=_left(intent),
        locks=LockScope.ORDER,
    )


def _not_sent(intent: IntentRow, session_over: bool) -> Break:
    return Break(
        BreakKind.NOT_SENT,
        intent.symbol,
        intent.client_order_id,
        sent_text(intent),
        intent.state.value,
        Severity.ERROR if session_over else Severity.WORKING,
        FOLLOW,
        cause="its session is over, and no run has ended it" if session_over else "it waits to be sent",
        qty=-_left(intent),
        locks=LockScope.INSTRUMENT,
    )


def _vanished(intent: IntentRow) -> Break:
    return Break(
        BreakKind.MISSING_AT_BROKER,
        intent.symbol,
        intent.client_order_id,
        sent_text(intent),
        "none",
        Severity.ERROR,
        LOOK,
        break_class=BreakClass.MISSING,
        cause=f"the broker had acknowledged it as {intent.broker_order_id}, and shows it no more",
        qty=-intent.qty * intent.side.sign,
        locks=LockScope.INSTRUMENT,
    )


def _is_settled(intent: IntentRow, broker: BrokerView) -> bool:
    """Whether an order that was at the broker has ended, and the broker's executions of it are those of the ledger."""
    filled = sum((row.qty for row in broker.fills if row.client_order_id == intent.client_order_id), ZERO)
    sent = intent.broker_order_id is not None and intent.state not in _NEVER_AT_BROKER
    return sent and intent.state.terminal and filled == intent.filled_qty


def _delisted(intent: IntentRow) -> Break:
    return Break(
        BreakKind.MISSING_AT_BROKER,
        intent.symbol,
        intent.client_order_id,
        sent_text(intent),
        "none",
        Severity.INFO,
        "Nothing: the ledger has seen it end, and what it has filled agrees.",
        cause=f"it has ended as {intent.state}, and the broker lists orders of its session no more",
    )


def _unexpected(intent: IntentRow, order: BrokerOrder) -> Break:
    return Break(
        BreakKind.SENT_UNEXPECTEDLY,
        intent.symbol,
        intent.client_order_id,
        intent.state.value,
        order_text(order),
        Severity.ERROR,
        LOOK,
        break_class=BreakClass.UNEXPECTED,
        cause=f"the ledger says that it is {intent.state}, and the broker has it",
        qty=order.qty * order.side.sign,
        locks=LockScope.INSTRUMENT,
    )


def _sent_breaks(intent: IntentRow, order: BrokerOrder, session_over: bool, *, changed: bool) -> Iterator[Break]:
    if sent_text(intent) != terms_text(intent, order):
        yield _other_terms(intent, order, changed=changed)
    if intent.filled_qty != order.filled_qty:
        yield Break(
            BreakKind.FILLED_QTY_DIFFERS,
            intent.symbol,
            intent.client_order_id,
            f"{intent.filled_qty:f}",
            f"{order.filled_qty:f}",
            Severity.ERROR,
            FOLLOW,
            break_class=BreakClass.QUANTITY,
            cause="the broker counts other fills of it than the ledger",
            qty=(order.filled_qty - intent.filled_qty) * intent.side.sign,
            locks=LockScope.INSTRUMENT,
        )
    elif intent.state.terminal != order.status.terminal:
        yield Break(
            BreakKind.STATE_DIFFERS,
            intent.symbol,
            intent.client_order_id,
            intent.state.value,
            order.status.value,
            Severity.ERROR,
            FOLLOW,
            cause="it has ended on one side alone",
            qty=_left(intent),
            locks=LockScope.INSTRUMENT,
        )
    if not order.status.terminal:
        yield _open(order, session_over)


def _other_terms(intent: IntentRow, order: BrokerOrder, *, changed: bool) -> Break:
    # Once the order was seen to end with these terms, and with the same fills, nothing is left that could differ.
    ended = intent.state.terminal and order.status.terminal and intent.filled_qty == order.filled_qty
    explained = ended and changed
    qty, amount = order.qty * order.side.sign - intent.qty * intent.side.sign, None
    kind, what = BreakClass.QUANTITY, "side" if order.side is not intent.side else "quantity"
    if order.symbol != intent.symbol:
        kind, what = BreakClass.UNEXPECTED, "instrument"
    elif not qty:
        kind, what = BreakClass.PRICE, "limit"
        amount = ((limit_of(intent, order) or ZERO) - (intent.limit_price or ZERO)) * intent.qty
    return Break(
        BreakKind.ORDER_DIFFERS,
        intent.symbol,
        intent.client_order_id,
        sent_text(intent),
        terms_text(intent, order),
        Severity.INFO if explained else Severity.ERROR,
        _CHANGED if explained else LOOK,
        break_class=kind,
        cause=f"its {what} was changed at the broker, or is another one than was sent",
        qty=qty or None,
        amount=amount,
        locks=LockScope.INSTRUMENT,
    )


def _returned(intent: IntentRow, order: BrokerOrder | None, ended: str) -> Break:
    """An end that the broker has taken back: what follows from it is followed, and a person should know."""
    return Break(
        BreakKind.ORDER_RETURNED,
        intent.symbol,
        intent.client_order_id,
        f"ended: {ended}",
        intent.state.value if order is None else order_text(order),
        Severity.INFO if intent.state.terminal else Severity.WORKING,
        "The order is followed again; what it fills counts. Ask the broker why it was shown as ended.",
        cause=f"the broker had shown it as {ended}, and has taken that back",
    )


def _duplicate(intent: IntentRow, order: BrokerOrder) -> Break:
    return Break(
        BreakKind.DUPLICATE_ORDER,
        intent.symbol,
        intent.client_order_id,
        "one order",
        f"{order.broker_order_id}: {order_text(order)}",
        Severity.ERROR,
        "Cancel it at the broker if it is open; what it has filled is the account's. " + LOOK,
        break_class=BreakClass.DUPLICATE,
        cause=f"the broker has {order.broker_order_id} beside {intent.broker_order_id} with the same id",
        qty=order.qty * order.side.sign,
        locks=LockScope.INSTRUMENT,
    )


def _foreign(order: BrokerOrder, *, of_ours: bool) -> Break:
    """Once it has ended, what is left of it is what it has done to a position, which is compared."""
    harmful = of_ours and not order.status.terminal
    return Break(
        BreakKind.FOREIGN_ORDER,
        order.symbol,
        order.client_order_id,
        "none",
        order_text(order),
        Severity.ERROR if harmful else Severity.INFO,
        "Somebody else trades this account; keep to instruments that the portfolio does not.",
        break_class=BreakClass.FOREIGN,
        cause="somebody else has placed it"
        + (", and it can still fill in an instrument of ours" if harmful else "")
        + (f", and {number(order.filled_qty)} of it have filled" if order.filled_qty else ""),
        qty=(order.qty if harmful else order.filled_qty) * order.side.sign,
        locks=LockScope.INSTRUMENT,
    )


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
        order_text(order),
        Severity.ERROR if session_over else Severity.WORKING,
        FOLLOW,
        cause="its session is over, and the broker has not ended it" if session_over else "it is at work",
        qty=(order.qty - order.filled_qty) * order.side.sign,
        locks=LockScope.INSTRUMENT,
    )


def _left(intent: IntentRow) -> Decimal:
    return max(intent.qty - intent.filled_qty, ZERO) * intent.side.sign
