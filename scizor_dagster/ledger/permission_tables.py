"""What people have permitted of trading: the tables, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and who may write a row (`arming`,
`plan_approvals`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import ExactDecimal, Instant, metadata

arming = sa.Table(
    "arming",
    metadata,
    # Append-only: the newest row of an account and portfolio says whether it is armed, and within what.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("armed", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    # Empty in a row that disarms.
    sa.Column("broker_account_id", sa.String(64), nullable=True),
    sa.Column("environment", sa.String(16), nullable=True),
    sa.Column("max_notional", ExactDecimal, nullable=True),
    sa.Column("currency", sa.String(3), nullable=True),
    sa.Column("expires_at", Instant, nullable=True),
    sa.Index(None, "account", "portfolio"),
)

armed_sends = sa.Table(
    "armed_sends",
    metadata,
    # Append-only: what went out under an arming, order by order, with the sum up to and including it.
    sa.Column("arming", sa.ForeignKey("arming.number"), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("client_order_id", sa.String(48), nullable=False),
    sa.Column("notional", ExactDecimal, nullable=False),
    sa.Column("total", ExactDecimal, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("arming", "place"),
    sa.UniqueConstraint("arming", "client_order_id"),
)

plan_approvals = sa.Table(
    "plan_approvals",
    metadata,
    # Append-only: the newest row of a plan says whether it is approved.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("plan_id", sa.String(64), nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index(None, "account", "portfolio", "session"),
)
