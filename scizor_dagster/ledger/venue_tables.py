"""Tables of the paper exchange's venue: its accounts behind the REST and the socket door.

What belongs here: their columns. What does not: what is written to them (`paper_exchange.venue_store`).
Like the other tables that begin with `paper_` they are the broker's side of the story, never read by the
order core.
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import ExactDecimal, Instant, metadata


def _key(name: str, length: int = 128) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


venue_accounts = sa.Table(
    "paper_venue_accounts",
    metadata,
    # Accounts that orders reach through a door, beside those of the in-process adapter.
    sa.Column("account", sa.String(64), primary_key=True),
    _key("house", 16),
    _key("currency", 3),
    sa.Column("deposit", ExactDecimal, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("cash", ExactDecimal, nullable=False),
    # The last session that has been entered, and the instant up to which orders have met prices.
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("last_equity", ExactDecimal, nullable=False),
    sa.Column("last_maintenance_margin", ExactDecimal, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("next_order", sa.Integer, nullable=False),
    sa.Column("next_execution", sa.Integer, nullable=False),
    sa.Column("next_activity", sa.Integer, nullable=False),
    sa.Column("next_event", sa.Integer, nullable=False),
    # Grows with every change: equal numbers are equal books.
    sa.Column("version", sa.Integer, nullable=False),
)

venue_orders = sa.Table(
    "paper_venue_orders",
    metadata,
    _key("account", 64),
    _key("order_id", 36),
    sa.Column("number", sa.Integer, nullable=False),
    _key("client_order_id", 128),
    _key("symbol", 32),
    _key("side", 8),
    # As the client asked for it, with what amendments and corporate actions have changed.
    sa.Column("ticket", sa.JSON, nullable=False),
    sa.Column("qty", ExactDecimal, nullable=True),
    _key("status", 24),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("submitted_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=True),
    _key("intent", 24),
    sa.Column("filled_qty", ExactDecimal, nullable=False),
    sa.Column("average_price", ExactDecimal, nullable=True),
    sa.Column("filled_at", Instant, nullable=True),
    sa.Column("canceled_at", Instant, nullable=True),
    sa.Column("expired_at", Instant, nullable=True),
    sa.Column("failed_at", Instant, nullable=True),
    sa.Column("replaced_at", Instant, nullable=True),
    sa.Column("replaced_by", sa.String(36), nullable=True),
    sa.Column("replaces", sa.String(36), nullable=True),
    sa.Column("parent_id", sa.String(36), nullable=True),
    sa.Column("high_water_mark", ExactDecimal, nullable=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("live_at", Instant, nullable=True),
    sa.Column("triggered", sa.Boolean, nullable=False),
    sa.Column("is_stuck", sa.Boolean, nullable=False),
    sa.PrimaryKeyConstraint("account", "order_id"),
    sa.UniqueConstraint("account", "number"),
    sa.UniqueConstraint("account", "client_order_id"),
    sa.Index(None, "account", "status"),
)

venue_executions = sa.Table(
    "paper_venue_executions",
    metadata,
    _key("account", 64),
    _key("execution_id", 36),
    # A correction is a row of its own under the same id; the highest counts.
    sa.Column("correction", sa.Integer, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    _key("order_id", 36),
    _key("symbol", 32),
    _key("side", 8),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("price", ExactDecimal, nullable=False),
    sa.Column("commission", ExactDecimal, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("cumulative_qty", ExactDecimal, nullable=False),
    sa.Column("leaves_qty", ExactDecimal, nullable=False),
    sa.Column("position_qty", ExactDecimal, nullable=False),
    sa.Column("realized_pnl", ExactDecimal, nullable=False),
    sa.PrimaryKeyConstraint("account", "execution_id", "correction"),
    sa.Index(None, "account", "at"),
    sa.Index(None, "account", "session"),
    sa.Index(None, "account", "symbol", "session"),
)

venue_positions = sa.Table(
    "paper_venue_positions",
    metadata,
    _key("account", 64),
    _key("symbol", 32),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("average_price", ExactDecimal, nullable=False),
    sa.PrimaryKeyConstraint("account", "symbol"),
)

venue_activities = sa.Table(
    "paper_venue_activities",
    metadata,
    _key("account", 64),
    _key("activity_id", 36),
    sa.Column("number", sa.Integer, nullable=False),
    _key("kind", 16),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("symbol", sa.String(32), nullable=True),
    sa.Column("amount", ExactDecimal, nullable=False),
    sa.Column("qty", ExactDecimal, nullable=False),
    sa.Column("per_share", ExactDecimal, nullable=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("account", "activity_id"),
    sa.Index(None, "account", "session"),
)

venue_events = sa.Table(
    "paper_venue_events",
    metadata,
    _key("account", 64),
    sa.Column("number", sa.Integer, nullable=False),
    _key("kind", 24),
    sa.Column("at", Instant, nullable=False),
    _key("order_id", 36),
    sa.Column("execution_id", sa.String(36), nullable=True),
    sa.PrimaryKeyConstraint("account", "number"),
)

venue_halts = sa.Table(
    "paper_venue_halts",
    metadata,
    _key("market", 16),
    _key("symbol", 32),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=True),
    sa.PrimaryKeyConstraint("market", "symbol", "since"),
)
