"""Reading the two sides for a reconciliation: the broker first, then the ledger.

What belongs here: which reads, in which order. What does not: comparing them (`reconcile`), and recording what is new
at the broker (`execution.tracking`), which should have run before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import AccountState, Broker, BrokerOrder, OrderStatus
from scizor_dagster.ledger.breaks import accepted_breaks, open_breaks
from scizor_dagster.ledger.holdings import account_flow, foreign, foreign_trades, owned
from scizor_dagster.ledger.intents import CHANGED, RETURNED, last_replies, marked
from scizor_dagster.ledger.rebuilt import opening_cash
from scizor_dagster.ledger.rows import (
    IntentRow,
    activities_of,
    batches_of,
    fills_of,
    intents_by_id,
    intents_in,
    intents_of,
    open_batches,
    symbols_at_broker,
)
from scizor_dagster.ledger.states import AT_BROKER, IntentState
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.reconciliation.judging import OF_THE_ACCOUNT
from scizor_dagster.reconciliation.model import BrokerView, LedgerView

ZERO = Decimal(0)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {
    IntentState.PARTIALLY_FILLED: OrderStatus.PARTIALLY_FILLED,
    IntentState.FILLED: OrderStatus.FILLED,
    IntentState.CANCELED: OrderStatus.CANCELED,
    IntentState.EXPIRED: OrderStatus.EXPIRED,
    IntentState.REJECTED: OrderStatus.REJECTED,
}


def read_sides(
    ledger: Ledger,
    broker: Broker,
    *,
    account: str,
    portfolio: str,
    session: date,
    deposit: Decimal | None = None,
    fills_shown: bool = True,
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
        fills_shown: Whether the broker still shows the session's executions; where it does not, it is asked for what
            is held now alone, and its orders are as it has told of them last.

    Raises:
        BrokerUnavailable: a read failed; an answer that is missing is not an empty one.
    """
    view = read_broker(broker, session) if fills_shown else read_holdings(broker, session)
    with ledger.read() as connection:
        key = {"account": account, "portfolio": portfolio}
        if not fills_shown:
            batches = batches_of(connection, account, portfolio, session)
            intents = [row for batch in batches for row in intents_of(connection, batch.batch_id)]
            view = replace(view, orders=read_logs(connection, intents, view.account.currency).orders)
        return read_ledger(connection, view, **key, session=session, deposit=deposit), view


def read_holdings(broker: Broker, session: date) -> BrokerView:
    """What a broker says that does not show the session's executions any more: what is held now, and payments."""
    activities = broker.activities(session, session)
    return BrokerView((), (), activities, broker.positions(), broker.account())


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
    differences = foreign(connection, account, broker.positions)
    cash, note = (None, "") if deposit is None else _cash(connection, account, deposit)
    return LedgerView(
        batches=batches,
        intents=intents,
        known_orders={name: row for name, row in known.items() if row.account == account},
        fills=fills_of(connection, account, first=session, last=session),
        activities=activities_of(connection, account, first=session, last=session),
        owned=owned(connection, account, portfolio, through=session),
        differences=differences,
        cash=cash,
        cash_note=note,
        returned=marked(connection, [row.client_order_id for row in intents], RETURNED),
        changed=marked(connection, [row.client_order_id for row in intents], CHANGED),
        foreign=foreign_trades(connection, account, differences.keys()),
        under_way=symbols_at_broker(connection, account),
        doubted=frozenset(
            row.symbol for row in open_breaks(connection, account) if row.symbol and row.kind in OF_THE_ACCOUNT
        ),
        accepted=accepted_breaks(connection, account),
    )


def read_logs(connection: sa.Connection, intents: Sequence[IntentRow], currency: str) -> BrokerView:
    """What the ledger has recorded of the broker's last words on each order; it was never told of positions or cash."""
    replies = last_replies(connection, [row.client_order_id for row in intents])
    shown = [_as_last_told(row, replies.get(row.client_order_id)) for row in intents if row.broker_order_id is not None]
    nothing = AccountState(ZERO, ZERO, ZERO, currency, max((row.updated_at for row in shown), default=_NEVER))
    return BrokerView(orders=shown, fills=(), activities=(), positions=(), account=nothing)


def _as_last_told(intent: IntentRow, reply: Mapping[str, Any] | None) -> BrokerOrder:
    """The order as the broker has answered last; one of which no answer was kept is as the ledger has it."""
    status = OrderStatus(reply["status"]) if reply is not None else _STATUS.get(intent.state, OrderStatus.ACCEPTED)
    return BrokerOrder(
        broker_order_id=intent.broker_order_id or "",
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=intent.side,
        qty=intent.qty,
        filled_qty=intent.filled_qty if reply is None else Decimal(reply["filled"]),
        average_price=None,
        status=status,
        submitted_at=intent.updated_at,
        updated_at=intent.updated_at,
    )


def _cash(connection: sa.Connection, account: str, deposit: Decimal) -> tuple[Decimal | None, str]:
    """What the account must hold now if the ledger is complete, or None and the reason why that cannot be said.

    Every execution and every activity of the account counts, whoever it belongs to. While orders of any session and
    portfolio are open, the broker may have filled some that are not recorded yet.
    """
    open_ones = {(row.portfolio, row.session) for row in open_batches(connection, account)}
    open_ones |= {(row.portfolio, row.session) for row in intents_in(connection, account, AT_BROKER)}
    if open_ones:
        named = ", ".join(f"'{name}' of {session}" for name, session in sorted(open_ones))
        return None, f"cash is not compared: orders of portfolio {named} on this account are still open"
    stated = opening_cash(connection, account)
    return (deposit if stated is None else stated) + account_flow(connection, account), ""
