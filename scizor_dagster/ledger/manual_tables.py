"""What people have ordered and taken back by hand: the tables, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and what is made of the rows (`manual_orders`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import Instant, metadata

manual_orders = sa.Table(
    "manual_orders",
    metadata,
    # Append-only, written with the batch. The key is what makes a request the same request: a second row of it cannot
    # be written, whoever tries.
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("idempotency_key", sa.String(128), nullable=False),
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("batch_id", sa.ForeignKey("batches.batch_id"), nullable=False, unique=True),
    sa.Column("plan_id", sa.String(64), nullable=False),
    # What was asked for, canonical JSON.
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    # Whether the next rebalance keeps or absorbs what it brings, as the portfolio had it then.
    sa.Column("policy", sa.String(16), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("account", "idempotency_key"),
    sa.Index(None, "account", "portfolio", "session"),
)

order_cancels = sa.Table(
    "order_cancels",
    metadata,
    # Append-only: an order that is to be taken back, whichever run is at it.
    sa.Column("client_order_id", sa.ForeignKey("orders.client_order_id"), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
)
