"""Polls: the broker's fills, activities and orders, taken into the ledger once each.

What belongs here: reading a broker and recording what is new. What does not: what an order comes to by it (`moves`),
and what follows for orders that wait (`release`).

An order ends only where its filled quantity is what the recorded fills add up to, whichever of the two
was read first; else it stays open until the next poll. One list per kind and session, whatever the
number of orders; after a run's first look, fills are asked for only where an order has filled more, or
less. What is said twice, late or in another order comes to the same: an execution counts in its newest
revision (`ledger.executions`), and an order's state follows from what its executions add up to and from
the broker's view of now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, BrokerOrder
from scizor_dagster.execution import evidence
from scizor_dagster.execution.corrections import claimed_fills, dropped_fills, fill_news, tell
from scizor_dagster.execution.moves import Move, moves_of, named_in
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.activities import SAME_SPLIT, news_of, record_activity
from scizor_dagster.ledger.adoptions import last_adopted
from scizor_dagster.ledger.batches import account_clock, set_state
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.intents import CHANGED
from scizor_dagster.ledger.known import earliest_session
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.rows import (
    IntentRow,
    activities_of,
    batch_by_id,
    fills_by_id,
    fills_for_orders,
    fills_of,
    intents_by_id,
    intents_in,
)
from scizor_dagster.ledger.states import AT_BROKER, BatchState, IntentState

ZERO = Decimal(0)


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
    """What the broker answered.

    Attributes:
        fills: None where they were not asked for.
        shown_from: First session whose fills were asked for.
    """

    fills: Sequence[BrokerFill] | None
    shown_from: date
    activities: Sequence[BrokerActivity]
    orders: dict[str, BrokerOrder]


@dataclass(frozen=True)
class _News:
    """What is new. `unsure` are fills and orders of which one look alone says too much; see `poll`."""

    fills: list[FillNews]
    activities: list[BrokerActivity]
    moves: list[Move]
    owners: dict[str, IntentRow]
    unsure: frozenset[str]

    @property
    def any(self) -> bool:
        return bool(self.fills or self.activities or self.moves)


def poll(run: Run, sessions: Sequence[date]) -> Poll:
    """Read the broker and record what is new for the orders of `sessions`, in one transaction.

    What the broker has dropped from its lists, an order that it calls filled with less than was ordered, and one that
    it shows at work after an end, are looked at twice: lists of a broker may be of different moments.

    Raises:
        BrokerUnavailable: a read failed; nothing was recorded.
    """
    first, last = _range(run, sessions)
    since = first - run.settings.activity_lookback
    if run.looked_through is not None:
        # What came late of the past has been seen by the run's first look.
        first = since = min(*sessions, run.looked_through + timedelta(days=1))
    read, news = _look(run, sessions, first, last, since)
    if news.unsure:
        read, news = _look(run, sessions, first, last, since, seen_before=news.unsure)
    if news.any:
        with run.write() as connection:
            _record(connection, run, news, last)
    run.looked_through = max(last, run.looked_through or last)
    order_ids = frozenset(name for name, order in read.orders.items() if not order.parent_client_order_id)
    return Poll(news.any, _open_exits(run, read), order_ids)


def _look(
    run: Run, sessions: Sequence[date], first: date, last: date, since: date, seen_before: Collection[str] = ()
) -> tuple[_Read, _News]:
    orders: dict[str, BrokerOrder] | None = None
    if run.looked_through is not None and run.looked_through >= last:
        orders = _orders(run, sessions)
    if orders is not None and not _filled_anew(run, orders):
        # Nothing has filled since this run looked last: the list of fills, the longest there is, is not asked for.
        read = _Read(None, first, run.broker.activities(since, last), orders)
    else:
        shown_from, fills = _fills(run, first, last)
        activities = run.broker.activities(since, last)
        read = _Read(fills, shown_from, activities, orders if orders is not None else _orders(run, sessions))
    with run.ledger.read() as connection:
        return read, _news(connection, run, read, last, since, seen_before)


def _orders(run: Run, sessions: Sequence[date]) -> dict[str, BrokerOrder]:
    return {order.client_order_id: order for session in sessions for order in run.broker.orders(session)}


def _filled_anew(run: Run, orders: Mapping[str, BrokerOrder]) -> bool:
    """Whether an order has filled, at the broker, another quantity than its recorded fills add up to."""
    with run.ledger.read() as connection:
        recorded = fills_for_orders(connection, run.account, orders)
    return any(
        order.filled_qty != sum((row.qty for row in recorded.get(name, ())), ZERO) for name, order in orders.items()
    )


def _fills(run: Run, first: date, last: date) -> tuple[date, Sequence[BrokerFill]]:
    """Fills of the sessions, and from which one on they were asked for.

    Those that the broker shows no more are left out where no order of ours can have any: what ended while it was
    shown has been recorded then. An order that is still at the broker from before is asked for all the same, and the
    broker says what it cannot show.
    """
    shown = run.broker.capabilities.fills_from
    if shown is None or shown <= first:
        return first, run.broker.fills(first, last)
    with run.ledger.read() as connection:
        waiting = [row.session for row in intents_in(connection, run.account, AT_BROKER)]
    if min(waiting, default=shown) >= shown:
        first = shown
    return first, run.broker.fills(first, last) if first <= last else ()


def _range(run: Run, sessions: Sequence[date]) -> tuple[date, date]:
    with run.ledger.read() as connection:
        clock = account_clock(connection, run.account)
        earliest = earliest_session(connection, run.account)
    first = min([*sessions, *([clock] if clock else [])]) - run.settings.lookback
    # Nothing before the account's first order or holding concerns it, but their own session always does.
    return (max(first, min(earliest, *sessions)) if earliest else min(sessions)), max(sessions)


def _news(
    connection: sa.Connection, run: Run, read: _Read, last: date, since: date, seen_before: Collection[str]
) -> _News:
    dropped, new_fills = _fill_news(connection, run, read, last, seen_before)
    owners = _owners(connection, read, [name for news in new_fills for name in named_in(news)])
    recorded = activities_of(connection, run.account, first=since - SAME_SPLIT, last=last + SAME_SPLIT)
    new_activities = news_of(read.activities, recorded)
    moves, once = moves_of(connection, run, read.orders, new_fills, owners, seen_before)
    unsure = frozenset(fill.fill_id for fill in dropped) | once
    return _News(new_fills, new_activities, moves, owners, unsure - frozenset(seen_before))


def _fill_news(
    connection: sa.Connection, run: Run, read: _Read, last: date, seen_before: Collection[str]
) -> tuple[list[BrokerFill], list[FillNews]]:
    """Recorded executions that the broker has dropped, and what is new: with those of them that were seen before."""
    if read.fills is None:
        return [], []
    known = {row.fill_id: row for row in fills_of(connection, run.account, first=read.shown_from, last=last)}
    known |= fills_by_id(connection, run.account, [fill.fill_id for fill in read.fills if fill.fill_id not in known])
    dropped = dropped_fills(known.values(), read.fills, read.orders, read.shown_from, last)
    news = fill_news([*read.fills, *(fill for fill in dropped if fill.fill_id in seen_before)], known)
    told = {found.fill.fill_id for found in news}
    unowned = [row for name, row in known.items() if row.portfolio is None and name not in told]
    owners = _owners(connection, read, [row.client_order_id for row in unowned])
    if not owners:
        return dropped, news
    adopted = last_adopted(connection, run.account, {row.symbol for row in unowned})
    return dropped, [*news, *claimed_fills(unowned, owners, adopted)]


def _owners(connection: sa.Connection, read: _Read, ids: Sequence[str]) -> dict[str, IntentRow]:
    """Orders of ours by the ids that the fills name: their own, or that of an exit of theirs."""
    parents = {
        order.client_order_id: order.parent_client_order_id
        for order in read.orders.values()
        if order.parent_client_order_id
    }
    ours = intents_by_id(connection, [*ids, *(parents[name] for name in ids if name in parents)])
    return {**{child: ours[parent] for child, parent in parents.items() if parent in ours}, **ours}


def _record(connection: sa.Connection, run: Run, news: _News, last: date) -> None:
    # A look at an old session must not lock for a week that has passed.
    session = max(last, account_clock(connection, run.account) or last)
    for found in news.fills:
        owner = news.owners.get(found.fill.client_order_id)
        portfolio = owner.portfolio if owner is not None else found.before.portfolio if found.before else None
        order_id = owner.client_order_id if owner is not None else None
        record_fill(connection, run.account, found, portfolio=portfolio, order_id=order_id, now=run.now())
        tell(connection, run, found, portfolio, session)
    for activity in news.activities:
        record_activity(connection, run.account, activity, now=run.now())
    for move in news.moves:
        _apply(connection, run, move)
    back = {move.intent.batch_id for move in news.moves if move.intent.state.terminal and not move.state.terminal}
    for name in sorted(back):
        _reopen(connection, run, name)
    store_positions(connection, run.account, now=run.now())


def _reopen(connection: sa.Connection, run: Run, batch_id: str) -> None:
    """An order that is back at work takes its batch with it, so that the next run follows it to its end."""
    batch = batch_by_id(connection, batch_id)
    if batch is not None and not batch.state.open:
        set_state(connection, batch, BatchState.WORKING, now=run.now())


def _apply(connection: sa.Connection, run: Run, move: Move) -> None:
    intent, order = move.intent, move.order
    if move.filled > intent.qty:
        run.note(
            f"{intent.symbol}: order {intent.client_order_id} filled {move.filled.normalize():f} of "
            f"{intent.qty.normalize():f}."
        )
    if move.state is IntentState.UNKNOWN:
        run.note(evidence.frozen(intent, move.reason))
    changes: dict[str, Any] = {"filled_qty": move.filled}
    if order is not None and intent.broker_order_id is None:
        changes["broker_order_id"] = order.broker_order_id
    intents.move(
        connection,
        intent,
        move.state,
        now=run.now(),
        reason=move.reason,
        detail={**move.detail, **_seen(move)},
        **changes,
    )


def _seen(move: Move) -> dict[str, Any]:
    """The broker's view as the event keeps it, with what an order that ends was changed to there."""
    if move.order is None:
        return {}
    changed = evidence.changed_terms(move.intent, move.order) if move.state.terminal else ""
    return {"seen": evidence.seen(move.order), **({CHANGED: changed} if changed else {})}


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
