"""What a session of the weekly project came to, for comparing one way to it with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from scizor_dagster.flow.summary import session_summary
from scizor_dagster.ledger.events import verify_chain
from scizor_dagster.ledger.holdings import owned
from tests.acceptance.weekly import SECOND, Weekly

# What must be equal to the last digit, and what is compared of it. Instants and running numbers may differ.
COMPARED = {
    "paper_accounts": ["account", "cash", "session", "step"],
    "paper_positions": ["symbol", "qty", "average_price", "last_price"],
    "paper_orders": ["client_order_id", "symbol", "side", "qty", "filled_qty", "average_price", "status", "session"],
    "paper_fills": ["client_order_id", "qty", "price", "fee", "session"],
    "trades": ["client_order_id", "portfolio", "symbol", "side", "qty", "price", "fee", "session"],
    "orders": ["client_order_id", "side", "planned_qty", "final_qty", "parameter_hash", "state", "filled_qty"],
    "releases": ["batch_id", "factor", "cash", "needed"],
    "batches": ["batch_id", "plan_id", "state", "cash_buffer", "starting_cash"],
}


@dataclass(frozen=True)
class Outcome:
    """What a session came to: rows of the ledger and the exchange, what the portfolio owns, and the summary."""

    rows: Mapping[str, list[tuple[Any, ...]]]
    owned: Mapping[str, Any]
    summary: Mapping[str, Any]


def outcome(project: Weekly) -> Outcome:
    """Read the stores as they are; the ledger's chain of events must be whole in any case."""
    desk = project.desk()
    try:
        with desk.ledger.read() as connection:
            assert verify_chain(connection) == []
            rows = {table: _rows(connection, table, columns) for table, columns in COMPARED.items()}
            held = owned(connection, "paper", "main")
        return Outcome(rows, held, session_summary(desk, "main", SECOND))
    finally:
        desk.lake.close()
        desk.ledger.close()


def _rows(connection: sa.Connection, table: str, columns: list[str]) -> list[tuple[Any, ...]]:
    found = connection.execute(sa.text(f"SELECT {', '.join(columns)} FROM {table}"))
    return sorted((tuple(row) for row in found), key=repr)
