"""Reading the two sides for a reconciliation: the broker first, then the ledger.

What belongs here: which reads, in which order. What does not: comparing them (`reconcile`), and
recording what is new at the broker (`execution.tracking`), which should have run before.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.ledger.holdings import account_flow, foreign, owned
from scizor_dagster.ledger.intents import CHANGED, RETURNED, marked
from scizor_dagster.ledger.rebuilt import opening_cash
from scizor_dagster.ledger.rows import activities_of, batches_of, fills_of, intents_by_id, intents_of, open_batches
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.model import BrokerView, LedgerView


def read_sides(
    ledger: Ledger,
    broker: Broker,
    *,
    account: str,
    portfolio: str,
    session: date,
    deposit: Decimal | None = None,
) -> tuple[LedgerView, BrokerView]:
    """Both sides of one session.

    Args:
        ledger: The ledger.
        broker: The account's broker.
        account: Name of the account in the configuration.
        portfolio: Whose orders and positions are compared.
        session: The session.
        deposit: What the account began with, unless the ledger has it from a rebuild; None leaves cash out of the
            comparison.

    Raises:
        BrokerUnavailable: a read failed; an answer that is missing is not an empty one.
    """
    view = read_broker(broker, session)
    with ledger.read() as connection:
        key = {"account": account, "portfolio": portfolio}
        return read_ledger(connection, view, **key, session=session, deposit=deposit), view


def read_broker(broker: Broker, session: date) -> BrokerView:
    return BrokerView(
        orders=broker.orders(session),
        fills=broker.fills(session, session),
        activities=broker.activities(session, session),
        positions=broker.positions(),
        account=broker.account(),
    )


def read_ledger(
    connection: sa.Connection,
    broker: BrokerView,
    *,
    account: str,
    portfolio: str,
    session: date,
    deposit: Decimal | None = None,
) -> LedgerView:
    """The ledger's side, with the intents that the broker's orders and fills name."""
    batches = batches_of(connection, account, portfolio, session)
    named = {row.client_order_id for row in broker.orders} | {row.client_order_id for row in broker.fills}
    named |= {row.parent_client_order_id for row in broker.orders if row.parent_client_order_id}
    known = intents_by_id(connection, sorted(named))
    intents = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
    cash, note = (None, "") if deposit is None else _cash(connection, account, portfolio, deposit)
    return LedgerView(
        batches=batches,
        intents=intents,
        known_orders={name: row for name, row in known.items() if row.account == account},
        fills=fills_of(connection, account, first=session, last=session),
        activities=activities_of(connection, account, first=session, last=session),
        owned=owned(connection, account, portfolio, through=session),
        differences=foreign(connection, account, broker.positions),
        cash=cash,
        cash_note=note,
        returned=marked(connection, [row.client_order_id for row in intents], RETURNED),
        changed=marked(connection, [row.client_order_id for row in intents], CHANGED),
    )


def _cash(connection: sa.Connection, account: str, portfolio: str, deposit: Decimal) -> tuple[Decimal | None, str]:
    """What the account must hold now if the ledger is complete, or None and the reason why that cannot be said.

    Every execution and every activity of the account counts, whoever it belongs to. While another
    portfolio has open orders, the broker may have filled some that are not recorded yet.
    """
    others = [batch for batch in open_batches(connection, account) if batch.portfolio != portfolio]
    if others:
        named = ", ".join(f"'{batch.portfolio}' of {batch.session}" for batch in others)
        return None, f"cash is not compared: orders of portfolio {named} on this account are still open"
    stated = opening_cash(connection, account)
    return (deposit if stated is None else stated) + account_flow(connection, account), ""
