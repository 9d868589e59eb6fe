"""What people have approved of weight files: the table, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and who may write a row (`approvals`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import Instant, metadata

signal_approvals = sa.Table(
    "signal_approvals",
    metadata,
    # Bound to one content of the file and one session: another content, or another day, is not approved by it.
    sa.Column("portfolio", sa.String(64), nullable=False),
    sa.Column("strategy", sa.String(64), nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("file_hash", sa.String(64), nullable=False),
    # The rules that held it, in the order of their names, and `rows:` with the hash of what they held, between commas.
    sa.Column("rules", sa.String(200), nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("portfolio", "strategy", "session", "file_hash", "rules"),
)
