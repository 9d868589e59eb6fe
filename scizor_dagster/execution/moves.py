"""What a poll makes of the orders: which of them move, to which state, and why.

What belongs here: from what was read, and what is recorded, to the moves. What does not: reading and recording
(`tracking`), and what a single reply proves (`evidence`).

An end is not for ever. An order that has ended here, and that the broker shows alive or filled later, is taken back:
whoever has called it ended was wrong, and what it fills is ours. That is looked at twice, for a list may be older than
the answer that ended the order. An order whose quantity a person has changed at the broker is followed with the
broker's quantity; what it comes to is said beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerOrder, OrderStatus
from scizor_dagster.execution import evidence
from scizor_dagster.execution.run import Run
from scizor_dagster.ledger.executions import FillNews
from scizor_dagster.ledger.intents import RETURNED
from scizor_dagster.ledger.rows import FillRow, IntentRow, fills_for_orders, intents_by_id, intents_in
from scizor_dagster.ledger.states import AT_BROKER, IntentState

ZERO = Decimal(0)
_NEVER_SENT = (IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED)


@dataclass(frozen=True)
class Move:
    """One order's way to the next state. `detail` goes into the event, beside the broker's view."""

    intent: IntentRow
    state: IntentState
    filled: Decimal
    order: BrokerOrder | None
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Fills:
    """Filled quantity of an order, and whether one of its executions was ever corrected or taken back."""

    qty: Decimal
    restated: bool


def named_in(news: FillNews) -> set[str]:
    """Ids of the orders that the fill belongs to, and has belonged to."""
    return {news.fill.client_order_id, *([news.before.client_order_id] if news.before is not None else [])}


def moves_of(
    connection: sa.Connection,
    run: Run,
    orders: Mapping[str, BrokerOrder],
    new_fills: Sequence[FillNews],
    owners: Mapping[str, IntentRow],
    seen_before: Collection[str],
) -> tuple[list[Move], frozenset[str]]:
    """What the orders come to, and ids of those of which one more look must say the same.

    Those are the ones that have ended with less than was ordered, or that are back after an end.
    """
    candidates = _candidates(connection, run, orders, new_fills, owners)
    filled = _filled(connection, run, candidates, new_fills)
    moves, unsure = [], set()
    for name, intent in sorted(candidates.items(), key=lambda item: (item[1].session, item[1].position)):
        order = _order_of(run, intent, orders.get(name))
        if name not in seen_before and _takes_two_looks(intent, order, filled[name].qty):
            unsure.add(name)
            continue
        found = _next(run, intent, order, filled[name])
        if found is not None and intent.state is IntentState.UNKNOWN and order is None and name in orders:
            # It fills, and is not the order that was meant: what it may still do is not known before it has ended.
            found = replace(found, state=IntentState.UNKNOWN)
        if found is not None and (found.state, found.filled) != (intent.state, intent.filled_qty):
            moves.append(found)
    return moves, frozenset(unsure)


def _candidates(
    connection: sa.Connection,
    run: Run,
    orders: Mapping[str, BrokerOrder],
    new_fills: Sequence[FillNews],
    owners: Mapping[str, IntentRow],
) -> dict[str, IntentRow]:
    """Orders at work, those that are back after an end, and those that have a new fill."""
    found = {row.client_order_id: row for row in intents_in(connection, run.account, AT_BROKER)}
    alive = [name for name, order in orders.items() if order.status is not OrderStatus.REJECTED]
    listed = intents_by_id(connection, alive)
    found |= {name: row for name, row in listed.items() if _ended_unseen(row) or evidence.is_back(orders[name], row)}
    named = {name for news in new_fills for name in named_in(news)}
    return found | {name: row for name, row in owners.items() if name in named and row.client_order_id == name}


def _filled(
    connection: sa.Connection, run: Run, names: Collection[str], new_fills: Sequence[FillNews]
) -> dict[str, _Fills]:
    """What has filled of each order, with what is new in the place of what it supersedes."""
    recorded: Mapping[str, Sequence[FillRow]] = fills_for_orders(connection, run.account, names)
    filled = {name: sum((row.qty for row in recorded.get(name, ())), ZERO) for name in names}
    restated = {name for name in names if any(row.version > 1 for row in recorded.get(name, ()))}
    for news in new_fills:
        if news.before is not None and news.before.client_order_id in filled:
            filled[news.before.client_order_id] -= news.before.qty
        if news.fill.client_order_id in filled:
            filled[news.fill.client_order_id] += news.fill.qty
        if news.before is not None or news.takes_back:
            restated |= named_in(news)
    return {name: _Fills(qty, name in restated) for name, qty in filled.items()}


def _takes_two_looks(intent: IntentRow, order: BrokerOrder | None, filled: Decimal) -> bool:
    if intent.state.terminal:
        return order is not None and not _ended_unseen(intent) and evidence.is_back(order, intent)
    return evidence.ended_short(order, intent, filled)


def _order_of(run: Run, intent: IntentRow, order: BrokerOrder | None) -> BrokerOrder | None:
    """The broker's view, unless it is of another order: then the executions alone count.

    One whose quantity alone is another ends all the same, unless ours is known to be another one; so does one that has
    the broker's own id of ours, and whose instrument is called otherwise by now.
    """
    if order is None or intent.state in _NEVER_SENT or (wrong := evidence.mismatch(intent, order)) is None:
        return order
    if evidence.is_resized(intent, order):
        if not intent.state.terminal:
            run.note(
                f"{intent.symbol}: {wrong}: somebody has changed it at the broker. It is followed to its end as it is."
            )
        return order
    run.note(f"{intent.symbol}: {wrong}.")
    not_another = intent.broker_order_id in (None, order.broker_order_id)
    known = intent.broker_order_id is not None
    ours = not_another and evidence.mismatch(intent, order, but_quantity=True, but_symbol=known) is None
    return order if ours and order.status.terminal else None


def _next(run: Run, intent: IntentRow, order: BrokerOrder | None, fills: _Fills) -> Move | None:
    """The move that follows; None where the evidence shows nothing."""
    if intent.state in _NEVER_SENT:
        run.note(f"{intent.symbol}: the broker filled {intent.client_order_id}, which is {intent.state} here.")
        return None
    if intent.state is IntentState.UNKNOWN and order is None and fills.qty == intent.filled_qty:
        # Whatever has left it unknown, this look is not about it.
        return None
    state = evidence.state_from(intent, order, fills.qty)
    if state is not IntentState.FILLED and not evidence.outgrown(intent, order):
        if intent.state is IntentState.FILLED:
            after = evidence.after_reversal(order, fills.qty)
            return Move(intent, after, fills.qty, order, _ended_short(intent, fills))
        if evidence.ended_short(order, intent, fills.qty) and not intent.state.terminal:
            return Move(intent, IntentState.CANCELED, fills.qty, order, _ended_short(intent, fills))
    if intent.state.terminal and not _ended_unseen(intent):
        if order is not None and state is not None and evidence.is_back(order, intent):
            return _taken_back(run, intent, order, fills, state)
        # Ended before: a late fill counts, and completes the order at most.
        state = IntentState.FILLED if state is IntentState.FILLED else intent.state
    if state is None:
        return None
    return Move(intent, state, fills.qty, order, evidence.reason_of(order, intent, state))


def _taken_back(run: Run, intent: IntentRow, order: BrokerOrder, fills: _Fills, state: IntentState) -> Move:
    reason = f"the broker had shown it as {intent.state}, and shows it as {order.status} again"
    if evidence.is_resized(intent, order):
        reason += f", for {order.qty.normalize():f}"
    run.note(f"{intent.symbol}: order {intent.client_order_id} is taken back: {reason}.")
    return Move(intent, state, fills.qty, order, reason, {RETURNED: intent.state.value})


def _ended_short(intent: IntentRow, fills: _Fills) -> str:
    part = f"{fills.qty.normalize():f} of {intent.qty.normalize():f} filled"
    if fills.restated:
        return f"{part}: the broker has taken executions back"
    return f"{part}, and the broker calls it filled: its quantity was changed there, or an execution taken back"


def _ended_unseen(intent: IntentRow) -> bool:
    """Whether the order has ended here without the broker ever having shown it: what it shows later is believed."""
    expired_here = intent.state is IntentState.EXPIRED and intent.broker_order_id is None
    return expired_here or intent.state is IntentState.REJECTED
