"""What reconciliations leave in the ledger: the tables, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and who writes a row (`breaks`, `days`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import ExactDecimal, Instant, metadata

breaks = sa.Table(
    "breaks",
    metadata,
    # One row for each unexplained difference; open until the parties agree again or a person accepts it.
    sa.Column("break_id", sa.String(16), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    # Empty: of the whole account (positions and cash), whichever portfolio has found it.
    sa.Column("portfolio", sa.String(64), nullable=True),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("found_in", sa.String(8), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("break_class", sa.String(24), nullable=False),
    sa.Column("symbol", sa.String(32), nullable=True),
    sa.Column("client_order_id", sa.String(128), nullable=True),
    sa.Column("locks", sa.String(16), nullable=False),
    sa.Column("qty", ExactDecimal, nullable=True),
    sa.Column("amount", ExactDecimal, nullable=True),
    sa.Column("currency", sa.String(3), nullable=True),
    # What it may be worth in the account's currency, unsigned; empty where nobody can say.
    sa.Column("value", ExactDecimal, nullable=True),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("cleared_at", Instant, nullable=True),
    sa.Column("cleared_by", sa.String(64), nullable=True),
    sa.Column("clear_reason", sa.Text, nullable=True),
    sa.Index(None, "account", "cleared_at"),
)

reconciled_days = sa.Table(
    "reconciled_days",
    metadata,
    # When each session of a portfolio was reconciled, and when its books were closed: only a second pass closes them.
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("first_at", Instant, nullable=True),
    sa.Column("second_at", Instant, nullable=True),
    sa.Column("closed_at", Instant, nullable=True),
    sa.PrimaryKeyConstraint("account", "portfolio", "session"),
)
