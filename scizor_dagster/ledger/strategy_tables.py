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

strategy_versions = sa.Table(
    "strategy_versions",
    metadata,
    # What a strategy's function was: never changed, never taken away.
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("function", sa.String(64), nullable=False),
    # Text of its module, and of those of its package that it uses.
    sa.Column("source", sa.Text, nullable=False),
    # All of them, canonical JSON.
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("rebalance", sa.String(16), nullable=False),
    sa.Column("first_seen", Instant, nullable=False),
)

strategy_records = sa.Table(
    "strategy_records",
    metadata,
    # Append-only: the newest row of a name says what it is, or that it was deleted.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index(None, "name"),
)

computed_weights = sa.Table(
    "computed_weights",
    metadata,
    # Which version made which weights: one row for each content of a session's file.
    sa.Column("strategy", sa.String(64), nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("file_hash", sa.String(64), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    # The session whose closes were the last that it saw, and the lake's snapshot that they were read at.
    sa.Column("priced_on", sa.Date, nullable=False),
    sa.Column("lake_snapshot", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("strategy", "session", "file_hash", "version"),
)

weight_deliveries = sa.Table(
    "weight_deliveries",
    metadata,
    # Weight files that somebody handed in through Scizor, where others are laid into the folder by hand.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("strategy", sa.String(64), nullable=False),
    # SHA-256 of the file.
    sa.Column("file_hash", sa.String(64), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    # The request that brought it; empty where none did.
    sa.Column("request_id", sa.String(32), nullable=False),
    # SHA-256 of the code that computed it; empty where it came as it is.
    sa.Column("code_hash", sa.String(64), nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index(None, "strategy", "file_hash"),
)

strategy_code = sa.Table(
    "strategy_code",
    metadata,
    # Code that came from outside, as text: never changed, never taken away.
    sa.Column("code_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

strategy_code_verdicts = sa.Table(
    "strategy_code_verdicts",
    metadata,
    # Append-only: the newest row of a code says whether it may run; without one it may not.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("code_hash", sa.String(64), nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index(None, "code_hash"),
)
