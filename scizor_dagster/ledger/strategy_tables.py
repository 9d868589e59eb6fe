"""Which strategies there are and which of them trade: the tables, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and what a state means (`strategies`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import Instant, metadata

strategies = sa.Table(
    "strategies",
    metadata,
    # One row for each form that a strategy's entry in the manifest has had.
    sa.Column("strategy", sa.String(64), nullable=False),
    # SHA-256 of the entry, canonical.
    sa.Column("manifest_hash", sa.String(64), nullable=False),
    # Those that follow it, in the order of their names, between commas.
    sa.Column("portfolios", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("weights_dated", sa.String(16), nullable=False),
    sa.Column("first_seen", Instant, nullable=False),
    sa.Column("last_seen", Instant, nullable=False),
    sa.PrimaryKeyConstraint("strategy", "manifest_hash"),
)

live_strategies = sa.Table(
    "live_strategies",
    metadata,
    # Append-only: the newest row of a strategy in a portfolio and account is in force; without one it runs.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("strategy", sa.String(64), nullable=False),
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # Whether its positions are to be sold; only where it is stopped.
    sa.Column("liquidate", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Index(None, "account", "portfolio"),
)
