"""The second phase: buys scaled to the cash that is really there, second legs when the first is done.

What belongs here: the one release of a batch, and what becomes of orders that wait for others. What
does not: the arithmetic of it (`funding`), and sending (`submission`).

Covers and short sales are not scaled to the cash; `funding` says why.

The release is one transaction that stores the factor and every final quantity before any of them is
sent; it is written once and never recomputed, so that a run that dies after it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import AccountState, Capabilities, PositionIntent, Side, VenuePhase
from scizor_dagster.execution.funding import Funding, fund
from scizor_dagster.execution.run import Run
from scizor_dagster.execution.settings import ExecutionSettings
from scizor_dagster.ledger import events, intents
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.holdings import cash_flow
from scizor_dagster.ledger.rows import BatchRow, IntentRow, intents_of, intents_of_session, release_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import releases

_WAITING = (IntentState.HELD, IntentState.READY)


def advance_waiting(run: Run, batch: BatchRow, settings: ExecutionSettings) -> None:
    """Release the batch if it is due, and move the orders that wait for others.

    `settings` are those of the batch's own portfolio.

    Raises:
        BrokerUnavailable: the buying power cannot be read; nothing was released.
    """
    with run.ledger.read() as connection:
        waiting = [row for row in intents_of(connection, batch.batch_id) if row.state in _WAITING]
    if waiting:
        _release_if_due(run, batch, settings)
        _move_dependents(run, batch)


def drop_orphans(run: Run, batch: BatchRow) -> None:
    """End the orders whose parents cannot fill whole any more; nothing is released."""
    with run.ledger.read() as connection:
        rows = intents_of(connection, batch.batch_id)
    held = [row for row in rows if row.state is IntentState.HELD and any(map(_failed, _parents(row, rows)))]
    if held:
        with run.write() as connection:
            for row in held:
                _drop_orphan(connection, run, row, rows)


def waits_for_its_run(connection: sa.Connection, batch: BatchRow, *, closing: bool) -> bool:
    """Whether orders of the batch could be released or made ready at this very moment."""
    rows = intents_of(connection, batch.batch_id)
    return _due(connection, batch, closing) or any(_dependent_due(row, rows) for row in rows)


def _release_if_due(run: Run, batch: BatchRow, settings: ExecutionSettings) -> None:
    # A sale that cannot fill must not cost the session its buys: at the close they go with the cash that is there.
    closing = run.broker.phase(batch.session) is VenuePhase.CLOSING
    with run.ledger.read() as connection:
        if not _due(connection, batch, closing):
            return
    account = run.broker.account()
    with run.write() as connection:
        # The decision and the release are one: whoever else could have changed the batch since would have the lease.
        assert _due(connection, batch, closing), batch.batch_id
        _release(connection, run, batch, account, settings)


def _due(connection: sa.Connection, batch: BatchRow, closing: bool) -> bool:
    rows = intents_of(connection, batch.batch_id)
    waiting = [row for row in rows if row.state is IntentState.HELD and row.final_qty is None]
    ended = closing or all(row.state.terminal for row in rows if row.phase == 1)
    return bool(waiting) and ended and not release_of(connection, batch.batch_id)


def _release(
    connection: sa.Connection, run: Run, batch: BatchRow, account: AccountState, settings: ExecutionSettings
) -> None:
    now = run.now()
    rows = intents_of(connection, batch.batch_id)
    beside = [row for row in intents_of_session(connection, batch.account, batch.session) if _is_beside(row, batch)]
    waiting = [row for row in rows if row.state is IntentState.HELD and row.final_qty is None]
    waiting = [row for row in waiting if not _drop_orphan(connection, run, row, rows)]
    flows = cash_flow(connection, batch.account, batch.portfolio, through=batch.session)
    # The account may hold less than the portfolio may call its own: never more is spent than is there in its currency.
    there = account.cash + (account.other_cash if settings.borrow else Decimal(0))
    cash = min(batch.starting_cash + flows - batch.cash_buffer, there) - _under_way([*rows, *beside])
    money = fund(
        waiting,
        cash,
        account.buying_power,
        increments=settings.increments,
        min_notional=run.broker.capabilities.min_notional,
        uncertain=_after_open_legs(waiting, rows),
    )
    payload = {
        "batch_id": batch.batch_id,
        "factor": money.factor,
        "short_factor": money.short_factor,
        "cash": cash,
        "other_cash": account.other_cash,
        "buying_power": account.buying_power,
        "needed": money.needed,
        "orders": len(waiting),
    }
    change = inserted(
        releases,
        {
            "batch_id": batch.batch_id,
            "factor": money.factor,
            "cash": money.cash,
            "needed": money.needed,
            "created_at": now,
        },
    )
    events.append(connection, now, batch.account, "released", payload, changes=[change])
    for row in waiting:
        _set_quantity(connection, run, row, money)


def _is_beside(row: IntentRow, batch: BatchRow) -> bool:
    """Whether the portfolio has the order from another batch of the session: a manual order, or the rebalance."""
    return row.portfolio == batch.portfolio and row.batch_id != batch.batch_id


def _under_way(rows: Sequence[IntentRow]) -> Decimal:
    """What buys may still cost that are at the broker already: of other batches, or taken in by a rebuild."""
    buys = [row for row in rows if row.side is Side.BUY and row.state.at_broker]
    return sum(((row.qty - row.filled_qty) * row.price_used for row in buys), Decimal(0))


def _after_open_legs(waiting: Sequence[IntentRow], rows: Sequence[IntentRow]) -> frozenset[str]:
    """Short sales whose first leg has not filled whole: at the close they come too late to pay for anything."""
    shorts = [row for row in waiting if row.intent is PositionIntent.SELL_TO_OPEN]
    return frozenset(
        row.client_order_id for row in shorts if not all(parent.filled_whole for parent in _parents(row, rows))
    )


def _set_quantity(connection: sa.Connection, run: Run, row: IntentRow, money: Funding) -> None:
    qty = money.quantities[row.client_order_id]
    too_small = _below_minimum(row, qty, run.broker.capabilities)
    if too_small is not None:
        short = row.intent is PositionIntent.SELL_TO_OPEN
        factor, bound = (money.short_factor, "buying power") if short else (money.factor, "cash")
        intents.move(
            connection,
            row,
            IntentState.DROPPED,
            now=run.now(),
            reason=f"{too_small} once scaled by {factor.normalize():f} to the {bound} available",
        )
        return
    state = IntentState.HELD if row.depends_on else IntentState.READY
    intents.move(connection, row, state, now=run.now(), **intents.fix_quantity(row, qty))


def _below_minimum(row: IntentRow, qty: Decimal, capabilities: Capabilities) -> str | None:
    if qty <= 0:
        return "nothing left to trade"
    if row.intent is PositionIntent.BUY_TO_CLOSE:
        # Never scaled, so that the plan has settled already whether the broker takes it.
        return None
    notional = qty * row.price_used
    return f"{notional:f} is below the broker's minimum" if notional < capabilities.min_notional else None


def _move_dependents(run: Run, batch: BatchRow) -> None:
    """Orders whose parents have filled whole become ready; those whose parents cannot any more end."""
    while True:
        with run.ledger.read() as connection:
            rows = intents_of(connection, batch.batch_id)
            due = [row for row in rows if _dependent_due(row, rows)]
        if not due:
            return
        with run.write() as connection:
            for row in due:
                if not _drop_orphan(connection, run, row, rows):
                    intents.move(connection, row, IntentState.READY, now=run.now())


def _dependent_due(row: IntentRow, rows: Sequence[IntentRow]) -> bool:
    if row.state not in _WAITING or not row.depends_on:
        return False
    parents = _parents(row, rows)
    if row.state is IntentState.READY:
        return not all(parent.filled_whole for parent in parents)
    whole = row.final_qty is not None and all(parent.filled_whole for parent in parents)
    return whole or any(_failed(parent) for parent in parents)


def _drop_orphan(connection: sa.Connection, run: Run, row: IntentRow, rows: Sequence[IntentRow]) -> bool:
    """Drop an order whose parents cannot fill whole; one that is ready also where they are only not whole any more."""
    ready = row.state is IntentState.READY
    failed = [parent for parent in _parents(row, rows) if _failed(parent) or (ready and not parent.filled_whole)]
    if not failed:
        return False
    parent = failed[0]
    word = "ended" if parent.state.terminal else "is"
    reason = f"order {parent.client_order_id} before it {word} {parent.state} with {parent.filled_qty} filled"
    intents.move(connection, row, IntentState.DROPPED, now=run.now(), reason=reason)
    return True


def _failed(parent: IntentRow) -> bool:
    return parent.state.terminal and not parent.filled_whole


def _parents(row: IntentRow, rows: Sequence[IntentRow]) -> list[IntentRow]:
    return [other for other in rows if other.client_order_id in row.depends_on]
