"""Polls: the broker's fills, activities and orders, taken into the ledger once each.

What belongs here: reading a broker and recording what is new. What does not: what follows from it
for orders that wait (`release`).

Fills are read before orders, so that an order's filled quantity is never behind the fills that were
read; where it is ahead, the order stays open until the next poll. One message per kind and session,
whatever the number of orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, BrokerOrder, OrderStatus
from scizor_dagster.execution import evidence
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import events, intents
from scizor_dagster.ledger.batches import account_clock
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.holdings import earliest_session
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.rows import (
    IntentRow,
    activities_of,
    fills_for_orders,
    intents_by_id,
    intents_in,
    known_fill_ids,
)
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import activities, trades

ZERO = Decimal(0)
_AT_BROKER = tuple(state for state in IntentState if state.at_broker)
_NEVER_SENT = (IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED)


@dataclass(frozen=True)
class Poll:
    """What a poll found.

    Attributes:
        changed: Whether anything was new.
        open_exits: Client order ids of ours whose bracket exits may still fill, or whose exits'
            fills have not arrived.
        order_ids: Client order ids of everything that the broker shows for the sessions, bracket exits left out.
    """

    changed: bool
    open_exits: frozenset[str]
    order_ids: frozenset[str]


@dataclass(frozen=True)
class _Read:
    fills: Sequence[BrokerFill]
    activities: Sequence[BrokerActivity]
    orders: dict[str, BrokerOrder]


@dataclass(frozen=True)
class _News:
    fills: list[BrokerFill]
    activities: list[BrokerActivity]
    moves: list[tuple[IntentRow, IntentState, Decimal, BrokerOrder | None]]
    parents: dict[str, IntentRow]


def poll(run: Run, sessions: Sequence[date]) -> Poll:
    """Read the broker and record what is new for the orders of `sessions`, in one transaction.

    Raises:
        BrokerUnavailable: a read failed; nothing was recorded.
    """
    first, last = _range(run, sessions)
    since = first - run.settings.activity_lookback
    read = _Read(
        fills=_fills(run, first, last),
        activities=run.broker.activities(since, last),
        orders={order.client_order_id: order for session in sessions for order in run.broker.orders(session)},
    )
    with run.ledger.read() as connection:
        news = _news(connection, run, read, first, last, since)
    changed = bool(news.fills or news.activities or news.moves)
    if changed:
        with run.write() as connection:
            _record(connection, run, news)
    order_ids = frozenset(name for name, order in read.orders.items() if not order.parent_client_order_id)
    return Poll(changed, _open_exits(run, read), order_ids)


def _fills(run: Run, first: date, last: date) -> Sequence[BrokerFill]:
    """Fills of the sessions; without those that the broker shows no more, where no order of ours can have any.

    What ended while it was shown has been recorded then. An order that is still at the broker from before is asked
    for all the same, and the broker says what it cannot show.
    """
    shown = run.broker.capabilities.fills_from
    if shown is None or shown <= first:
        return run.broker.fills(first, last)
    with run.ledger.read() as connection:
        waiting = [row.session for row in intents_in(connection, run.account, _AT_BROKER)]
    if min(waiting, default=shown) >= shown:
        first = shown
    return run.broker.fills(first, last) if first <= last else ()


def _range(run: Run, sessions: Sequence[date]) -> tuple[date, date]:
    with run.ledger.read() as connection:
        clock = account_clock(connection, run.account)
        earliest = earliest_session(connection, run.account)
    first = min([*sessions, *([clock] if clock else [])]) - run.settings.lookback
    # Nothing before the account's first holding concerns it, but a holding's own session always does.
    return (max(first, min(earliest, *sessions)) if earliest else min(sessions)), max(sessions)


def _news(connection: sa.Connection, run: Run, read: _Read, first: date, last: date, since: date) -> _News:
    known = known_fill_ids(connection, run.account, first, last)
    new_fills = list({fill.fill_id: fill for fill in read.fills if fill.fill_id not in known}.values())
    seen = {row.activity_id for row in activities_of(connection, run.account, first=since, last=last)}
    new_activities = [activity for activity in read.activities if activity.activity_id not in seen]
    parents = {
        order.client_order_id: order.parent_client_order_id
        for order in read.orders.values()
        if order.parent_client_order_id
    }
    ids = [fill.client_order_id for fill in new_fills]
    ours = intents_by_id(connection, [*ids, *(parents[name] for name in ids if name in parents)])
    by_child = {child: ours[parent] for child, parent in parents.items() if parent in ours}
    moves = _moves(connection, run, read, new_fills, ours)
    return _News(new_fills, new_activities, moves, {**by_child, **ours})


def _moves(
    connection: sa.Connection,
    run: Run,
    read: _Read,
    new_fills: Sequence[BrokerFill],
    touched: dict[str, IntentRow],
) -> list[tuple[IntentRow, IntentState, Decimal, BrokerOrder | None]]:
    candidates = {row.client_order_id: row for row in intents_in(connection, run.account, _AT_BROKER)}
    alive = [name for name, order in read.orders.items() if order.status is not OrderStatus.REJECTED]
    listed = intents_by_id(connection, alive)
    candidates |= {name: row for name, row in listed.items() if row.state is IntentState.REJECTED}
    filled_now: dict[str, Decimal] = {}
    for fill in new_fills:
        filled_now[fill.client_order_id] = filled_now.get(fill.client_order_id, ZERO) + fill.qty
        if fill.client_order_id in touched:
            candidates[fill.client_order_id] = touched[fill.client_order_id]
    recorded = fills_for_orders(connection, run.account, candidates)
    moves = []
    for name, intent in sorted(candidates.items(), key=lambda item: (item[1].session, item[1].position)):
        filled = sum((row.qty for row in recorded.get(name, ())), filled_now.get(name, ZERO))
        order = read.orders.get(name)
        state = _next(run, intent, order, filled)
        if state is not None and (state, filled) != (intent.state, intent.filled_qty):
            moves.append((intent, state, filled, order))
    return moves


def _next(run: Run, intent: IntentRow, order: BrokerOrder | None, filled: Decimal) -> IntentState | None:
    if intent.state in _NEVER_SENT:
        run.note(f"{intent.symbol}: the broker filled {intent.client_order_id}, which is {intent.state} here.")
        return None
    if order is not None and (wrong := evidence.mismatch(intent, order)) is not None:
        run.note(f"{intent.symbol}: {wrong}.")
        return None
    state = evidence.state_from(intent, order, filled)
    if intent.state.terminal and intent.state is not IntentState.REJECTED:
        # Ended before: a late fill counts, and completes the order at most.
        return IntentState.FILLED if state is IntentState.FILLED else intent.state
    if state is IntentState.WORKING and intent.state is IntentState.PARTIALLY_FILLED:
        return None
    return state


def _record(connection: sa.Connection, run: Run, news: _News) -> None:
    for fill in news.fills:
        _insert_fill(connection, run, fill, news.parents.get(fill.client_order_id))
    for activity in news.activities:
        _insert_activity(connection, run, activity)
    for intent, state, filled, order in news.moves:
        if filled > intent.qty:
            run.note(
                f"{intent.symbol}: order {intent.client_order_id} filled {filled.normalize():f} of "
                f"{intent.qty.normalize():f}."
            )
        changes: dict[str, Any] = {"filled_qty": filled}
        if order is not None and intent.broker_order_id is None:
            changes["broker_order_id"] = order.broker_order_id
        intents.move(
            connection,
            intent,
            state,
            now=run.now(),
            reason=evidence.reason_of(order, intent, state),
            detail={"seen": evidence.seen(order)} if order is not None else None,
            **changes,
        )
    store_positions(connection, run.account, now=run.now())


def _insert_fill(connection: sa.Connection, run: Run, fill: BrokerFill, owner: IntentRow | None) -> None:
    portfolio = owner.portfolio if owner is not None else None
    values = {
        "fill_id": fill.fill_id,
        "portfolio": portfolio,
        "client_order_id": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "qty": fill.qty,
        "price": fill.price,
        "fee": fill.fee,
        "session": fill.session,
        "executed_at": fill.executed_at,
    }
    now = run.now()
    change = inserted(trades, {"account": run.account, "recorded_at": now, **values})
    name = owner.client_order_id if owner is not None else None
    events.append(connection, now, run.account, "fill", values, name, [change])


def _insert_activity(connection: sa.Connection, run: Run, activity: BrokerActivity) -> None:
    values = {
        "activity_id": activity.activity_id,
        "kind": activity.kind,
        "session": activity.session,
        "symbol": activity.symbol,
        "amount": activity.amount,
        "qty_factor": activity.qty_factor,
        "description": activity.description,
    }
    now = run.now()
    change = inserted(activities, {"account": run.account, "recorded_at": now, **values})
    events.append(connection, now, run.account, f"activity_{activity.kind}", values, changes=[change])


def _open_exits(run: Run, read: _Read) -> frozenset[str]:
    exits = [order for order in read.orders.values() if order.parent_client_order_id]
    if not exits:
        return frozenset()
    with run.ledger.read() as connection:
        recorded = fills_for_orders(connection, run.account, [order.client_order_id for order in exits])
    waiting = set()
    for order in exits:
        filled = sum((row.qty for row in recorded.get(order.client_order_id, ())), ZERO)
        if not order.status.terminal or order.filled_qty != filled:
            waiting.add(order.parent_client_order_id or "")
    return frozenset(waiting)
