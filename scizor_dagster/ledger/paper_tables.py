"""Tables of the embedded exchange's in-process accounts.

What belongs here: their columns. What does not: what is written to them (`paper_exchange.store`), and the accounts
behind the exchange's doors (`venue_tables`). They are the broker's side of the story, never read by the order core.
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import ExactDecimal, Instant, metadata


def _key(name: str, length: int = 128) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


paper_accounts = sa.Table(
    "paper_accounts",
    metadata,
    sa.Column("account", sa.String(64), primary_key=True),
    _key("currency", 3),
    # What it was opened with: equity and performance count from there.
    sa.Column("deposit", ExactDecimal, nullable=False),
    sa.Column("cash", ExactDecimal, nullable=False),
    # The exchange's own clock: the session it is in, and the step within it (0 is before the open).
    sa.Column("session", sa.Date, nullable=True),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("next_number", sa.Integer, nullable=False),
)

paper_orders = sa.Table(
    "paper_orders",
    metadata,
    _key("account", 64),
    _key("client_order_id", 128),
    sa.Column("number", sa.Integer, nullable=False),
    _key("broker_order_id"),
    _key("symbol", 32),
    _key("side", 8),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("filled_qty", ExactDecimal, nullable=False),
    sa.Column("average_price", ExactDecimal, nullable=True),
    _key("order_type", 16),
    _key("role", 16),
    sa.Column("parent", sa.String(128), nullable=True),
    sa.Column("limit_price", ExactDecimal, nullable=True),
    sa.Column("stop_price", ExactDecimal, nullable=True),
    sa.Column("take_profit", ExactDecimal, nullable=True),
    sa.Column("stop_loss", ExactDecimal, nullable=True),
    sa.Column("session", sa.Date, nullable=False),
    _key("status", 24),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("submitted_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "client_order_id"),
    sa.UniqueConstraint("account", "number"),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "status"),
)

paper_fills = sa.Table(
    "paper_fills",
    metadata,
    _key("account", 64),
    _key("fill_id"),
    _key("client_order_id", 128),
    _key("symbol", 32),
    _key("side", 8),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("price", ExactDecimal, nullable=False),
    sa.Column("fee", ExactDecimal, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("executed_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "fill_id"),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "symbol", "session"),
)

paper_positions = sa.Table(
    "paper_positions",
    metadata,
    _key("account", 64),
    _key("symbol", 32),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("average_price", ExactDecimal, nullable=False),
    sa.Column("last_price", ExactDecimal, nullable=True),
    sa.PrimaryKeyConstraint("account", "symbol"),
)

paper_activities = sa.Table(
    "paper_activities",
    metadata,
    _key("account", 64),
    _key("activity_id"),
    _key("kind", 16),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("symbol", sa.String(32), nullable=True),
    sa.Column("amount", ExactDecimal, nullable=False),
    sa.Column("qty_factor", ExactDecimal, nullable=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("account", "activity_id"),
    sa.Index(None, "account", "session"),
)
