"""The orders of a session as the ledger has them: what was meant, when it was sent, what filled.

What belongs here: reading plan and ledger, and finding the moment of each send. What does not: prices of the market
(`costs_market`), and what an order cost (`analytics.costs`).

A session may be replayed long after it. A send after the session's close, by the machine's clock, tells nothing of the
venue's time: then the executions that had been recorded before it do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderType, Side
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.rows import (
    BatchRow,
    FillRow,
    IntentRow,
    batches_of,
    fills_for_orders,
    fills_of,
    intents_by_id,
    intents_of,
)
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import events, orders
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Plan

ZERO = Decimal(0)
NOT_ADMITTED = "not_admitted"
_CHUNK = 500
_SENDING = f"intent_{IntentState.SENDING.value}"
_FILLS = ("fill", "fill_corrected", "fill_busted")
# Built once; reaches the entries of one session's orders by their ids, however long the history is.
_ENTRIES = (
    sa.select(events.c.seq, events.c.at, events.c.client_order_id, events.c.kind, events.c.payload)
    .where(events.c.client_order_id.in_(sa.bindparam("ids", expanding=True)), events.c.kind.in_([_SENDING, *_FILLS]))
    .order_by(events.c.seq)
)
_BRACKETS = sa.select(orders.c.client_order_id).where(
    orders.c.account == sa.bindparam("account"),
    orders.c.portfolio == sa.bindparam("portfolio"),
    orders.c.order_type == OrderType.BRACKET.value,
    orders.c.session <= sa.bindparam("session"),
    orders.c.symbol.in_(sa.bindparam("symbols", expanding=True)),
)
_UNSENT = (IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED)


@dataclass(frozen=True, slots=True)
class Sent:
    """When an order went out, as far as that can be told.

    Attributes:
        at: The venue's time; None for one that was sent before anything of the session had traded.
        last_price: The last execution of its instrument that was recorded before it was sent; None without one.
    """

    at: datetime | None
    last_price: Decimal | None


@dataclass(frozen=True, slots=True)
class MeasuredOrder:
    """An order of the plan, or a leg of a bracket that has filled, in the units in which each was stated.

    Attributes:
        price_used: What the plan sized on; for a leg its own trigger. None where it is not known.
        priced_on: Session in whose units `price_used` is; None: in those of the session itself.
        price_of: Session that the price is of, where the plan says so.
        sent: None for an order that was never sent, or of which no send is recorded.
        is_exit: Whether it is a leg of a bracket.
        replaced_by: An order in the same instrument of the next plan of the session that has one.
    """

    client_order_id: str
    symbol: str
    side: Side
    order_type: str
    state: str
    reason: str
    planned_qty: Decimal
    sent_qty: Decimal
    price_used: Decimal | None
    priced_on: date | None
    price_of: date | None
    price_source: str
    fills: tuple[FillRow, ...]
    sent: Sent | None
    is_exit: bool = False
    replaced_by: MeasuredOrder | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the ledger's history: a send, or an execution as it was stated then."""

    seq: int
    at: datetime
    order_id: str
    kind: str
    said: Mapping[str, str]


def measured_orders(desk: Desk, portfolio: str, session: date) -> list[MeasuredOrder]:
    """Every order that the session's plans wanted, and the exits of brackets that have filled."""
    account = desk.portfolio(portfolio).account
    with desk.ledger.read() as connection:
        batches = batches_of(connection, account, portfolio, session)
        intents = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
        names = [row.client_order_id for row in intents]
        entries = _entries(connection, names)
        fills = fills_for_orders(connection, account, names)
        legs = _legs(connection, account, portfolio, session, names)
    plans = _plans(desk, portfolio, session, batches)
    prices = {(plan.plan_id, line.symbol): (plan, line.price_session) for plan in plans for line in plan.lines}
    plan_of = {batch.batch_id: batch.plan_id for batch in batches}
    calendar = desk.calendar(desk.portfolio(portfolio).market)
    times = SendTimes(entries, calendar.open_at(session), calendar.close_at(session))
    rows = []
    for intent in intents:
        plan, price_of = prices.get((plan_of[intent.batch_id], intent.symbol), (None, None))
        filled = tuple(fills.get(intent.client_order_id, ()))
        rows.append(_order(intent, plan, price_of, filled, times.sent(intent.client_order_id, intent.symbol)))
    # A manual order takes the place of none.
    numbers = {batch.batch_id: batch.batch for batch in batches if not batch.by_hand}
    planned = [(row, intent) for row, intent in zip(rows, intents, strict=True) if intent.batch_id in numbers]
    by_hand = [row for row, intent in zip(rows, intents, strict=True) if intent.batch_id not in numbers]
    rows = replaced([row for row, _ in planned], [numbers[intent.batch_id] for _, intent in planned])
    return [*rows, *by_hand, *legs, *_not_admitted(plans, frozenset(names))]


