"""Batches in a project's ledger as a run leaves them behind, without the run: for those who only look."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import OrderType, Side
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger import intents
from scizor_dagster.ledger.batches import admit, set_state, state_from
from scizor_dagster.ledger.rows import intents_of
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.ledger.tables import leases
from tests.execution.scenario import order, plan_of

ADMITTED = datetime(2024, 1, 1, tzinfo=UTC)
S = IntentState
_WAY = {
    S.READY: (),
    S.HELD: (),
    S.SENDING: (S.SENDING,),
    S.UNKNOWN: (S.SENDING, S.UNKNOWN),
    S.WORKING: (S.SENDING, S.WORKING),
    S.PARTIALLY_FILLED: (S.SENDING, S.PARTIALLY_FILLED),
    S.FILLED: (S.SENDING, S.FILLED),
    S.CANCELED: (S.SENDING, S.CANCELED),
    S.REJECTED: (S.SENDING, S.REJECTED),
    S.EXPIRED: (S.EXPIRED,),
}
"""The states that an order goes through to each; `EXPIRED` is one that was never sent."""


def leave_batch(
    desk: Desk,
    session: date,
    states: Mapping[str, IntentState],
    *,
    portfolio: str = "main",
    account: str = "paper",
    exits_open: bool = False,
    plan_id: str = "p",
) -> None:
    """Admit a batch with one order for each symbol, named `<symbol>-<session>`, each taken to its state.

    Args:
        desk: Its ledger is written.
        session: Of the batch.
        states: State by symbol; a `HELD` order is a buy, every other one a sale.
        portfolio: Whose batch it is.
        account: On which it trades.
        exits_open: Whether the orders are brackets whose exits may still fill.
        plan_id: Of the batch.
    """
    plan = plan_of(
        [
            order(
                f"{symbol}-{session}",
                symbol,
                Side.BUY if state is S.HELD else Side.SELL,
                "10",
                order_type=OrderType.BRACKET if exits_open else OrderType.MARKET,
                price=Decimal(100),
            )
            for symbol, state in states.items()
        ],
        session=session,
        plan_id=plan_id,
    )
    with desk.ledger.transaction() as connection:
        plan = replace(plan, portfolio=portfolio, account=account)
        batch = admit(connection, plan, starting_cash=Decimal(1), now=ADMITTED).batch
        for row in intents_of(connection, batch.batch_id):
            for state in _WAY[states[row.symbol]]:
                changes = {} if state is S.SENDING or state is S.EXPIRED else {"broker_order_id": f"b-{row.symbol}"}
                row = intents.move(connection, row, state, now=ADMITTED, **changes)
        state_of_all = state_from(intents_of(connection, batch.batch_id), others_open=exits_open)
        set_state(connection, batch, state_of_all, now=ADMITTED)


def leave_lease(desk: Desk, holder: str | None, expires_at: datetime, token: int = 1, account: str = "paper") -> None:
    """The row of a lease as a run leaves it: held by it, given back (`holder` is None), or left behind."""
    values = {"holder": holder, "expires_at": expires_at, "token": token, "advisory": True}
    with desk.ledger.transaction() as connection:
        connection.execute(sa.delete(leases).where(leases.c.account == account))
        connection.execute(leases.insert().values(account=account, **values))


def store_reconciliation(desk: Desk, session: date, now: datetime, *, breaks: int = 0) -> None:
    """The head of a reconciliation of portfolio main as one at `now` stores it."""
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM reconciliations WHERE session = ?", [session])
        cursor.execute(
            "INSERT INTO reconciliations BY NAME SELECT 'main' AS portfolio, 'paper' AS account, ?::DATE AS session, "
            "'reconciled' AS state, 1 AS orders, 1 AS filled, 0 AS working, ? AS breaks, '' AS summary, "
            "'test' AS source, ?::TIMESTAMPTZ AS fetched_at", [session, breaks, now],
        )  # fmt: skip
