"""What must hold between the broker's own book and the ledger: at every moment, and once all has ended.

Each function raises `AssertionError` with the order it is about.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import activities_of, fills_of, foreign
from scizor_dagster.ledger.rows import IntentRow, intents_of, open_batches
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import batches
from tests.torture.parties import CASH, Kind, Truth

NEVER_SENT = frozenset({IntentState.HELD, IntentState.READY, IntentState.BLOCKED, IntentState.DROPPED})
SHOWN = frozenset({IntentState.WORKING, IntentState.PARTIALLY_FILLED, IntentState.FILLED, IntentState.CANCELED})
GIVEN_UP = ("never sent: its session is over", "proven absent at the broker, and its session is over")
"""Why an order may end as expired without ever having been at the broker."""


def orders_of(ledger: Ledger) -> dict[str, IntentRow]:
    with ledger.read() as connection:
        names = connection.execute(batches.select()).all()
        return {row.client_order_id: row for batch in names for row in intents_of(connection, batch.batch_id)}


def check_at_any_moment(ledger: Ledger, truth: Truth, kind: Kind) -> None:
    """No order twice, none that the ledger does not mean, none written off while it lives or has filled."""
    rows = orders_of(ledger)
    counts = Counter(order.client_order_id for order in truth.orders)
    assert not [name for name, count in counts.items() if count > 1], f"at the broker twice: {counts}"
    if not kind.unique:
        again = [name for name, count in Counter(truth.attempts).items() if count > 1]
        assert not again, f"sent twice to a broker that takes both: {again}"
    for order in truth.orders:
        row = rows.get(order.client_order_id)
        assert row is not None, f"{order.client_order_id} is at the broker and not in the ledger"
        sent, meant = (order.symbol, order.side, order.qty), (row.symbol, row.side, row.final_qty)
        assert sent == meant, f"{row.client_order_id} was sent as {sent} and meant as {meant}"
        assert row.state not in NEVER_SENT, f"{row.client_order_id} is at the broker and {row.state} in the ledger"
        assert row.state is not IntentState.REJECTED, f"{row.client_order_id} was taken and is rejected in the ledger"
        if row.state.terminal and row.state is not IntentState.FILLED:
            assert order.status.terminal, f"{row.client_order_id} lives and is {row.state} in the ledger"
    missing = [name for name, row in rows.items() if row.state in SHOWN and name not in counts]
    assert not missing, f"shown as taken, and not at the broker: {missing}"


def check_at_the_end(ledger: Ledger, truth: Truth, kind: Kind) -> None:
    """Everything has ended, the history is whole, and both sides hold the same."""
    check_at_any_moment(ledger, truth, kind)
    at_broker = {order.client_order_id: order for order in truth.orders}
    for name, row in orders_of(ledger).items():
        assert row.state.terminal, f"{name} is {row.state}: {row.reason}"
        if name in at_broker:
            assert row.filled_qty == at_broker[name].filled_qty, f"{name}: fills are missing in the ledger"
        elif row.state is IntentState.EXPIRED:
            assert row.reason.startswith(GIVEN_UP), f"{name} is lost: {row.reason}"
    with ledger.read() as connection:
        assert verify_chain(connection) == []
        assert open_batches(connection, "paper") == []
        positions = [BrokerPosition(symbol, qty, None) for symbol, qty in truth.positions.items()]
        assert foreign(connection, "paper", positions) == {}, "positions differ"
        flows = [row.cash for row in fills_of(connection, "paper")]
        flows += [row.amount for row in activities_of(connection, "paper")]
        assert CASH + sum(flows, Decimal(0)) == truth.cash, "cash differs"


def facts(truth: Truth) -> tuple[object, ...]:
    """What an end must be equal in, where nothing but deaths tells it from an undisturbed one."""
    sent = sorted((row.client_order_id, row.symbol, row.side.value, row.qty, row.filled_qty) for row in truth.orders)
    return sent, {symbol: qty for symbol, qty in truth.positions.items() if qty}, truth.cash