def replaced(rows: Sequence[MeasuredOrder], batches: Sequence[int]) -> list[MeasuredOrder]:
    """Each order with the one that the next batch has in its instrument; `batches` are their numbers."""
    of_symbol: defaultdict[str, dict[int, MeasuredOrder]] = defaultdict(dict)
    for row, batch in zip(rows, batches, strict=True):
        of_symbol[row.symbol].setdefault(batch, row)
    found = []
    for row, batch in zip(rows, batches, strict=True):
        later = min((number for number in of_symbol[row.symbol] if number > batch), default=None)
        found.append(row if later is None else replace(row, replaced_by=of_symbol[row.symbol][later]))
    return found


def _plans(desk: Desk, portfolio: str, session: date, batches: Sequence[BatchRow]) -> list[Plan]:
    """The stored plan of each batch, before them the newest one where no rebalance was admitted."""
    first = [] if any(not batch.by_hand for batch in batches) else [None]
    wanted = [*first, *(batch.plan_id for batch in batches)]
    found = [read_plan(desk.lake, portfolio, session, plan_id) for plan_id in wanted]
    return [plan for plan in found if plan is not None]


def _order(
    intent: IntentRow, plan: Plan | None, price_of: date | None, fills: tuple[FillRow, ...], sent: Sent | None
) -> MeasuredOrder:
    known = intent.price_used > 0
    never_sent = intent.state in _UNSENT or (intent.state is IntentState.EXPIRED and intent.broker_order_id is None)
    return MeasuredOrder(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type.value,
        state=intent.state.value,
        reason=intent.reason,
        planned_qty=intent.planned_qty,
        sent_qty=ZERO if never_sent else intent.qty,
        price_used=intent.price_used if known else None,
        priced_on=plan.priced_on if plan is not None else None,
        price_of=price_of,
        price_source=_decided_on(price_of) if known else "the order was taken from the broker's books, without a plan",
        fills=fills,
        sent=sent,
    )


def _decided_on(price_of: date | None) -> str:
    return f"close of {price_of}" if price_of is not None else "the plan's price"


def _legs(
    connection: sa.Connection, account: str, portfolio: str, session: date, known: Sequence[str]
) -> list[MeasuredOrder]:
    """The exits of brackets that filled in the session, whenever their entries did."""
    found: defaultdict[str, list[FillRow]] = defaultdict(list)
    for fill in fills_of(connection, account, portfolio=portfolio, first=session, last=session):
        found[fill.client_order_id].append(fill)
    mine = intents_by_id(connection, [name for name in found if name not in known])
    fills = {name: rows for name, rows in found.items() if name not in known and name not in mine and _shares(rows)}
    if not fills:
        return []
    symbols = sorted({rows[0].symbol for rows in fills.values()})
    named = {"account": account, "portfolio": portfolio, "session": session, "symbols": symbols}
    parents = intents_by_id(connection, list(connection.execute(_BRACKETS, named).scalars()))
    of_leg = {entry.said["client_order_id"]: parents[entry.order_id] for entry in _entries(connection, list(parents))
              if entry.kind in _FILLS}  # fmt: skip
    return [_leg(of_leg.get(name), name, rows) for name, rows in fills.items()]


