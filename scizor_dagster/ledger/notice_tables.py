"""What people were told: the table, in the ledger's metadata.

What belongs here: columns. What does not: the other tables (`tables`), and what becomes of a row (`notices`).
"""

from __future__ import annotations

import sqlalchemy as sa

from scizor_dagster.ledger.tables import Instant, metadata

notices = sa.Table(
    "notices",
    metadata,
    # One fact, and one target that is told of it; a target goes by its name, never by its address.
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("occasion", sa.String(128), nullable=False),
    sa.Column("target", sa.String(64), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    # Why the last attempt failed; empty while none has.
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("first_at", Instant, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("event", "subject", "occasion", "target"),
    sa.Index(None, "state"),
)
