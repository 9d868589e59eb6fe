"""A look at positions alone, before anything is planned: the same comparison as that of a session, and the same locks.

What belongs here: comparing, and writing what is found and what is clear again. What does not: reading the broker,
and the comparison itself (`positions`).

An instrument with an order at the broker is left out: what it may have filled meanwhile is not recorded yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.brokers.protocol import AccountState, BrokerPosition
from scizor_dagster.ledger.breaks import Looked, accepted_breaks, open_breaks, record_breaks
from scizor_dagster.ledger.holdings import foreign, foreign_trades
from scizor_dagster.ledger.rows import symbols_at_broker
from scizor_dagster.reconciliation.explaining import Evidence
from scizor_dagster.reconciliation.judging import judged
from scizor_dagster.reconciliation.model import Break, BrokerView, LedgerView, Measures, Severity, Stage
from scizor_dagster.reconciliation.positions import position_breaks
from scizor_dagster.reconciliation.records import row_of

ZERO = Decimal(0)
LOOK = "look"
"""In which pass a break was found that no reconciliation of a session has found."""
_NOBODY = AccountState(ZERO, ZERO, ZERO, "", datetime.max.replace(tzinfo=UTC))


def position_differences(
    connection: sa.Connection,
    account: str,
    positions: Sequence[BrokerPosition],
    closes: Mapping[str, Close],
    measures: Measures,
) -> list[Break]:
    """Positions of the account that do not agree with what its portfolios own.

    Information is left out, but for differences that a person has accepted: those have a `break_id`.
    """
    under_way = symbols_at_broker(connection, account)
    differences = foreign(connection, account, positions)
    view = LedgerView(
        batches=(),
        intents=(),
        known_orders={},
        fills=(),
        activities=(),
        owned={},
        differences={symbol: qty for symbol, qty in differences.items() if symbol not in under_way},
        foreign=foreign_trades(connection, account, differences.keys()),
        doubted=frozenset(row.symbol for row in open_breaks(connection, account) if row.symbol),
        accepted=accepted_breaks(connection, account),
    )
    settled = [row for row in positions if row.symbol not in under_way]
    broker = BrokerView((), (), (), settled, _NOBODY)
    rows = position_breaks(view, broker, measures, Evidence(view, broker, (), closes))
    found = judged(rows, (), view, broker, closes, account=account, portfolio="", session=date.min)
    return [row for row in found if row.break_id]


def record_look(
    connection: sa.Connection, account: str, portfolio: str, session: date, found: Sequence[Break], *, now: datetime
) -> None:
    """Open what is new of the differences, and clear what agrees again; what has an order under way stays as it is."""
    under_way = symbols_at_broker(connection, account)
    accepted = {row.break_id for row in found if row.severity is not Severity.ERROR}
    looked = Looked(
        account, portfolio, session, frozenset(), {Stage.POSITIONS.value}, at_work=under_way, accepted=accepted
    )
    wrong = [row for row in found if row.severity is Severity.ERROR]
    rows = [row_of(row, account, portfolio, session, LOOK, now) for row in wrong]
    record_breaks(connection, looked, rows, now=now)