def _leg(parent: IntentRow | None, name: str, fills: Sequence[FillRow]) -> MeasuredOrder:
    """A leg was decided on with its own trigger: a take-profit never fills worse than that, a stop never better."""
    side, filled = fills[0].side, _shares(fills)
    level, word = (parent.stop_loss, "stop-loss") if parent is not None else (None, "")
    profit = parent.take_profit if parent is not None else None
    if profit is not None and all((row.price - profit) * side.sign <= 0 for row in fills if row.qty):
        level, word = profit, "take-profit"
    return MeasuredOrder(
        client_order_id=name,
        symbol=fills[0].symbol,
        side=side,
        order_type=OrderType.BRACKET.value,
        state=IntentState.FILLED.value,
        reason=f"exit of {parent.client_order_id}" if parent is not None else "its entry is not in the ledger",
        planned_qty=filled,
        sent_qty=filled,
        price_used=level,
        priced_on=parent.session if parent is not None else None,
        price_of=None,
        price_source=word if level is not None else "the price that triggered this exit is not in the ledger",
        fills=tuple(fills),
        sent=None,
        is_exit=True,
    )


def _not_admitted(plans: Sequence[Plan], known: Collection[str]) -> list[MeasuredOrder]:
    dates = {(plan.plan_id, line.symbol): line.price_session for plan in plans for line in plan.lines}
    return [
        MeasuredOrder(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type.value,
            state=NOT_ADMITTED,
            reason="the plan was not executed",
            planned_qty=order.qty,
            sent_qty=ZERO,
            price_used=order.price_used,
            priced_on=plan.priced_on,
            price_of=dates.get((plan.plan_id, order.symbol)),
            price_source=_decided_on(dates.get((plan.plan_id, order.symbol))),
            fills=(),
            sent=None,
        )
        for plan in plans
        for order in plan.orders
        if order.client_order_id not in known
    ]


def _shares(fills: Iterable[FillRow]) -> Decimal:
    return sum((row.qty for row in fills), ZERO)


def _entries(connection: sa.Connection, ids: Sequence[str]) -> list[Entry]:
    found = [
        Entry(row.seq, row.at, row.client_order_id, row.kind, json.loads(row.payload))
        for start in range(0, len(ids), _CHUNK)
        for row in connection.execute(_ENTRIES, {"ids": ids[start : start + _CHUNK]})
    ]
    return sorted(found, key=lambda entry: entry.seq)


class SendTimes:
    """When the orders of a session were sent, from the entries of them in the ledger's history, in its sequence."""

    def __init__(self, entries: Sequence[Entry], opened: datetime, closed: datetime) -> None:
        self._opened, self._closed = opened, closed
        self._sends: dict[str, Entry] = {}
        self._fills: list[tuple[int, datetime, str, Decimal]] = []
        for entry in entries:
            if entry.kind == _SENDING:
                self._sends.setdefault(entry.order_id, entry)
            elif Decimal(entry.said["qty"]) > 0:
                at = datetime.fromisoformat(entry.said["executed_at"])
                self._fills.append((entry.seq, at, entry.said["symbol"], Decimal(entry.said["price"])))

    def sent(self, client_order_id: str, symbol: str) -> Sent | None:
        """When the order was sent; None where no send of it is recorded."""
        entry = self._sends.get(client_order_id)
        if entry is None:
            return None
        before = [fill for fill in self._fills if fill[0] < entry.seq]
        at: datetime | None = entry.at
        if entry.at > self._closed:
            at = max((fill[1] for fill in before), default=None)
        if at is None or at <= self._opened:
            return Sent(None, None)
        mine = [fill for fill in before if fill[2] == symbol and fill[1] <= at]
        return Sent(at, max(mine, key=lambda fill: (fill[1], fill[0]))[3] if mine else None)


def attribution(desk: Desk, portfolio: str, first: date, last: date) -> dict[tuple[date, str], dict[str, Decimal]]:
    """What each strategy wanted of each symbol, by session: signed shares of equity."""
    found: defaultdict[tuple[date, str], dict[str, Decimal]] = defaultdict(dict)
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT session, symbol, strategy, contribution FROM target_attribution "
            "WHERE portfolio = ? AND session BETWEEN ? AND ?",
            [portfolio, first, last],
        ).fetchall()
    for session, symbol, strategy, contribution in rows:
        wanted = found[session, symbol]
        wanted[strategy] = wanted.get(strategy, ZERO) + Decimal(contribution)
    return dict(found)
