"""A person ends an order of which no broker can tell any more.

What belongs here: whose order it is, and the parts that ending it needs. What does not: what must hold
(`execution.ending`).
"""

from __future__ import annotations

from scizor_dagster.errors import InputError
from scizor_dagster.execution import ending
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import execution_parts
from scizor_dagster.flow.ledger_care import require_ledger
from scizor_dagster.flow.order_log import orders_logged
from scizor_dagster.ledger.rows import IntentRow, intents_by_id


def end_order(desk: Desk, client_order_id: str, *, actor: str, reason: str) -> IntentRow:
    """End the order; the row as it is afterwards.

    Raises:
        InputError: there is no ledger or no such order in it, or its portfolio trades on another account by now.
        LedgerError, WrongAccount, AccountBusy, BrokerUnavailable: as for `execution.ending.end_order`.
    """
    require_ledger(desk)
    with desk.ledger.read() as connection:
        row = intents_by_id(connection, [client_order_id]).get(client_order_id)
    if row is None:
        raise InputError(
            "No such order is in the ledger.",
            remedy="Give the client order id as `scizor reconcile` shows it.",
            where=client_order_id,
        )
    parts = execution_parts(desk, row.portfolio, "end")
    if parts["account"] != row.account:
        raise InputError(
            f"The order went out on account '{row.account}', and portfolio '{row.portfolio}' trades on "
            f"'{parts['account']}'.",
            remedy="Name its account in the portfolio's section until the order has ended.",
            where=client_order_id,
        )
    with orders_logged(desk, row.account):
        return ending.end_order(client_order_id, actor=actor, reason=reason, **parts)
